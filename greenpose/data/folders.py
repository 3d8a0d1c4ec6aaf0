"""Data folders written whole or not at all, however the process that makes one ends."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

import cv2
import numpy as np

from greenpose.data.images import Window, encode_png
from greenpose.data.instances import Instance, Profile, coco_document
from greenpose.errors import DataError
from greenpose.files import locked


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """A folder in the making."""

    path: Path
    """Where it lies until it is finished."""
    swept: bool
    """Whether the remains of a process that was killed had to be removed from there."""


@contextmanager
def whole_folder(root: Path) -> Iterator[Unfinished]:
    """Yield a folder that takes the name `root` when the block ends well and is removed when it doesn't.

    It lies beside `root` and is locked while it is filled: what a killed process left there is swept away, what another
    one is writing is not touched.

    Raises:
        DataError: `root` is in use, or another process is making it.
    """
    path = unfinished_path(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_name(f"{path.name}.lock"), wait=False) as mine, ExitStack() as undo:
        if not mine:
            raise DataError([f"{path}: another process is making {root} just now; wait for it, or name another"])
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise DataError([f"{root}: is in use already; name a new folder, or delete this one first"])
        remains = path.exists()
        undo.callback(shutil.rmtree, path, ignore_errors=True)
        if remains:
            shutil.rmtree(path)
        path.mkdir()
        yield Unfinished(path=path, swept=remains)
        if root.is_dir():
            root.rmdir()
        path.rename(root)
        undo.pop_all()


def unfinished_path(root: Path) -> Path:
    """Return where a folder lies while it is made."""
    return root.absolute().with_name(f".{root.absolute().name}.unfinished")


Source: TypeAlias = Iterable[tuple[Instance, np.ndarray | Path]]
"""Instances with their whole images: 16-bit depth in mm, 8-bit grey or 8-bit RGB, or a file that is taken as it is; one
at a time."""


def write_coco(
    root: Path, splits: Mapping[str, Source], *, profile: Profile, window: Window | None = None
) -> dict[str, Path]:
    """Return the annotation file of each split, after writing `root/annotations` and PNGs under `root/images/SPLIT`.

    Image names are kept as far as they are relative paths; patients are written with the images, and `window` as the
    depth window in mm to look through. `root` appears whole or not at all.

    Raises:
        DataError: `root` is in use, a split is empty, or two images want one file.
    """
    info = {} if window is None else {"depth_unit": "mm", "depth_window_mm": [float(end) for end in window]}
    with whole_folder(root) as unfinished:
        fill_coco(unfinished.path, splits, profile=profile, info=info)
    return {split: _annotation_file(root, split) for split in splits}


def fill_coco(root: Path, splits: Mapping[str, Source], *, profile: Profile, info: Mapping[str, Any]) -> None:
    """Write annotations and images of all splits into an empty folder; `info` goes into every annotation file.

    Raises:
        DataError: a split is empty, or two images want one file.
    """
    for split, source in splits.items():
        _write_split(root, split, source, profile=profile, info=info)


def _annotation_file(root: Path, split: str) -> Path:
    return root / "annotations" / f"person_keypoints_{split}.json"


def _write_split(root: Path, split: str, source: Source, *, profile: Profile, info: Mapping[str, Any]) -> None:
    owners: dict[str, int] = {}
    instances: list[Instance] = []
    for instance, image in source:
        name = _name(instance, split, image.suffix if isinstance(image, Path) else ".png")
        if owners.setdefault(name, instance.image_id) != instance.image_id:
            raise DataError([f"{name}: images {owners[name]} and {instance.image_id} both want this file"])
        file = root / "images" / name
        if not file.exists():
            _write_image(file, image, instance)
        instances.append(replace(instance, image=name))
    if not instances:
        raise DataError([f"{split}: nothing to write; a split needs at least one annotated subject"])
    document = coco_document(instances, profile)
    document["info"] |= info
    file = _annotation_file(root, split)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document), encoding="utf-8")


def _name(instance: Instance, split: str, suffix: str) -> str:
    """Return the image's file name below `images`, always in the split's own folder."""
    path = PurePosixPath(instance.image.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.name:
        path = PurePosixPath(f"{instance.image_id:012d}")
    inner = path if path.parts[0] != split else path.relative_to(split)
    return str(PurePosixPath(split) / inner.with_suffix(suffix))


def _write_image(file: Path, image: np.ndarray | Path, instance: Instance) -> None:
    if isinstance(image, Path):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(image.resolve(), file)  # takes no room
        except OSError:  # another disk, or none of one's own files
            shutil.copyfile(image, file)
        return
    if image.shape[1::-1] != instance.image_size or image.dtype not in (np.uint8, np.uint16):
        found = f"{image.dtype} of {image.shape[1]} x {image.shape[0]}"
        raise DataError([f"{instance.image}: is {found}; needed is uint8 or uint16 of {instance.image_size}"])
    file.parent.mkdir(parents=True, exist_ok=True)
    stored = image if image.ndim < 3 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    file.write_bytes(encode_png(stored))
