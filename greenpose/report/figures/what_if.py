"""What if: what each exit would emit under another grid, building and use; the page computes it again as one asks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from greenpose.formatting import JOULES_PER_KWH, NBSP, plain, plural
from greenpose.intervals import Bounds
from greenpose.metrics import EMBODIED, ENERGY, TRAIN_CO2, Metric
from greenpose.quantity import Quantity, missing
from greenpose.report.figures.break_even import images_needed
from greenpose.report.quantities import prefixed
from greenpose.report.ranking import leaders, score
from greenpose.report.study import Point, Study, short_name
from greenpose.tables import Table, table_of

SECONDS_PER_DAY = 86400.0
DAYS_PER_YEAR = 365.25
"""Of the Julian calendar."""
MOST_LINES = 24
"""Exits that are told of: where there are more, those that no other beats, then the most accurate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """How exits would be used. Suppositions of the page, no results."""

    images_per_second: float = 10.0
    """Images that each device reads in a second, day and night: a camera of which every third frame is read."""
    devices: float = 1.0
    """Devices that one training serves."""
    years: float = 4.0
    """How long they are used."""
    intensity_g_per_kwh: float | None = None
    """Grid intensity where they are used; None for that of each record."""
    pue: float | None = None
    """Power usage effectiveness there; None for that of each record."""

    @property
    def per_day(self) -> float:
        """Return the images of all devices in a day."""
        return self.images_per_second * SECONDS_PER_DAY * self.devices

    @property
    def per_year(self) -> float:
        """Return the images of all devices in a year."""
        return self.per_day * DAYS_PER_YEAR


DEFAULT = Scenario()
SUPPOSITIONS = (
    ("g", "Grid intensity", "gCO2eq/kWh"),
    ("pue", "Overhead of the building", "PUE"),
    ("n", "Images per second", "per device"),
    ("d", "Devices", "count"),
    ("y", "Years of use", "years"),
)
"""What a reader may suppose otherwise: its name on the page, heading and unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One exit and what its use is computed from, rounded as the page embeds it."""

    name: str
    """The exit with its experiment."""
    joules: Quantity
    """Energy of an image."""
    making_g: Quantity
    """Emissions of making the machine, for 1000 images."""
    training_g: Quantity
    """Emissions of the whole training that the exit came from, where and as it was run."""
    images: Quantity
    """Images after which reading it instead of the final exit has won back what teaching it cost."""
    intensity_g_per_kwh: float
    """Grid intensity of its record."""
    pue: float
    """Power usage effectiveness of its record."""


OUTCOMES = (
    Metric(name="use", label="Use", unit="gCO2eq/1000 images"),
    Metric(name="sci", label="SCI", unit="gCO2eq/1000 images"),
    Metric(name="training", label="Training, shared out", unit="gCO2eq/1000 images"),
    Metric(name="energy", label="Energy of a year", unit="Wh"),
    Metric(name="year", label="Emissions of a year", unit="gCO2eq"),
    Metric(name="days", label="Won back after", unit="days"),
)
"""What is computed of each exit: a column of the table each."""


def uses(study: Study) -> list[Use]:
    """Return every exit of the page; where there are more than a table bears the most telling ones."""
    points = study.points
    if len(points) > MOST_LINES:
        accurate = sorted(study.scored, key=score, reverse=True)
        ranked = dict.fromkeys(point.label for point in (*leaders(study), *accurate, *points))
        told = set(list(ranked)[:MOST_LINES])
        points = tuple(point for point in points if point.label in told)
    return [_use(point) for point in points]


def outcomes(use: Use, scenario: Scenario = DEFAULT) -> list[Quantity]:
    """Return what one exit would come to, in the order and units of the table's columns.

    Intervals are those of the exit's energy and time, scaled; the suppositions are taken as exact.
    """
    intensity = use.intensity_g_per_kwh if scenario.intensity_g_per_kwh is None else scenario.intensity_g_per_kwh
    pue = use.pue if scenario.pue is None else scenario.pue
    kwh = use.joules * (pue / JOULES_PER_KWH)
    return [
        kwh * (1000 * intensity),
        _plus(kwh * (1000 * intensity), use.making_g),
        use.training_g * (1000 / (scenario.per_year * scenario.years)),
        kwh * (1000 * scenario.per_year),
        kwh * (scenario.per_year * intensity),
        use.images * (1 / scenario.per_day),
    ]


