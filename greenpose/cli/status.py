"""`greenpose status`: how far the runs of a folder are, asked from any terminal."""

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, ConsoleOptions, Group
from rich.live import Live
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from greenpose.cli.console import MOST_COLUMNS, PLAIN, Manner, out, print_json, with_manners
from greenpose.files import utc_now
from greenpose.formatting import ends, lasting, listed, percent, plain, plural, repeated, shown, significant
from greenpose.quantity import Quantity
from greenpose.status import GridStatus, RunStatus, Seen, status_of
from greenpose.tables import Cell, Column, Heading, TableCell, number_cell, number_columns, terminal_table

SCHEMA = "greenpose.status/1"
LOOK_SECONDS = 2.0
"""Between two looks at a folder that is watched."""
MOST_RUNS = 30
"""Runs of which each has a line; of more, those that are done or have not begun are counted."""
NEAREST = 8
"""Of runs that are done or have not begun, as many are shown on a screen that does not hold all."""
QUIET_STATES = ("done", "to do")
STYLES = {"done": "green", "running": "bold", "failed": "red", "lost": "red", "interrupted": "yellow"}


@with_manners
def status(
    folder: Annotated[Path, typer.Argument(help="Folder of runs, e.g. runs/quick.", show_default=False)],
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again and again, until all is done.")] = False,
    manner: Manner = PLAIN,
) -> None:
    """Say how far the runs of a grid are: epochs, AP, energy so far and in all, who is at work, what was lost.

    A grid at work is not disturbed, on this machine or on another that shares the folder; nothing is written there but,
    at most once in 30 s, which jobs Slurm has. With --watch a terminal shows it live; elsewhere each change is a line,
    and with --json a document.

    Examples:
      greenpose status runs/quick
      greenpose status runs/table1_small --watch
    """
    if not watch:
        gc.disable()  # of very many runs nothing is garbage, and to look for some took a quarter of the time
        everything = manner.json or manner.verbose
        _show(status_of(folder, most=None if everything else MOST_RUNS), manner)
        return
    seen: Seen = {}
    found = status_of(folder, seen=seen)
    if out().is_terminal and not manner.json:
        with Live(screen_of(found, out()), console=out(), auto_refresh=False) as live:
            while not _ended(found):
                time.sleep(LOOK_SECONDS)
                found = status_of(folder, seen=seen)
                live.update(screen_of(found, out()), refresh=True)
        return
    told: dict[str, str] = {}
    _show_changes(found, told, manner)
    while not _ended(found):
        time.sleep(LOOK_SECONDS)
        found = status_of(folder, seen=seen)
        _show_changes(found, told, manner)


def _ended(found: GridStatus) -> bool:
    return set(found.counts) <= {"done", "stopped at its budget", "failed"}


def _show(found: GridStatus, manner: Manner) -> None:
    if manner.json:
        print_json(_document(found))
        return
    for part in _view(found, verbose=manner.verbose):
        out().print(part, soft_wrap=isinstance(part, Text))


def _show_changes(found: GridStatus, told: dict[str, str], manner: Manner) -> None:
    """Print a line for each run that is further than when it was last told of; `told` is brought up to date."""
    changed = False
    for run in found.runs:
        line = "  ".join(filter(None, (run.name, run.state, _epochs(run), _ap(run), run.fault)))
        if told.get(run.name) != line:
            told[run.name], changed = line, True
            if not manner.json:
                out().print(Text(line), soft_wrap=True)
    if changed and manner.json:
        print_json(_document(found))


def _view(found: GridStatus, *, verbose: bool) -> list[Table | Text]:
    """Return the table of runs, what was said of those that went wrong, and the whole in a sentence."""
    brief = len(found.runs) > MOST_RUNS and not verbose
    runs = [run for run in found.runs if run.fault or not (brief and run.state in QUIET_STATES)]
    remarks = [remark for remark in map(_remark, runs) if remark is not None]
    return [*([_table(runs)] if runs else []), *remarks, *_sentences(found)]


