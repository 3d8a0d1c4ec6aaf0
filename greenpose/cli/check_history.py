"""The history of a check: verdicts appended, and each quantity's trend in the terminal."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.text import Text

from greenpose import __version__
from greenpose.check import CheckVerdict, Selection
from greenpose.check.history import (
    SCHEMA,
    QuantityTrend,
    first_and_last,
    level_sentence,
    read_trends,
    remark_on,
    remember,
    trend_name,
)
from greenpose.cli.console import out, print_json
from greenpose.files import head_commit, now, write_text
from greenpose.tables import Column, number_columns, terminal_table

BARS = "▁▂▃▄▅▆▇█"
LONGEST = 20
"""Newest checks that a sparkline shows."""


def remember_verdict(folder: Path, verdict: CheckVerdict, name: str, reason: str) -> None:
    """Append a verdict to the history of the check `name`, with the reason that its baseline gives."""
    remember(folder, verdict, name=name, at=now(), commit=head_commit(Path()), reason=reason)


def show_trend(folder: Path, *, output: Path | None, only: Sequence[str], as_json: bool) -> None:
    """Print the trend of each quantity, as JSON where asked; write a page where a file is named.

    Raises:
        CheckError: if there is no history in the folder.
    """
    trends = read_trends(folder, only=Selection(tuple(only)))
    if output is not None:
        from greenpose.cli.history_page import trend_page

        write_text(
            output, trend_page(trends, title=f"Footprint over time: {folder.resolve().name}", version=__version__)
        )
    if as_json:
        print_json({"schema": SCHEMA, "courses": [asdict(trend) for trend in trends]})
    else:
        print_trend(trends, out())
        if output is not None:
            out().print(str(output), soft_wrap=True)


def print_trend(trends: Sequence[QuantityTrend], console: Console) -> None:
    """Print a line for each quantity, then its changes of level."""
    rows = [
        (trend_name(trend, trends), str(len(trend.points)), sparkline(trend), *first_and_last(trend))
        for trend in trends
    ]
    counts, bars = Column(head="checks"), Column(head="", words=True)
    console.print(terminal_table(("", counts, bars, *number_columns("first", "last")), rows, head_style="dim"))
    for trend in trends:
        for step in trend.steps:
            console.print(Text.assemble((trend_name(trend, trends), "bold"), f": {level_sentence(trend, step)}"))
    console.print(Text(remark_on(trends), "dim"))


def sparkline(trend: QuantityTrend) -> str:
    """Return the newest values as bars, lowest to highest; a flat trend is a low line."""
    values = [point.value for point in trend.points[-LONGEST:]]
    low, high = min(values), max(values)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((value - low) * scale)] for value in values)
