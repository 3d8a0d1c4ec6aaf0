"""The history of quantities over their checks: sparklines for the terminal, lines on a page of its own."""

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from rich.console import Console
from rich.table import Table
from rich.text import Text

from greenpose.check.history import FEWEST, Course, LevelChange
from greenpose.check.verdict import amount, both, signed_percent
from greenpose.formatting import plural

BARS = "▁▂▃▄▅▆▇█"
LONGEST = 20
"""Newest checks that a sparkline shows."""
WIDTH, HEIGHT, EDGE = 560.0, 72.0, 8.0
"""Size of a chart and room around its line, in pixels."""
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}"
    "body{color:#222;background:#fff}"
    "h2{font-size:1rem;margin:1.6rem 0 .2rem}p{margin:.1rem 0;color:#555}"
    "polyline{fill:none;stroke:#1f5fa8;stroke-width:1.5}circle{fill:#1f5fa8}line{stroke:#b3261e;stroke-dasharray:3 3}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}p{color:#aaa}"
    "polyline{stroke:#7db3f0}circle{fill:#7db3f0}line{stroke:#ff8a80}}"
)


def print_trend(courses: Sequence[Course], console: Console) -> None:
    """Print a line for each quantity, then its changes of level."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    for column in ("", "checks", "", "first", "last"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for course in courses:
        first, last = map(Text, _ends(course))
        table.add_row(Text(name_of(course, courses)), str(len(course.points)), sparkline(course), first, last)
    console.print(table)
    for course in courses:
        for step in course.steps:
            console.print(Text.assemble((name_of(course, courses), "bold"), f": {sentence(course, step)}"))
    console.print(_remark(courses), style="dim")


def sparkline(course: Course) -> str:
    """Return the newest values as bars, lowest to highest; a flat course is a low line."""
    values = [point.value for point in course.points[-LONGEST:]]
    low, high = min(values), max(values)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((value - low) * scale)] for value in values)


def sentence(course: Course, step: LevelChange) -> str:
    """Return when a level changed and by how much."""
    point = course.points[step.index]
    commit = f", commit {point.commit[:10]}" if point.commit else ""
    before, after = both(step.before, step.after, course.unit)
    by = f" ({signed_percent(step.after / step.before - 1)})" if step.before else ""
    return f"{before} → {after}{by} since {point.at}{commit}, check {step.index + 1} of {len(course.points)}"


def trend_page(courses: Sequence[Course], *, title: str, version: str) -> str:
    """Return one self-contained HTML page with a chart for each quantity."""
    root = ET.Element("html", lang="en")
    head, body = ET.SubElement(root, "head"), ET.SubElement(root, "body")
    ET.SubElement(head, "meta", charset="utf-8")
    policy = {"http-equiv": "Content-Security-Policy", "content": "default-src 'none'; style-src 'unsafe-inline'"}
    ET.SubElement(head, "meta", policy)
    ET.SubElement(head, "meta", name="viewport", content="width=device-width")
    ET.SubElement(head, "title").text = title
    ET.SubElement(head, "style").text = STYLE
    ET.SubElement(body, "h1").text = title
    ET.SubElement(body, "p").text = f"{_remark(courses)} GreenPose {version}."
    for course in courses:
        _section(body, course, name_of(course, courses))
    return f"<!doctype html>\n{ET.tostring(root, encoding='unicode', method='html')}\n"


def name_of(course: Course, courses: Sequence[Course]) -> str:
    """Return the quantity, after its check where there are several."""
    several = len({one.check for one in courses}) > 1
    return f"{course.check} {course.quantity}" if several else course.quantity


def _section(body: ET.Element, course: Course, name: str) -> None:
    first, last = _ends(course)
    ET.SubElement(body, "h2").text = name
    said = f"{plural(len(course.points), 'check')}, {first} at first, {last} at last"
    ET.SubElement(body, "p").text = said
    label = {"role": "img", "aria-label": f"{name}: {said}"}
    chart = ET.SubElement(body, "svg", {"viewBox": f"0 0 {WIDTH:g} {HEIGHT:g}", "width": "100%", **label})
    places = _places([point.value for point in course.points])
    for step in course.steps:
        across = f"{(places[step.index - 1][0] + places[step.index][0]) / 2:.1f}"
        ET.SubElement(chart, "line", x1=across, x2=across, y1="0", y2=f"{HEIGHT:g}")
        ET.SubElement(body, "p").text = sentence(course, step)
    ET.SubElement(chart, "polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in places))
    for (x, y), point in zip(places, course.points, strict=True):
        dot = ET.SubElement(chart, "circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r="2")
        ET.SubElement(dot, "title").text = f"{point.at}: {amount(point.value, course.unit, 4)}, {point.outcome}"


def _places(values: Sequence[float]) -> list[tuple[float, float]]:
    """Return where each value is drawn; a flat course lies in the middle."""
    low, high = min(values), max(values)
    wide, tall = WIDTH - 2 * EDGE, HEIGHT - 2 * EDGE
    apart = wide / max(1, len(values) - 1)
    heights = [(value - low) / (high - low) if high > low else 0.5 for value in values]
    return [(EDGE + index * apart, EDGE + tall * (1 - height)) for index, height in enumerate(heights)]


def _ends(course: Course) -> tuple[str, str]:
    return both(course.points[0].value, course.points[-1].value, course.unit)


def _remark(courses: Sequence[Course]) -> str:
    short = any(len(course.points) < FEWEST for course in courses)
    return f"Changes of level are information, not a verdict{f', and take {FEWEST} checks' if short else ''}."
