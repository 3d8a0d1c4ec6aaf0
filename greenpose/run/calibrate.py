"""Calibration of an estimate: what an epoch costs here and now, by real trainings of a few images.

Each setup is trained for one short epoch a block, by the same code as in a run: batches made, forward, backward, step,
every exit validated, best weights and checkpoint written. The order within a block is drawn anew; the first block warms
up and is dropped. Where not all setups fit into the time, the cheapest, the dearest, and then those in between are
measured.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from greenpose.config import Cell, DataConfig, Experiment
from greenpose.counting import architecture_of, count_training_step
from greenpose.counting.counts import blank_network, num_params
from greenpose.data.splits import Preview, preview, repeated
from greenpose.formatting import FLOPS_PER_MAC
from greenpose.ledger.phases import Cost, cost_of
from greenpose.metering import Meter, Window
from greenpose.model import Shape
from greenpose.run.setup import build_network, build_objective, channels_last, seed_everything
from greenpose.run.step_costs import FEWEST_IMAGES
from greenpose.store.records import phase_of
from greenpose.training import Files, fit, predict, score

FEW_IMAGES = 8
"""Images that are generated or read to calibrate with: enough to know what one takes."""
COUNTERS = 5
"""Counting an exit by every counter takes about this many times as long as counting its training step by one."""
PACE = {
    *("epochs", "milestones", "gamma", "schedule", "warmup", "patience", "validate_every", "selection", "lr"),
    *("recipe", "grow", "whole_steps", "mirror"),
}
"""Settings of the recipe that do not change what an epoch of the whole network costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What some runs have in common, as far as the cost of an epoch goes."""

    config: Experiment
    """The configuration of one of them."""
    preview: Preview
    """How many images there are, and a few of them."""
    image: Cost
    """What generating, or reading and cropping, one image costs."""
    params: int
    """Parameters of the network that ends with the final exit."""
    macs: Mapping[int, int]
    """Multiply-accumulates of each exit's own network, one image."""
    step_macs: float
    """Multiply-accumulates of a training step, one image."""
    counting: Cost
    """What counting the network takes."""


def compute_ratio(one: Setup, other: Setup) -> float:
    """Return how many times the dearer of two setups costs the cheaper one's compute."""
    return max(one.step_macs, other.step_macs) / min(one.step_macs, other.step_macs)


def distinct_work(config: Experiment) -> str:
    """Return, as text, all settings that the cost of an epoch depends on."""
    sections = {"data", "model", "wiring", "loss", "process", "test"}
    recipe = config.train.model_dump_json(exclude=PACE)
    return config.model_dump_json(include=sections) + recipe


def find_setups(cells: Sequence[Cell], meter: Meter) -> dict[str, Setup]:
    """Return the distinct setups of runs by `work_of` their configuration; looking at data and counting is metered."""
    looks: dict[str, tuple[Preview, Cost]] = {}
    setups: dict[str, Setup] = {}
    for config in {distinct_work(cell.config): cell.config for cell in cells}.values():
        whole = config.train.augment is not None
        data = f"{config.data.model_dump_json()} {whole}"
        if data not in looks:
            looks[data] = _look(config.data, meter, whole=whole)
        setups[distinct_work(config)] = _setup(config, *looks[data], meter)
    return setups


def _look(config: DataConfig, meter: Meter, *, whole: bool) -> tuple[Preview, Cost]:
    with meter.window("look", items=FEW_IMAGES) as opened:
        seen = preview(config, num=FEW_IMAGES, whole=whole)
    return seen, cost_of([opened.result]) * (1 / len(seen.few))


def _setup(config: Experiment, seen: Preview, image: Cost, meter: Meter) -> Setup:
    shape, size = architecture_of(config), config.data.input_size
    learning = {*config.supervised, *(exit_ for edge in config.wiring.edges for exit_ in edge)}
    with meter.window("count") as opened:
        macs = {exit_: _forward_macs(shape.only(exit_), size) for exit_ in shape.exits}
    return Setup(
        config=config,
        preview=seen,
        image=image,
        params=_params(shape.only(shape.exits[-1])),
        macs=macs,
        step_macs=_step_macs(shape, size, tuple(sorted(learning))),
        counting=cost_of([opened.result]) * COUNTERS,
    )


@lru_cache
def _forward_macs(shape: Shape, size: tuple[int, int]) -> int:
    return count_training_step(shape, size).forward // FLOPS_PER_MAC


@lru_cache
def _step_macs(shape: Shape, size: tuple[int, int], learning: tuple[int, ...]) -> float:
    return count_training_step(shape, size, learning=learning).total / FLOPS_PER_MAC


