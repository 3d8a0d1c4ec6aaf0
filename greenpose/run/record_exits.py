"""The exits' part of a record: accuracy, cost and emissions of each, from what a run knows at its end."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from greenpose.config import Experiment
from greenpose.config.accounting import Budget
from greenpose.counting import ExitCount
from greenpose.data import Samples
from greenpose.data.boxes import Detected
from greenpose.intervals import Bounds
from greenpose.ledger.costs import cost_quantities, measured_fields, size_quantities
from greenpose.ledger.phases import break_even
from greenpose.metering import CarbonAccounting, EmbodiedShare, ExitMeasurement, Log, Meter, Window
from greenpose.metrics import ACCURACIES, BY_OKS, Metric
from greenpose.model.own import CUT
from greenpose.quantity import Kind, Quantity
from greenpose.record import Exit, ExitInBf16, Forecast, Phase, TrainingStep
from greenpose.run.measure_bf16 import entry_in_bf16
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
    bf16: Mapping[int, tuple[ExitMeasurement, ExitScores, tuple[float, float]]]
    """The same in bfloat16, accuracy there, and the paired interval of what it gains in AP; empty without."""
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
        bf16=_in_bf16(exit_, run, kind=kind, carbon=carbon) if exit_ in run.bf16 else None,
    )


def _in_bf16(exit_: int, run: RunResult, *, kind: Kind, carbon: CarbonAccounting) -> ExitInBf16:
    measured, scores, change = run.bf16[exit_]
    ap = accuracies(scores, run)["ap"]
    gained = Quantity(
        value=ap.known - run.scores[exit_].values["ap"],
        unit="fraction",
        kind="computed",
        method=f"AP less that in float32; interval: percentile bootstrap over the same resampled {scores.unit}",
        type_a=_resampled(*change),
    )
    return entry_in_bf16(measured, kind=kind, carbon=carbon, accuracy={"ap": ap, "ap_change": gained})


def entry_fields(
    config: Experiment, count: ExitCount, measured: ExitMeasurement, quantities: Mapping[str, Quantity]
) -> dict[str, Any]:
    """Return the fields of an exit's entry with these quantities, shares of the final exit among them."""
    return {
        "exit": count.exit,
        "role": _role(config, count.exit),
        "passes": config.test.passes,
        "macs_by_counter": dict(count.macs_by_counter),
        "operations": dict(count.operations),
        **measured_fields(measured, quantities),
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
    costs = cost_quantities(measured, kind=kind, carbon=carbon, embodied=embodied, what=count.what)
    sizes = size_quantities(count.sizes)
    if count.what == CUT:
        return sizes | costs
    return {name: replace(size, method=f"{size.method}; {count.what}") for name, size in sizes.items()} | costs


def _role(config: Experiment, exit_: int) -> str:
    """Return the exit's place in the wiring."""
    if exit_ == max(config.model.exits):
        return "final"
    teaches = any(teacher == exit_ for teacher, _ in config.wiring.edges)
    learns = any(student == exit_ for _, student in config.wiring.edges)
    return {(True, True): "student and teacher", (True, False): "teacher", (False, True): "student"}.get(
        (teaches, learns), "side"
    )


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
