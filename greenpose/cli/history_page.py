"""The history of a check as one page: a line for each quantity, its commits on hover, what was accepted and why.

The page is drawn with the report's drawings. Neither room may import the other, since a check is no report; here, above
both, is where they meet.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby, pairwise
from typing import Any

from greenpose.check.history import (
    HistoryPoint,
    QuantityTrend,
    first_and_last,
    level_sentence,
    remark_on,
    trend_name,
)
from greenpose.check.verdict import amount, both, change, few
from greenpose.formatting import ends, listed, plural
from greenpose.report.drawing import ACCENT, DIM, INK, MUTED, Drawing, Sheet, panel, write
from greenpose.report.index import description, resource

SIZE = (560, 100)
"""Size of a chart, in CSS pixels."""
EDGE, TOP = 8, 22
"""Room around its line, and above it for marks."""
CELLS, MOST_CELLS, ALL_CELLS = 40, 140, 1600
"""Places of a line that answer to a pointer: at least (14 pixels wide, which a finger can hit), at most (4 pixels), and
those of all lines of a page together, for its size."""
MOST_DRAWN = 200
"""Points of a line: of more, the lowest and highest of neighbours are drawn, which looks the same."""
MOST_MARKS = 24
"""Accepted changes that a chart marks, the newest; the table has all."""
MOST_NAMED = 6
"""Quantities that are named of what was accepted at once."""
SHORT, LONG = 7, 10
"""Characters of a commit's name in a chart and in a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedChange:
    """What was accepted at once, in one check."""

    number: int
    """Its number on the page, oldest first."""
    at: str
    """When a check first knew of it."""
    commit: str
    """What was checked out then."""
    reason: str
    """Why, in the words of whoever accepted it."""
    changed: str
    """The quantities and their values."""


