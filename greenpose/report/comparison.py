"""Two sides of a comparison: what differs around the runs, and by how much their numbers differ, where that is fair."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from greenpose.formatting import NBSP, exact, listed, plain, plural
from greenpose.metrics import AP, CO2, CPU, ENERGY, LATENCY, MACS, PARAMS, TRAIN_CO2, Metric
from greenpose.record import Record
from greenpose.report.differences import FEWEST_PAIRS, Difference, contrast
from greenpose.report.header import code, data, place
from greenpose.report.labels import flat, setting_facts
from greenpose.report.study import FIRST, SECOND, Group, Point, Study
from greenpose.tables import Column, Table, TableCell, kind_notes, table_of

TRAIN_SECONDS = Metric(name="train_seconds", label="Training time", unit="s", words="training time", of_run=True)
_SIZES, _COSTS = (PARAMS, MACS), (CPU, LATENCY, ENERGY, CO2)
_SAME_MACHINE = (CPU.name, LATENCY.name, ENERGY.name, CO2.name, TRAIN_SECONDS.name, "train_energy_kwh", TRAIN_CO2.name)
_SAME_SOURCE = (ENERGY.name, CO2.name, "train_energy_kwh", TRAIN_CO2.name)
_SAME_GRID = (CO2.name, TRAIN_CO2.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """A circumstance that has to be the same before some numbers may be subtracted."""

    words: str
    """What differs."""
    of: Callable[[Record], Any]
    """Return what has to be the same."""
    figures: tuple[str, ...]
    """Names of the numbers that do not compare across it."""


UNKNOWN = object()
"""What a record of an earlier version does not tell: no reason not to compare."""
REASONS = (
    Reason(words="another machine", of=lambda run: run.host.get("fingerprint") or run.host, figures=_SAME_MACHINE),
    Reason(words="another host of that make", of=lambda run: run.host.get("host", UNKNOWN), figures=_SAME_MACHINE),
    Reason(words="another device", of=lambda run: run.process.get("device"), figures=_SAME_MACHINE),
    Reason(words="another number of threads", of=lambda run: run.process.get("torch_threads"), figures=_SAME_MACHINE),
    Reason(
        words="other runs at the same time",
        of=lambda run: [run.process.get(key) for key in ("concurrent_workers", "shared_node")],
        figures=_SAME_MACHINE,
    ),
    Reason(
        words="another energy source",
        of=lambda run: [[part.component, part.kind, part.method] for part in run.components],
        figures=_SAME_SOURCE,
    ),
    Reason(
        words="another grid intensity",
        of=lambda run: [run.carbon.country, run.carbon.intensity_g_per_kwh, run.carbon.vintage, run.carbon.pue],
        figures=_SAME_GRID,
    ),
    Reason(
        words="other test data",
        of=lambda run: [run.config.get("data"), run.images.get("test"), run.dataset.get("area")],
        figures=(AP.name,),
    ),
    Reason(
        words="other annotations of the test images",
        of=lambda run: run.dataset.get("annotations_sha256", {}).get("test", UNKNOWN),
        figures=(AP.name,),
    ),
)
"""What forbids which differences, most telling first; sizes are exact, and compare across all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One experiment on both sides."""

    name: str
    """The experiment."""
    first: Group
    """Its runs on the first side."""
    second: Group
    """Its runs on the second side."""

    def refusal(self, figure: Metric) -> str:
        """Return why a number of the two is not subtracted; empty where it may be."""
        name = AP.name if _is_accuracy(figure) else figure.name
        return next((each.words for each in REASONS if name in each.figures and self._differs(each.of)), "")

    def of(self, exit_: int, figure: Metric) -> Difference:
        """Return by how much an exit's number differs; the exit must be on both sides."""
        first, second = (Point(group=group, exit=exit_) for group in (self.first, self.second))
        return contrast(first, second, figure, points=_is_accuracy(figure))

    @property
    def exits(self) -> tuple[int, ...]:
        """Return the exits that both sides have."""
        return tuple(each for each in self.first.exits if each in self.second.exits)

    def _differs(self, of: Callable[[Record], Any]) -> bool:
        runs = (*self.first.runs, *self.second.runs)
        told = [value for run in runs if (value := of(run)) is not UNKNOWN]
        return len({json.dumps(value, sort_keys=True, default=str) for value in told}) > 1


def _is_accuracy(figure: Metric) -> bool:
    """Return whether a number is judged in its own unit: what was computed from predictions."""
    return figure.kind == "computed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What changed from the first side to the second."""

    verdict: str
    """What moved most, in at most 15 words."""
    summary: str
    """How many numbers differ."""
    sentences: tuple[str, ...]
    """What was refused and why, what stands on one side only."""
    circumstances: Table | None
    """What differs around the runs; None where nothing does."""
    exits: Table
    """Differences of every exit."""
    training: Table
    """Differences of every experiment's training."""


