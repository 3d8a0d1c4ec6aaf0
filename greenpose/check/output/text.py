"""A verdict for the terminal: its rows, what changed, why, and one sentence."""

import io
import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from greenpose.check.verdict import CheckFinding, CheckVerdict, few, sorted_findings
from greenpose.formatting import MINUS, NBSP, listed, plural
from greenpose.tables import Column, TableCell, number_columns, terminal_table


def notable(verdict: CheckVerdict) -> list[CheckFinding]:
    """Return what one has to look at, gravest first: all that is not ok, and what was measured in pairs."""
    return [one for one in sorted_findings(verdict.findings) if one.word != "ok" or one.way == "paired"]


def unchanged(verdict: CheckVerdict) -> list[CheckFinding]:
    """Return what is as it was."""
    return [one for one in verdict.of("ok") if one.way != "paired"]


def unchanged_line(verdict: CheckVerdict) -> str:
    """Return how many quantities are unchanged and how many budgets are kept; empty where there are none."""
    ways = [one.way for one in unchanged(verdict)]
    exact, budgets = ways.count("exact"), ways.count("budget")
    parts = [f"{exact}{NBSP}{'quantity' if exact == 1 else 'quantities'} unchanged"] if exact else []
    return listed([*parts, *([f"{plural(budgets, 'budget')} kept"] if budgets else [])])


def explanations(findings: Sequence[CheckFinding]) -> list[tuple[str, str]]:
    """Return what is said of findings whose numbers do not say it all: names, and the sentence that is said of them.

    A count on either side needs no sentence: its row says all there is to say.
    """
    names: dict[str, list[str]] = {}
    for one in findings:
        if one.way != "exact" or one.head is None or one.unit in ("calls", "fraction"):
            names.setdefault(one.says, []).append(one.name)
    return [(few(named, 3 if len(named) == 3 else 2), says) for says, named in names.items()]


def summary(verdict: CheckVerdict) -> str:
    """Return the verdict in one sentence."""
    total = len(verdict.findings)
    if not total:
        return "incomparable: nothing was compared"
    worse = sum(finding.fails for finding in verdict.findings)
    counts = {
        "worse": worse,
        "only warned of": len(verdict.of("regressed")) - worse,
        "better": len(verdict.of("improved")),
        "open": len(verdict.of("inconclusive")),
        "not comparable": len(verdict.of("incomparable")),
    }
    said = listed([f"{count} {words}" for words, count in counts.items() if count]) or "nothing worse"
    outcome = verdict.outcome
    remedy = next((one.advice for one in sorted_findings(verdict.findings) if one.outcome == outcome), "")
    return f"{outcome}: of {total} checked, {said}; {remedy}".removesuffix("; ")


def headline(verdict: CheckVerdict) -> str:
    """Return the verdict with its largest change: `Regressed: exit3.macs rose by 10.0 % to 2.20 GMACs, and 2 more`.

    The largest is that with the greatest ratio, among the gravest that have one.
    """
    outcome = verdict.outcome
    gravest = [one for one in sorted_findings(verdict.findings) if one.word == outcome]
    told = [one for one in gravest if _size(one)] or gravest
    word = outcome.capitalize()
    if outcome == "ok" or not told:
        return f"{word}: {_unmoved(verdict)}"
    largest = max(told, key=_size)
    more = len(gravest) - 1
    return f"{word}: {_moved(largest)}{f', and {more} more' if more else ''}"


def _size(one: CheckFinding) -> float:
    """Return how large a change is: the logarithm of its ratio, 0 for what has none."""
    ratio = one.ratio.value if one.ratio else one.head / one.base if one.head is not None and one.base else 1.0
    return abs(math.log(ratio)) if ratio > 0 else math.inf


def _moved(one: CheckFinding) -> str:
    """Return one change in words."""
    base, head, difference = one.cells
    if not _size(one):
        return f"{one.name}: {one.says}"
    if one.way == "budget":
        return f"{one.name} is {head}, beyond its budget of {base} ({difference})"
    rose = (one.ratio.value if one.ratio else (one.head or 0.0) / (one.base or 1.0)) > 1
    by = difference.partition(",")[0].lstrip(f"+{MINUS}")
    verb = "rose" if rose else "fell"
    return f"{one.name} {verb} by {by}, from {base} to {head}"


def _unmoved(verdict: CheckVerdict) -> str:
    """Return what is said where nothing is worse: how much is as it was, and whether something warned."""
    warned = len(verdict.of("regressed", "inconclusive", "incomparable"))
    said = unchanged_line(verdict) or (
        "nothing measured in pairs is worse" if verdict.findings else "nothing was compared"
    )
    return f"{said}, {warned} only warned of" if warned else said


COLOURS = {
    "ok": "green",
    "improved": "green",
    "regressed": "red",
    "warning": "yellow",
    "inconclusive": "yellow",
    "incomparable": "yellow",
}
MOST_ROWS = 20
MOST_SENTENCES = 6
FILE_WIDTH = 100
"""Columns of a text that goes to a file."""


def to_text(verdict: CheckVerdict, name: str, *, verbose: bool = False, width: int = FILE_WIDTH) -> str:
    """Return the verdict as plain text."""
    page = io.StringIO()
    print_verdict(verdict, name, Console(file=page, width=width, highlight=False, no_color=True), verbose=verbose)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines()) + "\n"


def print_verdict(verdict: CheckVerdict, name: str, console: Console, *, verbose: bool = False) -> None:
    """Print the verdict: what is not as it was unless `verbose`, then all."""
    title = verdict.subject if name in verdict.subject else f"{name}: {verdict.subject}"
    console.print(Text.assemble((title, "bold"), f" against {verdict.against}"))
    rows = list(sorted_findings(verdict.findings)) if verbose else notable(verdict)
    shown = rows if verbose else rows[:MOST_ROWS]
    if shown:
        console.print(_table(shown))
    folded = unchanged_line(verdict)
    more = len(rows) - len(shown)
    if more:
        console.print(f"and {more} more (--verbose)", style="dim")
    if folded and not verbose:
        console.print(folded, style="dim")
    _explain(rows, console, verbose=verbose)
    for note in verdict.notes:
        console.print(Text.assemble(("note: ", "blue"), note))
    console.print(_sentence(verdict))


def _table(rows: Sequence[CheckFinding]) -> Table:
    change, verdict = Column(head="change", wraps=True), Column(head="verdict", words=True)
    cells = [(row.name, *row.cells, TableCell(value=row.word, style=COLOURS[row.word])) for row in rows]
    return terminal_table(("", *number_columns("base", "head"), change, verdict), cells, head_style="dim")


def _explain(rows: Sequence[CheckFinding], console: Console, *, verbose: bool) -> None:
    """Print what is said of what is not as it was; of everything where asked."""
    sentences = explanations([row for row in rows if verbose or row.word != "ok"])
    for names, says in sentences if verbose else sentences[:MOST_SENTENCES]:
        console.print(Text.assemble((names, "bold"), f": {says}"))
    if not verbose and len(sentences) > MOST_SENTENCES:
        console.print(f"and {len(sentences) - MOST_SENTENCES} more (--verbose)", style="dim")


def _sentence(verdict: CheckVerdict) -> Text:
    word, _, rest = summary(verdict).partition(":")
    return Text.assemble((word, f"bold {COLOURS[word]}"), f":{rest}")