class Screen(Group):
    """Parts of a live picture; their lines are broken also where what is printed above it is not to be."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        """Yield the parts."""
        for part in self.renderables:
            yield from console.render(part, options.update(no_wrap=False, overflow="fold"))


def screen_of(found: GridStatus, console: Console, *, holders: bool = True) -> Screen:
    """Return the same for a terminal that is looked at: no wider than it is, and no more lines than it has.

    Runs that do not fit are counted: first those that are far from their turn, or were done long ago. `holders` says
    whether to tell who is at work on a run.
    """
    sentences = _sentences(found)
    remarks = {run.name: _remark(run, holders=holders) for run in found.runs}
    lines = {name: 1 + (_lines(remark, console) if remark else 0) for name, remark in remarks.items()}
    room = console.height - 2 - sum(_lines(each, console) for each in sentences)
    chosen = _fitting(found.runs, lines, room)
    folded = Counter(run.state for run in found.runs if run.name not in chosen)
    runs = [run for run in found.runs if run.name in chosen]
    whole = _table(runs)
    wide = console.options.update(width=MOST_COLUMNS, max_width=MOST_COLUMNS)
    return Screen(
        whole if Measurement.get(console, wide, whole).maximum <= console.width else _table(runs, brief=True),
        *(
            [Text(f"... and {listed([f'{number} {state}' for state, number in folded.items()])}", "dim")]
            if folded
            else []
        ),
        *(remark for name, remark in remarks.items() if remark is not None and name in chosen),
        *sentences,
    )


def _fitting(runs: Sequence[RunStatus], lines: Mapping[str, int], room: int) -> set[str]:
    """Return the names of all runs, or of those that there is room for: at work, gone wrong, and nearest to these."""
    if sum(lines.values()) <= room:
        return set(lines)
    order = sorted(runs, key=_urgency(runs))
    most = NEAREST + sum(run.state not in QUIET_STATES for run in runs)
    totals = accumulate(lines[run.name] for run in order)
    return {run.name for run, total in zip(order[:most], totals, strict=False) if total < room}


def _lines(text: Text, console: Console) -> int:
    """Return how many lines a text takes."""
    return len(text.wrap(console, console.width))


def _urgency(runs: Sequence[RunStatus]) -> Callable[[RunStatus], tuple[int, int]]:
    """Return the key by which runs are told of: those at work, those that went wrong, then the nearest to these."""
    place = {run.name: at for at, run in enumerate(runs)}
    at_work = [place[run.name] for run in runs if run.state == "running"]
    done = [place[run.name] for run in runs if run.state not in ("running", "to do")]
    here = at_work[0] if at_work else max(done, default=-1) + 1
    rank = {"running": 0, "done": 2, "to do": 2}
    return lambda run: (rank.get(run.state, 1), abs(place[run.name] - here))


def _remark(run: RunStatus, *, holders: bool = True) -> Text | None:
    """Return who is at work on a run, and what of its budget is used, or why there is less to be told of it."""
    if run.fault:
        return Text(f"{run.name}: {shown(run.fault)}", "red")
    used = [f"{percent(part)} of its budget of {name.removesuffix('_kwh')}" for name, part in run.budget_used.items()]
    told = [*([run.holder] if run.holder and holders else []), *([f"{listed(used)} used"] if used else [])]
    return Text(f"{run.name}: {'; '.join(told)}", "dim") if told else None


def _table(runs: Sequence[RunStatus], *, brief: bool = False) -> Table:
    """Return a row a run; a brief one has its name without the digest, the deepest exit's AP, and no intervals."""
    numbers = number_columns("epoch"), number_columns("Wh so far", "Wh in all")
    heads: tuple[Heading, ...] = ("run", "state", *numbers[0], "AP, %", *numbers[1], "training left")
    if brief:
        state, ap, left = (Column(head=head, words=True) for head in ("state", "AP, %", "left"))  # each on one line
        heads = ("run", state, *numbers[0], ap, *number_columns("Wh", "in all"), left)
    return terminal_table(heads, [_row(run, brief=brief) for run in runs])


def _row(run: RunStatus, *, brief: bool) -> tuple[Cell, ...]:
    whole = run.expected["energy_kwh"]
    spent = 1e3 * run.spent["energy_kwh"]
    at_work = run.state == "running"
    return (
        run.name.rpartition("-")[0] or run.name if brief else run.name,
        TableCell(
            value=run.state.removesuffix(" at its budget") if brief else run.state, style=STYLES.get(run.state, "")
        ),
        _epochs(run),
        _ap(run, brief=brief),
        significant(spent) if spent else "",
        "" if whole.value is None or run.state in QUIET_STATES else _in_all(whole, brief=brief),
        _left(run, brief=brief) if at_work else "",
    )


def _epochs(run: RunStatus) -> str:
    return f"{run.epoch}/{run.epochs}" if run.epochs else ""


def _ap(run: RunStatus, *, brief: bool = False) -> str:
    """Return AP of each exit in percent; of a run that is not done it is the best on validation images so far."""
    exits = [*run.ap][-1:] if brief else [*run.ap]
    aps = "  ".join(f"{exit_}: {plain(100 * run.ap[exit_])}" for exit_ in exits)
    return aps if run.state == "done" or not aps else f"{aps} (val)"


def _in_all(whole: Quantity, *, brief: bool) -> Cell:
    """Return kWh in Wh, with the interval unless it is to be brief."""
    return significant(1e3 * whole.known) if brief else number_cell((whole * 1e3).text())


def _ends(amount: Quantity) -> tuple[float, float, float]:
    low, high = amount.type_a or (amount.known, amount.known)
    return low, amount.known, high


