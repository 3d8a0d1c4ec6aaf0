"""A few images of a data folder as a folder of its own, so that the way from files to batches can be run many times."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from greenpose.config import DataConfig
from greenpose.data.instances import Instance, Profile, coco_document, load_profile
from greenpose.data.splits import depth_window, inspect_splits
from greenpose.errors import DataError

IMAGES = {"train": 32, "val": 2, "test": 2}
"""Images of each split."""
MOST_BYTES = 16_000_000
"""Bytes of files that a split's images have together; the first two are taken however large they are."""
DRAWN = ("data.synthetic.patients={train: 2, val: 1, test: 1}", "data.synthetic.frames={train: 8, val: 1, test: 1}")
"""Settings that make few of generated images."""


@contextmanager
def excerpt(config: DataConfig) -> Iterator[tuple[str, ...]]:
    """Yield the settings by which a few images take the place of an experiment's data, while they lie there.

    Files are copied as they are; annotations keep boxes and joints. Of generated data, fewer are generated.

    Raises:
        DataError: the data are not there, or have faults.
    """
    if config.source == "synthetic":
        yield DRAWN
        return
    found = inspect_splits(config)
    window = depth_window(config, found)
    with tempfile.TemporaryDirectory(prefix="greenpose-") as name:
        root = Path(name)
        for split, taken in found.items():
            _write(root, split, taken.instances, load_profile(config.profile))
        seen = [] if window is None else [f"data.depth_window_mm=[{float(window[0])}, {float(window[1])}]"]
        yield (f"data.root={root}", "data.images=images", "data.annotations={}", "data.detections=null", *seen)


def _write(root: Path, split: str, instances: Sequence[Instance], profile: Profile) -> None:
    """Write a split's first images, and the annotations of these."""
    files: dict[str, str] = {}
    size = 0
    for instance in instances:
        if instance.image in files:
            continue
        path = Path(instance.image)
        try:
            size += path.stat().st_size
            if len(files) >= IMAGES[split] or (len(files) >= 2 and size > MOST_BYTES):
                break
            file = root / "images" / split / f"{len(files):04d}{path.suffix}"
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, file)
        except OSError as error:
            raise DataError([f"{path}: cannot be copied to try it: {error.strerror}"]) from error
        files[instance.image] = f"{split}/{file.name}"
    kept = [replace(one, image=files[one.image]) for one in instances if one.image in files]
    annotations = root / "annotations" / f"person_keypoints_{split}.json"
    annotations.parent.mkdir(exist_ok=True)
    annotations.write_text(json.dumps(coco_document(kept, profile)), encoding="utf-8")
