"""Exported models: from a finished run's exit to files in each format, tried out, and their card."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from greenpose.config import Experiment
from greenpose.errors import ExportError
from greenpose.export.card import Card, CardFile, card_text, make_card
from greenpose.export.formats import READERS, WRITERS
from greenpose.metering import software_versions
from greenpose.model import SubNetwork, fold_batchnorm
from greenpose.record import dumps
from greenpose.run.measure import trained_networks
from greenpose.run.setup import build_network
from greenpose.store import RunFolder, read_record
from greenpose.store.folder import write_text

TOLERANCE = 1e-5
"""Largest change of an output that folding or a format may make, over the largest output."""


def export_exit(
    config: Experiment, folder: RunFolder, exit_: int, *, formats: Sequence[str], output: Path, folded: bool
) -> Card:
    """Return the card of one exit's network after writing it, and the card, into a folder.

    Every file that can be run here is loaded again, and must say the same of a noise image; the card says of the others
    that they are not verified.

    Raises:
        ExportError: if a file says something else than the network.
        GreenPoseError: if the weights cannot be read.
    """
    record = read_record(folder.record)
    trained = _plain_layout(trained_networks(build_network(config)[0], folder, [exit_])[exit_].cpu())
    images = _noise(config)
    net = fold_batchnorm(trained) if folded else trained
    error = difference(net, trained, images) if folded else None
    if error is not None and error > TOLERANCE:
        raise ExportError(
            [f"exit {exit_}: folding changes its output by {error:.1g} of the largest: export without it"]
        )
    output.mkdir(parents=True, exist_ok=True)
    files = [_write(net, images, format_, output, f"exit{exit_}") for format_ in formats]
    card = make_card(record, exit_, files=files, folding_error=error, software=software_versions())
    write_text(output / "card.json", dumps(card))
    write_text(output / "card.md", card_text(card))
    return card


def difference(net: Any, other: Any, images: Tensor) -> float:
    """Return the largest difference of two networks' outputs over the largest output of the second."""
    with torch.inference_mode():
        ours, theirs = net(images), other(images)
    return float((ours - theirs).abs().max() / theirs.abs().max())


def _write(net: SubNetwork, images: Tensor, format_: str, output: Path, name: str) -> CardFile:
    """Write one file in one step, after it was tried out."""
    path = output / f"{name}.{format_}"
    unsure = output / f".{name}.{format_}"
    try:
        WRITERS[format_](net, images, unsure)
        wrong = error_of(net, images, format_, unsure)
        if wrong is not None and not wrong <= TOLERANCE:
            raise ExportError([f"{path}: the {format_} file differs from the network by {wrong:.1g} of its output"])
        unsure.replace(path)
    finally:
        unsure.unlink(missing_ok=True)
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return CardFile(file=path.name, format=format_, bytes=len(content), sha256=digest, error=wrong)


def error_of(net: SubNetwork, images: Tensor, format_: str, path: Path) -> float | None:
    """Return how far a file's output is from the network's, over the largest; None where nothing here can run it."""
    if format_ == "safetensors":
        written, mine = load_file(path), net.state_dict()
        return float(any(not torch.equal(written[name], entry) for name, entry in mine.items()))
    program = READERS[format_](path)
    return None if program is None else difference(program, net, images)


def _plain_layout(net: SubNetwork) -> SubNetwork:
    """Return the network in the layout that every format knows; whoever loads it may choose another."""
    return net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload,no-any-return]  # torch's stubs


def _noise(config: Experiment) -> Tensor:
    """Return two noise images: a batch of one would be traced as such."""
    width, height = config.data.input_size
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))
