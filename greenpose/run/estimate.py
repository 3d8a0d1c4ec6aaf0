"""Estimates of what runs will cost before any of them is begun: counted work times its cost here and now."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import reduce
from operator import add

from greenpose.config import Cell, Experiment
from greenpose.config.training import depth_schedule, earliest_end, num_validations, whole_epochs_worth
from greenpose.errors import GreenPoseError
from greenpose.files import utc_now
from greenpose.formatting import joules_to_kwh
from greenpose.intervals import Bounds
from greenpose.ledger.forecast import busy_share
from greenpose.ledger.phases import Cost, cost_of, energy_of, total
from greenpose.metering import Joules, Meter, MicroPlan, carbon_of, worst_kind
from greenpose.metering.cost_prediction import Neighbours, predict_run
from greenpose.metering.inference import BLOCKS_PER_LOOK, PERIODS_PER_WINDOW, idle_windows
from greenpose.quantity import Kind, Quantity, scaled
from greenpose.run.calibrate import (
    Calibration,
    MeasuredWork,
    Progress,
    Setup,
    calibrate,
    compute_ratio,
    distinct_work,
    find_setups,
)
from greenpose.run.setup import build_meter, require_device, seed_everything
from greenpose.run.step_costs import LONGEST_STEP_SECONDS

SCALED_ERROR = 0.2
"""Relative standard error of a cost that was scaled by multiply-accumulates, unless those measured show a larger one: a
default; on CPUs the cost of a multiply-accumulate changes by about so much from a layer of one shape to another."""
LIKE, LIKE_ERROR = 1.02, 0.05
"""Setups whose compute differs by less than this factor are the same network under other losses, which cost little
beside it: relative standard error, a default."""
FEWER_IMAGES_ERROR = 0.1
"""Relative standard error of a step that was measured on fewer images than the recipe's batch: a default."""


def scaled_work(setup: Setup, setups: Mapping[str, Setup], measured: Mapping[str, MeasuredWork]) -> MeasuredWork:
    """Return what a setup would cost, interpolated in logarithms between its neighbours among those measured.

    Beyond the last of them costs grow with multiply-accumulates.
    """
    names = sorted(measured, key=lambda name: setups[name].step_macs)
    below = [name for name in names if setups[name].step_macs <= setup.step_macs]
    above = [name for name in names if setups[name].step_macs > setup.step_macs]
    if not (below and above):
        nearest = (below or above)[-1 if below else 0]
        return _grown(measured[nearest], setup.step_macs / setups[nearest].step_macs)
    low, high = setups[below[-1]].step_macs, setups[above[0]].step_macs
    return _between(measured[below[-1]], measured[above[0]], math.log(setup.step_macs / low) / math.log(high / low))


def scaling_error(setup: Setup, setups: Mapping[str, Setup], measured: Mapping[str, MeasuredWork]) -> float:
    """Return the relative error of `scaled_work`: the worst with which those measured foretell one another, or 0.2."""
    if any(compute_ratio(setup, setups[name]) < LIKE for name in measured):
        return LIKE_ERROR
    names = sorted(measured, key=lambda name: setups[name].step_macs)
    errors = []
    for name in names[1:-1]:
        others = {other: measured[other] for other in names if other != name}
        predicted = scaled_work(setups[name], setups, others).train
        pairs = zip(predicted, measured[name].train, strict=True)
        errors.append(abs(sum(math.log(a.seconds / b.seconds) for a, b in pairs)) / len(predicted))
    return max([SCALED_ERROR, *errors])


def _grown(measured: MeasuredWork, factor: float) -> MeasuredWork:
    return MeasuredWork(
        train=[cost * factor for cost in measured.train],
        validate=[cost * factor for cost in measured.validate],
        checkpoint=measured.checkpoint,
        test=measured.test * factor,
        whole_batches=measured.whole_batches,
    )


