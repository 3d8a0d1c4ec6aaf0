"""The splits of an experiment's data: generated and cached, or read from a COCO folder; depth window; preview."""

import atexit
import json
import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from greenpose.config import DataConfig
from greenpose.data.boxes import inspect_boxes, num_boxes
from greenpose.data.check import SPLITS, check_folder, sha256, split_files, windows, windows_of
from greenpose.data.coco import Split, load_document, window_of
from greenpose.data.crops import Framing
from greenpose.data.findings import Notebook, errors
from greenpose.data.images import Window, image_reader, read_bytes, window_depth
from greenpose.data.instances import Instance, Profile, load_profile
from greenpose.data.samples import CACHE_BYTES, Samples, keeping
from greenpose.data.synthetic import JOINTS, generate
from greenpose.errors import DataError
from greenpose.files import cache_folder

SYNTHETIC_WINDOW_MM = (350.0, 900.0)
"""Grey levels of generated depth: from a raised hand to the floor beside the crib."""
_DRAWN_BY = ("synthetic/*.py", "crops.py", "images.py", "archive.py")
"""The code that generated crops come from: another text of it may draw others."""


def load_splits(config: DataConfig, *, only: Sequence[str] = SPLITS, whole: bool = False) -> dict[str, Samples]:
    """Return the three splits, or only some of them, ready to train on, the training split's images `whole` if asked.

    Raises:
        ConfigError: if the profile is unknown.
        DataError: with all faults of the data.
    """
    profile = load_profile(config.profile)
    check_joints(config, profile)
    framing = Framing.of_data(config)
    if config.source == "synthetic":
        return {split: _synthetic(config, split, profile, framing, whole=whole and split == "train") for split in only}
    found = inspect_splits(config)
    window = depth_window(config, found)
    return {
        split: _annotated(found[split], window, profile, framing, whole=whole and split == "train") for split in only
    }


def annotations_sha256(config: DataConfig) -> dict[str, str]:
    """Return the SHA-256 of each split's annotation file, of those that are there: what is wrong tells `load_splits`.

    None of generated data, which the settings tell whole.
    """
    if config.source == "synthetic":
        return {}
    try:
        files = split_files(Path(config.root or ""), named=config.annotations, required=())
        return {split: sha256(read_bytes(file)) for split, file in files.items()}
    except DataError:
        return {}


def check_annotations(before: Mapping[str, str], now: Mapping[str, str], *, where: str) -> None:
    """Refuse to go on with a run on other annotations: what it has learnt would not be what its record says.

    Raises:
        DataError: naming the splits whose file is no longer the one that the run was begun with.
    """
    changed = [split for split, digest in before.items() if now.get(split, digest) != digest]
    if changed:
        text = f"was begun with other annotations of {' and '.join(changed)}"
        raise DataError([f"{where}: {text}; greenpose run --fresh trains anew, with another --out it keeps this run"])


def depth_window(config: DataConfig, found: Mapping[str, Split]) -> Window | None:
    """Return the one depth window in mm that all splits and detected boxes are seen through; None for 8-bit images.

    The configured one, else the one that the annotation files recommend; `inspect_splits` refuses two different ones.
    """
    return config.depth_window_mm or next(iter(windows_of(found).values()), None)


def window_of_run(config: DataConfig) -> tuple[float, float] | None:
    """Return the depth window in mm that a run's images are seen through, by its settings and its annotation files.

    No image is read. None for 8-bit images, and where the files that recommend a window are no longer there.
    """
    own: Window | None = config.depth_window_mm or (SYNTHETIC_WINDOW_MM if config.source == "synthetic" else None)
    if own is None and config.source == "coco":
        try:
            files = split_files(Path(config.root or ""), named=config.annotations, required=()).values()
        except DataError:
            return None
        documents = (load_document(file, Notebook(str(file))) for file in files)
        own = next((window for document in documents if document and (window := window_of(document))), None)
    return None if own is None else (float(own[0]), float(own[1]))


def _annotated(split: Split, window: Window | None, profile: Profile, framing: Framing, *, whole: bool) -> Samples:
    reader = image_reader(window=window)
    return Samples.build(
        split.instances,
        keeping(reader, split.instances) if whole else reader,
        window=window,
        profile=profile,
        framing=framing,
        truth=(*split.instances, *split.aside) if split.aside else None,
        cache_bytes=0 if whole else CACHE_BYTES,
    )


def check_joints(config: DataConfig, profile: Profile) -> None:
    """Refuse a profile that names other joints than the generator draws.

    Raises:
        DataError: if the data are synthetic and the profile is of another skeleton.
    """
    if config.source == "synthetic" and profile.keypoints != JOINTS:
        raise DataError([f"profile {profile.name}: synthetic infants have other keypoints; use babypose"])


def inspect_splits(config: DataConfig) -> dict[str, Split]:
    """Return the three splits of a COCO folder as far as annotations go; no image is decoded.

    Raises:
        DataError: with all faults of all splits, an image or a subject in two of them among the faults, and of
            detected boxes where a file of them is named.
    """
    root = Path(config.root or "")
    if not root.is_dir():
        raise DataError([f"{root}: no such folder; it should hold images/ and annotations/"])
    split_files(root, named=config.annotations)
    checked = check_folder(root, profile=load_profile(config.profile), images=config.images, named=config.annotations)
    faults = errors(checked.findings)
    if config.depth_window_mm is None:
        faults += errors(windows(root, checked.splits))
    if config.detections is not None:
        faults += inspect_boxes(config).faults
    if faults:
        raise DataError(faults)
    return checked.splits


