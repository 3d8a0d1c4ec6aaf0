"""The exits' part of a record: accuracy, cost and emissions of each, from what a run knows at its end."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from greenpose.config import Experiment
from greenpose.config.accounting import Budget
from greenpose.counting import ExitCount
from greenpose.data import Samples
from greenpose.data.boxes import Detected
from greenpose.intervals import FEWEST_CALLS, Bounds
from greenpose.metering import CarbonAccounting, EmbodiedShare, ExitMeasurement, Joules, Log, Meter, Window
from greenpose.metering.carbon import UNIT
from greenpose.metering.embodied import HOW
from greenpose.metrics import ACCURACIES, BY_OKS, COUNTED, Metric
from greenpose.quantity import Kind, Quantity, missing, scaled
from greenpose.record import Embodied, Exit, Forecast, Hardware, Phase, TrainingStep, basis_of, interval_of, with_bases
from greenpose.run.phases import break_even
from greenpose.training import ExitPredictions, ExitScores, Fitted

_AREAS = {"box": "width x height of the box", "mask": "annotated silhouette", "drawn": "as annotated"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """All that a run knows at its end."""

    cell: Mapping[str, Any]
    """Name, grid, axes, hash and configuration as the grid wrote them."""
    config: Experiment
    """The same configuration, validated."""
    splits: Mapping[str, Samples]
    """The data."""
    annotations: Mapping[str, str]
    """SHA-256 of each split's annotation file; none for generated data."""
    boxes: Detected | None
    """The detected boxes that the test split was searched by; None: the annotated ones."""
    counts: Mapping[int, ExitCount]
    """Parameters and MACs of each exit."""
    epochs: Sequence[Mapping[str, Any]]
    """Lines of `epochs.jsonl`."""
    fitted: Fitted
    """How training went."""
    scores: Mapping[int, ExitScores]
    """Accuracy on the test split."""
    found: Mapping[int, ExitPredictions]
    """What each exit said about it."""
    measured: Mapping[int, ExitMeasurement]
    """Inference of each exit."""
    step: TrainingStep | None
    """Parts of a training step; None for a network with a single exit."""
    forecast: Forecast | None
    """What was expected early in training; None where the windows of its first epochs are lost."""
    budget: Budget
    """Limits that the run was given."""
    earlier: Log
    """The log of windows as earlier attempts left it."""
    windows: Sequence[Window]
    """All windows of all attempts."""
    gaps: Sequence[str]
    """What is missing from the log of windows though the totals hold it."""
    meter: Meter
    """The meter of this attempt."""

    @property
    def area(self) -> str:
        """Return which area scales OKS: APs across areas cannot be compared."""
        if self.config.data.source == "synthetic":
            return "body pixels"
        return _AREAS[self.splits["test"].profile.area]

    @property
    def searched(self) -> str:
        """Return which boxes of the test split were searched for poses."""
        return "annotated" if self.boxes is None else f"detected ({self.boxes.file})"


def embodied_entry(embodied: EmbodiedShare) -> Embodied:
    """Return the hardware as the record has it."""
    parts = [Hardware(**asdict(part) | {"kg_interval": interval_of(part.kg_interval)}) for part in embodied.parts]
    return Embodied(kind=embodied.kind, parts=parts, lifetime_years=embodied.lifetime_years, note=embodied.note)


def training_emissions(
    windows: Sequence[Window], carbon: CarbonAccounting, embodied: EmbodiedShare | None, *, kind: Kind
) -> dict[str, Quantity]:
    """Return the emissions of training's windows, whose energy is of a `kind`: operational, embodied, and both."""
    grams = carbon.grams_of(windows)
    operational = replace(grams, kind=kind, method=f"{grams.method}; interval ends multiplied with ends")
    seconds = sum(window.seconds for window in windows)
    making = embodied_emissions(embodied, seconds, time="wall time of training")
    sci = carbon_intensity(operational, making, per="training")
    return {"train_co2eq_g": operational, "train_embodied_co2eq_g": making, "train_sci_g": sci}


def embodied_emissions(
    embodied: EmbodiedShare | None, seconds: float, *, time: str, repeated: Bounds | None = None
) -> Quantity:
    """Return what making the held hardware costs for a time, which `time` says in words; Type A is the time's own."""
    if embodied is None:
        return missing("not recorded: the hardware is not known", unit=UNIT, method=f"{HOW} x {time} / its life")
    return embodied.grams(seconds, time=time, repeated=repeated)


