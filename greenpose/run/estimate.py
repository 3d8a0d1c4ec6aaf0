"""Estimates of what runs will cost before any of them is begun: counted work times its cost here and now."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import add

from greenpose.config import Cell, Experiment
from greenpose.errors import GreenPoseError
from greenpose.metering import Bounds, Joules, Meter, carbon_of, worst_kind
from greenpose.metering.prediction import Neighbours, Prediction, predict_run
from greenpose.record import Kind
from greenpose.run.beside import Rates, inference, segments
from greenpose.run.calibrate import Calibration, Heard, Measured, calibrate
from greenpose.run.cost import Cost, cost_of, total
from greenpose.run.footprint import Amount, Footprint
from greenpose.run.forecast import busy_share, earliest_end, num_validations
from greenpose.run.phases import energy_of
from greenpose.run.scaling import FEWER_IMAGES_ERROR, scaled, scaling_error
from greenpose.run.setup import build_meter, require_device, seed_everything
from greenpose.run.setups import Setup, find_setups, work_of
from greenpose.training.fit import depths, whole_epochs_worth
from greenpose.units import joules_to_kwh

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
    cells: Sequence[Cell], *, seconds: float = CALIBRATION_SECONDS, heard: Heard | None = None
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
        if heard:
            heard("data and network")
        setups = find_setups(cells, meter)
        calibration = calibrate(setups, meter, seconds=seconds, heard=heard or _nobody)
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
        training=reduce(add, (run.training for run in runs)),
        whole=reduce(add, (run.whole for run in runs)),
        setups=len(setups),
        measured=len(calibration.measured),
        blocks=calibration.blocks,
        seconds=meter.total.seconds,
        neighbours=machine.neighbours,
        kind=worst_kind(meter.total.joules, meter.provenances),
    )


def _nobody(line: str) -> None:
    del line


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
        start, made = datetime.now(UTC), set[str]()
        for cell in cells:
            data = cell.config.data.model_dump_json()
            found = self._run(cell, start, fresh=data not in made or cell.config.data.source == "coco")
            made.add(data)
            start += timedelta(seconds=found.whole.seconds.value)
            yield found

    def _run(self, cell: Cell, start: datetime, *, fresh: bool) -> RunEstimate:
        config, name = cell.config, work_of(cell.config)
        setup = self.setups[name]
        of, error = self._measured(name)
        blocks, counts = _training(config, setup, of), setup.look.preview.counts
        wall, energy = (
            predict_run(values, neighbours=self.neighbours, model_error=error)
            for values in ([cost.seconds for cost in blocks], [cost.joules for cost in blocks])
        )
        least, most = self._beside(setup, of)
        once = total(
            [
                setup.look.image * (setup.look.preview.to_make if fresh else 0),
                setup.counting,
                of.test * (counts["test"] + setup.look.preview.searched),
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

    def _measured(self, name: str) -> tuple[Measured, float]:
        """Return what a setup costs, and the relative error of the model that says so, 0 where it was measured."""
        known = self.calibration.measured
        if name in known:
            return known[name], 0.0 if known[name].whole_batches else FEWER_IMAGES_ERROR
        of = scaled(self.setups[name], self.setups, known)
        error = scaling_error(self.setups[name], self.setups, known)
        return of, error + (0.0 if of.whole_batches else FEWER_IMAGES_ERROR)

    def _beside(self, setup: Setup, of: Measured) -> tuple[Cost, Cost]:
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

    def _footprint(self, config: Experiment, wall: Prediction, energy: Prediction, start: datetime) -> Footprint:
        measured = energy_of(self.calibration.windows)
        low, high = (end / measured.mid if measured.mid else 1.0 for end in (measured.low, measured.high))
        joules = Joules(energy.value * low, energy.value, energy.value * high)
        grams = carbon_of(**config.carbon.model_dump()).grams(joules, start, wall.value)
        each = grams.mid / energy.value if energy.value else 0.0
        kwh = joules_to_kwh(1.0)
        return Footprint(
            seconds=_amount(wall, Bounds(wall.value, wall.value)),
            energy_kwh=_amount(energy, Bounds(joules.low, joules.high)) * kwh,
            co2eq_g=Amount(
                value=grams.mid,
                type_a=Bounds(energy.low * each, energy.high * each),
                type_b=Bounds(grams.low, grams.high),
            ),
        )


def _training(config: Experiment, setup: Setup, of: Measured) -> list[Cost]:
    """Return what training costs by each block."""
    recipe, counts = config.train, setup.look.preview.counts
    validations = num_validations(recipe)
    worth = whole_epochs_worth(depths(recipe, setup.macs), setup.macs)
    return [
        train * (counts["train"] * worth) + check * (counts["val"] * validations) + write * recipe.epochs
        for train, check, write in zip(of.train, of.validate, of.checkpoint, strict=True)
    ]


def _added(training: Prediction, least: float, most: float) -> Prediction:
    """Return training and what comes on top of it, which scatters like training and lies between two ends."""
    low, high = (end / training.value if training.value else 1.0 for end in (training.low, training.high))
    return Prediction(
        low=training.low + least * low,
        value=training.value + (least + most) / 2,
        high=training.high + most * high,
        basis=training.basis,
    )


def _amount(prediction: Prediction, systematic: Bounds) -> Amount:
    return Amount(value=prediction.value, type_a=Bounds(prediction.low, prediction.high), type_b=systematic)
