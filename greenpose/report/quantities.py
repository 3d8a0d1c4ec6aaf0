"""Quantities in display units: how records' numbers are labelled, scaled, averaged over runs and divided."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from greenpose.formatting import Text, number, percent
from greenpose.metrics import (
    CO2,
    COMPARED,
    ENERGY,
    LATENCY,
    MACS,
    ON_PAGE,
    PARAMS,
    TRAIN_CO2,
    TRAIN_ENERGY,
    Metric,
)
from greenpose.quantity import KINDS, Kind, Quantity
from greenpose.record import Basis, Exit, Record

ROUNDING = 1e-9
"""Runs that differ by less than this fraction are equal: sums of floating-point numbers, in another order."""
NO_SHARE_OF_ZERO = "nothing is a share of zero"
NOT_RECORDED = "not recorded"
FINAL_ITSELF, PAPER_ITSELF = "it is the final exit itself", "it is the paper’s recipe itself"
"""Why there can be no number that holds an exit or a recipe against another one."""
DISTURBED = "†"
"""Stands behind every number that was metered while others took much of the CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One number in its display unit: how sure it is and how it was obtained."""

    value: float | None
    """The number; None where it was not obtained."""
    low: float | None = None
    """Lower end of the 95 % interval from repetition; None where nothing was repeated."""
    high: float | None = None
    """Upper end of the same."""
    systematic: tuple[float, float] | None = None
    """Interval of systematic error as factors of the value, e.g. (0.5, 2)."""
    kind: Kind = "not_covered"
    """How it was obtained."""
    method: str = ""
    """One sentence: source or estimator."""
    missing: str = ""
    """Why there is no number."""
    disturbed: bool = False
    """Whether it was metered while others took much of the CPU; wherever it is printed, it carries the mark of that."""

    def text(self, *, digits: int = 3, most_decimals: int | None = None) -> Text:
        """Return value and interval in words; the value must exist."""
        assert self.value is not None
        text = number(self.value, self.low, self.high, digits=digits, most_decimals=most_decimals)
        return replace(text, value=text.value + DISTURBED) if self.disturbed else text

    def times(self, factor: float) -> "Estimate":
        """Return the same number in a unit that is so many times smaller; a missing one stays missing."""
        value, low, high = (None if each is None else factor * each for each in (self.value, self.low, self.high))
        return replace(self, value=value, low=low, high=high)


def estimate(quantity: Quantity, scale: float = 1.0) -> Estimate:
    """Return a record's number times `scale`, the factor from the record's unit to the page's."""
    each = quantity * scale
    low, high = each.type_a or (None, None)
    return Estimate(
        value=each.value,
        low=low,
        high=high,
        systematic=each.factors,
        kind=each.kind if each.value is not None else "not_covered",
        method=each.method,
        missing=each.missing,
    )


def estimate_of(value: float | None, basis: Basis | None, scale: float = 1.0, *, disturbed: bool = False) -> Estimate:
    """Return the same of a number and its basis; a number that the record says nothing about is `not_covered`."""
    if basis is None:
        return Estimate(
            value=None if value is None else value * scale,
            missing="" if value is not None else NOT_RECORDED,
            disturbed=disturbed,
        )
    if value is None:
        return Estimate(value=None, method=basis.method, missing=basis.missing or "the record does not say why")
    a, b = basis.type_a, basis.type_b
    return Estimate(
        value=value * scale,
        low=a.low * scale if a else None,
        high=a.high * scale if a else None,
        systematic=(b.low / value, b.high / value) if b and value else None,
        kind=basis.kind,
        method=basis.method,
        disturbed=disturbed,
    )


def over_runs(estimates: Sequence[Estimate]) -> Estimate:
    """Return the mean over repeated runs.

    The interval is Student's t for three runs or more, the range for two, and the run's own for one. It tells how runs
    differ, not how far the test images or the systematic error could move all of them together. Runs without the
    number are left out; where none has it, the first reason stands for all.
    """
    from greenpose.intervals import t_interval

    have = [each for each in estimates if each.value is not None]
    if len(have) <= 1:
        return have[0] if have else estimates[0]
    values = [each.value for each in have if each.value is not None]
    if max(values) - min(values) <= ROUNDING * abs(max(values, key=abs)):
        values = values[:1]
    low, high = t_interval(values) if len(values) > 2 else (min(values), max(values))
    return Estimate(
        value=statistics.fmean(values),
        low=low if high > low else None,
        high=high if high > low else None,
        systematic=_mean_factors(have),
        kind=worst([each.kind for each in have]),
        method=have[0].method,
        disturbed=any(each.disturbed for each in have),
    )


def ratio(part: Estimate, whole: Estimate) -> Estimate:
    """Return part / whole; relative intervals add in quadrature, systematic errors cancel (one machine, one method)."""
    if part.value is None or not whole.value:
        return Estimate(value=None, missing=part.missing or whole.missing or NO_SHARE_OF_ZERO)
    value = part.value / whole.value
    spread = math.hypot(_relative_half(part), _relative_half(whole))
    return Estimate(
        value=value,
        low=value * (1 - spread) if spread and value else None,
        high=value * (1 + spread) if spread and value else None,
        kind=worst([part.kind, whole.kind]),
        method="ratio of two numbers of one machine",
        disturbed=part.disturbed or whole.disturbed,
    )


