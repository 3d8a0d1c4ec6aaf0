"""The study: runs sorted, repetitions of one experiment together, one point per experiment and exit."""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from greenpose.errors import ReportError
from greenpose.formatting import NBSP, exact, listed, plain, plural, shown
from greenpose.metrics import AP, PERCENT, TRAIN_ENERGY, Metric
from greenpose.quantity import Kind, Quantity, missing, over_runs, worst
from greenpose.record import Failure, Record
from greenpose.record.artefacts import ArtefactCosts
from greenpose.record.policy import PolicyCurve
from greenpose.report.quantities import energy_figure, in_unit, kind_of, of_exit, prefixed, recorded
from greenpose.store import Predictions, Trace
from greenpose.store.together import Together

_HOST_WORDS = {"cpu": "{}", "gpus": "{}", "vcpus": "{} logical CPUs", "ram_gb": "{} GB memory", "os": "{}"}
"""What is told of a machine, and how."""
MANY_SEEDS = 12
"""Seeds beyond which not each is named."""
MOST_SETTINGS = 3
"""Settings by which runs of one name are told apart; beyond, by the hash of all of them."""
LONGEST_SETTINGS = 80
"""Characters that these may take in a label."""
MARGIN, FLOOR = 2.0, 20.0
"""Points of AP that a cheaper exit may lose, and the AP in percent that an exit must reach, to be recommended."""
_SEVERAL_HOSTS = "its runs are of several hosts, whose time and energy are not averaged"
FIRST, SECOND = "first", "second"
"""The two sides of a comparison."""


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
        return in_unit(found, metric) if metric.per_machine else found

    def _figure(self, metric: Metric, run: Record) -> Quantity:
        if metric.of_run:
            return run.quantity(metric.name)
        read = recorded if metric.per_machine else of_exit  # sizes and accuracies have one unit wherever they stand
        return read(run.exit(self.exit), metric)


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
        """Return a figure in joules or grams with the prefix that suits all its numbers of the page."""
        if not figure.per_machine or figure.unit[0] not in "Jg":
            return figure
        if figure.of_run:
            recorded = self.together.each(lambda run: getattr(run, figure.name))
            return prefixed(figure, [each and each * figure.scale for each in recorded])
        return prefixed(figure, [point.figure(figure).value for point in self.points])


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
    done = [{(_label(run), run.seed) for run in _records(side)} for side in (first, second)]
    return bool(done[0] & done[1])


def by_exit(groups: Sequence[Group]) -> list[tuple[str, list[str]]]:
    """Return the lines of a table with one for each exit: a section for each group."""
    return [(group.label, list(map(str, group.exits))) for group in groups]


def host_name(record: Record) -> str:
    """Return the machine in words: what its fingerprint says of processor, memory and system."""
    host = record.host
    parts = [words.format(_host_word(host[key])) for key, words in _HOST_WORDS.items() if host.get(key)]
    return ", ".join(parts) or "a machine that the record does not describe"


def setting(record: Record) -> str:
    """Return what has to be equal before seconds and joules are compared: machine, process, energy source."""
    fingerprint = record.host.get("fingerprint") or json.dumps(record.host, sort_keys=True, default=str)
    name = record.host.get("host")  # last, so that letters follow the kind of machine
    sources = [[part.component, part.kind, part.method] for part in record.components]
    process = [record.process.get(key) for key in ("device", "torch_threads", "concurrent_workers")]
    process += [True] if record.process.get("shared_node") else []
    return json.dumps([fingerprint, process, sources, record.carbon.country, name], default=str)


def host_of(record: Record) -> str:
    """Return what tells a host from others, machines of one make included: its fingerprint and its name's digest."""
    return " ".join(str(record.host.get(key)) for key in ("fingerprint", "host"))


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


def seeds(runs: Sequence[Record]) -> str:
    """Return the seeds of runs in words: each, or of very many the first and the last."""
    found = sorted({run.seed for run in runs})
    if len(found) <= MANY_SEEDS:
        return ", ".join(map(str, found))
    return f"{found[0]}–{found[-1]} ({exact(len(found))} of them)"


