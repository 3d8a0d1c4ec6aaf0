"""Exits of finished runs as files to deploy, each run and judged, with their footprint card."""

from greenpose.export.deploy import MAX_AP_DROP, ExportWish, export_exit
from greenpose.export.formats import Kind, chosen_kinds
from greenpose.export.quantise import IMAGES

__all__ = ["IMAGES", "MAX_AP_DROP", "ExportWish", "Kind", "chosen_kinds", "export_exit"]
