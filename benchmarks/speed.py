"""How fast the work is, against the paper's official code: `python -m benchmarks.speed [SECTION ...]`.

Everything is measured beside `benchmarks.reference_loop`, which tells that code's loops again, in one process with one
thread: a round runs each side once, in random order, and gives one ratio; shown are the median ratio and its 95 %
interval. Judged by CPU time, which neighbours move least. Both sides run with the allocator pinned as measured runs
have it. A section takes two to four minutes; all of them take a quarter of an hour.

Promised: a training step of OKD-DS 1.25 times as fast at W8 96x128 B32, 1.15 times at W32 192x256 B8, where nearly all
of it is convolutions (the share is shown: with nothing else left, that would be the limit), and 2 times in bfloat16 on
a CPU with AMX; what bfloat16 does elsewhere, at W16 and in validation is shown where there are units for it;
experiments of one exit 1.07 times at W32, since they run only what they need; validation of one exit at W32 B32 2 times
(exit 3) and 4.5 times (exit 2), where the reference computes all of them; the data path from disk 1.2 times, with kept
crops 12 times, their memory bounded; with everything augmented it takes at most 1.5 times as long as from disk without;
decoding, PCK and AP 3 times; decoding by DARK or UDP alone at most 2 times our own by the paper's way.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader

from benchmarks import conclude
from benchmarks.job import start_again_pinned
from benchmarks.race import Claim, Side, race
from benchmarks.reference_loop import Evaluation, Recipe, ReferenceLoop, ReferenceSet, accuracy, final_places
from greenpose import accuracy as ours_accuracy
from greenpose.config import AugmentConfig, SyntheticConfig
from greenpose.config.experiment import Decode
from greenpose.data import (
    Batch,
    Framing,
    Instance,
    Samples,
    batch_of,
    batches,
    decode_heatmaps,
    image_reader,
    in_turn,
    load_profile,
)
from greenpose.data.archive import write_archive
from greenpose.data.augment import Augmentation
from greenpose.data.images import Reader, window_depth
from greenpose.data.samples import CACHE_BYTES, keeping
from greenpose.data.splits import SYNTHETIC_WINDOW_MM
from greenpose.data.synthetic import generate
from greenpose.losses import Edge, Objective, Wiring
from greenpose.metering import this_machine
from greenpose.model import HRNet, InBfloat16, fold_batchnorm
from greenpose.run.setup import channels_last
from greenpose.training import validation_scores
from greenpose.training.precision import Precision, has_bf16_units
from greenpose.training.step import Step, to_images

SECONDS = 150.0
"""A section measures about so long."""
SMALL, PAPERS = (96, 128), (192, 256)
"""Width and height of crops: of the small profile, and the paper's."""
CPU = torch.device("cpu")
PROFILE = load_profile("babypose")
HAS_BF16 = has_bf16_units()
HAS_AMX = "AMX" in this_machine().instruction_sets
OKD_DS = Recipe(stages=4, couples=((3, 4),), labels_students=True)


# Training


def _samples(size: tuple[int, int], count: int) -> Samples:
    """Return noise with joints anywhere: what an image shows does not change what it costs."""
    rng = np.random.default_rng(0)
    return Samples.build(
        [_instance(number, rng) for number in range(1, count + 1)],
        lambda one: np.random.default_rng(one.id).integers(0, 256, (480, 640), dtype=np.uint8),
        profile=PROFILE,
        framing=Framing.of(size),
    )


def _instance(number: int, rng: np.random.Generator) -> Instance:
    return Instance(
        id=number,
        image_id=number,
        image=str(number),
        subject=f"p{number // 8}",
        image_size=(640, 480),
        box=(120.0, 40.0, 300.0, 400.0),
        area=60_000.0,
        joints=np.array([120.0, 40.0]) + rng.random((12, 2)) * [300, 400],
        visibility=np.where(rng.random(12) < 0.9, 2, 0),
    )


def _reference_step(width: int, recipe: Recipe, batch: Batch) -> Side:
    loop = ReferenceLoop(HRNet(width), recipe)
    images = to_images(batch.images, CPU).contiguous()
    target, weight = torch.from_numpy(batch.heatmaps), torch.from_numpy(batch.weights)[..., None]
    return lambda: loop.train(images, target, weight)


def _our_step(width: int, wiring: Wiring, batch: Batch, precision: Precision = "float32") -> Side:
    net = channels_last(HRNet(width, exits=wiring.exits)).train()
    adam = torch.optim.Adam(net.parameters(), lr=7.5e-4, fused=True)
    step = Step(net, Objective(wiring), adam, precision=precision)
    return lambda: step(batch)


def _okd_ds() -> Wiring:
    return Wiring(exits=(3, 4), edges=(Edge(teacher=4, student=3),), supervised=(3, 4))