def natural(text: str) -> list[tuple[int, str]]:
    """Return a sorting key that puts HRNet2 before HRNet10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]


def _records(entries_: Sequence[Record | Failure]) -> list[Record]:
    return sorted((each for each in entries_ if isinstance(each, Record)), key=_run_order)


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
        found.setdefault((group.side, *_identity(group.runs[0])[1:]), []).append(group)
    named = {key: _with(some[0].name, "", (), some[0].side) for key, some in found.items()}
    labels = _told_apart(named, {key: some[0].runs for key, some in found.items()})
    return [(labels[key], tuple(some)) for key, some in found.items()]


def _groups(records: Sequence[Record], *, among: Sequence[Record] = (), side: str = "") -> tuple[Group, ...]:
    """Return the runs in groups; `among` are all runs of the page, whose settings are told apart by a letter."""
    found: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        found.setdefault(_identity(record), []).append(record)
    settings = sorted({setting(record) for record in among} or {key[0] for key in found})
    names = {key: _label(runs[0]) for key, runs in found.items()}
    labels = _told_apart({key: _with(name, key[0], settings, side) for key, name in names.items()}, found)
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


def _told_apart(
    labels: Mapping[tuple[str, ...], str], found: Mapping[tuple[str, ...], Sequence[Record]]
) -> dict[tuple[str, ...], str]:
    """Return labels that no two groups share: those that do are followed by the settings in which they differ.

    Where these are many, or nothing in the configuration, they are followed by the beginning of its hash, and where
    even that is the same, by a number.
    """
    alike: dict[str, list[tuple[str, ...]]] = {}
    for key, label in labels.items():
        alike.setdefault(label, []).append(key)
    apart: dict[tuple[str, ...], str] = {}
    for label, keys in alike.items():
        words = _differences([found[key][0] for key in keys]) if len(keys) > 1 else [""]
        again = Counter(words)
        for number, (key, said) in enumerate(zip(keys, words, strict=True), 1):
            unlike = said if again[said] == 1 else f"{said}, {number} of {len(keys)}"
            apart[key] = f"{label} ({unlike})" if unlike else label
    return apart


def _differences(runs: Sequence[Record]) -> list[str]:
    """Return for each of several runs the settings in which it differs from the others: `train.lr=0.01`."""
    told = [flat(run.config) | {"annotations": _annotations(run)} for run in runs]
    keys = [key for key in dict.fromkeys(key for each in told for key in each) if key not in ("seed", "name")]
    keys = [key for key in keys if len({each.get(key) for each in told}) > 1]
    if not 0 < len(keys) <= MOST_SETTINGS:
        return [run.config_hash[:8] for run in runs]
    said = [shown(", ".join(_told(key, each.get(key, "not set")) for key in keys)) for each in told]
    return said if max(map(len, said)) <= LONGEST_SETTINGS else [run.config_hash[:8] for run in runs]


def _told(key: str, value: str) -> str:
    return f"{key}{' ' if key == 'annotations' else '='}{value}"


def _annotations(run: Record) -> str:
    """Return what tells the run's annotations from others, split by split."""
    return "/".join(digest[:6] for digest in run.dataset.get("annotations_sha256", {}).values()) or "not told"


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return a configuration with dotted keys."""
    found: dict[str, str] = {}
    for key, value in config.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": str(value)}
    return found


def letters(index: int) -> str:
    """Return `A` to `Z`, then `AA`, `AB` and so on, as spreadsheets name their columns."""
    before, last = divmod(index, 26)
    return (letters(before - 1) if before else "") + chr(ord("A") + last)


def _with(name: str, own: str, settings: Sequence[str], side: str) -> str:
    """Return a name with its side and setting, those that there are several of."""
    parts = [side] if side else []
    parts += [f"setting {letters(settings.index(own))}"] if len(settings) > 1 else []
    return f"{name} ({', '.join(parts)})" if parts else name


def _label(record: Record) -> str:
    last = {name: str(value).rpartition("/")[2] or value for name, value in record.axes.items()}  # of a path
    axes = [f"{name.rpartition('.')[2]}={value}" for name, value in last.items() if name != "seed"]
    return shown(" ".join([record.experiment, *axes]))


def _identity(record: Record) -> tuple[str, ...]:
    """Return what runs of one group share: the setting, then everything else but the seed, annotations included."""
    config = {key: value for key, value in record.config.items() if key != "seed"}
    exits = sorted(entry.exit for entry in record.exits)
    settled = json.dumps([_label(record), exits, config], sort_keys=True, default=str)
    return setting(record), settled, json.dumps(record.dataset.get("annotations_sha256"), sort_keys=True)


def _run_order(record: Record) -> tuple[Any, ...]:
    return natural(record.experiment), record.seed, record.name, record.started_at, record.finished_at


def _host_word(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return plain(value, 2) if isinstance(value, float) else str(value)


def gross_kwh(run: Record) -> float:
    """Return all that a run drew."""
    return sum(phase.energy_kwh for phase in run.phases)


def energy_kind(of: Group | Study) -> Kind:
    """Return how the energy of the least well metered of the runs was obtained; measured where there are none."""
    return worst({*of.together.each(lambda run: kind_of(run, TRAIN_ENERGY))} or ["measured"])


def setting_facts(run: Record) -> list[tuple[str, str]]:
    """Return under which circumstances a run was measured: machine, threads, allocator, neighbours, energy sources."""
    process = run.process
    threads = process.get("torch_threads")
    workers = process.get("concurrent_workers", 1)
    pinned = process.get("pinned")
    environment = process.get("environment") or {}
    return [
        ("Machine", host_name(run)),
        ("Threads", plural(threads, "torch thread") if threads else "not recorded"),
        ("Allocator", _allocator(pinned, environment)),
        (
            "Other runs at the same time",
            "unknown: a shared node" if process.get("shared_node") else _neighbours(workers),
        ),
        ("Energy sources", "; ".join(f"{part.component}: {part.method} ({part.kind})" for part in run.components)),
        ("Software", ", ".join(f"{name}{NBSP}{version}" for name, version in run.software.items())),
    ]


def _allocator(pinned: bool | None, environment: Mapping[str, str]) -> str:
    settings = ", ".join(f"{name}={value}" for name, value in environment.items())
    state = {True: "pinned", False: "not pinned: identical code may differ between two processes", None: "not recorded"}
    return f"{state[pinned]} ({settings})" if settings else state[pinned]


def _neighbours(workers: int) -> str:
    return "none" if workers <= 1 else f"{workers - 1}: their load is in these joules and seconds"


def short_name(point: Point) -> str:
    """Return the experiment, and the exit behind a dot where it has several."""
    return point.group.label if len(point.group.exits) == 1 else f"{point.group.label}{NBSP}·{NBSP}{point.exit}"