def _synthetic(config: DataConfig, split: str, profile: Profile, framing: Framing, *, whole: bool) -> Samples:
    """Return a generated split, from the cache where it is there."""
    path = _cached(config, split, profile, whole=whole)
    window = config.depth_window_mm or SYNTHETIC_WINDOW_MM
    if path.exists():
        return replace(Samples.load(path, whole=framing if whole else None), window=window)

    def drawn(place: Path) -> Samples:
        seen = ((instance, window_depth(depth, window)) for instance, depth in generate(config.synthetic, split))
        return replace(Samples.draw(place, seen, profile=profile, framing=framing, whole=whole), window=window)

    try:
        return drawn(path)
    except OSError as error:
        # A cache saves time, no more: without one, what is drawn lies in a place that goes with this process.
        told = f"{path}: cannot be kept ({error.strerror}); drawn for this run alone"
        logging.getLogger("greenpose").warning("%s", told)
        place = Path(tempfile.mkdtemp(prefix="greenpose-"))
        atexit.register(shutil.rmtree, place, ignore_errors=True)
        return drawn(place / path.name)


def _cached(config: DataConfig, split: str, profile: Profile, *, whole: bool = False) -> Path:
    return cache_folder() / f"synthetic-{split}-{_key(config, split, profile, whole=whole)}"


def _key(config: DataConfig, split: str, profile: Profile, *, whole: bool) -> str:
    """Return the cache key of a generated split: its settings, its profile, and the code that makes it.

    Those of crops say nothing of whole images.
    """
    cutting = set[str]() if whole else {"input_size", "stride", "sigma", "decode", "padding"}
    settings = config.model_dump(mode="json", include={"depth_window_mm", *cutting})
    synthetic = config.synthetic.model_dump(mode="json", exclude={"patients", "frames"})
    numbers = [getattr(config.synthetic.patients, split), getattr(config.synthetic.frames, split)]
    text = json.dumps([settings, synthetic, numbers, split, profile.model_dump(mode="json")], sort_keys=True)
    return sha256((text + code_digest(Path(__file__).parent)).encode())[:16]


def code_digest(folder: Path) -> str:
    """Return the SHA-256 of the code below a folder that draws images: another one may draw others."""
    files = [file for pattern in _DRAWN_BY for file in sorted(folder.glob(pattern))]
    return sha256(b"".join(file.read_bytes() for file in files))


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What is known of data that were only looked at."""

    counts: Mapping[str, int]
    """Samples of each split; of synthetic data at most so many, since frames without the infant are left out."""
    searched: int
    """Detected boxes, which are searched in the test besides."""
    few: Samples
    """Some samples of the training split, at most as many as were asked for."""
    to_make: int
    """Images that a run must generate, or read and crop, before it can train; 0 where generated ones are cached."""


def preview(config: DataConfig, *, num: int, whole: bool = False) -> Preview:
    """Return the counts of an experiment's data and the first `num` samples of its training split, `whole` if asked.

    Annotations are read, images only for those samples; where crops of a split would not fit into memory, these are cut
    out of their images at every use too, as they will be.

    Raises:
        ConfigError: if the profile is unknown.
        DataError: with all faults of the data.
    """
    profile = load_profile(config.profile)
    check_joints(config, profile)
    framing = Framing.of_data(config)
    if config.source == "synthetic":
        return _synthetic_instances(config, profile, framing, num, whole=whole)
    found = inspect_splits(config)
    window = depth_window(config, found)
    instances = found["train"].instances
    some, reader = instances[:num], image_reader(window=window)
    cache_bytes = CACHE_BYTES * len(some) // len(instances)
    few = Samples.build(
        some,
        keeping(reader, some, most_bytes=cache_bytes) if whole else reader,
        window=window,
        profile=profile,
        framing=framing,
        cache_bytes=0 if whole else cache_bytes,
    )
    counts, searched = {split: len(found[split].instances) for split in SPLITS}, num_boxes(config)
    return Preview(counts=counts, searched=searched, few=few, to_make=sum(counts.values()) + searched)


def repeated(samples: Samples, num: int) -> Samples:
    """Return `num` samples that show the same few again and again, each as an image of its own."""
    some = samples.take(np.arange(num) % len(samples))
    renamed = [
        replace(instance, id=number, image_id=number, image=f"{instance.image}#{number}")
        for number, instance in enumerate(some.instances, start=1)
    ]
    return replace(some, instances=tuple(renamed))


def _synthetic_instances(config: DataConfig, profile: Profile, framing: Framing, num: int, *, whole: bool) -> Preview:
    synthetic = config.synthetic
    counts = {split: getattr(synthetic.patients, split) * getattr(synthetic.frames, split) for split in SPLITS}
    window = config.depth_window_mm or SYNTHETIC_WINDOW_MM
    made = list(islice(generate(synthetic, "train"), num))
    images = {instance.image: window_depth(depth, window) for instance, depth in made}

    def image_of(instance: Instance) -> np.ndarray:
        return images[instance.image]

    some = [instance for instance, _ in made]
    few = Samples.build(some, image_of, window=window, profile=profile, framing=framing)
    kept = {split: _cached(config, split, profile, whole=whole and split == "train") for split in SPLITS}
    missing = [split for split in SPLITS if not kept[split].exists()]
    return Preview(counts=counts, searched=0, few=few, to_make=sum(counts[split] for split in missing))
