"""Calibration of an estimate: what an epoch costs here and now, by real trainings of a few images.

Each setup is trained for one short epoch a block, by the same code as in a run: batches made, forward, backward, step,
every exit validated, best weights and checkpoint written. The order within a block is drawn anew; the first block warms
up and is dropped. Where not all setups fit into the time, the cheapest, the dearest, and then those in between are
measured.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from greenpose.data.splits import repeated
from greenpose.metering import Meter, Window
from greenpose.run.cost import Cost, cost_of
from greenpose.run.setup import build_network, build_objective, channels_last, seed_everything
from greenpose.run.setups import Setup, compute_ratio
from greenpose.store.records import phase_of
from greenpose.training import Files, fit, predict, score

EPOCH_SECONDS = 0.3
"""Images are repeated until a short epoch lasts this long, as far as a run has so many."""
LONGEST_STEP_SECONDS = 1.5
"""Steps longer than this are measured on fewer images than the recipe's batch."""
FEWEST_IMAGES = 2
"""Batch normalisation in training needs more than one value a channel."""
LEAST_BLOCKS, MOST_BLOCKS = 3, 8
"""Short epochs of each setup, the dropped one not counted; more would say little of another hour."""
WHOLE_EPOCH = 1.6
"""A short epoch with its validation takes about this many times its training, for planning."""
FOREVER = 10**6
"""Patience that no calibration uses up."""

Heard = Callable[[str], object]
"""Told what is being measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the work of a setup cost, block by block."""

    train: Sequence[Cost]
    """Training on one image: its part of the data, forward, backward, step."""
    validate: Sequence[Cost]
    """Validating one image at every exit, best weights written."""
    checkpoint: Sequence[Cost]
    """Writing a checkpoint."""
    test: Cost
    """Testing one image at every exit on its own network, intervals included."""
    whole_batches: bool
    """Whether steps had the recipe's batch; False where it took too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What was measured."""

    measured: Mapping[str, Measured]
    """Setups that were measured, by name."""
    blocks: int
    """Blocks, the dropped one not counted."""
    windows: Sequence[Window]
    """Windows of these blocks."""


def calibrate(setups: Mapping[str, Setup], meter: Meter, *, seconds: float, heard: Heard) -> Calibration:
    """Return what the setups cost by an entered meter, in about `seconds`; at least one is measured three times."""
    began = meter.clock()
    with TemporaryDirectory(prefix="greenpose-") as folder:
        benches = _affordable(setups, meter, seconds, Path(folder), heard)
        order, blocks = random.Random(0), list[dict[str, list[Window]]]()
        while len(blocks) < LEAST_BLOCKS or (len(blocks) < MOST_BLOCKS and meter.clock() - began < seconds):
            heard(f"block {len(blocks) + 1}")
            names = list(benches)
            order.shuffle(names)
            blocks.append({name: benches[name].epoch() for name in names})
        tests = {name: bench.test() for name, bench in benches.items()}
    return Calibration(
        measured={
            name: bench.measured([block[name] for block in blocks], tests[name]) for name, bench in benches.items()
        },
        blocks=len(blocks),
        windows=[window for block in blocks for windows in block.values() for window in windows],
    )