def trend_page(trends: Sequence[QuantityTrend], *, title: str, version: str) -> str:
    """Return one self-contained HTML page, in the looks of the report: what changed first, the rest folded."""
    import jinja2

    accepted, numbers = _accepted(trends)
    moved = [index for index, trend in enumerate(trends) if _moves(trend)]
    still = [index for index in range(len(trends)) if index not in moved]
    parts = [
        (f"{len(moved)} changed", False, moved),
        (f"{plural(len(still), 'quantity').replace('quantitys', 'quantities')} that never changed", True, still),
    ]
    sheet, most = Sheet(), min(MOST_CELLS, max(CELLS, ALL_CELLS // len(trends)))
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    template = files("greenpose.cli").joinpath("history_page.html.j2").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        title=title,
        about=_about(trends, len(moved)),
        lead=_lead(trends, len(moved), len(accepted)),
        remark=f"In a chart ▼ is a regression, a full line an accepted change, a dashed one a change of level. "
        f"{remark_on(trends)}",
        version=version,
        style=resource("style.css"),
        accepted=accepted,
        draw=lambda drawing: sheet.share(drawing.svg),
        checks=_checks(trends),
        parts=[
            (heading, folded, [_chart(trends, index, numbers, most) for index in indices])
            for heading, folded, indices in parts
            if indices
        ],
    )


def _moves(trend: QuantityTrend) -> bool:
    return len({point.value for point in trend.points}) > 1


def _lead(trends: Sequence[QuantityTrend], moved: int, accepted: int) -> str:
    first, last = min(one.points[0].at for one in trends), max(one.points[-1].at for one in trends)
    checks = plural(len(_checks(trends)), "check")
    told = f"{checks} from {_day(first)} to {_day(last)}. Of {len(trends)} quantities {moved or 'none'} changed"
    return f"{told}; {plural(accepted, 'change')} accepted." if accepted else f"{told}."


def _about(trends: Sequence[QuantityTrend], moved: int) -> str:
    """Return what the page says of itself to an index of pages."""
    says = f"Of {len(trends)} quantities {moved or 'none'} changed."
    last = max(trend.points[-1].at for trend in trends)
    return description("history", says=says, date=last, runs=plural(max(len(c.points) for c in trends), "check"))


def _accepted(trends: Sequence[QuantityTrend]) -> tuple[list[AcceptedChange], dict[tuple[int, int], int]]:
    """Return what was accepted, and the number of each change by the place of its trend and check."""
    found: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
    for index, trend in enumerate(trends):
        for place in trend.accepted:
            point = trend.points[place]
            found.setdefault((point.at, point.commit or "", point.reason), []).append((index, place))
    changes = [
        AcceptedChange(
            number=number,
            at=_minute(at),
            commit=commit[:LONG],
            reason=reason or "no reason recorded",
            changed=few([_rebased(trends, *each) for each in places], MOST_NAMED),
        )
        for number, ((at, commit, reason), places) in enumerate(sorted(found.items()), start=1)
    ]
    return changes, {
        each: number for number, (_, places) in enumerate(sorted(found.items()), start=1) for each in places
    }


def _rebased(trends: Sequence[QuantityTrend], index: int, place: int) -> str:
    """Return what an acceptance changed: `exit3.macs 2.00 → 2.20 GMACs (+10 %)`."""
    trend = trends[index]
    before, after = (trend.points[place + step].base for step in (-1, 0))
    texts, by = both(before, after, trend.unit), change(before, after, unit=trend.unit)
    return f"{trend_name(trend, trends)} {texts[0]} → {texts[1]}{f' ({by})' if by else ''}"


def _checks(trends: Sequence[QuantityTrend]) -> list[tuple[str, str, str]]:
    """Return every check once, newest first: time, commit, and what was not ok."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for trend in trends:
        for point in trend.points:
            worse = found.setdefault((point.at, point.commit or "", trend.check), [])
            if point.outcome != "ok":
                worse.append(point.outcome)
    several = len({trend.check for trend in trends}) > 1
    return [
        (
            _minute(at),
            commit[:LONG],
            f"{check}: " * several + (listed([f"{worse.count(each)} {each}" for each in dict.fromkeys(worse)]) or "ok"),
        )
        for (at, commit, check), worse in sorted(found.items(), reverse=True)
    ]


def _chart(
    trends: Sequence[QuantityTrend], index: int, numbers: Mapping[tuple[int, int], int], most: int
) -> tuple[Drawing, tuple[str, str], list[str]]:
    """Return one quantity's drawing, what stands at the ends of its axis, and its changes of level in words."""
    trend = trends[index]
    values = [point.value for point in trend.points]
    (first, last), (low, high) = first_and_last(trend), both(min(values), max(values), trend.unit)
    between = f", between {low} and {high}" if {low, high} != {first, last} else ""
    marks = {place: numbers[index, place] for place in trend.accepted[-MOST_MARKS:]}
    cells = list(_cells(trend, most))
    drawing = Drawing(
        paint=lambda figure: _paint(figure, trend, cells, marks),
        id=f"trend-{index}",
        size=SIZE,
        title=trend_name(trend, trends),
        description=f"{plural(len(values), 'check')}, {first} at first, {last} at last{between}",
        tooltips=tuple(_tooltip(trend, start, stop) for start, stop in cells),
    )
    ends = (trend.points[0], trend.points[-1])
    return drawing, (_place(ends[0]), _place(ends[1])), [level_sentence(trend, step) for step in trend.steps]


def _place(point: HistoryPoint) -> str:
    return f"{_day(point.at)} {(point.commit or '')[:SHORT]}".strip()


def _cells(trend: QuantityTrend, most: int) -> Iterator[tuple[int, int]]:
    """Yield the checks that answer to a pointer together, from and up to: one each, or or at `most` so many groups.

    Of more, neighbours that are alike are one; where there are still too many, as many checks are one as it takes.
    """
    count = len(trend.points)
    stops = list(range(1, count + 1))
    if count > most:
        alike = groupby(range(count), key=lambda k: (trend.points[k].value, trend.points[k].outcome))
        stops = [max(places) + 1 for _, places in alike]
    if len(stops) > most:
        stops = [math.ceil(count * (k + 1) / most) for k in range(most)]
    yield from zip([0, *stops[:-1]], stops, strict=True)


def _tooltip(trend: QuantityTrend, start: int, stop: int) -> str:
    """Return which commits these checks were of, what they found and said."""
    points = trend.points[start:stop]
    values = [point.value for point in points]
    low, high = both(min(values), max(values), trend.unit)
    found = amount(values[0], trend.unit, 4) if low == high else ends(low, high)
    worse = [f", {each}" for each in dict.fromkeys(point.outcome for point in points if point.outcome != "ok")]
    if len(points) == 1:
        return f"{_whole(points[0])}: {found}{''.join(worse)}"
    first, last = ((point.commit or _minute(point.at))[:SHORT] for point in (points[0], points[-1]))
    return f"{first} to {last}, {len(points)} checks: {found}{''.join(worse)}"


def _whole(point: HistoryPoint) -> str:
    return f"{_minute(point.at)} {(point.commit or '')[:LONG]}".strip()


def _day(at: str) -> str:
    return at[: len("2026-01-01")]


def _minute(at: str) -> str:
    return at[: len("2026-01-01T00:00")].replace("T", " ")


def _paint(figure: Any, trend: QuantityTrend, cells: Sequence[tuple[int, int]], marks: Mapping[int, int]) -> None:
    """Draw the line, its marks, and over it what answers to a pointer."""
    scale = max(abs(point.value) for point in trend.points) or 1.0
    values = [point.value / scale for point in trend.points]  # no sum of the largest numbers that there are overflows
    low, high = min(values), max(values)
    room = (high - low) / 20 or 1.0
    axes = panel(figure, left=EDGE, right=EDGE, top=TOP, bottom=EDGE)
    axes.set(xticks=[], yticks=[], xlim=(-0.5, len(values) - 0.5), ylim=(low - room, high + room))
    drawn = _thinned(values)
    dots = {"marker": "o", "markersize": 4} if len(values) <= CELLS else {}
    axes.plot(drawn, [values[k] for k in drawn], color=ACCENT, linewidth=1.5, clip_on=False, **dots)
    for step in trend.steps:
        axes.axvline(step.index - 0.5, color=DIM, linewidth=1, linestyle="--")
    for place, number in marks.items():
        axes.axvline(place - 0.5, color=INK, linewidth=1)
        write(axes, (place - 0.5, high + 3 * room), f"{number}", color=INK, ha="center", va="bottom", fontsize=11)
    worse = [max(range(*cell), key=lambda k: _is_worse(trend, k)) for cell in cells]
    worse = [k for k in worse if _is_worse(trend, k)]
    axes.plot(worse, [values[k] for k in worse], color=INK, marker="v", markersize=7, linewidth=0, clip_on=False)
    for index, (start, stop) in enumerate(cells):
        # seen by a pointer only: the style sheet shows it on hover
        axes.axvspan(start - 0.5, stop - 0.5, color=MUTED, alpha=0.01, linewidth=0, clip_on=False, gid=f"point-{index}")


def _is_worse(trend: QuantityTrend, place: int) -> bool:
    return trend.points[place].outcome == "regressed"


def _thinned(values: Sequence[float]) -> list[int]:
    """Return the places to draw: all, or the lowest and the highest of as many neighbours as it takes."""
    count = len(values)
    if count <= MOST_DRAWN:
        return list(range(count))
    edges = [count * k * 2 // MOST_DRAWN for k in range(MOST_DRAWN // 2 + 1)]
    kept = {0, count - 1}
    for start, stop in pairwise(edges):
        kept |= {min(range(start, stop), key=values.__getitem__), max(range(start, stop), key=values.__getitem__)}
    return sorted(kept)