def carbon_intensity(operational: Quantity, embodied: Quantity, *, per: str) -> Quantity:
    """Return the Software Carbon Intensity: both kinds of emissions for a functional unit; none where one is missing.

    Both parts follow the same clock, so that their errors do not cancel.

    Source: Software Carbon Intensity specification 1.1 (ISO/IEC 21031:2024), SCI = (O + M) per R.
    """
    method = f"Software Carbon Intensity per {per}: operational + embodied emissions, interval ends added to ends"
    return replace(operational + embodied, method=method)


SHARE = "relative_to_final."
"""What the names of numbers over the final exit's begin with."""


def exit_entry(exit_: int, run: RunResult, *, kind: Kind, carbon: CarbonAccounting, parts: list[Phase]) -> Exit:
    """Return the entry of one exit; `kind` is how energy was obtained, `parts` what training consisted of."""
    measured = run.measured[exit_]
    even = break_even(
        measured, run.measured[max(run.measured)], step=run.step, parts=parts, grew=bool(run.config.train.grow)
    )
    quantities = inference_quantities(
        run.counts[exit_], measured, kind=kind, carbon=carbon, embodied=run.meter.embodied
    )
    quantities |= accuracies(run.scores[exit_], run) | {"break_even_images": even}
    return Exit(
        **entry_fields(run.config, run.counts[exit_], measured, quantities),
        best_epoch=run.fitted.best[exit_].epoch,
    )


def entry_fields(
    config: Experiment, count: ExitCount, measured: ExitMeasurement, quantities: Mapping[str, Quantity]
) -> dict[str, Any]:
    """Return the fields of an exit's entry with these quantities, shares of the final exit among them."""
    return {
        "exit": count.exit,
        "role": _role(config, count.exit),
        "macs_by_counter": dict(count.macs_by_counter),
        "operations": dict(count.operations),
        **measured_fields(measured, quantities),
    }


def measured_fields(measured: ExitMeasurement, quantities: Mapping[str, Quantity]) -> dict[str, Any]:
    """Return the fields of what was measured with these quantities: numbers, shares, bases, and how it was done."""
    shares = {name: each for name, each in quantities.items() if name.startswith(SHARE)}
    fields = with_bases({name: each for name, each in quantities.items() if name not in shares})
    return {
        "relative_to_final": {
            name.removeprefix(SHARE): each.value for name, each in shares.items() if each.value is not None
        },
        "measurement": _how(measured),
        **fields,
        "basis": fields["basis"] | {name: basis_of(each) for name, each in shares.items()},
    }


def inference_quantities(
    count: ExitCount,
    measured: ExitMeasurement,
    *,
    kind: Kind,
    carbon: CarbonAccounting,
    embodied: EmbodiedShare | None = None,
) -> dict[str, Quantity]:
    """Return the numbers of an exit that need no training: size and cost of an image."""
    return size_quantities(count) | cost_quantities(measured, kind=kind, carbon=carbon, embodied=embodied)


def cost_quantities(
    measured: ExitMeasurement,
    *,
    kind: Kind,
    carbon: CarbonAccounting,
    embodied: EmbodiedShare | None = None,
    what: str = "truncated network",
) -> dict[str, Quantity]:
    """Return what an image costs in something, which `what` names, and its shares of the reference's cost."""
    return _costs(measured, kind=kind, carbon=carbon, embodied=embodied, what=what) | _shares(measured)


def _role(config: Experiment, exit_: int) -> str:
    """Return the exit's place in the wiring."""
    if exit_ == max(config.model.exits):
        return "final"
    teaches = any(teacher == exit_ for teacher, _ in config.wiring.edges)
    learns = any(student == exit_ for _, student in config.wiring.edges)
    return {(True, True): "student and teacher", (True, False): "teacher", (False, True): "student"}.get(
        (teaches, learns), "side"
    )


def size_quantities(count: ExitCount) -> dict[str, Quantity]:
    """Return what is counted of an exit, as the record has it."""
    return {
        metric.name: Quantity(
            value=count.sizes[metric.name], unit=metric.recorded, kind="counted", method=metric.method
        )
        for metric in COUNTED
    }