def convolution_share(step: Side) -> float:
    """Return the part of a step's CPU time that convolutions take, forward and backward."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        step()
    totals = {event.key: event.self_cpu_time_total for event in seen.key_averages()}
    spent = sum(time for name, time in totals.items() if "convolution" in name)
    return float(spent / sum(totals.values()))


def _step_section(
    what: str,
    width: int,
    size: tuple[int, int],
    count: int,
    promised: float | None,
    seconds: float,
    *,
    with_amx: float | None = None,
) -> list[Claim]:
    batch = next(batches(_samples(size, count), count))
    ours = _our_step(width, _okd_ds(), batch)
    rounded = {"ours, bf16": _our_step(width, _okd_ds(), batch, "bf16")} if HAS_BF16 else {}
    found = race({"reference": _reference_step(width, OKD_DS, batch), "ours": ours} | rounded, seconds=seconds)
    found.show(count)
    text = f"training step OKD-DS, {what}"
    claim = found.claim(text, "reference", "ours", promised)
    in_bf16 = [found.claim(f"{text}, in bf16, against float32", "ours", side) for side in rounded]
    in_bf16 += [found.claim(f"{text}, in bf16", "reference", side, with_amx if HAS_AMX else None) for side in rounded]
    share = statistics.median(convolution_share(ours) for _ in range(3))
    print(
        f"  convolutions take {share:.0%} of our step: nothing but them would be {claim.ratio.known / share:.2f} times"
        f" as fast as the reference; we are at {share:.0%} of that limit"
    )
    return [claim, *in_bf16]


def small_step(seconds: float) -> list[Claim]:
    """Measure a training step where loops show."""
    return _step_section("W8 96x128 B32", 8, SMALL, 32, 1.25, seconds)


def middle_step(seconds: float) -> list[Claim]:
    """Measure the same at twice the width, of which nothing is promised."""
    return _step_section("W16 96x128 B32", 16, SMALL, 32, None, seconds)


def paper_step(seconds: float) -> list[Claim]:
    """Measure the paper's training step."""
    return _step_section("W32 192x256 B8", 32, PAPERS, 8, 1.15, seconds, with_amx=2.0)


def single_exits(seconds: float) -> list[Claim]:
    """Measure experiments 1 and 2, which the reference trains within the network of all stages."""
    batch = next(batches(_samples(PAPERS, 8), 8))
    sides = {}
    for stages in (2, 3):
        sides[f"reference, experiment {stages - 1}"] = _reference_step(32, Recipe(stages=stages), batch)
        sides[f"ours, experiment {stages - 1}"] = _our_step(32, Wiring(exits=(stages,)), batch)
    found = race(sides, seconds=seconds)
    found.show(8)
    return [
        found.claim(
            f"training step of exit {number + 1} alone, W32 192x256 B8",
            f"reference, experiment {number}",
            f"ours, experiment {number}",
            1.07,
        )
        for number in (1, 2)
    ]


# Validation


def validation(seconds: float) -> list[Claim]:
    """Measure what it takes to know one exit's AP, in the batches of 32 that the paper's configurations say."""
    count = batch = 32
    samples = _samples(PAPERS, count)
    recipes = {"all exits": OKD_DS, "exit 3": Recipe(stages=3), "exit 2": Recipe(stages=2)}
    with tempfile.TemporaryDirectory() as folder:
        evaluation = Evaluation(samples.ground_truth, PROFILE.sigmas, Path(folder))
        stream = list(_collated(samples, batch))
        sides: dict[str, Side] = {
            f"reference, {name}": partial(ReferenceLoop(HRNet(32), recipe).validate, stream, evaluation)
            for name, recipe in recipes.items()
        }
        for exit_ in (2, 3, 4):
            net = channels_last(HRNet(32, exits=(exit_,))).train()
            sides[f"ours, exit {exit_}"] = partial(validation_scores, net, samples, batch=batch)
            if HAS_BF16:
                rounded = InBfloat16(fold_batchnorm(net.truncate(exit_)))
                sides[f"ours, exit {exit_} in bf16"] = partial(validation_scores, rounded, samples, batch=batch)
        found = race(sides, seconds=seconds)
    found.show(count)
    return [
        found.claim(
            "validation of exit 3, W32 192x256 B32, against all exits", "reference, all exits", "ours, exit 3", 2.0
        ),
        found.claim(
            "validation of exit 2, W32 192x256 B32, against all exits", "reference, all exits", "ours, exit 2", 4.5
        ),
        found.claim("validation of exit 4, W32 192x256 B32, against all exits", "reference, all exits", "ours, exit 4"),
        found.claim(
            "validation of exit 3, W32 192x256 B32, against the first three stages", "reference, exit 3", "ours, exit 3"
        ),
        found.claim(
            "validation of exit 2, W32 192x256 B32, against the first two stages", "reference, exit 2", "ours, exit 2"
        ),
        *(
            found.claim(
                f"validation of exit {exit_}, W32 192x256 B32, in bf16, against float32",
                f"ours, exit {exit_}",
                f"ours, exit {exit_} in bf16",
            )
            for exit_ in (2, 3, 4)
            if HAS_BF16
        ),
    ]


