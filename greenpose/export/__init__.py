"""Exits of finished runs as files to deploy, each with its footprint card."""

from greenpose.export.card import Card, CardFile, card_text
from greenpose.export.deploy import WRITERS, absent_packages, chosen_formats, difference, export_exit

__all__ = ["WRITERS", "Card", "CardFile", "absent_packages", "card_text", "chosen_formats", "difference", "export_exit"]
