"""A verdict for the terminal: its rows, what changed, why, and one sentence."""

import io
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from greenpose.check.output.rows import Row, explanations, notable, row_of, summary, unchanged_line
from greenpose.check.verdict import Verdict, sorted_findings

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


def to_text(verdict: Verdict, name: str, *, verbose: bool = False, width: int = FILE_WIDTH) -> str:
    """Return the verdict as plain text."""
    page = io.StringIO()
    print_verdict(verdict, name, Console(file=page, width=width, highlight=False, no_color=True), verbose=verbose)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines()) + "\n"


def print_verdict(verdict: Verdict, name: str, console: Console, *, verbose: bool = False) -> None:
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


def _table(rows: Sequence[Row]) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    for column in ("", "base", "head", "change", "verdict"):
        table.add_column(
            column, justify="right" if column in ("base", "head", "change") else "left", no_wrap=column != "change"
        )
    for row in rows:
        table.add_row(row.name, row.base, row.head, row.change, Text(row.word, COLOURS[row.word]))
    return table


def _explain(rows: Sequence[Row], console: Console, *, verbose: bool) -> None:
    """Print what is said of what is not as it was; of everything where asked."""
    sentences = explanations([row for row in rows if verbose or row.word != "ok"])
    for names, says in sentences if verbose else sentences[:MOST_SENTENCES]:
        console.print(Text.assemble((names, "bold"), f": {says}"))
    if not verbose and len(sentences) > MOST_SENTENCES:
        console.print(f"and {len(sentences) - MOST_SENTENCES} more (--verbose)", style="dim")


def _sentence(verdict: Verdict) -> Text:
    word, _, rest = summary(verdict).partition(":")
    return Text.assemble((word, f"bold {COLOURS[word]}"), f":{rest}")
