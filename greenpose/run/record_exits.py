"""The exits' part of a record: accuracy, cost and emissions of each, from what a run knows at its end."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from greenpose.config import Experiment
from greenpose.config.accounting import Budget
from greenpose.counting import ExitCount
from greenpose.data import Samples
from greenpose.data.boxes import Detected
from greenpose.formatting import KINDS
from greenpose.metering import (
    FEWEST_CALLS,
    BlockEstimate,
    Bounds,
    CarbonAccounting,
    EmbodiedShare,
    ExitMeasurement,
    Joules,
    Log,
    Meter,
    Window,
)
from greenpose.record import Basis, Exit, Forecast, Hardware, Interval, Kind, Phase, Quantity
from greenpose.record import Embodied as EmbodiedEntry
from greenpose.run.phases import break_even
from greenpose.run.segments import StepCosts
from greenpose.training import ExitScores, Fitted

_AREAS = {"box": "width x height of the box", "mask": "annotated silhouette", "drawn": "as annotated"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
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
    measured: Mapping[int, ExitMeasurement]
    """Inference of each exit."""
    step: StepCosts | None
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


UNIT = "gCO2eq"


def embodied_entry(embodied: EmbodiedShare) -> EmbodiedEntry:
    """Return the hardware as the record has it."""
    parts = [
        Hardware(
            name=part.name,
            kg=part.kg,
            kg_interval=Interval(low=part.low_kg, high=part.high_kg),
            share=part.share,
            basis=part.basis,
            source=part.source,
        )
        for part in embodied.parts
    ]
    return EmbodiedEntry(kind=embodied.kind, parts=parts, lifetime_years=embodied.lifetime_years, note=embodied.note)


def training_emissions(
    windows: Sequence[Window], carbon: CarbonAccounting, embodied: EmbodiedShare | None, *, kind: Kind
) -> tuple[Quantity, Quantity, Quantity]:
    """Return the emissions of training's windows, whose energy is of a `kind`: operational, embodied, and both."""
    grams = carbon.grams_of(windows)
    method = f"energy x PUE x {carbon.describe_grid(timed=True)}; interval ends multiplied with ends"
    basis = Basis(unit=UNIT, kind=kind, method=method, type_b=_grams_interval(grams.low, grams.high))
    operational = Quantity(name="train_co2eq_g", value=grams.mid, basis=basis)
    seconds = sum(window.seconds for window in windows)
    making = embodied_emissions("train_embodied_co2eq_g", embodied, seconds, time="wall time of training")
    return operational, making, carbon_intensity("train_sci_g", operational, making, per="training")


def embodied_emissions(
    name: str, embodied: EmbodiedShare | None, seconds: float, *, time: str, repeated: Bounds | None = None
) -> Quantity:
    """Return what making the held hardware costs for a time, which `time` says in words.

    Type A is that of the time, where it was `repeated`; Type B that of the hardware.
    """
    method = f"what it took to make the part of the hardware that is held x {time} / its life"
    if embodied is None:
        return _none(name, method, "not recorded: the hardware is not known")
    if embodied.kind == "excluded":
        return _none(name, method, "left out by the user (carbon.embodied_kg is 0)")
    grams = embodied.grams(seconds)
    basis = Basis(
        unit=UNIT,
        kind="modelled",
        method=f"{method}, {embodied.lifetime_years:g} years; {embodied.note}",
        type_a=None if repeated is None else _grams_interval(*(embodied.grams(end).mid for end in repeated)),
        type_b=_grams_interval(grams.low, grams.high),
    )
    return Quantity(name=name, value=grams.mid, basis=basis)


def carbon_intensity(name: str, operational: Quantity, embodied: Quantity, *, per: str) -> Quantity:
    """Return the Software Carbon Intensity: both kinds of emissions for a functional unit; none where one is missing.

    Source: Software Carbon Intensity specification 1.1 (ISO/IEC 21031:2024), SCI = (O + M) per R.
    """
    method = f"Software Carbon Intensity per {per}: operational + embodied emissions, interval ends added to ends"
    missing = [each.basis.missing or f"{each.name} is null" for each in (operational, embodied) if each.value is None]
    if operational.value is None or embodied.value is None:
        return _none(name, method, "; ".join(missing))
    both = (operational.basis, embodied.basis)
    basis = Basis(
        unit=UNIT,
        kind=max((each.kind for each in both), key=KINDS.index),
        method=method,
        type_a=_sum([each.type_a for each in both]),
        type_b=_sum([each.type_b for each in both]),
    )
    return Quantity(name=name, value=operational.value + embodied.value, basis=basis)


def _none(name: str, method: str, missing: str) -> Quantity:
    return Quantity(name=name, value=None, basis=Basis(unit=UNIT, kind="not_covered", method=method, missing=missing))


