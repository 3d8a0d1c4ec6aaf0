"""What teaching and supervising exits change in accuracy, seed by seed: an exit against the same one without."""

from collections.abc import Callable
from dataclasses import dataclass

from greenpose.formatting import NBSP, exact, listed, plural
from greenpose.record import Record
from greenpose.report.estimates import Estimate, over_runs
from greenpose.report.figures import AP, Figure, of_exit
from greenpose.report.layout import Cell, Column, Row, Section, Table, estimate_cell, figure_column
from greenpose.report.partners import Partners
from greenpose.report.study import MANY_SEEDS, Point, Study

DIFFERENCE = Figure(name="ap", label="AP difference", unit="percentage points", most_decimals=1)
_FEWEST = 3
"""Seeds from which on the interval of a difference is Student's t and may decide."""
Partner = Callable[[Record, int], Record | None]
"""Finds the run that an exit of a run is held against; None where the page holds none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """An exit against a partner, over the seeds that both were run with."""

    name: str
    """The exit, and its experiment."""
    against: str
    """The partner."""
    exit: int
    """Exit number, which both share."""
    seeds: tuple[int, ...]
    """Seeds, in order."""
    differences: tuple[float, ...]
    """AP of the exit less AP of its partner with the same seed, in percentage points."""

    @property
    def mean(self) -> Estimate:
        """Return the mean difference: Student's t interval from three seeds on, the range for two."""
        return over_runs([Estimate(value=each, kind="computed") for each in self.differences])

    @property
    def verdict(self) -> str:
        """Return in words whether the seeds show a difference."""
        mean = self.mean
        if len(self.seeds) < _FEWEST:
            return f"{plural(len(self.seeds), 'seed')}: open"
        low, high = (mean.value if end is None else end for end in (mean.low, mean.high))
        assert low is not None
        assert high is not None
        return "better" if low > 0 else "worse" if high < 0 else "no difference shown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """All pairs that tell the same story."""

    id: str
    """Prefix of all ids in the drawing, unique on the page."""
    title: str
    """What is compared with what."""
    sides: tuple[str, str]
    """Which side is better left of zero, and right of it."""
    pairs: tuple[Pair, ...]
    """At least one."""

    @property
    def description(self) -> str:
        """Return in words how many pairs differ and which."""
        found: dict[str, list[str]] = {}
        for pair in self.pairs:
            found.setdefault(pair.verdict, []).append(pair.name)
        parts = [f"{verdict}: {listed(names)}" for verdict, names in found.items()]
        return f"Differences in AP of {plural(len(self.pairs), 'exit')}, in percentage points. {'; '.join(parts)}."


def comparisons(study: Study) -> list[Pairs]:
    """Return what distillation, deep supervision and training exits together change, where the page has both sides."""
    partners = Partners(study)
    taught = Pairs(
        id="pairs-taught",
        title="Taught exits against the same exits, supervised only",
        sides=("better without a teacher", "better taught"),
        pairs=tuple(_pairs(study, partners, partners.untaught)),
    )
    together = Pairs(
        id="pairs-together",
        title="Exits trained together against the same exits trained alone",
        sides=("better alone", "better together"),
        pairs=tuple(_pairs(study, partners, partners.alone)),
    )
    supervised = Pairs(
        id="pairs-supervised",
        title="Exits under deep supervision against the same exits without it",
        sides=("better without deep supervision", "better with it"),
        pairs=tuple(_pairs(study, partners, partners.less_supervised)),
    )
    return [each for each in (taught, supervised, together) if each.pairs]


def pairs_table(chart: Pairs) -> Table:
    """Return the differences of a drawing, seed by seed."""
    rows = [
        Row(
            head=pair.name,
            cells=(
                Cell(value=pair.against),
                estimate_cell(pair.mean, DIFFERENCE),
                Cell(value=pair.verdict),
                Cell(value="; ".join(_each(pair))),
            ),
        )
        for pair in chart.pairs
    ]
    return Table(
        id=f"{chart.id}-data",
        caption=f"{chart.title}: difference in AP of runs with the same seed.",
        heads=("Exit",),
        columns=(
            Column(head="Against", words=True),
            figure_column(DIFFERENCE, [pair.mean for pair in chart.pairs]),
            Column(head="So", words=True),
            Column(head="Seed by seed", unit=DIFFERENCE.unit),
        ),
        sections=(Section(rows=tuple(rows)),),
    )


def _pairs(study: Study, partners: Partners, partner: Partner) -> list[Pair]:
    points = [point for point in study.points if len(point.group.exits) > 1]
    return [pair for point in points if (pair := _pair(partners, point, partner)) is not None]


def _pair(partners: Partners, point: Point, partner: Partner) -> Pair | None:
    seeds, differences, names = [], [], []
    for run in point.group.runs:
        other = partner(run, point.exit)
        values = [of_exit(each.exit(point.exit), AP).value for each in (run, other) if each is not None]
        if other is not None and None not in values:
            taught, plain = (value or 0.0 for value in values)
            seeds.append(run.seed)
            differences.append(taught - plain)
            names.append(partners.group(other).label)
    if not seeds:
        return None
    return Pair(
        name=f"{point.group.label}{NBSP}·{NBSP}{point.exit}",
        against=listed(list(dict.fromkeys(names))),
        exit=point.exit,
        seeds=tuple(seeds),
        differences=tuple(differences),
    )


def _each(pair: Pair) -> list[str]:
    """Return the differences seed by seed; of very many, how many."""
    if len(pair.seeds) > MANY_SEEDS:
        return [f"{exact(len(pair.seeds))} seeds"]
    return [
        f"{seed}: {Estimate(value=value).text(digits=2, most_decimals=1)}"
        for seed, value in zip(pair.seeds, pair.differences, strict=True)
    ]
