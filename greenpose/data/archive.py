"""An archive of samples in one file, so that a split need be drawn only once: crops, and behind them the instances.

The crops lie byte after byte from the file's beginning, written as they come and mapped when they are asked for:
neither way is more than some of them in memory. Behind them is numpy's `.npz`, a zip file, which may begin anywhere.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias
from zipfile import BadZipFile

import numpy as np
from jaxtyping import UInt8

from greenpose.data.crops import Framing
from greenpose.data.instances import Instance, Profile
from greenpose.errors import DataError
from greenpose.files import whole_file

Cut: TypeAlias = Callable[[Sequence[int]], np.ndarray]
"""Gives the crops of some samples by their numbers."""
_LAYOUT = 4
_NAMES = tuple(field.name for field in fields(Instance))
_IDS, _TUPLES, _ARRAYS = ("id", "image_id"), ("image_size", "box"), ("joints", "visibility")
"""Fields that are whole numbers, perhaps too large for an array of numbers; that are tuples; that stay arrays."""


def _stored_crops(path: Path, shape: tuple[int, ...], indices: Sequence[int]) -> np.ndarray:
    """Return some crops of a file; the kernel keeps those in memory that it has room for.

    Raises:
        DataError: the file is gone or cut short.
    """
    try:
        return np.array(np.memmap(path, np.uint8, "r", shape=shape)[indices])
    except OSError as error:
        raise DataError([f"{path}: cannot be read any more: {error.strerror}"]) from error
    except ValueError as error:
        raise DataError([f"{path}: ends early; delete it to have it made again"]) from error


def write_archive(
    path: Path,
    source: Iterable[tuple[Instance, UInt8[np.ndarray, "height width *channel"]]],
    *,
    profile: Profile,
    framing: Framing,
) -> None:
    """Write instances and their crops, taken one at a time, to a file that is there whole or not at all.

    Raises:
        DataError: there are none, or they are not of one size.
    """
    instances: list[Instance] = []
    shape: tuple[int, ...] = ()
    with whole_file(path) as file:
        for instance, crop in source:
            shape = shape or crop.shape
            if crop.shape != shape:
                raise DataError([f"crop {len(instances) + 1} is {_sides(crop.shape)}, the first one {_sides(shape)}"])
            file.write(np.ascontiguousarray(crop).data)
            instances.append(instance)
        if not instances:
            raise DataError(["no instances: a split needs at least one annotated subject"])
        about = {"layout": _LAYOUT, "profile": profile.model_dump(mode="json"), "framing": asdict(framing)}
        np.savez(file, about=np.array(json.dumps(about | {"crop": shape})), **_columns(instances))


def _sides(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def read_archive(path: Path) -> tuple[Profile, Framing, tuple[Instance, ...], Cut]:
    """Return what the file holds; crops are left in it, and cut out by their numbers.

    Raises:
        DataError: the file is missing, broken or of another layout.
    """
    try:
        with path.open("rb") as raw, np.lib.npyio.NpzFile(raw) as columns:
            about = json.loads(str(columns["about"]))
            if about["layout"] != _LAYOUT:
                raise ValueError(f"its layout is {about['layout']}, known is {_LAYOUT}")
            instances = _instances(columns)
        framing: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in about["framing"].items()}
        crops = partial(_stored_crops, path, (len(instances), *about["crop"]))
        return Profile.model_validate(about["profile"]), Framing(**framing), instances, crops
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise DataError([f"{path}: holds no samples: {error}; delete it to have it made again"]) from error


def _columns(instances: Sequence[Instance]) -> dict[str, Any]:
    columns = {name: [getattr(instance, name) for instance in instances] for name in _NAMES}
    return {name: np.array([*map(str, column)] if name in _IDS else column) for name, column in columns.items()}


def _instances(columns: Mapping[str, np.ndarray]) -> tuple[Instance, ...]:
    read: dict[str, Iterable[Any]] = {name: columns[name] for name in _ARRAYS}
    read |= {name: columns[name].tolist() for name in _NAMES if name not in _ARRAYS}
    read |= {name: map(int, read[name]) for name in _IDS} | {name: map(tuple, read[name]) for name in _TUPLES}
    return tuple(Instance(**dict(zip(read, row, strict=True))) for row in zip(*read.values(), strict=True))