def _sum(intervals: Sequence[Interval | None]) -> Interval | None:
    """Return the ends' sums: both parts follow the same clock, so that their errors do not cancel."""
    known = [interval for interval in intervals if interval is not None]
    if len(known) < len(intervals):
        return None
    return _grams_interval(sum(each.low for each in known), sum(each.high for each in known))


def _grams_interval(low: float, high: float) -> Interval:
    return Interval(low=low, high=high)


_BY_OKS = {"ap", "ap50", "ap75", "ar"}
ACCURACIES = {
    "ap": "mean OKS average precision over thresholds .50:.05:.95, by pycocotools",
    "ap50": "OKS average precision at threshold .50, by pycocotools",
    "ap75": "OKS average precision at threshold .75, by pycocotools",
    "ar": "mean OKS average recall over thresholds .50:.05:.95, by pycocotools",
    "pck": "PCK@0.5 as the paper's code computes it: a tenth of the heatmap's sides, swapped, times 0.5",
    "pck_corrected": "PCK@0.5 with the heatmap's sides the right way round",
}


def exit_entry(exit_: int, facts: Facts, *, kind: Kind, carbon: CarbonAccounting, parts: list[Phase]) -> Exit:
    """Return the entry of one exit; `kind` is how energy was obtained, `parts` what training consisted of."""
    scores, measured = facts.scores[exit_], facts.measured[exit_]
    even = break_even(
        measured, facts.measured[max(facts.measured)], step=facts.step, parts=parts, grew=bool(facts.config.train.grow)
    )
    fields = inference_fields(
        facts.config, facts.counts[exit_], measured, kind=kind, carbon=carbon, embodied=facts.meter.embodied
    )
    fields["basis"] |= _accuracy_bases(scores, facts) | {"break_even_images": even.basis}
    return Exit(
        **fields,
        **{name: scores.values[name] for name in ACCURACIES},
        best_epoch=facts.fitted.best[exit_].epoch,
        break_even_images=even.images,
    )


def inference_fields(
    config: Experiment,
    count: ExitCount,
    measured: ExitMeasurement,
    *,
    kind: Kind,
    carbon: CarbonAccounting,
    embodied: EmbodiedShare | None = None,
) -> dict[str, Any]:
    """Return what of an entry needs no training: role, size and cost of an image, with their bases."""
    cost = _Costs(measured, kind=kind, carbon=carbon)
    cost.complete(measured.latency_s, embodied)
    return {
        "exit": count.exit,
        "role": _role(config, count.exit),
        "params": count.params,
        "macs": count.macs,
        "macs_by_counter": dict(count.macs_by_counter),
        "activation_bytes": count.activation_bytes,
        "peak_bytes": count.peak_bytes,
        "operations": dict(count.operations),
        **cost.values,
        "relative_to_final": {name: ratio.value for name, ratio in _ratios(measured).items()},
        "measurement": _how(measured),
        "basis": _counted() | cost.bases | _ratio_bases(measured),
    }


def _role(config: Experiment, exit_: int) -> str:
    """Return the exit's place in the wiring."""
    if exit_ == max(config.model.exits):
        return "final"
    teaches = any(teacher == exit_ for teacher, _ in config.wiring.edges)
    learns = any(student == exit_ for _, student in config.wiring.edges)
    return {(True, True): "student and teacher", (True, False): "teacher", (False, True): "student"}.get(
        (teaches, learns), "side"
    )


def _counted() -> dict[str, Basis]:
    return {
        "params": Basis(unit="parameters", kind="counted", method="parameters of the minimal sub-network"),
        "macs": Basis(unit="MACs", kind="counted", method="convolutions, torch FlopCounterMode / 2, one image"),
        "activation_bytes": Basis(unit="bytes", kind="counted", method="tensors saved for backward, one image"),
        "peak_bytes": Basis(unit="bytes", kind="counted", method="tensors alive at once in inference, one image"),
    }


def _accuracy_bases(scores: ExitScores, facts: Facts) -> dict[str, Basis]:
    interval = f"interval: percentile bootstrap over {scores.num_groups} {scores.unit} of the test split"
    return {
        name: Basis(
            unit="fraction",
            kind="computed",
            method=f"{method}; {_searched(name, facts)}; {interval}",
            type_a=_known(scores.intervals[name]),
        )
        for name, method in ACCURACIES.items()
    }


def _searched(name: str, facts: Facts) -> str:
    """Return in which boxes poses were searched, and for OKS by which area it was scaled."""
    return f"area: {facts.area}; boxes: {facts.searched}" if name in _BY_OKS else "boxes: annotated"


def _known(bounds: tuple[float, float]) -> Interval | None:
    """Return the interval, None where a single group left nothing to resample."""
    return None if math.isnan(bounds[0]) else Interval(low=bounds[0], high=bounds[1])


