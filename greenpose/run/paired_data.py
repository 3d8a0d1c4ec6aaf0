"""One side's way of images to batches in a paired check: load a few, and make the batches of some epochs of them.

`paired_worker` loads this file by its path, as it is itself: what counts is one for both sides, while everything that
reads, decodes, cuts and draws is the side's own. What a side keeps of images between epochs shows: an epoch that reads
them again has more to read.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

EPOCHS = 2
"""Epochs of one call."""
CACHES = ("GREENPOSE_CACHE", "XDG_CACHE_HOME")
"""Where GreenPose keeps generated images: a new place for each call, so that every call makes them."""
IO = Path("/proc/self/io")
"""What Linux knows of a process's reading; nothing of files that are mapped."""


def prepare(request: Mapping[str, Any], config: Any) -> tuple[dict[str, Any], Callable[[], int]]:
    """Return what to say of the data's way, and what lets some images go it whenever it is called."""
    del request
    cv2.setNumThreads(1)

    def call() -> int:
        return _batches(config)

    call()
    counts, crops = _counted(call)
    return {"batch": crops, "counts": counts}, call


def _batches(config: Any) -> int:
    """Load the training split and make all batches of some epochs, and return how many crops were in them."""
    from greenpose.data.splits import load_splits

    augment = getattr(config.train, "augment", None)  # which older code does not have
    whole: dict[str, Any] = {"whole": True} if augment else {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(dict.fromkeys(CACHES, folder))
        samples = load_splits(config.data, **whole)["train"]
        epochs = (_epoch(samples, config, epoch, augment) for epoch in range(EPOCHS))
        return sum(len(batch.indices) for epoch in epochs for batch in epoch)


def _epoch(samples: Any, config: Any, epoch: int, augment: Any) -> Iterator[Any]:
    """Return an epoch's batches, augmented as a training's where it is to be."""
    from greenpose.data import batch_of, batches, in_turn

    rng = np.random.default_rng(epoch)
    if augment is None:
        return batches(samples, config.train.batch, rng)
    from greenpose.data.augment import Augmentation

    how = Augmentation(config=augment, seeds=(config.seed, epoch))
    order = in_turn(len(samples), config.train.batch, rng)
    return (batch_of(samples, indices, augmentation=how) for indices in order)


def _counted(call: Callable[[], int]) -> tuple[dict[str, int], int]:
    """Return what a call reads and decodes, and its crops."""
    decoded: list[str] = []
    with _told(decoded):
        before = _bytes_read()
        crops = call()
        after = _bytes_read()
    counts = {"images_decoded": len(decoded)}
    if before is not None and after is not None:
        counts["bytes_read"] = after[0] - before[0] - before[1]
    return counts, crops


def _bytes_read() -> tuple[int, int] | None:
    """Return the bytes that this process has read, and those of this very reading, which come on top."""
    try:
        text = IO.read_bytes()
    except OSError:
        return None
    return int(text.split()[1]), len(text)


@contextmanager
def _told(decoded: list[str]) -> Iterator[None]:
    """Note every image that is decoded or opened within the block, by whatever means GreenPose has ever had."""
    from PIL import Image

    places: tuple[tuple[Any, str], ...] = ((cv2, "imdecode"), (cv2, "imread"), (Image, "open"))
    usual = [(module, name, getattr(module, name)) for module, name in places]
    for module, name, function in usual:
        setattr(module, name, _noting(function, name, decoded))
    try:
        yield
    finally:
        for module, name, function in usual:
            setattr(module, name, function)


def _noting(function: Callable[..., Any], name: str, decoded: list[str]) -> Callable[..., Any]:
    def noted(*given: Any, **named: Any) -> Any:
        decoded.append(name)
        return function(*given, **named)

    return noted