def changes(study: Study) -> Changes | None:
    """Return what changed; None where the page does not compare two sides."""
    if not study.sides:
        return None
    pairs = matched(study)
    trained = (TRAIN_SECONDS, study.training_figure, TRAIN_CO2)
    of_exits = (*map(study.shown, _SIZES), study.accuracy, *_COSTS)
    found = [(figure, pair.of(exit_, figure)) for pair, exit_, figure in _fair(pairs, (*of_exits, *trained))]
    return Changes(
        verdict=_verdict(found),
        summary=f"From the first side to the second: {_summary(found)}",
        sentences=(*_refusals(pairs, (*of_exits, *trained)), *_unmatched(study, pairs)),
        circumstances=_circumstances(study, pairs),
        exits=_exits_table(pairs, of_exits),
        training=_training_table(pairs, trained),
    )


def matched(study: Study) -> list[Pair]:
    """Return the experiments that stand once on each side."""
    first, second = (_by_name(study, side) for side in (FIRST, SECOND))
    return [
        Pair(name=name, first=first[name][0], second=second[name][0])
        for name in first
        if len(first[name]) == len(second.get(name, ())) == 1
    ]


def _by_name(study: Study, side: str) -> dict[str, list[Group]]:
    found: dict[str, list[Group]] = {}
    for group in study.groups:
        if group.side == side:
            found.setdefault(group.name, []).append(group)
    return found


def _fair(pairs: Sequence[Pair], figures: Sequence[Metric]) -> Iterator[tuple[Pair, int, Metric]]:
    """Yield every number that is subtracted; those of a whole run once, at its deepest exit."""
    for pair in pairs:
        for figure in figures:
            if not pair.refusal(figure):
                for exit_ in pair.exits[-1:] if figure.of_run else pair.exits:
                    yield pair, exit_, figure


def _verdict(found: Sequence[tuple[Metric, Difference]]) -> str:
    """Return what moved most beyond its interval: accuracy before percent of a cost."""
    known = [(figure, each) for figure, each in found if each.value is not None]
    if not known:
        return "Not comparable: no number stands on both sides."
    moved = [(figure, each) for figure, each in known if each.verdict == "differs"]
    if not moved:
        return f"The second side is like the first: none of {plural(len(known), 'number')} moved beyond its interval."
    figure, most = max(moved, key=lambda each: (_is_accuracy(each[0]), abs(each[1].change.known)))
    change = most.change.known
    by = f"{plain(abs(change), 2)}{NBSP}%{NBSP}{'more' if change > 0 else 'less'}"
    if _is_accuracy(figure):
        by = f"{plain(abs(change), 2)}{NBSP}{figure.points}{NBSP}{'better' if figure.gain(change) > 0 else 'worse'}"
    count = f"{exact(len(moved))} of {plural(len(known), 'number')}"
    return f"{count} moved on the second side; {figure.words} the most, {by}."


def _summary(found: Sequence[tuple[Metric, Difference]]) -> str:
    known = [(figure, each) for figure, each in found if each.value is not None]
    if not known:
        return "no number stands on both."
    moved = Counter(figure.words for figure, each in known if each.verdict == "differs")
    words = {
        "differs": f"differ beyond their intervals ({listed([f'{count} {name}' for name, count in moved.items()])})",
        "alike": "are not distinguishable (the interval of the difference holds zero)",
        "same": "are exactly the same",
        "bare": "differ and have no interval that could tell whether by chance",
    }
    counts = {name: sum(each.verdict == name for _, each in known) for name in words}
    said = listed([f"{count} {words[name]}" for name, count in counts.items() if count])
    return f"of {plural(len(known), 'number')} on both, {said}."


def _refusals(pairs: Sequence[Pair], figures: Sequence[Metric]) -> list[str]:
    """Return which numbers are not subtracted and why, one sentence for each reason."""
    found: dict[str, dict[str, list[str]]] = {}
    for pair in pairs:
        for figure in figures:
            if reason := pair.refusal(figure):
                found.setdefault(reason, {}).setdefault(figure.words, []).append(pair.name)
    sentences = []
    for reason, refused in found.items():
        names = list(dict.fromkeys(name for each in refused.values() for name in each))
        where = "" if len(names) == len(pairs) else f" of {listed(names)}"
        sentences.append(f"Not subtracted: {listed(list(refused))}{where}, since the second side has {reason}.")
    return sentences


def _unmatched(study: Study, pairs: Sequence[Pair]) -> list[str]:
    """Return the experiments that are not held against each other, and why not."""
    known = {pair.name for pair in pairs}
    sides = {side: _by_name(study, side) for side in (FIRST, SECOND)}
    sentences = []
    for side, other in ((FIRST, SECOND), (SECOND, FIRST)):
        alone = [name for name in sides[side] if name not in sides[other]]
        if alone:
            sentences.append(f"On the {side} side only: {listed(alone)}.")
    several = [name for name in sides[FIRST] if name in sides[SECOND] and name not in known]
    if several:
        sentences.append(
            f"Not compared, since a side holds it in several settings or configurations: {listed(several)}."
        )
    return sentences


