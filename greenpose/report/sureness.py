"""How sure the numbers are: repetitions, test images, blocks, convergence, and the process that was measured."""

from collections.abc import Mapping, Sequence
from typing import Any

from greenpose.formatting import NBSP, Text, exact, listed, plain, plural
from greenpose.record import Record
from greenpose.report.layout import Cell, Column, Row, Section, Table, missing_cell, number_cell
from greenpose.report.purposes import energy_kind
from greenpose.report.study import Point, Study, entries, host_name, seeds

_MEASURES: Mapping[str, tuple[str, str, float]] = {
    "items_per_call": ("Batch", "images", 1),
    "blocks": ("Blocks", "count", 1),
    "calls": ("Calls", "count", 1),
    "window_seconds": ("Window", "s", 1),
    "idle_watts": ("Idle power", "W", 1),
    "between_runs": ("Runs differ by, assumed", "% (1 sd)", 100),
    "converged": ("Precise as asked", "", 1),
    "foreign_cpu_share": ("Other processes", "% of CPU time", 100),
    "steal_share": ("Other guests", "% of CPU time", 100),
    "involuntary_switches": ("Interruptions", "count", 1),
    "minor_faults": ("Page faults", "count", 1),
    "resolution_share": ("Counter step", "% of a window", 100),
}
"""How the page words what a record says about the measuring of an exit: heading, unit, factor."""


def sureness_table(study: Study) -> Table:
    """Return what stands behind the intervals of each exit: runs, seeds, test images, blocks, convergence."""
    keys = _measurement_keys(study)
    columns = (
        Column(head="Runs", unit="count"),
        Column(head="Seeds", words=True),
        Column(head="Test images", unit="count"),
        Column(head="Test subjects", unit="count"),
        *(Column(head=head, unit=unit, words=not unit) for head, unit, _ in map(_measure, keys)),
    )
    sections = [
        Section(
            head=group.label,
            rows=tuple(
                Row(head=str(number), cells=_cells(Point(group=group, exit=number), keys)) for number in group.exits
            ),
        )
        for group in study.groups
    ]
    return Table(
        id="sureness",
        caption="What stands behind the intervals of each exit, and what disturbed its measuring. Where runs differ, "
        "the range is given.",
        heads=("Experiment", "Exit"),
        columns=columns,
        sections=tuple(sections),
    )


def not_converged(study: Study) -> list[str]:
    """Return the exits whose energy did not reach the asked precision within the allowed blocks, in any run."""
    return [
        point.label
        for point in study.points
        if any(entry.measurement.get("converged") is False for entry in entries(point))
    ]


def precision(study: Study) -> str:
    """Return in a sentence whether metering of inference became as precise as was asked."""
    known = [
        entry.measurement["converged"]
        for point in study.points
        for entry in entries(point)
        if isinstance(entry.measurement.get("converged"), bool)
    ]
    unsettled = not_converged(study)
    if unsettled:
        return (
            "Metering stopped at its limit of blocks or seconds before it was as precise as asked: "
            f"{listed(unsettled)}."
        )
    if known:
        return "Metering of every exit became as precise as was asked."
    return "The records do not say whether metering became as precise as was asked."


def warnings(study: Study) -> list[str]:
    """Return what the meter warned of, each with the exits that it concerns."""
    found: dict[str, list[str]] = {}
    for point in study.points:
        for entry in entries(point):
            for warning in entry.measurement.get("warnings") or ():
                found.setdefault(str(warning), []).append(point.label)
    return [f"{warning} ({listed(list(dict.fromkeys(labels)))})" for warning, labels in found.items()]


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
        ("Other runs at the same time", _neighbours(workers)),
        ("Energy sources", "; ".join(f"{part.component}: {part.method} ({part.kind})" for part in run.components)),
        ("Software", ", ".join(f"{name}{NBSP}{version}" for name, version in run.software.items())),
    ]


def _cells(point: Point, keys: Sequence[str]) -> tuple[Cell, ...]:
    runs = point.group.runs
    measured = [entry.measurement for entry in entries(point)]
    return (
        Cell(value=str(len(runs))),
        Cell(value=seeds(runs)),
        _summary([run.images.get("test", 0) for run in runs]),
        _summary([run.subjects.get("test") or "not known" for run in runs]),
        *(_measured(point, measured, key) for key in keys),
    )


def _measured(point: Point, said: Sequence[Mapping[str, Any]], key: str) -> Cell:
    """Return what the runs say under a name; watts are marked as the joules are that they come from."""
    cell = _summary([_scaled(each[key], key) for each in said if each.get(key) is not None])
    if _measure(key)[1] != "W" or cell.missing:
        return cell
    return number_cell(Text(value=cell.value), kind=energy_kind(point.group.runs))


def _summary(values: Sequence[Any]) -> Cell:
    """Return one value, the range of numbers, the tally of yes and no, or the distinct words."""
    if not values:
        return missing_cell("the record says nothing about it")
    if all(isinstance(value, bool) for value in values):
        return Cell(value=_tally(values))
    if all(isinstance(value, int | float) for value in values):
        low, high = _shown(min(values)), _shown(max(values))
        return Cell(value=low if low == high else f"{low}–{high}")
    return Cell(value=listed([str(value) for value in dict.fromkeys(values)]))


def _tally(values: Sequence[bool]) -> str:
    if all(values):
        return "yes"
    return f"{sum(values)} of {len(values)} runs" if any(values) else "no"


def _shown(value: float) -> str:
    return exact(value) if isinstance(value, int) else plain(value, 2)


def _scaled(value: Any, key: str) -> Any:
    factor = _measure(key)[2]
    return value * factor if factor != 1 else value


def _measurement_keys(study: Study) -> list[str]:
    """Return the names of everything that the records say about measuring, as single values."""
    said = [entry.measurement for run in study.records for entry in run.exits]
    keys = dict.fromkeys(
        key for each in said for key, value in each.items() if isinstance(value, bool | int | float | str)
    )
    return list(keys)


def _measure(key: str) -> tuple[str, str, float]:
    return _MEASURES.get(key, (key.replace("_", " "), "as recorded", 1))


def _allocator(pinned: bool | None, environment: Mapping[str, str]) -> str:
    settings = ", ".join(f"{name}={value}" for name, value in environment.items())
    state = {True: "pinned", False: "not pinned: identical code may differ between two processes", None: "not recorded"}
    return f"{state[pinned]} ({settings})" if settings else state[pinned]


def _neighbours(workers: int) -> str:
    return "none" if workers <= 1 else f"{workers - 1}: their load is in these joules and seconds"
