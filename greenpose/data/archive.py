"""Samples in one `.npz` file: instances and crops, so that a set need be drawn or read only once."""

import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from greenpose.data.crops import Framing
from greenpose.data.instance import Instance
from greenpose.data.profile import Profile
from greenpose.errors import DataError

_LAYOUT = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Archive:
    """What a file of samples holds."""

    profile: Profile
    """Keypoints and how they are judged."""
    framing: Framing
    """How the crops were made."""
    instances: tuple[Instance, ...]
    """The annotations."""
    crops: UInt8[np.ndarray, "sample height width *channel"]
    """One crop per instance."""


def write_archive(
    path: Path, instances: Sequence[Instance], crops: np.ndarray, *, profile: Profile, framing: Framing
) -> None:
    """Write the file whole or not at all."""
    about = {"layout": _LAYOUT, "profile": profile.model_dump(mode="json"), "framing": asdict(framing)}
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as file:
            columns: dict[str, Any] = _columns(instances)
            np.savez(file, about=np.array(json.dumps(about)), crops=crops, **columns)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def read_archive(path: Path) -> Archive:
    """Return what the file holds.

    Raises:
        DataError: the file is missing, broken or of another layout.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(str(arrays["about"]))
        if about["layout"] != _LAYOUT:
            raise ValueError(f"its layout is {about['layout']}, known is {_LAYOUT}")
        return _archive(about, arrays)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DataError([f"{path}: holds no samples: {error}; delete it to have it made again"]) from error


def _archive(about: dict[str, Any], arrays: dict[str, np.ndarray]) -> Archive:
    framing: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in about["framing"].items()
    }
    return Archive(
        profile=Profile.model_validate(about["profile"]),
        framing=Framing(**framing),
        instances=_instances(arrays),
        crops=arrays["crops"],
    )


def _columns(instances: Sequence[Instance]) -> dict[str, np.ndarray]:
    return {
        "id": np.array([i.id for i in instances]),
        "image_id": np.array([i.image_id for i in instances]),
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
            id=plain["id"][row],
            image_id=plain["image_id"][row],
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
