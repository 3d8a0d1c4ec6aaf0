"""A look at an experiment's data before it is prepared: how many samples there will be, and a few of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import numpy as np

from greenpose.config import DataConfig
from greenpose.data.boxes import num_boxes
from greenpose.data.check import SPLITS
from greenpose.data.crops import Framing
from greenpose.data.images import image_reader, window_depth
from greenpose.data.profile import Profile, load_profile
from greenpose.data.samples import CACHE_BYTES, Samples
from greenpose.data.splits import (
    SYNTHETIC_WINDOW_MM,
    check_joints,
    depth_window,
    generate,
    image_of,
    inspect_splits,
    is_generated,
)


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


def preview(config: DataConfig, *, num: int) -> Preview:
    """Return the counts of an experiment's data and the first `num` samples of its training split.

    Annotations are read, images only for those samples; where crops of a split would not fit into memory, these are cut
    out of their images at every use too, as they will be.

    Raises:
        ConfigError: if the profile is unknown.
        DataError: with all faults of the data.
    """
    profile = load_profile(config.profile)
    check_joints(config, profile)
    framing = Framing.of(config.input_size, sigma=config.sigma, padding=config.padding)
    if config.source == "synthetic":
        return _synthetic(config, profile, framing, num)
    found = inspect_splits(config)
    window = depth_window(config, found)
    instances = found["train"].instances
    few = Samples.build(
        instances[:num],
        image_reader(window=window),
        window=window,
        profile=profile,
        framing=framing,
        cache_bytes=CACHE_BYTES * min(num, len(instances)) // len(instances),
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


def _synthetic(config: DataConfig, profile: Profile, framing: Framing, num: int) -> Preview:
    synthetic = config.synthetic
    counts = {split: getattr(synthetic.patients, split) * getattr(synthetic.frames, split) for split in SPLITS}
    window = config.depth_window_mm or SYNTHETIC_WINDOW_MM
    made = list(islice(generate(synthetic, "train"), num))
    images = {instance.image: window_depth(depth, window) for instance, depth in made}
    few = Samples.build([instance for instance, _ in made], partial(image_of, images), profile=profile, framing=framing)
    missing = [split for split in SPLITS if not is_generated(config, split, profile)]
    return Preview(counts=counts, searched=0, few=few, to_make=sum(counts[split] for split in missing))