def _between(low: MeasuredWork, high: MeasuredWork, part: float) -> MeasuredWork:
    def each(one: Sequence[Cost], other: Sequence[Cost]) -> list[Cost]:
        return [_mixed(a, b, part) for a, b in zip(one, other, strict=True)]

    return MeasuredWork(
        train=each(low.train, high.train),
        validate=each(low.validate, high.validate),
        checkpoint=each(low.checkpoint, high.checkpoint),
        test=_mixed(low.test, high.test, part),
        whole_batches=low.whole_batches and high.whole_batches,
    )


def _mixed(low: Cost, high: Cost, part: float) -> Cost:
    """Return the cost that lies at a part of the way from one to another, in logarithms."""

    def way(a: float, b: float) -> float:
        return math.exp((1 - part) * math.log(a) + part * math.log(b)) if a > 0 and b > 0 else 0.0

    return Cost(seconds=way(low.seconds, high.seconds), joules=way(low.joules, high.joules))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What the plans are filled with."""

    train: float
    """Seconds of training on one image."""
    forward: float
    """Seconds of the whole network on one image."""
    watts: float
    """Power while it computes."""
    idle_watts: float
    """Power while it sleeps."""
    period: float
    """Seconds between two updates of the slowest counter; 0 for models."""


def inference(setup: Setup, rates: Rates) -> tuple[Cost, Cost]:
    """Return the least and the most that metering inference costs: it ends as soon as it is sure enough."""
    config, final = setup.config.measure, max(setup.macs)
    window = max(config.min_window_seconds, PERIODS_PER_WINDOW * rates.period)
    images = config.batch * setup.config.test.passes
    calls = [images * rates.forward * macs / setup.macs[final] for macs in setup.macs.values()]
    busy = sum(_repeated(call, window) for call in calls)
    idle = window * idle_windows(len(calls))
    block = Cost(seconds=busy + idle, joules=busy * rates.watts + idle * rates.idle_watts)
    most = min(config.max_blocks, math.ceil(config.max_seconds / block.seconds))
    least = min(most, BLOCKS_PER_LOOK)
    return block * (1 + least), block * (1 + most)


def segments(config: Experiment, rates: Rates) -> Cost:
    """Return what measuring the parts of a training step costs; nothing for a network with a single exit."""
    exits, edges = len(config.model.exits), len(config.wiring.edges)
    if exits == 1:
        return Cost()
    plan = MicroPlan(max_blocks=config.measure.step_blocks)
    step = min(rates.train * config.train.batch, LONGEST_STEP_SECONDS)
    steps = 1 + exits + (edges > 0 and len(config.supervised) > 1)
    window = plan.min_window_seconds
    block = steps * _repeated(step, window) + (exits + edges) * window
    blocks = 1 + max(plan.min_blocks, min(plan.max_blocks, math.ceil(plan.max_seconds / block) - 1))
    seconds = blocks * block
    return Cost(seconds=seconds, joules=seconds * rates.watts)


def _repeated(call: float, window: float) -> float:
    """Return how long a window gets whose call is repeated until it is full."""
    return call * math.ceil(window / call) if call > 0 else window


Footprint = Mapping[str, Quantity]
"""What something is expected to cost: `seconds`, `energy_kwh` of all metered components, operational `co2eq_g`.

