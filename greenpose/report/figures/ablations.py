"""Ablations: runs that differ in one thing: trained alone, untaught, less supervised, or by another recipe."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from greenpose.formatting import NBSP, exact, listed, plural
from greenpose.metrics import AP, ENERGY, MACS, PERCENT, TRAIN_ENERGY, Metric
from greenpose.quantity import Quantity, amount, missing, over_runs, ratio
from greenpose.record import Exit, Record
from greenpose.report.drawing import (
    ACCENT,
    DIM,
    FONT,
    INK,
    SHAPES,
    Drawing,
    around_zero,
    dots,
    grid,
    numbered,
    panel,
    shifted,
    strokes,
    write,
)
from greenpose.report.hosts import across_hosts, parts_of
from greenpose.report.labels import MANY_SEEDS, setting
from greenpose.report.picture import Picture, drawn, left_out
from greenpose.report.quantities import of_exit, of_record, prefixed
from greenpose.report.ranking import leaders
from greenpose.report.study import Group, Point, Study, short_name
from greenpose.tables import Column, Table, table_of

ALONE = ("model", "wiring", "loss", "name", "seed", "measure")
"""Sections of a configuration in which a stand-alone training may differ from the joint one that it stands beside."""
CHOSEN = ("data", "train", "test", "name", "seed", "measure")
"""Sections in which a run may differ from the paper's recipe that it stands beside; of `data` its decoding only."""


class MatchedRuns:
    """Finds, for a run, another of the same seed, setting, side, trunk, data and recipe."""

    def __init__(self, study: Study) -> None:
        self._groups = {id(run): each for each in study.groups for part in parts_of(each) for run in part.runs}
        recipes = {id(group): (comparable(group.runs[0]), group.side) for group in study.groups}
        self._recipes = {id(run): (*recipes[id(self.group(run))], run.seed) for run in study.records}
        self._alone: dict[Any, Record] = {}
        self._untaught: dict[Any, Record] = {}
        self._taught_alike: dict[Any, list[Record]] = {}
        self._by_the_paper: dict[Any, Record] = {}
        self._tasks = {id(group): (_task(group.runs[0]), group.side) for group in study.groups}
        for group in study.groups:
            if _as_the_paper(group.runs[0]):
                ours = {(self._tasks[id(group)], run.seed): run for run in group.runs}
                self._by_the_paper = ours | self._by_the_paper
        for run in study.records:
            recipe, exits = self._recipes[id(run)], _exits(run)
            if len(exits) == 1:
                self._alone.setdefault((recipe, exits[0]), run)
            if not _wiring(run).get("teach"):
                self._untaught.setdefault((recipe, _shape(run)), run)
            self._taught_alike.setdefault((recipe, _lessons(run)), []).append(run)

    def group(self, run: Record) -> Group:
        """Return the group that a run belongs to."""
        return self._groups[id(run)]

    def alone(self, run: Record, exit_: int) -> Record | None:
        """Return the run that trained one exit of `run` by itself; None where the page holds none."""
        return self._alone.get((self._recipes[id(run)], exit_))

    def whole_alone(self, run: Record, exit_: int) -> Record | None:
        """Return for the exit before the final one the run that trained the final one by itself; None for any other."""
        *_, before, final = _exits(run)
        return self.alone(run, final) if exit_ == before else None

    def untaught(self, run: Record, exit_: int) -> Record | None:
        """Return the run that differs in having no teacher: same exits, same supervision; None where none is there."""
        del exit_
        if not _wiring(run).get("teach"):
            return None
        return self._untaught.get((self._recipes[id(run)], _shape(run)))

    def less_supervised(self, run: Record, exit_: int) -> Record | None:
        """Return the run that differs in the labels being shown to fewer exits; None where none is there."""
        del exit_
        found = self._taught_alike[self._recipes[id(run)], _lessons(run)]
        return next((each for each in found if _supervised(each) < _supervised(run)), None)

    def by_the_paper(self, run: Record, exit_: int) -> Record | None:
        """Return the run of the same task by the paper's recipe and decoding; None where none is there."""
        del exit_
        group = self.group(run)
        return None if _as_the_paper(group.runs[0]) else self._by_the_paper.get((self._tasks[id(group)], run.seed))


def _task(run: Record) -> str:
    """Return what two runs share that differ in how they are trained, decoded or mirrored in the test only."""
    data = {key: value for key, value in run.config.get("data", {}).items() if key != "decode"}
    rest = {key: value for key, value in run.config.items() if key not in CHOSEN}
    return json.dumps([setting(run), data, rest], sort_keys=True, default=str)


