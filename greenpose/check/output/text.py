"""A verdict for the terminal: its rows, what changed, why, and one sentence."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from greenpose.check.verdict import CheckFinding, CheckVerdict, both, change, sorted_findings
from greenpose.formatting import NBSP, listed, plural

ADVICE = {
    ("improved", "exact"): "accept it with --update --reason TEXT, so that the gain is kept",
    ("regressed", "exact"): "mend it, or accept it with --update --reason TEXT",
    ("incomparable", "exact"): "if that is meant, accept it with --update --reason TEXT",
    ("regressed", "budget"): "mend it, or change the budget",
}
"""What to do, by outcome and way of comparing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRow:
    """A finding in words."""

    name: str
    """The quantity."""
    base: str
    """The baseline's value; for a budget its limit."""
    head: str
    """The candidate's value."""
    change: str
    """By how much they differ, with its interval where it has one."""
    word: str
    """The outcome; `warning` for a regression that fails nothing."""
    finding: CheckFinding
    """Where it comes from."""


def row_of(finding: CheckFinding) -> VerdictRow:
    """Return the row of a finding."""
    base, head = both(finding.base, finding.head, finding.unit)
    difference = change(finding.base, finding.head, unit=finding.unit, ratio=finding.ratio)
    if finding.way == "budget":
        base = f"{'≥' if finding.floor else '≤'}{NBSP}{base}"
    if finding.pairs is not None:
        difference = f"{difference}, {plural(finding.pairs, 'pair')}".removeprefix(", ")
    return VerdictRow(
        name=finding.name, base=base, head=head, change=difference, word=word_of(finding), finding=finding
    )


def word_of(finding: CheckFinding) -> str:
    """Return the outcome in a word; a regression that fails nothing is a warning."""
    return "warning" if finding.outcome == "regressed" and not finding.fails else finding.outcome


def advice(finding: CheckFinding) -> str:
    """Return what to do about a finding; empty where its sentence says it all."""
    return ADVICE.get((finding.outcome, finding.way), "")


def advised(finding: CheckFinding) -> str:
    """Return what is so and what to do about it."""
    return f"{finding.says}; {advice(finding)}".removesuffix("; ")


def notable(verdict: CheckVerdict) -> list[VerdictRow]:
    """Return the rows that one has to look at, gravest first: all that is not ok, and what was measured in pairs."""
    rows = [row_of(finding) for finding in sorted_findings(verdict.findings)]
    return [row for row in rows if row.word != "ok" or row.finding.way == "paired"]


def unchanged(verdict: CheckVerdict) -> list[VerdictRow]:
    """Return the rows that are as they were."""
    return [row_of(finding) for finding in verdict.of("ok") if finding.way != "paired"]


def unchanged_line(verdict: CheckVerdict) -> str:
    """Return how many quantities are unchanged and how many budgets are kept; empty where there are none."""
    ways = [row.finding.way for row in unchanged(verdict)]
    exact, budgets = ways.count("exact"), ways.count("budget")
    parts = [f"{exact}{NBSP}{'quantity' if exact == 1 else 'quantities'} unchanged"] if exact else []
    return listed([*parts, *([f"{plural(budgets, 'budget')} kept"] if budgets else [])])


def explanations(rows: Sequence[VerdictRow]) -> list[tuple[str, str]]:
    """Return what is said of rows whose numbers do not say it all: names, and the sentence that is said of them."""
    names: dict[str, list[str]] = {}
    for row in rows:
        if not _plain_count(row.finding):
            names.setdefault(row.finding.says, []).append(row.name)
    return [(_shortened(named), says) for says, named in names.items()]


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
    remedy = next((advice(one) for one in sorted_findings(verdict.findings) if one.outcome == verdict.outcome), "")
    return f"{verdict.outcome}: of {total} checked, {said}; {remedy}".removesuffix("; ")


def _plain_count(finding: CheckFinding) -> bool:
    """Return whether a finding is about one count on either side, of which its row says all there is to say."""
    return finding.way == "exact" and finding.head is not None and finding.unit not in ("calls", "fraction")


def _shortened(names: list[str]) -> str:
    return listed(names if len(names) <= 3 else [*names[:2], f"{len(names) - 2} more"])


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
    rows = [row_of(finding) for finding in sorted_findings(verdict.findings)] if verbose else notable(verdict)
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


def _table(rows: Sequence[VerdictRow]) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    for column in ("", "base", "head", "change", "verdict"):
        table.add_column(
            column, justify="right" if column in ("base", "head", "change") else "left", no_wrap=column != "change"
        )
    for row in rows:
        table.add_row(row.name, row.base, row.head, row.change, Text(row.word, COLOURS[row.word]))
    return table


def _explain(rows: Sequence[VerdictRow], console: Console, *, verbose: bool) -> None:
    """Print what is said of what is not as it was; of everything where asked."""
    sentences = explanations([row for row in rows if verbose or row.word != "ok"])
    for names, says in sentences if verbose else sentences[:MOST_SENTENCES]:
        console.print(Text.assemble((names, "bold"), f": {says}"))
    if not verbose and len(sentences) > MOST_SENTENCES:
        console.print(f"and {len(sentences) - MOST_SENTENCES} more (--verbose)", style="dim")


def _sentence(verdict: CheckVerdict) -> Text:
    word, _, rest = summary(verdict).partition(":")
    return Text.assemble((word, f"bold {COLOURS[word]}"), f":{rest}")
