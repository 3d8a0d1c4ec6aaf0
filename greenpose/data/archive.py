"""Samples in one file: instances and crops, so that a set need be drawn or read only once.

A zip file without compression, as numpy's `.npz` is: columns of the instances are arrays in it, the crops one long
member, which is written as they come and read at any place. Neither way is more than one of them in memory.
"""

import json
import os
import struct
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from greenpose.data.crops import Framing
from greenpose.data.instances import Instance, Profile
from greenpose.errors import DataError

_LAYOUT = 3
_CROPS = "crops"
_LOCAL_HEADER_BYTES = 30
_COLUMNS = ("id", "image_id", "image", "subject", "image_size", "box", "area", "joints", "visibility")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCrops:
    """Crops in a file, read when they are asked for; the kernel keeps those in memory that it has room for."""

    path: Path
    """The file."""
    offset: int
    """Where the first one begins."""
    count: int
    """How many there are."""
    shape: tuple[int, ...]
    """Height and width of each, and 3 channels where they are in colour."""

    def __call__(self, indices: Sequence[int]) -> np.ndarray:
        """Return the crops of some samples.

        Raises:
            DataError: the file is gone or cut short.
        """
        crops = np.empty((len(indices), *self.shape), dtype=np.uint8)
        try:
            with self.path.open("rb", buffering=0) as file:
                for crop, index in zip(crops, indices, strict=True):
                    if not 0 <= index < self.count:
                        raise IndexError(f"sample {index} of {self.count}")
                    file.seek(self.offset + index * crop.nbytes)
                    if file.readinto(crop) != crop.nbytes:
                        raise DataError([f"{self.path}: ends early; delete it to have it made again"])
        except OSError as error:
            raise DataError([f"{self.path}: cannot be read any more: {error.strerror}"]) from error
        return crops


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Archive:
    """What a file of samples holds."""

    profile: Profile
    """Keypoints and how they are judged."""
    framing: Framing
    """How the crops were made."""
    instances: tuple[Instance, ...]
    """The annotations."""
    crops: StoredCrops
    """One crop per instance."""


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
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(unfinished, "w") as archive:
            instances, shape = _write_crops(archive, source)
            about = {"layout": _LAYOUT, "profile": profile.model_dump(mode="json"), "framing": asdict(framing)}
            _write_array(archive, "about", np.array(json.dumps(about | {"crop": shape})))
            for name, column in _columns(instances).items():
                _write_array(archive, name, column)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _write_crops(
    archive: zipfile.ZipFile, source: Iterable[tuple[Instance, np.ndarray]]
) -> tuple[list[Instance], tuple[int, ...]]:
    instances: list[Instance] = []
    shape: tuple[int, ...] = ()
    with archive.open(_CROPS, "w", force_zip64=True) as member:
        for instance, crop in source:
            shape = shape or crop.shape
            if crop.shape != shape:
                raise DataError([f"crop {len(instances) + 1} is {_sides(crop.shape)}, the first one {_sides(shape)}"])
            member.write(np.ascontiguousarray(crop).data)
            instances.append(instance)
    if not instances:
        raise DataError(["no instances: a split needs at least one annotated subject"])
    return instances, shape


def _sides(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _write_array(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array(member, array, allow_pickle=False)


def read_archive(path: Path) -> Archive:
    """Return what the file holds; crops are left in it.

    Raises:
        DataError: the file is missing, broken or of another layout.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            if about["layout"] != _LAYOUT:
                raise ValueError(f"its layout is {about['layout']}, known is {_LAYOUT}")
            instances = _instances({name: file[name] for name in _COLUMNS})
        return Archive(
            profile=Profile.model_validate(about["profile"]),
            framing=_framing(about["framing"]),
            instances=instances,
            crops=StoredCrops(path=path, offset=_place(path), count=len(instances), shape=tuple(about["crop"])),
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DataError([f"{path}: holds no samples: {error}; delete it to have it made again"]) from error


def _place(path: Path) -> int:
    """Return where the crops begin: behind their local header, a name and fields of any length."""
    with zipfile.ZipFile(path) as archive:
        header = archive.getinfo(_CROPS).header_offset
    with path.open("rb") as file:
        file.seek(header)
        name, extra = struct.unpack("<HH", file.read(_LOCAL_HEADER_BYTES)[-4:])
    return header + _LOCAL_HEADER_BYTES + int(name) + int(extra)


def _framing(fields: dict[str, Any]) -> Framing:
    plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
    return Framing(**plain)


def _columns(instances: Sequence[Instance]) -> dict[str, np.ndarray]:
    return {
        "id": np.array([str(i.id) for i in instances]),  # numbers may be too large for an array of numbers
        "image_id": np.array([str(i.image_id) for i in instances]),
        "image": np.array([i.image for i in instances]),
        "subject": np.array([i.subject for i in instances]),
        "image_size": np.array([i.image_size for i in instances]),
        "box": np.array([i.box for i in instances], dtype=np.float64),
        "area": np.array([i.area for i in instances], dtype=np.float64),
        "joints": np.stack([i.joints for i in instances]),
        "visibility": np.stack([i.visibility for i in instances]),
    }


def _instances(columns: dict[str, np.ndarray]) -> tuple[Instance, ...]:
    plain = {name: columns[name].tolist() for name in ("id", "image_id", "image", "subject", "area")}
    return tuple(
        Instance(
            id=int(plain["id"][row]),
            image_id=int(plain["image_id"][row]),
            image=plain["image"][row],
            subject=plain["subject"][row],
            image_size=tuple(columns["image_size"][row].tolist()),
            box=tuple(columns["box"][row].tolist()),
            area=plain["area"][row],
            joints=columns["joints"][row],
            visibility=columns["visibility"][row],
        )
        for row in range(len(plain["id"]))
    )