def _as_the_paper(run: Record) -> bool:
    """Return whether a run was trained by the paper's recipe, and decoded and tested as the paper."""
    train, data, test = (run.config.get(key) or {} for key in ("train", "data", "test"))
    return (
        train.get("recipe", "paper") == "paper" and data.get("decode", "quarter") == "quarter" and not test.get("flip")
    )


def comparable(run: Record) -> str:
    """Return what two runs share of which one may be held against the other."""
    trunk = {key: value for key, value in run.config.get("model", {}).items() if key not in ("exits", "folder")}
    rest = {key: value for key, value in run.config.items() if key not in ALONE}
    return json.dumps([setting(run), trunk, rest], sort_keys=True, default=str)


def _shape(run: Record) -> tuple[tuple[int, ...], str]:
    """Return a run's exits, and those that see the labels."""
    return _exits(run), json.dumps(_wiring(run).get("supervise"))


def _lessons(run: Record) -> tuple[tuple[int, ...], str]:
    """Return a run's exits, who teaches whom, and how loudly."""
    return _exits(run), json.dumps([_wiring(run).get("teach") or [], run.config.get("loss")], sort_keys=True)


def _supervised(run: Record) -> frozenset[int]:
    """Return the exits that see the labels: the final one where the configuration does not say."""
    return frozenset(_wiring(run).get("supervise") or _exits(run)[-1:])


def _exits(run: Record) -> tuple[int, ...]:
    return tuple(entry.exit for entry in run.exits)


def _wiring(run: Record) -> dict[str, Any]:
    return dict(run.config.get("wiring") or {})


DIFFERENCE = Metric(name="ap", label="AP difference", unit="percentage points", most_decimals=1)
_FEWEST = 3
"""Seeds from which on the interval of a difference is Student's t and may decide."""
Partner = Callable[[Record, int], Record | None]
"""Finds the run that an exit of a run is held against; None where the page holds none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedPair:
    """An exit against a partner, over the seeds that both were run with."""

    name: str
    """The exit, and its experiment."""
    against: str
    """The partner."""
    exit: int
    """Exit number, which both share."""
    twins: tuple[tuple[Record, Record], ...]
    """Its run and the partner's of each seed, in order."""
    differences: tuple[float, ...]
    """AP of the exit less AP of its partner with the same seed, in percentage points."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """Return the seeds."""
        return tuple(run.seed for run, _ in self.twins)

    def price(self, metric: Metric) -> Quantity:
        """Return what it takes of what its partner does, in percent, the mean over the seeds.

        Both were measured by the same meter, whose systematic error cancels.
        """
        if metric.of_run:
            found = [ratio(of_record(run, metric), of_record(other, metric)) for run, other in self.twins]
        else:
            facing = [_facing(*twins, self.exit) for twins in self.twins]
            found = [ratio(of_exit(each, metric), of_exit(other, metric)) for each, other in facing]
        return amount(replace(over_runs(found), type_b=None)) * PERCENT

    @property
    def added(self) -> Quantity:
        """Return what its training took more than its partner's, mean over the seeds; missing over several hosts."""
        if len({setting(run) for run, _ in self.twins}) > 1:
            return missing("measured in different settings")
        return over_runs(
            [of_record(run, TRAIN_ENERGY) + of_record(other, TRAIN_ENERGY) * -1 for run, other in self.twins]
        )

    @property
    def mean(self) -> Quantity:
        """Return the mean difference: Student's t interval from three seeds on, the range for two."""
        return over_runs([Quantity(value=each, kind="computed") for each in self.differences])

    @property
    def verdict(self) -> str:
        """Return in words whether the seeds show a difference."""
        mean = self.mean
        if len(self.seeds) < _FEWEST:
            return f"{plural(len(self.seeds), 'seed')}: open"
        low, high = mean.type_a or (mean.known, mean.known)
        return "better" if low > 0 else "worse" if high < 0 else "no difference shown"


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationChart:
    """All pairs that tell the same story."""

    id: str
    """Prefix of all ids in the drawing, unique on the page."""
    title: str
    """What is compared with what."""
    sides: tuple[str, str]
    """Which side is better left of zero, and right of it."""
    pairs: tuple[MatchedPair, ...]
    """At least one."""
    priced: bool = False
    """Whether partners are other exits, so that costs differ too: then a table says it, without a drawing."""

    @property
    def description(self) -> str:
        """Return in words how many pairs differ and which."""
        found: dict[str, list[str]] = {}
        for pair in self.pairs:
            found.setdefault(pair.verdict, []).append(pair.name)
        parts = [f"{verdict}: {listed(names)}" for verdict, names in found.items()]
        return f"Differences in AP of {plural(len(self.pairs), 'exit')}, in percentage points. {'; '.join(parts)}."