def _circumstances(study: Study, pairs: Sequence[Pair]) -> Table | None:
    unlike = [(name, values) for name, values in _facts(study, pairs) if values[0] != values[1]]
    if not unlike:
        return None
    return table_of(
        "circumstances",
        "What differs around the runs. All that is recorded and not listed here is the same on both sides.",
        ("What",),
        [name for name, _ in unlike],
        [
            (f"{name.capitalize()}: {side.name}", [values[index] for _, values in unlike])
            for index, (name, side) in enumerate(study.sides.items())
        ],
    )


def _facts(study: Study, pairs: Sequence[Pair]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield what is known of both sides, alike or not."""
    told: Mapping[str, Callable[[Record], str]] = {
        "Date": lambda run: run.finished_at[:10],
        "Code": code,
        "Host": lambda run: " ".join(str(run.host[key]) for key in ("fingerprint", "host") if run.host.get(key)),
        "Device": lambda run: str(run.process.get("device") or "not recorded"),
        "Place and grid": place,
        "Grade": lambda run: run.grade,
        "Data": data,
    }
    sides = [[run for group in study.groups if group.side == side for run in group.runs] for side in (FIRST, SECOND)]
    for name, words in told.items():
        yield name, _both(sides, words)
    for index, (name, _) in enumerate(setting_facts(sides[0][0]) if all(sides) else ()):
        yield name, _both(sides, lambda run, at=index: setting_facts(run)[at][1])  # type: ignore[misc]
    yield "Seeds", _both(sides, lambda run: str(run.seed))
    for names, first, second in _configurations(pairs):
        yield f"Configuration of {listed(names)}", (first, second)


def _both(sides: Sequence[Sequence[Record]], words: Callable[[Record], str]) -> tuple[str, str]:
    first, second = ("; ".join(sorted({words(run) for run in runs})) or "no run finished" for runs in sides)
    return first, second


def _configurations(pairs: Sequence[Pair]) -> list[tuple[list[str], str, str]]:
    """Return what differs in the configuration of experiments: their names, and the settings on both sides."""
    found: dict[tuple[str, str], list[str]] = {}
    for pair in pairs:
        first, second = (flat(group.runs[0].config) for group in (pair.first, pair.second))
        keys = [key for key in dict.fromkeys((*first, *second)) if first.get(key) != second.get(key) and key != "seed"]
        if keys:
            said = [", ".join(f"{key}: {each.get(key, 'not set')}" for key in keys) for each in (first, second)]
            found.setdefault((said[0], said[1]), []).append(pair.name)
    return [(names, *said) for said, names in found.items()]


def _exits_table(pairs: Sequence[Pair], figures: Sequence[Metric]) -> Table:
    return table_of(
        "changes",
        "Second side less first, with the 95 % interval of the difference: seed by seed where both sides ran the same "
        f"seeds, {FEWEST_PAIRS} or more, else both intervals in quadrature. Where it holds zero, the numbers are not "
        "distinguishable.",
        ("Experiment", "Exit"),
        [(pair.name, list(map(str, pair.exits))) for pair in pairs if pair.exits],
        _columns(pairs, figures, [(pair, exit_) for pair in pairs for exit_ in pair.exits]),
    )


def _training_table(pairs: Sequence[Pair], figures: Sequence[Metric]) -> Table:
    found = [pair for pair in pairs if pair.exits]
    return table_of(
        "changes-training",
        "The same for training as a whole, mean over the runs of a side.",
        ("Experiment",),
        [pair.name for pair in found],
        _columns(pairs, figures, [(pair, pair.exits[-1]) for pair in found]),
    )


def _columns(
    pairs: Sequence[Pair], metrics: Sequence[Metric], exits: Sequence[tuple[Pair, int]]
) -> list[tuple[Column, list[TableCell]]]:
    """Return a column for each number that is subtracted in any of the pairs."""
    fair = [metric for metric in metrics if not all(pair.refusal(metric) for pair in pairs)]
    return [(_column(metric, pairs), [_cell(pair, exit_, metric) for pair, exit_ in exits]) for metric in fair]


def _column(figure: Metric, pairs: Sequence[Pair]) -> Column:
    numbers = [
        Point(group=group, exit=pair.exits[-1]).figure(figure)
        for pair in pairs
        if pair.exits and not pair.refusal(figure)
        for group in (pair.first, pair.second)
    ]
    unit = figure.points_in_full if _is_accuracy(figure) else "% of first"
    return Column(
        head=figure.label, unit=unit, notes=kind_notes(each.kind for each in numbers if each.value is not None)
    )


def _cell(pair: Pair, exit_: int, figure: Metric) -> TableCell:
    if reason := pair.refusal(figure):
        return TableCell(value="not subtracted", interval=reason)
    return pair.of(exit_, figure).cell
