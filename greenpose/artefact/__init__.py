"""Artefacts: exported models with their card, checked, opened in their runtime, run without torch where that can be."""

from greenpose.artefact.card import Card, CardFile
from greenpose.artefact.folder import Artefact, is_artefact, read_artefact
from greenpose.artefact.runtime import Model, open_model

__all__ = ["Artefact", "Card", "CardFile", "Model", "is_artefact", "open_model", "read_artefact"]