def ablation_pictures(study: Study) -> list[Picture]:
    """Return what teaching changes in accuracy, seed by seed; none where the page has nothing to hold it against."""
    together, pictures = across_hosts(study), []
    best = {short_name(point) for point in leaders(together)}
    for chart in ablation_charts(together):
        pairs = drawn(chart.pairs, MOST_LINES, leads=lambda pair: pair.name in best)
        panels = () if chart.priced else (draw(replace(chart, pairs=pairs)),)
        notes = left_out(len(pairs), len(chart.pairs)) if panels else ()
        if panels and any(len(pair.differences) > MOST_DOTS for pair in pairs):
            notes = (*notes, f"Of more than {exact(MOST_DOTS)} seeds not each has a dot; the means are over all.")
        pictures.append(
            Picture(id=chart.id, title=chart.title, panels=panels, data=ablation_table(chart), notes=notes, large=True)
        )
    return pictures


def ablation_charts(study: Study) -> list[AblationChart]:
    """Return what distillation, deep supervision and training exits together change, where the page has both sides.

    Of loops that are not ours nobody knows what else differs.
    """
    if any(run.own for run in study.records):
        return []
    partners = MatchedRuns(study)
    taught = AblationChart(
        id="pairs-taught",
        title="Taught exits against the same exits, supervised only",
        sides=("better without a teacher", "better taught"),
        pairs=tuple(_pairs(study, partners, partners.untaught)),
    )
    together = AblationChart(
        id="pairs-together",
        title="Exits trained together against the same exits trained alone",
        sides=("better alone", "better together"),
        pairs=tuple(_pairs(study, partners, partners.alone)),
    )
    supervised = AblationChart(
        id="pairs-supervised",
        title="Exits under deep supervision against the same exits without it",
        sides=("better without deep supervision", "better with it"),
        pairs=tuple(_pairs(study, partners, partners.less_supervised)),
    )
    shallower = AblationChart(
        id="pairs-shallower",
        title="The exit before the final one, trained together, against the final exit trained alone",
        sides=("better final", "better before it"),
        pairs=tuple(_pairs(study, partners, partners.whole_alone)),
        priced=True,
    )
    chosen = AblationChart(
        id="pairs-chosen",
        title="Other recipes, decodings and mirrored tests against the paper’s",
        sides=("better by the paper", "better so"),
        pairs=tuple(_pairs(study, partners, partners.by_the_paper)),
        priced=True,
    )
    return [each for each in (taught, supervised, together, shallower, chosen) if each.pairs]


def ablation_table(chart: AblationChart) -> Table:
    """Return the differences of a drawing, seed by seed."""
    pairs = chart.pairs
    costs = " Costs are those of the exit, in percent of its partner's." if chart.priced else ""
    return table_of(
        f"{chart.id}-data",
        f"{chart.title}: difference in AP of runs with the same seed.{costs}",
        ("Exit",),
        [pair.name for pair in pairs],
        [
            ("Against", [pair.against for pair in pairs]),
            (DIFFERENCE, [pair.mean for pair in pairs]),
            ("So", [pair.verdict for pair in pairs]),
            *(_priced(pairs) if chart.priced else []),
            (Column(head="Seed by seed", unit=DIFFERENCE.unit), ["; ".join(_each(pair)) for pair in pairs]),
        ],
    )


def _pairs(study: Study, partners: MatchedRuns, partner: Partner) -> list[MatchedPair]:
    points = [point for point in study.points if len(point.group.exits) > 1]
    return [pair for point in points if (pair := _pair(partners, point, partner)) is not None]


def _pair(partners: MatchedRuns, point: Point, partner: Partner) -> MatchedPair | None:
    twins, differences, names = list[tuple[Record, Record]](), [], []
    for run in point.group.runs:
        other = partner(run, point.exit)
        if other is None:
            continue
        values = [each.ap for each in _facing(run, other, point.exit)]
        if None not in values:
            taught, plain = (AP.scale * (value or 0.0) for value in values)
            twins.append((run, other))
            differences.append(taught - plain)
            names.append(partners.group(other).label)
    if not twins:
        return None
    return MatchedPair(
        name=f"{point.group.label}{NBSP}·{NBSP}{point.exit}",
        against=listed(list(dict.fromkeys(names))),
        exit=point.exit,
        twins=tuple(twins),
        differences=tuple(differences),
    )