def scenario_table(study: Study) -> Table:
    """Return the outcomes of every exit under the default scenario."""
    found = uses(study)
    columns = zip(*(outcomes(use) for use in found), strict=True)
    cut = f" Of {plural(len(study.points), 'exit')} {len(found)} are told of: those that no other beats, then the most"
    return table_of(
        "scenario",
        "What each exit would come to when it is used so. Operation only, but for the SCI (ISO/IEC 21031), which "
        "counts the making of the machine too. Training stays as it was run; all of it is shared out over all images "
        "of all years. An exit has won back its teaching when it has saved as much against the final exit."
        + (f"{cut} accurate." if len(found) < len(study.points) else ""),
        ("Exit",),
        [use.name for use in found],
        [
            (metric, [each * metric.scale for each in values])
            for metric, values in zip(shown_outcomes(found), columns, strict=True)
        ],
    )


def shown_outcomes(found: Sequence[Use]) -> list[Metric]:
    """Return what is computed, each with the prefix that suits all lines."""
    columns = zip(*(outcomes(use) for use in found), strict=True)
    return [
        figure if figure is OUTCOMES[-1] else prefixed(figure, [each.value for each in values])
        for figure, values in zip(OUTCOMES, columns, strict=True)
    ]


def scenario_words(study: Study) -> str:
    """Return the default scenario in words: a place with its grid, and a use."""
    grids = dict.fromkeys(
        f"{plain(run.carbon.intensity_g_per_kwh)}{NBSP}gCO2eq/kWh, PUE{NBSP}{plain(run.carbon.pue)}"
        for run in study.records
    )
    place = next(iter(grids)) if len(grids) == 1 else "grid and PUE as recorded"
    rate, devices = plain(DEFAULT.images_per_second, 2), plural(round(DEFAULT.devices), "device")
    return f"{place}, {rate}{NBSP}images a second on each of {devices}, for {plural(round(DEFAULT.years), 'year')}"


def scenario_data(study: Study) -> dict[str, Any]:
    """Return what the page's script computes from: per exit its numbers, and the defaults.

    A number is `[value, low, high]`, or nothing where it is missing.
    """
    return {
        "default": {"n": DEFAULT.images_per_second, "d": DEFAULT.devices, "y": DEFAULT.years, **_place(study)},
        "scale": [figure.scale for figure in shown_outcomes(uses(study))],
        "uses": [
            [*(_ends(each) for each in (use.joules, use.making_g, use.training_g, use.images)),
             use.intensity_g_per_kwh, use.pue]
            for use in uses(study)
        ],
    }  # fmt: skip


def _use(point: Point) -> Use:
    run = point.group.runs[0]
    return Use(
        name=short_name(point),
        joules=_rounded(point.figure(ENERGY)),
        making_g=_rounded(point.figure(EMBODIED)),
        training_g=_rounded(point.figure(TRAIN_CO2)),
        images=_rounded(images_needed(point)),
        intensity_g_per_kwh=run.carbon.intensity_g_per_kwh,
        pue=run.carbon.pue,
    )


def _place(study: Study) -> dict[str, float | None]:
    """Return intensity and PUE that all runs share, as the page prints them; None for one that they do not."""
    shared = {
        "g": {run.carbon.intensity_g_per_kwh for run in study.records},
        "pue": {run.carbon.pue for run in study.records},
    }
    return {name: float(f"{min(values):.3g}") if len(values) == 1 else None for name, values in shared.items()}


def _plus(first: Quantity, second: Quantity) -> Quantity:
    """Return the sum of two costs of the same time: they grow together, so the ends of their intervals add."""
    if first.value is None or second.value is None:
        return missing(first.missing or second.missing)
    one, other = (
        replace(each, type_a=each.type_a or Bounds(each.known, each.known), type_b=None) for each in (first, second)
    )
    return one + other if first.type_a or second.type_a else replace(one + other, type_a=None)


def _ends(each: Quantity) -> list[float]:
    return [] if each.value is None else [each.value, *(each.type_a or ())]


def _rounded(each: Quantity) -> Quantity:
    """Return the estimate at six digits, so that what is printed and what the page computes start from one number."""
    if each.value is None:
        return each
    value, *ends = (float(f"{end:.6g}") for end in (each.value, *(each.type_a or ())))
    return replace(each, value=value, type_a=Bounds(*ends) if ends else None)