class _Costs:
    """Latency, CPU time, energy and emissions of one image, with their bases."""

    def __init__(self, measured: ExitMeasurement, *, kind: Kind, carbon: CarbonAccounting) -> None:
        self.values: dict[str, float | None] = {}
        self.bases: dict[str, Basis] = {}
        energy_kind = kind
        how = f"median over {measured.blocks} interleaved blocks, batch {measured.items_per_call}, truncated network"
        self._add("latency_s", measured.latency_s, "s", "measured", f"wall time per image; {how}")
        self._add("latency_p95_s", measured.latency_p95_s, "s", "measured", _percentile(measured))
        self._add("cpu_s_per_image", measured.cpu_s_per_item, "s", "measured", f"CPU time per image; {how}")
        gross, net = measured.energy_j_per_item, measured.net_energy_j_per_item
        missing = measured.missing
        self._add("energy_j_per_image", gross, "J", energy_kind, f"gross; {how}", missing.get("energy_j_per_item"))
        self._add(
            "net_energy_j_per_image",
            net,
            "J",
            energy_kind,
            f"gross minus idle power x wall time; {how}",
            missing.get("net_energy_j_per_item"),
        )
        self._add(
            "co2eq_g_per_1000_images",
            _grams(gross, carbon),
            "gCO2eq",
            energy_kind,
            f"gross energy of 1000 images x PUE x {carbon.describe_grid(timed=False)}",
            missing.get("energy_j_per_item"),
        )

    def complete(self, latency: BlockEstimate, embodied: EmbodiedShare | None) -> None:
        """Add what making the hardware costs for the time of 1000 images, and both kinds of emissions together."""
        repeated = None if latency.type_a is None else Bounds(1000 * latency.type_a.low, 1000 * latency.type_a.high)
        making = embodied_emissions(
            "embodied_co2eq_g_per_1000_images",
            embodied,
            1000 * latency.value,
            time="wall time of 1000 images",
            repeated=repeated,
        )
        name = "co2eq_g_per_1000_images"
        operational = Quantity(name=name, value=self.values[name], basis=self.bases[name])
        sci = carbon_intensity("sci_g_per_1000_images", operational, making, per="1000 images")
        for quantity in (making, sci):
            self.values[quantity.name], self.bases[quantity.name] = quantity.value, quantity.basis

    def _add(
        self, name: str, found: BlockEstimate | None, unit: str, kind: Kind, method: str, missing: str | None = None
    ) -> None:
        self.values[name] = None if found is None else found.value
        reason = None if found is not None else missing or "no component's energy could be read"
        self.bases[name] = Basis(
            unit=unit,
            kind="not_covered" if found is None else kind,
            method=method,
            type_a=_interval(found.type_a if found else None),
            type_b=_interval(found.type_b if found else None),
            missing=reason,
        )


def _percentile(measured: ExitMeasurement) -> str:
    """Return how the 95th percentile was obtained, and why it has no interval if it has none."""
    how = f"wall time per image; 95th percentile over {measured.calls} calls"
    few = measured.latency_p95_s.type_a is None
    return f"{how}; no interval for fewer than {FEWEST_CALLS} calls, or a single block" if few else how


def _grams(energy: BlockEstimate | None, carbon: CarbonAccounting) -> BlockEstimate | None:
    """Return the emissions of 1000 items: Type A scales with the energy's, Type B is widened by the intensity's."""
    if energy is None:
        return None
    low, high = energy.type_b or (energy.value, energy.value)
    grams = carbon.grams(Joules(low * 1000, energy.value * 1000, high * 1000))
    factor = grams.mid / energy.value if energy.value else 0.0
    spread = energy.type_a
    type_a = None if spread is None else Bounds(spread.low * factor, spread.high * factor)
    return BlockEstimate(value=grams.mid, blocks=energy.blocks, type_a=type_a, type_b=Bounds(grams.low, grams.high))


def _ratios(measured: ExitMeasurement) -> dict[str, BlockEstimate]:
    """Return the within-block ratios under the record's names: an item is an image here."""
    return {name.replace("_per_item", "_per_image"): ratio for name, ratio in measured.ratios.items()}


def _ratio_bases(measured: ExitMeasurement) -> dict[str, Basis]:
    return {
        f"relative_to_final.{name}": Basis(
            unit="fraction",
            kind="measured",
            method=f"median of ratios within {ratio.blocks} blocks; systematic errors cancel",
            type_a=_interval(ratio.type_a),
        )
        for name, ratio in _ratios(measured).items()
    }


def _interval(bounds: Any) -> Interval | None:
    return None if bounds is None else Interval(low=bounds[0], high=bounds[1])


def _how(measured: ExitMeasurement) -> Mapping[str, Any]:
    names = (
        "items_per_call",
        "blocks",
        "calls",
        "window_seconds",
        "idle_watts",
        "between_runs",
        "converged",
        "agreement",
        "foreign_cpu_share",
        "steal_share",
        "involuntary_switches",
        "minor_faults",
        "resolution_share",
    )
    return {name: getattr(measured, name) for name in names} | {"warnings": list(measured.warnings)}