@lru_cache
def _params(shape: Shape) -> int:
    return num_params(blank_network(shape))


EPOCH_SECONDS = 0.3
"""Images are repeated until a short epoch lasts this long, as far as a run has so many."""
LONGEST_STEP_SECONDS = 1.5
"""Steps longer than this are measured on fewer images than the recipe's batch."""
LEAST_BLOCKS, MOST_BLOCKS = 3, 8
"""Short epochs of each setup, the dropped one not counted; more would say little of another hour."""
WHOLE_EPOCH = 1.6
"""A short epoch with its validation takes about this many times its training, for planning."""
FOREVER = 10**6
"""Patience that no calibration uses up."""

Progress = Callable[[str], object]
"""Told what is being measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredWork:
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

    measured: Mapping[str, MeasuredWork]
    """Setups that were measured, by name."""
    blocks: int
    """Blocks, the dropped one not counted."""
    windows: Sequence[Window]
    """Windows of these blocks."""


def calibrate(setups: Mapping[str, Setup], meter: Meter, *, seconds: float, on_progress: Progress) -> Calibration:
    """Return what the setups cost by an entered meter, in about `seconds`; at least one is measured three times."""
    began = meter.clock()
    with TemporaryDirectory(prefix="greenpose-") as folder:
        benches = _affordable(setups, meter, seconds, Path(folder), on_progress)
        order, blocks = random.Random(0), list[dict[str, list[Window]]]()
        while len(blocks) < LEAST_BLOCKS or (len(blocks) < MOST_BLOCKS and meter.clock() - began < seconds):
            on_progress(f"block {len(blocks) + 1}")
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


class _TrialTraining:
    """Trains one setup, one short epoch at a time."""

    def __init__(self, setup: Setup, meter: Meter, *, num: int, folder: Path) -> None:
        config, counts = setup.config, setup.preview.counts
        seed_everything(config)
        self.setup = setup
        self.num = num
        self._meter = meter
        self._net, _ = build_network(config)
        self._objective = build_objective(config)
        few = setup.preview.few
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
                (found,) = predict(sub, samples, batch=batch, flip=self.setup.config.test.flip).values()
                score(samples, found)
        return cost_of([opened.result]) * (1 / len(samples))

    def measured(self, blocks: Sequence[Sequence[Window]], test: Cost) -> MeasuredWork:
        """Return what the windows of some epochs say of an image, those that may be believed if there are any."""
        blocks = [windows for windows in blocks if all(window.sound for window in windows)] or blocks

        def each(phase: str, per: int = 1) -> list[Cost]:
            return [cost_of([one for one in windows if phase_of(one) == phase]) * (1 / per) for windows in blocks]

        return MeasuredWork(
            train=each("train", self.num),
            validate=each("validate", len(self._splits["val"])),
            checkpoint=each("checkpoint"),
            test=test,
            whole_batches=self.num >= min(self.setup.config.train.batch, self.setup.preview.counts["train"]),
        )


def _affordable(
    setups: Mapping[str, Setup], meter: Meter, seconds: float, folder: Path, on_progress: Progress
) -> dict[str, _TrialTraining]:
    """Return warmed-up benches of as many setups as can be measured in the time, at least one."""
    names = spread(setups)
    on_progress("the first steps")
    pace = _pace(setups[names[0]], meter, folder)
    benches: dict[str, _TrialTraining] = {}
    planned = 0.0
    for name in names:
        setup = setups[name]
        num = _num_images(setup, pace)
        planned += WHOLE_EPOCH * num * setup.step_macs * pace
        if benches and planned * (1 + LEAST_BLOCKS) > seconds:
            break
        on_progress(setup.config.name)
        benches[name] = _TrialTraining(setup, meter, num=num, folder=folder / str(len(benches)))
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
    bench = _TrialTraining(setup, meter, num=FEWEST_IMAGES, folder=folder / "pace")
    bench.epoch()
    train = [window for window in bench.epoch() if phase_of(window) == "train"]
    return cost_of(train).seconds / (FEWEST_IMAGES * setup.step_macs)


def _num_images(setup: Setup, pace: float) -> int:
    """Return on how many images to train: whole batches, unless one takes too long."""
    image, batch = pace * setup.step_macs, min(setup.config.train.batch, setup.preview.counts["train"])
    if image * batch > LONGEST_STEP_SECONDS:
        return max(FEWEST_IMAGES, int(LONGEST_STEP_SECONDS / image))
    batches = max(1, round(EPOCH_SECONDS / (image * batch)))
    return max(FEWEST_IMAGES, min(batches, setup.preview.counts["train"] // batch) * batch)
