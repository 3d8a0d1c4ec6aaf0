"""`greenpose check --history`: appending to the history of a check, and showing its trend."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from greenpose import __version__
from greenpose.check import Selection, Verdict
from greenpose.check.history import SCHEMA, read_courses
from greenpose.check.history import remember as append
from greenpose.check.output.history_page import print_trend, trend_page
from greenpose.cli.console import out, print_json
from greenpose.git import head_commit
from greenpose.store.folder import write_text


def remember(folder: Path, verdict: Verdict, name: str) -> None:
    """Append a verdict to the history of the check `name`."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    append(folder, verdict, name=name, at=at, commit=head_commit(Path()))


def show_trend(folder: Path, *, output: Path | None, only: Sequence[str], as_json: bool) -> None:
    """Print the course of each quantity, as JSON where asked; write a page where a file is named.

    Raises:
        CheckError: if there is no history in the folder.
    """
    courses = read_courses(folder, only=Selection(tuple(only)))
    if output is not None:
        write_text(output, trend_page(courses, title=f"Footprint over time: {folder.name}", version=__version__))
    if as_json:
        print_json({"schema": SCHEMA, "courses": [asdict(course) for course in courses]})
    else:
        print_trend(courses, out())
        if output is not None:
            out().print(str(output), soft_wrap=True)
