"""The history of a check: verdicts appended, each quantity's trend in the terminal, and charts on a page of its own."""

from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from greenpose import __version__
from greenpose.check import CheckVerdict, Selection
from greenpose.check.history import FEWEST, SCHEMA, Course, LevelChange, changes_are_marked, read_courses, remember
from greenpose.check.verdict import amount, both, signed_percent
from greenpose.cli.console import out, print_json
from greenpose.files import head_commit, now, write_text
from greenpose.formatting import plural
from greenpose.report.drawing import ACCENT, MUTED, Drawing, panel
from greenpose.report.index import description
from greenpose.tables import Column, number_columns, terminal_table

BARS = "▁▂▃▄▅▆▇█"
LONGEST = 20
"""Newest checks that a sparkline shows."""
SIZE, EDGE = (880, 88), 8
"""Size of a chart and room around its line, in CSS pixels."""
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="GreenPose {{ version }}">
<meta name="greenpose" content="{{ about }}">
<title>{{ title }}</title>
<style>{{ style }}</style>
</head>
<body>
<header><h1>{{ title }}</h1><p>{{ remark }} GreenPose {{ version }}.</p></header>
<main>
{% for drawing, sentences in charts %}
<h2>{{ drawing.title }}</h2>
<p class="small">{{ drawing.description }}</p>
{{ drawing.svg | safe }}
{% for sentence in sentences %}<p>{{ sentence }}</p>{% endfor %}
{% endfor %}
</main>
</body>
</html>
"""


def remember_verdict(folder: Path, verdict: CheckVerdict, name: str) -> None:
    """Append a verdict to the history of the check `name`."""
    remember(folder, verdict, name=name, at=now(), commit=head_commit(Path()))


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


def print_trend(courses: Sequence[Course], console: Console) -> None:
    """Print a line for each quantity, then its changes of level."""
    rows = [(_name(course, courses), str(len(course.points)), sparkline(course), *_ends(course)) for course in courses]
    counts, bars = Column(head="checks"), Column(head="", words=True)
    console.print(terminal_table(("", counts, bars, *number_columns("first", "last")), rows, head_style="dim"))
    for course in courses:
        for step in course.steps:
            console.print(Text.assemble((_name(course, courses), "bold"), f": {_sentence(course, step)}"))
    console.print(Text(_remark(courses), "dim"))


def sparkline(course: Course) -> str:
    """Return the newest values as bars, lowest to highest; a flat course is a low line."""
    values = [point.value for point in course.points[-LONGEST:]]
    low, high = min(values), max(values)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((value - low) * scale)] for value in values)


def trend_page(courses: Sequence[Course], *, title: str, version: str) -> str:
    """Return one self-contained HTML page with a chart for each quantity, in the looks of the report."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(PAGE).render(
        title=title,
        about=_about(courses),
        remark=_remark(courses),
        version=version,
        style=files("greenpose.report").joinpath("style.css").read_text(encoding="utf-8"),
        charts=[
            (
                _drawing(course, _name(course, courses), f"trend-{index}"),
                [_sentence(course, step) for step in course.steps],
            )
            for index, course in enumerate(courses)
        ],
    )


def _drawing(course: Course, name: str, id_: str) -> Drawing:
    values = [point.value for point in course.points]
    first, last = _ends(course)

    def paint(figure: Any) -> None:
        axes = panel(figure, left=EDGE, right=EDGE, top=EDGE, bottom=EDGE)
        axes.set(xticks=[], yticks=[])
        axes.plot(values, color=ACCENT, linewidth=1.5, clip_on=False)
        for index, value in enumerate(values):
            axes.plot([index], [value], marker="o", markersize=4, color=ACCENT, clip_on=False, gid=f"point-{index}")
        for step in course.steps:
            axes.axvline(step.index - 0.5, color=MUTED, linewidth=1, linestyle="--")

    return Drawing(
        paint=paint,
        id=id_,
        size=SIZE,
        title=name,
        description=f"{plural(len(values), 'check')}, {first} at first, {last} at last",
        tooltips=tuple(f"{one.at}: {amount(one.value, course.unit, 4)}, {one.outcome}" for one in course.points),
    )


def _sentence(course: Course, step: LevelChange) -> str:
    """Return when a level changed and by how much."""
    point = course.points[step.index]
    commit = f", commit {point.commit[:10]}" if point.commit else ""
    before, after = both(step.before, step.after, course.unit)
    by = f" ({signed_percent(step.after / step.before - 1)})" if step.before else ""
    return f"{before} → {after}{by} since {point.at}{commit}, check {step.index + 1} of {len(course.points)}"


def _name(course: Course, courses: Sequence[Course]) -> str:
    """Return the quantity, after its check where there are several."""
    several = len({one.check for one in courses}) > 1
    return f"{course.check} {course.quantity}" if several else course.quantity


def _ends(course: Course) -> tuple[str, str]:
    return both(course.points[0].value, course.points[-1].value, course.unit)


def _about(courses: Sequence[Course]) -> str:
    """Return what the page says of itself to an index of pages."""
    changed = sum(bool(course.steps) for course in courses)
    says = f"Of {len(courses)} quantities {changed or 'none'} changed level."
    last = max(course.points[-1].at for course in courses)
    return description("history", says=says, date=last, runs=plural(max(len(c.points) for c in courses), "check"))


def _remark(courses: Sequence[Course]) -> str:
    if not changes_are_marked():
        return "To mark changes of level, install ruptures: pip install 'greenpose[history]'."
    short = any(len(course.points) < FEWEST for course in courses)
    return f"Changes of level are information, not a verdict{f', and take {FEWEST} checks' if short else ''}."
