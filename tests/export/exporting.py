"""How tests export a run's exit."""

from pathlib import Path
from typing import Any

from greenpose.artefact import Card
from greenpose.export import ExportWish, chosen_kinds, export_exit
from greenpose.store import RunFolder


def exported(
    run: RunFolder, formats: str, *, output: Path, exit_: int = 2, precision: str = "fp32", **wish: Any
) -> Card:
    """Return the card of an exit after writing its files into a folder."""
    kinds, _ = chosen_kinds(formats, precision)
    return export_exit(run.experiment(), run, exit_, wish=ExportWish(kinds=kinds, **wish), output=output)