Type A is a 95 % prediction interval, where one run on this machine will lie by the same meter; Type B how far the meter
itself can be off, for all runs alike.
"""


def together(footprints: Sequence[Footprint]) -> Footprint:
    """Return the sum, end by end: what moves one run, neighbours and meter, moves the others too."""
    return {name: reduce(add, (footprint[name] for footprint in footprints)) for name in footprints[0]}


CALIBRATION_SECONDS = 20.0
"""Time for short epochs, unless another is asked for."""
IDLE_SECONDS = 0.3
"""Length of the idle window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEstimate:
    """What one run is expected to cost."""

    cell: Cell
    """The run."""
    params: int
    """Parameters of the network that ends with the final exit."""
    macs: int
    """Multiply-accumulates of its convolutions for one image."""
    training: Footprint
    """All epochs, with validations and checkpoints."""
    whole: Footprint
    """Training, data, test, metering of inference and of the parts of a step."""
    is_measured: bool
    """Whether its own network was measured; False where its cost was scaled from others by multiply-accumulates."""
    earliest_end: int | None
    """Epoch with which early stopping may end it at the earliest; None where it cannot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GridEstimate:
    """What runs are expected to cost, one after the other."""

    runs: tuple[RunEstimate, ...]
    """Each of them."""
    training: Footprint
    """All trainings."""
    whole: Footprint
    """All runs."""
    setups: int
    """Distinct setups among the runs."""
    measured: int
    """Setups that were measured."""
    blocks: int
    """Interleaved blocks of short epochs in which they were."""
    seconds: float
    """Wall time of all that."""
    neighbours: Neighbours
    """Who else was at work meanwhile."""
    kind: Kind
    """How energy is obtained here."""


def estimate(
    cells: Sequence[Cell], *, seconds: float = CALIBRATION_SECONDS, on_progress: Progress = lambda _: None
) -> GridEstimate:
    """Return what runs will cost on this machine, after about `seconds` of real training steps.

    Raises:
        GreenPoseError: if the device or the data are not there, or runs differ in device or threads.
    """
    config = cells[0].config
    if any(cell.config.process != config.process for cell in cells):
        raise GreenPoseError("runs with different process.device or process.threads: estimate them apart, with --only")
    if config.process.replicas > 1:
        raise GreenPoseError("process.replicas: what several processes take together is not estimated; estimate one")
    require_device(config.process.device)
    seed_everything(config)
    with build_meter(config) as meter:
        between = _between_windows(meter)
        on_progress("data and network")
        setups = find_setups(cells, meter)
        calibration = calibrate(setups, meter, seconds=seconds, on_progress=on_progress)
        with meter.window("idle") as idle:
            time.sleep(IDLE_SECONDS)
    machine = _Here(
        meter=meter,
        setups=setups,
        calibration=calibration,
        neighbours=Neighbours.during(calibration.windows, cpus=busy_share(config.process)),
        between=between,
        idle_watts=cost_of([idle.result]).watts,
    )
    runs = tuple(machine.estimates(cells))
    return GridEstimate(
        runs=runs,
        training=together([run.training for run in runs]),
        whole=together([run.whole for run in runs]),
        setups=len(setups),
        measured=len(calibration.measured),
        blocks=calibration.blocks,
        seconds=meter.total.seconds,
        neighbours=machine.neighbours,
        kind=worst_kind(meter.total.joules, meter.provenances),
    )


def _between_windows(meter: Meter) -> Cost:
    """Return what a run spends outside its windows: mostly codecarbon's look at the hardware, once a process."""
    before = meter.total
    with meter.window("first", crosscheck=True) as opened:
        pass
    after = meter.total
    inside = cost_of([opened.result])
    spent = Cost(seconds=after.seconds - before.seconds, joules=after.energy.mid - before.energy.mid)
    return spent - inside


