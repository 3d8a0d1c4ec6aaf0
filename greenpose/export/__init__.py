"""Exits of finished runs as files to deploy, each with its footprint card."""

from greenpose.export.deploy import chosen_formats, export_exit

__all__ = ["chosen_formats", "export_exit"]