def _facing(run: Record, other: Record, exit_: int) -> tuple[Exit, Exit]:
    """Return an exit and what it is held against: the same exit, or the only one that the other has."""
    return run.exit(exit_), other.final_exit if len(other.exits) == 1 else other.exit(exit_)


PRICES = {"MACs": MACS, "Energy of an image": ENERGY, "Energy of training": TRAIN_ENERGY}


def _priced(pairs: Sequence[MatchedPair]) -> list[tuple[Column | Metric, list[Quantity]]]:
    """Return columns of what the exits take of what their partners do."""
    energy = prefixed(TRAIN_ENERGY, [pair.added.value for pair in pairs])
    factor = energy.scale / TRAIN_ENERGY.scale
    return [
        *[
            (Column(head=name, unit="% of that"), [pair.price(metric) for pair in pairs])
            for name, metric in PRICES.items()
        ],
        (replace(energy, label="Energy of training added"), [pair.added * factor for pair in pairs]),
    ]


def _each(pair: MatchedPair) -> list[str]:
    """Return the differences seed by seed; of very many, how many."""
    if len(pair.seeds) > MANY_SEEDS:
        return [f"{exact(len(pair.seeds))} seeds"]
    return [
        f"{seed}: {Quantity(value=value).text(digits=2, most_decimals=1)}"
        for seed, value in zip(pair.seeds, pair.differences, strict=True)
    ]


WIDTH = 1120
MOST_LINES = 24
"""Pairs that are drawn; the table has all."""
MOST_DOTS = 1000
"""Seeds of a pair that have a dot each; of more every second one has, or every third."""
_STEP = 30


def draw(chart: AblationChart) -> Drawing:
    """Return the pairs below each other; ids in its SVG begin with `chart.id`."""
    pairs = chart.pairs[:MOST_LINES]

    def paint(figure: Any) -> None:
        axes = panel(figure, left=340, right=330, top=26, bottom=44)
        _frame(axes, pairs, chart.sides)
        seeds = [(each, line - 0.3) for line, pair in enumerate(pairs) for each in _dotted(pair)]
        dots(axes, seeds, color=DIM, size=5)
        for line, pair in enumerate(pairs):
            _line(axes, line, pair)

    size = (WIDTH, 70 + _STEP * len(pairs))
    return Drawing(paint=paint, id=chart.id, size=size, title=chart.title, description=chart.description)


def _dotted(pair: MatchedPair) -> tuple[float, ...]:
    return pair.differences[:: math.ceil(len(pair.differences) / MOST_DOTS)]


def _frame(axes: Any, pairs: tuple[MatchedPair, ...], sides: tuple[str, str]) -> None:
    ends = [0.0, *(end for pair in pairs for end in _ends(pair))]
    room = 0.06 * (max(ends) - min(ends)) or 1.0
    reach = min(ends) - room, max(ends) + room
    around_zero(axes, reach=reach, num_lines=len(pairs), label="difference in AP, percentage points")
    numbered(axes.xaxis, 7, signed=True)
    grid(axes, "x")
    write(axes, shifted(axes, (0, -0.5), (-8, 12)), f"← {sides[0]}", ha="right", fontsize=FONT - 1)
    write(axes, shifted(axes, (0, -0.5), (8, 12)), f"{sides[1]} →", ha="left", fontsize=FONT - 1)


def _line(axes: Any, line: int, pair: MatchedPair) -> None:
    mean = pair.mean
    assert mean.value is not None
    if mean.type_a:
        strokes(axes, [((mean.type_a.low, line), (mean.type_a.high, line))], color=ACCENT, linewidth=2.2)
    axes.plot([mean.value], [line], marker=SHAPES.get(pair.exit, "D"), markersize=9, color=ACCENT, clip_on=False)
    left, right = axes.get_xlim()
    write(axes, shifted(axes, (left, line), (-14, 0)), f"{pair.name} − {pair.against}", ha="right", color=INK)
    text = f"{mean.text(most_decimals=AP.most_decimals)}, {pair.verdict}"
    write(axes, shifted(axes, (right, line), (14, 0)), text, color=INK)


def _ends(pair: MatchedPair) -> list[float]:
    return [*pair.differences, *(pair.mean.type_a or ())]