@dataclass(frozen=True, slots=True, kw_only=True)
class _Here:
    """What is known of this machine, and of the runs' setups on it."""

    meter: Meter
    setups: Mapping[str, Setup]
    calibration: Calibration
    neighbours: Neighbours
    between: Cost
    idle_watts: float

    def estimates(self, cells: Sequence[Cell]) -> Iterator[RunEstimate]:
        """Yield the estimate of each run, as they would follow one another from now on."""
        start, made = utc_now(), set[str]()
        for cell in cells:
            data = cell.config.data.model_dump_json()
            found = self._run(cell, start, fresh=data not in made or cell.config.data.source == "coco")
            made.add(data)
            start += timedelta(seconds=found.whole["seconds"].known)
            yield found

    def _run(self, cell: Cell, start: datetime, *, fresh: bool) -> RunEstimate:
        config, name = cell.config, distinct_work(cell.config)
        setup = self.setups[name]
        of, error = self._measured(name)
        blocks, counts = _training(config, setup, of), setup.preview.counts
        wall, energy = (
            predict_run(values, neighbours=self.neighbours, model_error=error)
            for values in ([cost.seconds for cost in blocks], [cost.joules for cost in blocks])
        )
        least, most = self._overheads(setup, of)
        once = total(
            [
                setup.image * (setup.preview.to_make if fresh else 0),
                setup.counting,
                of.test * (counts["test"] + setup.preview.searched),
                self.between,
            ]
        )
        training = self._footprint(config, wall, energy, start)
        whole = self._footprint(
            config,
            _added(wall, once.seconds + least.seconds, once.seconds + most.seconds),
            _added(energy, once.joules + least.joules, once.joules + most.joules),
            start,
        )
        return RunEstimate(
            cell=cell,
            params=setup.params,
            macs=setup.macs[max(setup.macs)],
            training=training,
            whole=whole,
            is_measured=name in self.calibration.measured,
            earliest_end=earliest_end(config.train),
        )

    def _measured(self, name: str) -> tuple[MeasuredWork, float]:
        """Return what a setup costs, and the relative error of the model that says so, 0 where it was measured."""
        known = self.calibration.measured
        if name in known:
            return known[name], 0.0 if known[name].whole_batches else FEWER_IMAGES_ERROR
        of = scaled_work(self.setups[name], self.setups, known)
        error = scaling_error(self.setups[name], self.setups, known)
        return of, error + (0.0 if of.whole_batches else FEWER_IMAGES_ERROR)

    def _overheads(self, setup: Setup, of: MeasuredWork) -> tuple[Cost, Cost]:
        """Return the least and the most of what metering inference and the parts of a step costs."""
        busy, checks = total(of.train), total(of.validate)
        rates = Rates(
            train=busy.seconds / len(of.train),
            forward=checks.seconds / len(of.validate),
            watts=busy.watts,
            idle_watts=self.idle_watts,
            period=max((source.update_period_s or 0.0 for source in self.meter.provenances), default=0.0),
        )
        least, most = inference(setup, rates)
        parts = segments(setup.config, rates)
        return least + parts, most + parts

    def _footprint(self, config: Experiment, wall: Quantity, energy: Quantity, start: datetime) -> Footprint:
        measured = energy_of(self.calibration.windows)
        joules = measured * (energy.known / measured.mid) if measured.mid else Joules(*[energy.known] * 3)
        grams = carbon_of(**config.carbon.model_dump()).grams(joules, start, wall.known)
        each = grams.known / energy.known if energy.known else 0.0
        kwh = joules_to_kwh(1.0)
        return {
            "seconds": replace(wall, unit="s", type_b=Bounds(wall.known, wall.known)),
            "energy_kwh": replace(energy, type_b=Bounds(joules.low, joules.high)) * kwh,
            "co2eq_g": replace(grams, type_a=scaled(energy.type_a, each)),
        }


def _training(config: Experiment, setup: Setup, of: MeasuredWork) -> list[Cost]:
    """Return what training costs by each block."""
    recipe, counts = config.train, setup.preview.counts
    validations = num_validations(recipe)
    worth = whole_epochs_worth(depth_schedule(recipe, setup.macs, images=counts["train"]), setup.macs)
    return [
        train * (counts["train"] * worth) + check * (counts["val"] * validations) + write * recipe.epochs
        for train, check, write in zip(of.train, of.validate, of.checkpoint, strict=True)
    ]


def _added(training: Quantity, least: float, most: float) -> Quantity:
    """Return training and what comes on top of it, which scatters like training and lies between two ends."""
    ends = training.type_a or (training.known, training.known)
    low, high = (end / training.known if training.known else 1.0 for end in ends)
    return replace(
        training,
        value=training.known + (least + most) / 2,
        type_a=Bounds(ends[0] + least * low, ends[1] + most * high),
    )