def accuracies(scores: ExitScores, run: RunResult) -> dict[str, Quantity]:
    """Return the accuracies of one exit on the test split; a single group left nothing to resample."""
    interval = f"interval: percentile bootstrap over {scores.num_groups} {scores.unit} of the test split"
    return {
        metric.name: Quantity(
            value=scores.values[metric.name],
            unit=metric.recorded,
            kind="computed",
            method=f"{metric.method}; {_searched(metric, run)}; {interval}",
            type_a=_resampled(*scores.intervals[metric.name]),
        )
        for metric in ACCURACIES
    }


def _resampled(low: float, high: float) -> Bounds | None:
    return None if math.isnan(low) else Bounds(low, high)


def _searched(metric: Metric, run: RunResult) -> str:
    """Return in which boxes poses were searched, and for OKS by which area it was scaled."""
    return f"area: {run.area}; boxes: {run.searched}" if metric in BY_OKS else "boxes: annotated"


def _costs(
    measured: ExitMeasurement, *, kind: Kind, carbon: CarbonAccounting, embodied: EmbodiedShare | None, what: str
) -> dict[str, Quantity]:
    """Return latency, CPU time, energy and emissions of one image."""
    how = f"median over {measured.blocks} interleaved blocks, batch {measured.items_per_call}, {what}"
    gross = _energy(measured, "energy_j_per_item", kind, f"gross; {how}")
    operational = _grams(gross, carbon)
    latency = replace(measured.latency_s, unit="s", method=f"wall time per image; {how}")
    thousand = latency * 1000
    making = embodied_emissions(embodied, thousand.known, time="wall time of 1000 images", repeated=thousand.type_a)
    return {
        "latency_s": latency,
        "latency_p95_s": replace(measured.latency_p95_s, unit="s", method=_percentile(measured)),
        "cpu_s_per_image": replace(measured.cpu_s_per_item, unit="s", method=f"CPU time per image; {how}"),
        "energy_j_per_image": gross,
        "net_energy_j_per_image": _energy(
            measured, "net_energy_j_per_item", kind, f"gross minus idle power x wall time; {how}"
        ),
        "co2eq_g_per_1000_images": operational,
        "embodied_co2eq_g_per_1000_images": making,
        "sci_g_per_1000_images": carbon_intensity(operational, making, per="1000 images"),
    }


def _energy(measured: ExitMeasurement, name: str, kind: Kind, method: str) -> Quantity:
    found: Quantity | None = getattr(measured, name)
    if found is None:
        reason = measured.missing.get(name, "no component's energy could be read")
        return missing(reason, unit="J", method=method)
    return replace(found, unit="J", kind=kind, method=method)


def _percentile(measured: ExitMeasurement) -> str:
    """Return how the 95th percentile was obtained, and why it has no interval if it has none."""
    how = f"wall time per image; 95th percentile over {measured.calls} calls"
    few = measured.latency_p95_s.type_a is None
    return f"{how}; no interval for fewer than {FEWEST_CALLS} calls, or a single block" if few else how


def _grams(energy: Quantity, carbon: CarbonAccounting) -> Quantity:
    """Return the emissions of 1000 images: Type A scales with the energy's, Type B is widened by the intensity's."""
    method = f"gross energy of 1000 images x PUE x {carbon.describe_grid(timed=False)}"
    if energy.value is None:
        return replace(energy, unit=UNIT, method=method)
    low, high = energy.type_b or (energy.value, energy.value)
    grams = carbon.grams(Joules(low * 1000, energy.value * 1000, high * 1000))
    factor = grams.known / energy.value if energy.value else 0.0
    return replace(grams, kind=energy.kind, method=method, type_a=scaled(energy.type_a, factor), repeats=energy.repeats)


def _shares(measured: ExitMeasurement) -> dict[str, Quantity]:
    """Return the within-block ratios under the record's names: an item is an image here."""
    return {
        f"{SHARE}{name.replace('_per_item', '_per_image')}": replace(
            ratio,
            unit="fraction",
            method=f"median of ratios within {ratio.repeats} blocks; systematic errors cancel",
            type_b=None,
        )
        for name, ratio in measured.ratios.items()
    }


def _how(measured: ExitMeasurement) -> dict[str, Any]:
    """Return how inference was measured: all that is no estimate."""
    return {name: getattr(measured, name) for name in CONDITIONS} | {"warnings": list(measured.warnings)}


CONDITIONS = (
    *("items_per_call", "blocks", "calls", "window_seconds", "idle_watts", "between_runs", "converged", "agreement"),
    *("foreign_cpu_share", "steal_share", "involuntary_switches", "minor_faults", "resolution_share"),
)