def _collated(
    samples: Samples, size: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]]:
    for batch in batches(samples, size):
        some = [samples.instances[index] for index in batch.indices]
        about = {
            "center": torch.from_numpy(samples.centers[batch.indices]),
            "scale": torch.from_numpy(samples.scales[batch.indices]),
            "image_id": torch.tensor([one.image_id for one in some]),
            "area": torch.tensor([one.area for one in some]),
            "score": torch.ones(len(some)),
        }
        images = to_images(batch.images, CPU).contiguous()
        yield images, torch.from_numpy(batch.heatmaps), torch.from_numpy(batch.weights)[..., None], about


# Data


def data_path(seconds: float) -> list[Claim]:
    """Measure the way of an image from its file to the network's input, with its targets."""
    claims = []
    with tempfile.TemporaryDirectory() as name:
        instances = _files(Path(name), count=64)
        for size in (SMALL, PAPERS):
            framing = Framing.of(size)
            kept = Samples.build(instances, image_reader(), profile=PROFILE, framing=framing)
            crops = zip(instances, kept.crops(range(len(instances))), strict=True)
            write_archive(Path(name) / "kept.npz", crops, profile=PROFILE, framing=framing)
            splits = {
                "ours, from images": Samples.build(
                    instances, image_reader(), profile=PROFILE, framing=framing, cache_bytes=0
                ),
                "ours, crops in memory": kept,
                "ours, crops in a file": Samples.load(Path(name) / "kept.npz"),
            }
            sides: dict[str, Side] = {name: partial(_pass, split) for name, split in splits.items()}
            sides |= {
                f"ours, augmented, {place}": partial(_pass, _whole(instances, reader, framing), augmentation=ALL)
                for place, reader in (
                    ("from images", image_reader()),
                    ("images in memory", keeping(image_reader(), instances)),
                )
            }
            loader = DataLoader(ReferenceSet(instances, framing), batch_size=32, shuffle=True)
            found = race({"reference": partial(_drain, loader)} | sides, seconds=seconds / 2)
            print(f"  {size[0]}x{size[1]}, an image")
            found.show(len(instances))
            text = f"data path {size[0]}x{size[1]}"
            claims.append(found.claim(f"{text}, from images", "reference", "ours, from images", 1.2))
            claims.append(found.claim(f"{text}, crops in memory", "reference", "ours, crops in memory", 12.0))
            claims.append(found.claim(f"{text}, crops in a file", "reference", "ours, crops in a file", 12.0))
            for place in ("from images", "images in memory"):
                what = f"{text}, augmented, {place}, against images as they are"
                claims.append(found.claim(what, "ours, from images", f"ours, augmented, {place}", 1 / 1.5))
            _show_memory(kept)
    return claims


def _files(folder: Path, *, count: int) -> list[Instance]:
    """Return instances whose images, generated depth in grey, lie in files."""
    config = SyntheticConfig.model_validate({"patients": {"train": 8, "val": 1, "test": 1}})
    instances, sizes = [], []
    for instance, depth in islice(generate(config, "train"), count):
        file = folder / f"{instance.id}.png"
        assert cv2.imwrite(str(file), window_depth(depth, SYNTHETIC_WINDOW_MM))
        instances.append(replace(instance, image=str(file)))
        sizes.append(file.stat().st_size)
    print(f"  {count} grey PNGs of 640x480, {statistics.median(sizes) / 1000:.0f} kB each (median)")
    return instances


ALL = Augmentation(
    config=AugmentConfig(half_body=0.3, depth_noise_mm=6, depth_dropout=0.02, depth_shift_mm=(-20, 20)), seeds=(1, 1)
)
"""Everything that can be done to depth, which is dearer than what can be done to light."""


def _whole(instances: list[Instance], reader: Reader, framing: Framing) -> Samples:
    return Samples.build(instances, reader, profile=PROFILE, framing=framing, window=SYNTHETIC_WINDOW_MM, cache_bytes=0)


def _pass(samples: Samples, augmentation: Augmentation | None = None) -> None:
    """Make an epoch's batches; augmented ones are mirrored by half, too."""
    rng = np.random.default_rng(0)
    for indices in in_turn(len(samples), 32, rng):
        flipped = None if augmentation is None else rng.random(len(indices)) < 0.5
        batch = batch_of(samples, indices, flipped=flipped, augmentation=augmentation)
        to_images(batch.images, CPU)
        torch.from_numpy(batch.heatmaps)


