"""The folder of an export: it holds one exit, and an export leaves all of its files there or the folder as it was."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from greenpose.artefact import Card, CardFile
from greenpose.artefact.folder import CARD, read_card
from greenpose.errors import ExportError
from greenpose.export.card import card_text
from greenpose.record import Record, dumps

STANDALONE = Path(__file__).with_name("standalone.py")
"""What lies beside ONNX and OpenVINO files as run.py."""
DECODED = ("onnx", "openvino")
"""Formats that decoding can be put into, and that run.py runs."""


def require_same_exit(output: Path, record: Record, exit_: int) -> None:
    """Refuse a folder whose card is of another exit, or of another training: there is one card, and one of each in it.

    Raises:
        ExportError: naming both.
        ArtefactError: the card that is there is damaged.
    """
    if not (output / CARD).exists():
        return
    card = read_card(output / CARD)
    there, wanted = (card.exit, card.config_hash, card.trained_at), (exit_, record.config_hash, record.finished_at)
    if there != wanted:
        said = f"holds exit {card.exit} of {card.run}, trained {card.trained_at}"
        ours = f"exit {exit_} of {record.name}, trained {record.finished_at}"
        other = output.with_name(f"{output.name}-exit{exit_}")
        raise ExportError(
            [f"{output}: {said}, and not {ours}; a folder holds one exit: -o {other}, or delete this one"]
        )


def carried(output: Path, files: Sequence[CardFile], *, folded: bool) -> list[CardFile]:
    """Return the files that the folder's card names already, and that are not written anew.

    Raises:
        ExportError: torch's files among them have their norms otherwise, and the card speaks for all of them.
    """
    if not (output / CARD).exists():
        return []
    card, anew = read_card(output / CARD), {each.file for each in files}
    left = [each for each in card.files if each.file not in anew]
    mixed = [each.file for each in left if each.format not in DECODED]
    if mixed and card.folded != folded:
        said = "has its norms folded, by --fold-bn" if card.folded else "has its norms as trained, without --fold-bn"
        raise ExportError([f"{output / mixed[0]}: {said}; export alike, or into another folder by -o"])
    return left


def put(card: Card, files: Sequence[CardFile], place: Path, output: Path) -> None:
    """Move new files from the folder in which they were made to where they belong, the card last.

    Where that fails at any of them, all is as it was. A process that is killed meanwhile leaves a card whose digests
    are not those of the files, which every reader refuses, or none.
    """
    names = [name for each in files for name in (each.file, each.weights) if name]
    if any(each.format in DECODED for each in card.files):
        (place / "run.py").write_bytes(STANDALONE.read_bytes())
        names.append("run.py")
    (place / "card.md").write_text(card_text(card), encoding="utf-8")
    (place / CARD).write_text(dumps(card), encoding="utf-8")
    names += ["card.md", CARD]
    for name in names:
        _keep(place / name)
    before = place / "before"
    before.mkdir()
    for name in names:
        if (output / name).exists():
            shutil.copy2(output / name, before / name)
    moved: list[str] = []
    try:
        for name in names:
            (place / name).replace(output / name)
            moved.append(name)
    except BaseException:
        for name in reversed(moved):
            _put_back(before / name, output / name)
        raise


def _keep(path: Path) -> None:
    """Have the disk hold a file, before anything relies on it."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _put_back(kept: Path, path: Path) -> None:
    if kept.exists():
        kept.replace(path)
    else:
        path.unlink()