class _Bench:
    """Trains one setup, one short epoch at a time."""

    def __init__(self, setup: Setup, meter: Meter, *, num: int, folder: Path) -> None:
        config, counts = setup.config, setup.look.preview.counts
        seed_everything(config)
        self.setup = setup
        self.num = num
        self._meter = meter
        self._net, _ = build_network(config)
        self._objective = build_objective(config)
        few = setup.look.preview.few
        self._splits = {
            "train": repeated(few, num),
            "val": repeated(few, min(counts["val"], num)),
            "test": repeated(few, min(counts["test"], num)),
        }
        self._files = Files(checkpoint=folder / "checkpoint.pt", best=lambda exit_: folder / f"best-{exit_}")
        self._epochs = 0
        folder.mkdir()

    def epoch(self) -> list[Window]:
        """Return the windows of one more epoch."""
        self._epochs += 1
        before = len(self._meter.windows)
        changes = {"epochs": self._epochs, "patience": FOREVER}  # the last epoch is always validated
        fit(
            self._net,
            self._objective,
            self._splits,
            recipe=self.setup.config.train.model_copy(update=changes),
            seed=self.setup.config.seed,
            files=self._files,
            window=lambda name, items: self._meter.window(name, items=items),
        )
        return [window for window in self._meter.windows[before:] if window.parent is None]

    def test(self) -> Cost:
        """Return what testing one image costs."""
        samples, batch = self._splits["test"], self.setup.config.train.batch
        subs = [channels_last(self._net.truncate(exit_).eval()) for exit_ in self._net.exits]
        with self._meter.window("test", items=len(samples)) as opened:
            for sub in subs:
                (found,) = predict(sub, samples, batch=batch).values()
                score(samples, found)
        return cost_of([opened.result]) * (1 / len(samples))

    def measured(self, blocks: Sequence[Sequence[Window]], test: Cost) -> Measured:
        """Return what the windows of some epochs say of an image, those that may be believed if there are any."""
        blocks = [windows for windows in blocks if all(window.sound for window in windows)] or blocks

        def each(phase: str, per: int = 1) -> list[Cost]:
            return [cost_of([one for one in windows if phase_of(one) == phase]) * (1 / per) for windows in blocks]

        return Measured(
            train=each("train", self.num),
            validate=each("validate", len(self._splits["val"])),
            checkpoint=each("checkpoint"),
            test=test,
            whole_batches=self.num >= min(self.setup.config.train.batch, self.setup.look.preview.counts["train"]),
        )


def _affordable(
    setups: Mapping[str, Setup], meter: Meter, seconds: float, folder: Path, heard: Heard
) -> dict[str, _Bench]:
    """Return warmed-up benches of as many setups as can be measured in the time, at least one."""
    names = spread(setups)
    heard("the first steps")
    pace = _pace(setups[names[0]], meter, folder)
    benches: dict[str, _Bench] = {}
    planned = 0.0
    for name in names:
        setup = setups[name]
        num = _num_images(setup, pace)
        planned += WHOLE_EPOCH * num * setup.step_macs * pace
        if benches and planned * (1 + LEAST_BLOCKS) > seconds:
            break
        heard(setup.config.name)
        benches[name] = _Bench(setup, meter, num=num, folder=folder / str(len(benches)))
        benches[name].epoch()
    return benches


def spread(setups: Mapping[str, Setup]) -> list[str]:
    """Return all names, so that the first few, however many, lie far apart in compute: cheapest, dearest, between."""
    names = sorted(setups, key=lambda name: setups[name].step_macs)
    chosen = list(dict.fromkeys([names[0], names[-1]]))
    while len(chosen) < len(names):
        rest = [name for name in names if name not in chosen]
        chosen.append(max(rest, key=lambda name: min(compute_ratio(setups[name], setups[other]) for other in chosen)))
    return chosen


def _pace(setup: Setup, meter: Meter, folder: Path) -> float:
    """Return the seconds of a multiply-accumulate, from the second of two epochs of two images."""
    bench = _Bench(setup, meter, num=FEWEST_IMAGES, folder=folder / "pace")
    bench.epoch()
    train = [window for window in bench.epoch() if phase_of(window) == "train"]
    return cost_of(train).seconds / (FEWEST_IMAGES * setup.step_macs)


def _num_images(setup: Setup, pace: float) -> int:
    """Return on how many images to train: whole batches, unless one takes too long."""
    image, batch = pace * setup.step_macs, min(setup.config.train.batch, setup.look.preview.counts["train"])
    if image * batch > LONGEST_STEP_SECONDS:
        return max(FEWEST_IMAGES, int(LONGEST_STEP_SECONDS / image))
    batches = max(1, round(EPOCH_SECONDS / (image * batch)))
    return max(FEWEST_IMAGES, min(batches, setup.look.preview.counts["train"] // batch) * batch)