def _drain(loader: DataLoader[object]) -> None:
    for _ in loader:
        pass


def _show_memory(samples: Samples) -> None:
    each = samples.crops([0]).nbytes
    print(
        f"  a kept crop takes {each / 1024:.0f} KiB; {CACHE_BYTES // each} of them reach the bound of"
        f" {CACHE_BYTES / 2**30:g} GiB a split, beyond which they are cut out of their images at every use"
    )


# Decoding and scores


def decoding(seconds: float) -> list[Claim]:
    """Measure what comes behind the network: places, PCK and AP, from heatmaps at hand."""
    count = 256
    samples = _samples(PAPERS, count)
    target = samples.targets()
    noise = np.random.default_rng(1).random(target.shape, dtype=np.float32)
    maps = np.roll(target, (1, -1), axis=(2, 3)) + 0.2 * noise
    with tempfile.TemporaryDirectory() as folder:
        evaluation = Evaluation(samples.ground_truth, PROFILE.sigmas, Path(folder))
        theirs, mine = (
            partial(_their_scores, samples, maps, target, evaluation),
            partial(_our_scores, samples, maps, target),
        )
        print(f"  AP of both: {theirs():.4f}, {mine():.4f}")
        found = race({"reference": theirs, "ours": mine}, seconds=seconds / 2)
    found.show(count)
    ways: tuple[Decode, ...] = ("quarter", "dark", "udp")
    alone = race({way: partial(_places, samples, maps, way) for way in ways}, seconds=seconds / 2)
    alone.show(count)
    return [
        found.claim(f"decoding, PCK and AP of {count} images", "reference", "ours", 3.0),
        *(alone.claim(f"quarter's decoding against {way}'s", "quarter", way, 1 / 2) for way in ways[1:]),
    ]


def _places(samples: Samples, maps: np.ndarray, way: Decode) -> None:
    for start in range(0, len(maps), 32):
        some = slice(start, start + 32)
        decode_heatmaps(maps[some], samples.centers[some], samples.scales[some], decode=way)


def _their_scores(samples: Samples, maps: np.ndarray, target: np.ndarray, evaluation: Evaluation) -> float:
    parts = []
    for start in range(0, len(maps), 32):
        some = slice(start, start + 32)
        accuracy(maps[some], target[some])
        parts.append(final_places(maps[some], samples.centers[some], samples.scales[some]))
    entries = [{"image_id": one.image_id, "area": one.area, "score": 1.0} for one in samples.instances]
    return evaluation(np.concatenate([p for p, _ in parts]), np.concatenate([v for _, v in parts]), entries)[0]


def _our_scores(samples: Samples, maps: np.ndarray, target: np.ndarray) -> float:
    parts = []
    for start in range(0, len(maps), 32):
        some = slice(start, start + 32)
        ours_accuracy.pck_hits(maps[some], target[some])
        parts.append(decode_heatmaps(maps[some], samples.centers[some], samples.scales[some]))
    found = ours_accuracy.detect(
        np.concatenate([joints for joints, _ in parts]),
        np.concatenate([peaks for _, peaks in parts]),
        image_ids=samples.image_ids,
        areas=[one.area for one in samples.instances],
        sigmas=PROFILE.sigmas,
    )
    return ours_accuracy.oks_ap(samples.ground_truth, found, PROFILE.sigmas)["ap"]


SECTIONS: dict[str, Callable[[float], list[Claim]]] = {
    "small-step": small_step,
    "middle-step": middle_step,
    "paper-step": paper_step,
    "single-exits": single_exits,
    "validation": validation,
    "data": data_path,
    "decoding": decoding,
}


def main() -> int:
    """Measure, print, and return 0 if the promises are kept."""
    parser = argparse.ArgumentParser(description="How fast training, validation, data and decoding are.")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)} [all]")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="that a section measures")
    arguments = parser.parse_args()
    unknown = sorted({*arguments.sections} - {*SECTIONS})
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    start_again_pinned("benchmarks.speed")
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler would tell of its start and end
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(0)
    print(f"{this_machine().cpu}, torch {torch.__version__}, one thread, CPU time")
    faults = []
    for name in arguments.sections or SECTIONS:
        print(f"{name}:", flush=True)
        claims = SECTIONS[name](arguments.seconds)
        print("\n".join(f"  {claim}" for claim in claims), flush=True)
        faults += [claim.fault for claim in claims if claim.fault]
    return conclude(faults)


if __name__ == "__main__":
    sys.exit(main())