def worst(kinds: Sequence[Kind]) -> Kind:
    """Return the least trustworthy of the given kinds."""
    return max(kinds, key=KINDS.index)


def _mean_factors(estimates: Sequence[Estimate]) -> tuple[float, float] | None:
    factors = [each.systematic for each in estimates if each.systematic]
    if not factors:
        return None
    return statistics.fmean(low for low, _ in factors), statistics.fmean(high for _, high in factors)


def _relative_half(each: Estimate) -> float:
    if each.low is None or each.high is None or not each.value:
        return 0.0
    return (each.high - each.low) / 2 / abs(each.value)


Figure = Metric
EXIT_FIGURES = ON_PAGE
FOOTPRINTS = (ENERGY, MACS, PARAMS, LATENCY, CO2, TRAIN_ENERGY, TRAIN_CO2)
"""What accuracy is charted against, the chart that leads the page first."""
RELATIVE = {metric.name: metric for metric in COMPARED}
"""Numbers of which the record has within-block ratios to the final exit."""

MARKS: dict[Kind, tuple[str, str]] = {
    "modelled": ("≈", "modelled: coefficients times something measured"),
    "estimated": ("∼", "estimated: samples of a counter or clock"),
}
"""Symbol in front of a number that was not measured, counted or computed, and what it says."""
_PREFIXES: Mapping[str, float] = {"k": 1e3, "": 1.0, "m": 1e-3, "µ": 1e-6, "n": 1e-9}


def energy_figure(kwh: Iterable[float]) -> Figure:
    """Return training energy in watt-hours with the prefix that suits these amounts."""
    return prefixed(TRAIN_ENERGY, [each * TRAIN_ENERGY.scale for each in kwh])


def prefixed(figure: Figure, values: Iterable[float | None]) -> Figure:
    """Return a figure whose unit has the prefix under which most of the values read between 0.1 and 999.

    It has none where that does as well as any other, else the one that leaves most of them at 1 or more.
    """
    known = [abs(value) for value in values if value]

    def fit(prefix: str) -> tuple[int, bool, int]:
        read = [value / _PREFIXES[prefix] for value in known]
        return sum(0.1 <= each < 999.5 for each in read), not prefix, sum(1 <= each < 999.5 for each in read)

    best = max(_PREFIXES, key=fit)
    return replace(figure, unit=best + figure.unit, scale=figure.scale / _PREFIXES[best]) if best else figure


def training_figure(records: Iterable[Record]) -> Figure:
    """Return training energy in the unit that suits all runs of the page."""
    return energy_figure([run.train_energy_kwh for run in records])


def of_exit(entry: Exit, figure: Figure) -> Estimate:
    """Return one number of an exit in display units; sizes without a basis are counted ones."""
    disturbed = figure.per_machine and any(disturbance(entry))
    each = estimate_of(getattr(entry, figure.name), entry.basis.get(figure.name), figure.scale, disturbed=disturbed)
    if figure.kind == "counted" and each.value is not None and each.kind == "not_covered":
        return Estimate(value=each.value, kind="counted")
    return each


def disturbance(entry: Exit) -> tuple[float, float]:
    """Return the shares of the CPU that other processes and other guests took while an exit was metered.

    Each is 0 up to the share above which the meter warns of it.
    """
    from greenpose.metering.doctor import STEAL_SHARE
    from greenpose.metering.inference_samples import FOREIGN_WARNING

    foreign, steal = (entry.measurement.get(name) or 0.0 for name in ("foreign_cpu_share", "steal_share"))
    return foreign if foreign > FOREIGN_WARNING else 0.0, steal if steal > STEAL_SHARE else 0.0


def of_record(record: Record, figure: Figure) -> Estimate:
    """Return one number of a run in display units."""
    return estimate_of(getattr(record, figure.name), record.basis.get(figure.name), figure.scale)


def kind_of(record: Record, figure: Figure) -> Kind:
    """Return how one number of a run was obtained, without the number."""
    basis = record.basis.get(figure.name)
    return basis.kind if basis else "not_covered"


def legend() -> list[str]:
    """Return what each sign at a number says."""
    from greenpose.metering.doctor import STEAL_SHARE
    from greenpose.metering.inference_samples import FOREIGN_WARNING

    return [
        *(f"{symbol} {words}" for symbol, words in MARKS.values()),
        f"{DISTURBED} metered while other processes took more than {percent(FOREIGN_WARNING)} of the CPU, or other "
        f"guests more than {percent(STEAL_SHARE)}",
    ]


def kind_mark(kind: Kind) -> str:
    """Return the symbol of a number of this kind; empty for measured, counted, computed and sourced ones."""
    return MARKS[kind][0] if kind in MARKS else ""