def _left(run: RunStatus, *, brief: bool) -> Cell:
    """Return how long training goes on, with its interval unless it is to be brief, or what comes after it."""
    whole, spent = run.expected["seconds"], run.spent["seconds"]
    if run.epoch == run.epochs:
        return "tests" if brief else "none: tests and measuring"
    if whole.value is None:
        return ""
    low, left, high = _lasts(whole, spent)
    return left if brief or low == high else TableCell(value=left, interval=f"[{ends(low, high)}]")


def _lasts(whole: Quantity, spent: float) -> tuple[str, ...]:
    """Return how long is left of a whole of which something is spent: at least, as expected and at most."""
    return tuple(lasting(max(0.0, end - spent)) for end in _ends(whole))


def _told(low: str, value: str, high: str) -> str:
    """Return an amount with its prediction interval, unless both ends read alike."""
    return value if low == high else f"{value} ({repeated(ends(low, high))})"


def _sentences(found: GridStatus) -> list[Text]:
    counts = [f"{number} {state}" for state, number in found.counts.items()]
    note = f" ({found.energy_note})" if found.energy_note else ""
    took, whole, time_ = found.spent, found.expected["energy_kwh"], found.expected["seconds"]
    head = f"{plural(len(found.runs), 'run')}: {listed(counts)}"
    so_far = f"training took {significant(1e3 * took['energy_kwh'])} Wh{note} and {lasting(took['seconds'])} so far"
    first = [
        *([Text(shown(found.fault), "red")] if found.fault else []),
        Text(f"{head}; {so_far}"),
        *([Text(used)] if (used := budget_line(found.budget_kwh, found.used_kwh)) else []),
    ]
    if _ended(found):
        return first
    end = _end(found)
    if end is None:
        return [*first, Text(f"the rest cannot be told yet: {whole.missing or time_.missing}", "dim")]
    at_once = _at_once(found)
    pace = "one run after the other" if at_once == 1 else f"{at_once} runs at a time as now"
    low, wh, high = (1e3 * each for each in _ends(whole))
    energy = _told(significant(low, 2), f"{significant(wh)} Wh", significant(high, 2))
    when = _told(*(f"{each:%Y-%m-%d %H:%M} UTC" for each in end))
    rest = f"{energy} in all, {_told(*_lasts(time_, took['seconds']))} of training left, {pace}"
    return [*first, Text(f"{rest}: it ends at {when}, tests and measuring on top")]


def _at_once(found: GridStatus) -> int:
    return max(1, found.counts.get("running", 0))


def _end(found: GridStatus) -> tuple[datetime, ...] | None:
    """Return when all training ends, at the earliest, as expected and at the latest, at the pace of now."""
    time_ = found.expected["seconds"]
    if _ended(found) or time_.value is None or found.expected["energy_kwh"].value is None:
        return None
    left = [max(0.0, each - found.spent["seconds"]) / _at_once(found) for each in _ends(time_)]
    return tuple(utc_now() + timedelta(seconds=each) for each in left)


def budget_line(limit: float | None, used: float) -> str:
    """Return how much of a grid's budget in kWh is used; empty where there is none."""
    if limit is None:
        return ""
    amounts = f"{significant(1e3 * used)} of {significant(1e3 * limit)} Wh"
    return f"the grid's budget: {amounts} used ({percent(used / limit)}), tests and measuring included"


def _document(found: GridStatus) -> dict[str, Any]:
    end = [each.isoformat(timespec="seconds") for each in _end(found) or ()]
    return {
        "schema": SCHEMA,
        "folder": str(found.folder),
        "counts": found.counts,
        "energy": found.energy_note,
        "spent": dict(found.spent),
        "expected": _expected(found.expected),
        "training_ends": dict(zip(("earliest", "expected", "latest"), end, strict=True)) if end else None,
        "fault": found.fault,
        "grid_budget": None
        if found.budget_kwh is None
        else {"energy_kwh": found.budget_kwh, "used_kwh": found.used_kwh},
        "runs": [
            {
                "name": run.name,
                "experiment": run.experiment,
                "state": run.state,
                "epoch": run.epoch,
                "epochs": run.epochs,
                "ap": {str(exit_): ap for exit_, ap in run.ap.items()},
                "ap_split": "test" if run.state == "done" else "val",
                "spent": dict(run.spent),
                "expected": _expected(run.expected),
                "budget_used": dict(run.budget_used),
                "holder": run.holder,
                "fault": run.fault,
            }
            for run in found.runs
        ],
    }


def _expected(amounts: Mapping[str, Quantity]) -> dict[str, Any]:
    return {
        name: {"value": each.value, "type_a": list(each.type_a or ()), "missing": each.missing}
        for name, each in amounts.items()
    }
