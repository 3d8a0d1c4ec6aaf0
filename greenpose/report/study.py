"""The study: runs sorted, repetitions of one experiment together, one point per experiment and exit."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from greenpose.errors import ReportError
from greenpose.formatting import NBSP, listed
from greenpose.metrics import AP, MARGIN, PERCENT, TRAIN_ENERGY, Metric
from greenpose.quantity import Kind, Quantity, amount, missing, over_runs, worst
from greenpose.record import Failure, Record
from greenpose.record.artefacts import ArtefactCosts
from greenpose.record.policy import PolicyCurve
from greenpose.report.labels import identity_of, label_of, labelled, letters, natural, run_order, setting, told_apart
from greenpose.report.quantities import (
    disturbance,
    energy_figure,
    in_unit,
    kind_of,
    of_exit,
    of_million,
    prefixed,
    recorded,
    smaller,
)
from greenpose.store import Predictions, Trace

FLOOR = 20.0
"""AP in percent that an exit must reach to be recommended."""
AnswerT = TypeVar("AnswerT")
_SEVERAL_HOSTS = "its runs are of several hosts, whose time and energy are not averaged"
FIRST, SECOND = "first", "second"
"""The two sides of a comparison."""


class Together:
    """Runs that are asked together, those that are alike in one question.

    A question is a function of a record: a number of it, a word, several in a dictionary or tuple, without effects.
    """

    def __init__(self, runs: Iterable[Record]) -> None:
        self._runs, alike = list(runs), dict[Any, list[int]]()
        for place, run in enumerate(self._runs):
            looks = getattr(run, "looks", None)
            alike.setdefault((place,) if looks is None else id(looks), []).append(place)
        self._parts = [(places, _as_one([self._runs[place] for place in places])) for places in alike.values()]

    def each(self, ask: Callable[[Record], AnswerT]) -> list[AnswerT]:
        """Return what is asked of each run, in their order."""
        found: list[Any] = [None] * len(self._runs)
        for places, part in self._parts:
            for place, answer in zip(places, part.each(ask), strict=True):
                found[place] = answer
        return found

    def quantities(self, ask: Callable[[Record], Quantity | None]) -> list[Quantity]:
        """Return a number of all runs that have it, for a mean over them: of those that are alike one for all."""
        return [each for _, part in self._parts for each in part.quantities(ask) if each is not None]


class Single:
    """A run that is asked by itself."""

    def __init__(self, run: Record) -> None:
        self._run = run

    def each(self, ask: Callable[[Record], AnswerT]) -> list[AnswerT]:
        """Return what is asked of it."""
        return [ask(self._run)]

    def quantities(self, ask: Callable[[Record], Quantity | None]) -> list[Quantity | None]:
        """Return a number of it."""
        return [ask(self._run)]


def _as_one(runs: list[Record]) -> Any:
    """Return who answers for runs that are alike: columns for several, which load numpy, and the run itself for one."""
    if len(runs) == 1:
        return Single(runs[0])
    from greenpose.store.columns import AlikeRuns

    return AlikeRuns(runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Runs that differ in their seed only."""

    label: str
    """Experiment, and whatever else tells it from the other groups."""
    runs: tuple[Record, ...]
    """At least one run, by seed."""
    name: str
    """Experiment with its axes, alike on both sides of a comparison."""
    exits: tuple[int, ...]
    """The exit numbers, shallow to deep."""
    side: str = ""
    """`first` or `second` where two sides are compared; else empty."""
    setting: str = ""
    """Circumstances of measurement, which its runs share; empty where they are of several hosts."""
    parts: tuple["Group", ...] = ()
    """Where its runs are of several hosts, all of them by setting, a seed that several ran once in each; else none."""
    known: dict[Any, Any] = field(init=False, default_factory=dict, compare=False, repr=False)
    """What was found over its runs before, by what it is: many tables and charts ask for the same."""

    @property
    def together(self) -> Together:
        """Return its runs, to be asked together."""
        return _together(self.runs, self.known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One exit of one group: the mean over its runs."""

    group: Group
    """The runs."""
    exit: int
    """Exit number."""

    @property
    def label(self) -> str:
        """Return `HRNet4-OKD exit 3`."""
        return f"{self.group.label} exit {self.exit}"

    @property
    def accuracy(self) -> Metric:
        """Return what the exit is judged by."""
        return self.group.runs[0].accuracy

    @property
    def final(self) -> bool:
        """Return whether this is the deepest exit of its runs."""
        return self.exit == max(self.group.exits)

    @property
    def role(self) -> str:
        """Return the exit's place in the wiring."""
        return self.group.runs[0].exit(self.exit).role

    def figure(self, metric: Metric) -> Quantity:
        """Return the mean of one number over the runs, in display units."""
        if metric.per_machine and self.group.parts:
            return missing(_SEVERAL_HOSTS)
        known, asked = self.group.known, (metric.name, self.exit)
        if asked not in known:
            known[asked] = over_runs(self.group.together.quantities(partial(self._figure, metric)))
        found: Quantity = known[asked]
        shown = in_unit(found, metric) if _in_unit_of_record(metric) else found
        return shown if metric.signed else amount(shown, metric.utmost)

    def _figure(self, metric: Metric, run: Record) -> Quantity:
        if metric.of_run:
            return run.quantity(metric.name)
        read = recorded if _in_unit_of_record(metric) else of_exit
        return read(run.exit(self.exit), metric)


def _in_unit_of_record(metric: Metric) -> bool:
    """Return whether a number has another prefix on another page; accuracies have one unit wherever they stand."""
    return metric.per_machine or metric.kind == "counted"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonSide:
    """One of two sets of runs that are compared: a grid, or a grid at one date."""

    name: str
    """What the user calls it."""
    entries: tuple[Record | Failure, ...]
    """Its runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Everything that one page is about."""

    records: tuple[Record, ...]
    """Finished runs, by group and seed."""
    failures: tuple[Failure, ...]
    """Runs that did not finish, by name."""
    groups: tuple[Group, ...]
    """Finished runs, repetitions together."""
    settings: Mapping[str, Record]
    """One run for each circumstance of measurement, by its letter; time and energy compare within one."""
    sides: Mapping[str, ComparisonSide] = field(default_factory=dict)
    """The two sides that are compared, by `first` and `second`; none where the runs are one set."""
    policies: tuple[PolicyCurve, ...] = ()
    """What is known of leaving early, for some of the runs."""
    artefacts: tuple[ArtefactCosts, ...] = ()
    """What exported models of some of the runs were measured to cost."""
    traces: tuple[Trace, ...] = ()
    """What the logs beside the records tell, where there are few of them."""
    pictures: tuple[Predictions, ...] = ()
    """The pictures beside the records, likewise."""
    left_out: tuple[str, ...] = ()
    """Records that cannot be used: where each lies and what is wrong."""
    margin: float = MARGIN
    """By how much a cheaper exit may be worse than the most accurate one and still be recommended, as it is shown."""
    floor: float = FLOOR
    """What an exit must reach to be recommended, as it is shown; infinitely bad where every one may be."""
    known: dict[str, Any] = field(init=False, default_factory=dict, compare=False, repr=False)
    """What was found over all runs before, by what it is."""

    @property
    def together(self) -> Together:
        """Return the finished runs, to be asked together."""
        return _together(self.records, self.known)

    @property
    def accuracy(self) -> Metric:
        """Return what the exits are judged by, which all runs share: AP where there is none."""
        return next((run.accuracy for run in self.records if run.exits), AP)

    @property
    def points(self) -> tuple[Point, ...]:
        """Return every exit of every group."""
        return tuple(Point(group=group, exit=number) for group in self.groups for number in group.exits)

    @property
    def scored(self) -> tuple[Point, ...]:
        """Return the points whose accuracy is known."""
        return tuple(point for point in self.points if point.figure(point.accuracy).value is not None)

    @property
    def repeated(self) -> bool:
        """Return whether any experiment was run more than once."""
        return any(len(group.runs) > 1 for group in self.groups)

    @property
    def comparable(self) -> bool:
        """Return whether time and energy of all runs may be compared."""
        return len(self.settings) <= 1 and not any(run.process.get("shared_node") for run in self.settings.values())

    @property
    def training_figure(self) -> Metric:
        """Return training energy in the unit that suits all runs of the page."""
        if "training" not in self.known:
            self.known["training"] = energy_figure(self.together.each(lambda run: run.train_energy_kwh))
        found: Metric = self.known["training"]
        return found

    def run_label(self, run: Record) -> str:
        """Return a run's experiment, with its seed where that has been run more than once."""
        of = ((group, each) for group in self.groups for part in group.parts or (group,) for each in part.runs)
        group = next(group for group, each in of if each is run)
        return group.label if len(group.runs) == 1 else f"{group.label}, seed {run.seed}"

    def shown(self, figure: Metric) -> Metric:
        """Return a figure in joules, grams or counts with the prefix that suits all its numbers of the page."""
        if figure.kind == "counted":
            return smaller(figure, [point.figure(figure).value for point in self.points])
        if not figure.per_machine or figure.unit[0] not in "Jg":
            return figure
        if figure.of_run:
            recorded = self.together.each(lambda run: getattr(run, figure.name))
            return prefixed(figure, [each and each * figure.scale for each in recorded])
        return of_million(prefixed(figure, [point.figure(figure).value for point in self.points]))


def _together(runs: Sequence[Record], known: dict[Any, Any]) -> Together:
    if "together" not in known:
        known["together"] = Together(runs)
    found: Together = known["together"]
    return found


def study(
    entries_: Sequence[Record | Failure],
    *,
    policies: Sequence[PolicyCurve] = (),
    artefacts: Sequence[ArtefactCosts] = (),
) -> Study:
    """Return records and failures in an order that does not depend on the order given."""
    found = _study(entries_, _groups(_records(entries_)))
    return replace(found, policies=tuple(policies), artefacts=tuple(artefacts))


def side_by_side(first: ComparisonSide, second: ComparisonSide) -> Study:
    """Return two sets of runs that stay apart: no group holds runs of both."""
    together = _records([*first.entries, *second.entries])
    groups = [
        group
        for name, side in zip((FIRST, SECOND), (first, second), strict=True)
        for group in _groups(_records(side.entries), among=together, side=name)
    ]
    found = _study([*first.entries, *second.entries], sorted(groups, key=lambda group: natural(group.label)))
    return replace(found, sides={FIRST: first, SECOND: second})


def alike(first: Sequence[Record | Failure], second: Sequence[Record | Failure]) -> bool:
    """Return whether two sets of runs hold the same experiment with the same seed, so that one can be held against it.

    Other seeds or other experiments belong together: they are one set.
    """
    done = [{(label_of(run), run.seed) for run in _records(side)} for side in (first, second)]
    return bool(done[0] & done[1])


def by_exit(groups: Sequence[Group]) -> list[tuple[str, list[str]]]:
    """Return the lines of a table with one for each exit: a section for each group."""
    return [(group.label, list(map(str, group.exits))) for group in groups]


def run_names(study: Study) -> list[str]:
    """Return the names of all runs, those that several hosts have with their settings."""
    times, letter = (
        Counter(run.name for run in study.records),
        {setting(run): key for key, run in study.settings.items()},
    )
    return [
        f"{run.name} (setting {letter[setting(run)]})" if times[run.name] > 1 and len(letter) > 1 else run.name
        for run in study.records
    ]


def _records(entries_: Sequence[Record | Failure]) -> list[Record]:
    return sorted((each for each in entries_ if isinstance(each, Record)), key=run_order)


def _study(entries_: Sequence[Record | Failure], groups: Sequence[Group]) -> Study:
    failures = sorted((each for each in entries_ if isinstance(each, Failure)), key=lambda each: (each.name, each.at))
    records = tuple(run for group in groups for run in group.runs)
    settings = {group.setting: group.runs[-1] for group in groups}
    _require_one_metric(records)
    return _judged(
        Study(
            records=records,
            failures=tuple(failures),
            groups=tuple(groups),
            settings={letters(index): settings[key] for index, key in enumerate(sorted(settings))},
        )
    )


def _require_one_metric(records: Sequence[Record]) -> None:
    """Refuse to rank what is judged by different things."""
    found = {(run.accuracy.label, run.accuracy.unit, run.accuracy.lower): run for run in records if run.exits}
    if len(found) > 1:
        told = listed([f"{run.accuracy.words} ({run.name})" for run in found.values()])
        raise ReportError(f"these runs are judged by different metrics, so they cannot be ranked together: {told}")


def _judged(study: Study) -> Study:
    """Return the study with the margin and the floor of its metric, where that is not AP."""
    metric = study.accuracy
    if metric is AP:
        return study
    known = [metric.gain(each.known) for point in study.scored if (each := point.figure(metric))]
    relative = abs(max(known, default=0.0)) * MARGIN / PERCENT
    margin = metric.margin if metric.margin is not None else MARGIN if metric.unit == "%" else relative
    floor = metric.floor if metric.floor is not None else metric.gain(-math.inf)
    return replace(study, margin=float(f"{margin:.2g}"), floor=floor)


def over_settings(study: Study) -> list[tuple[str, tuple[Group, ...]]]:
    """Return the groups of one experiment, which differ in their setting only, together, each with a label for all."""
    found: dict[tuple[str, ...], list[Group]] = {}
    for group in study.groups:
        found.setdefault((group.side, *identity_of(group.runs[0])[1:]), []).append(group)
    named = {key: labelled(some[0].name, "", (), some[0].side) for key, some in found.items()}
    labels = told_apart(named, {key: some[0].runs for key, some in found.items()})
    return [(labels[key], tuple(some)) for key, some in found.items()]


def _groups(records: Sequence[Record], *, among: Sequence[Record] = (), side: str = "") -> tuple[Group, ...]:
    """Return the runs in groups; `among` are all runs of the page, whose settings are told apart by a letter."""
    found: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        found.setdefault(identity_of(record), []).append(record)
    settings = sorted({setting(record) for record in among} or {key[0] for key in found})
    names = {key: label_of(runs[0]) for key, runs in found.items()}
    labels = told_apart({key: labelled(name, key[0], settings, side) for key, name in names.items()}, found)
    groups = [
        Group(
            label=labels[key],
            runs=tuple(runs),
            exits=tuple(sorted({entry.exit for entry in runs[0].exits})),
            name=names[key],
            side=side,
            setting=key[0],
        )
        for key, runs in found.items()
    ]
    return tuple(sorted(groups, key=lambda group: natural(group.label)))


def gross_kwh(run: Record) -> float:
    """Return all that a run drew."""
    return sum(phase.energy_kwh for phase in run.phases)


def energy_kind(of: Group | Study) -> Kind:
    """Return how the energy of the least well metered of the runs was obtained; measured where there are none."""
    return worst({*of.together.each(lambda run: kind_of(run, TRAIN_ENERGY))} or ["measured"])


def short_name(point: Point) -> str:
    """Return the experiment, and the exit behind a dot where it has several."""
    return point.group.label if len(point.group.exits) == 1 else f"{point.group.label}{NBSP}·{NBSP}{point.exit}"


def measurement(point: Point, key: str) -> list[Any]:
    """Return what each run says under a name of how the exit was measured."""
    return point.group.together.each(lambda run: run.exit(point.exit).measurement.get(key))


def disturbances(point: Point) -> list[tuple[float, float]]:
    """Return for each run the shares of the CPU that other processes and other guests took, as `disturbance`."""
    return point.group.together.each(lambda run: disturbance(run.exit(point.exit)))


def not_converged(study: Study) -> list[str]:
    """Return the exits whose energy did not reach the asked precision within the allowed blocks, in any run."""
    return [point.label for point in study.points if False in measurement(point, "converged")]


def validation_curves(point: Point) -> list[list[tuple[int, float]]]:
    """Return of each run the epochs at which the exit was validated, each with its AP in percent."""

    def curve(run: Record) -> list[tuple[int, float]]:
        return [(each.epoch, PERCENT * told[point.exit]) for each in run.validations if point.exit in (told := each.ap)]

    return point.group.together.each(curve)
