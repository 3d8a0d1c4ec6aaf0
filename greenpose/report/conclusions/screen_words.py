"""Words of the first screen: exits, what they were tested on, their accuracy, what is lost and saved, intervals."""

from typing import Any

from greenpose.formatting import MINUS, NBSP, ends, plain, plural, repeated
from greenpose.intervals import Bounds
from greenpose.metrics import AP, PERCENT, Metric
from greenpose.quantity import Quantity
from greenpose.record import Record
from greenpose.report.ranking import improvement
from greenpose.report.study import Point

UNKNOWN_FROM = 10.0
"""Ends of an interval that are so many times apart say nothing that a person could use."""


def accuracy_tile(told: Point, best: Point, *, is_open: bool = False) -> dict[str, Any]:
    """Return the tile of an exit's accuracy beside the best one's, which comes first where the choice is open."""
    metric = told.accuracy
    each, most = told.figure(metric), best.figure(metric)
    tile: dict[str, Any] = {"name": tile_name(metric)}
    if each.value is None or not most.value:
        return tile | {"value": "not measured" if each.value is None else people(each), "note": each.missing}
    if told == best:
        return (
            tile
            | {"value": people(each), "note": interval_words(each, metric)}
            | _bar(each.value, metric.utmost, metric)
        )
    return tile | {
        "value": people(most if is_open else each),
        "aside": f"→ {people(each)}" if is_open else f"(best: {people(most)})",
        "note": lost_words(improvement(told, best), metric),
        **_bar(each.value, most.value, metric),
    }


def tile_name(metric: Metric) -> str:
    """Return what heads the tile: what accuracy is measured by, and which way is better."""
    better = f"{'lower' if metric.lower else 'higher'} is better"
    return f"Accuracy ({metric.words}, {better})" if metric is AP else f"{metric.label} ({better})"


def _bar(each: float, whole: float, metric: Metric) -> dict[str, float]:
    """Return how much of the best is reached, drawn as a bar; nothing where that is no share."""
    part, all_ = (whole, each) if metric.lower else (each, whole)
    return {"share": min(1.0, part / all_)} if part >= 0 and 0 < all_ < 1e9 else {}


def lost_words(gain: Quantity, metric: Metric) -> str:
    """Return `1.8 points lost (95 %: 0.6 to 3.0)` of how much better something is."""
    lost = -(gain.value or 0.0)
    words = f"{points_words(abs(lost), metric)} {metric.points} {'lost' if lost >= 0 else 'gained'}"
    if gain.type_a is None:
        return f"{words}, no interval"
    sides = Bounds(-gain.type_a.high, -gain.type_a.low) if lost >= 0 else gain.type_a
    below, above = ("gained", "lost") if lost >= 0 else ("lost", "gained")
    return f"{words} ({repeated(both_ends(sides, below, above, metric))})"


def both_ends(lost: Bounds, below: str, above: str, metric: Metric) -> str:
    """Return both ends of an interval of what is lost; words tell apart what lies below and above zero."""
    if lost.low >= 0 or lost.high <= 0:
        return f"{points_words(lost.low, metric)} to {points_words(lost.high, metric)}"
    return f"{points_words(-lost.low, metric)} {below} to {points_words(lost.high, metric)} {above}"


def people(each: Quantity) -> str:
    """Return an accuracy at two digits."""
    return f"{plain(each.known, 2)}{NBSP}{each.unit}" if each.unit else plain(each.known, 2)


def interval_words(each: Quantity, metric: Metric) -> str:
    """Return `95 %: 55 to 71` of what is neither negative, unless it may be, nor above the most there can be."""
    if each.type_a is None:
        return "no interval"
    low = each.type_a.low if metric.signed else max(0.0, each.type_a.low)
    return repeated(ends(plain(low, 2), plain(min(metric.utmost, each.type_a.high), 2)))


def points_words(value: float, metric: Metric) -> str:
    """Return points: one decimal below ten, none above; of other units two digits of what is less than one."""
    if metric.unit != "%" and 0 < abs(value) < 1:
        return (MINUS if value < 0 else "") + plain(abs(value), 2)
    return (MINUS if round(value, 1) < 0 else "") + f"{abs(value):.{0 if abs(value) >= 9.95 else 1}f}"


def signed_points(value: float, metric: Metric) -> str:
    """Return points as a change: `+0.3`, `−20`, `0.0`."""
    return f"{'+' if round(value, 1) > 0 else ''}{points_words(value, metric)}"


def exit_words(point: Point) -> str:
    """Return `exit 3 of HRNet4-OKD`, or the network's name where it has one exit only."""
    name = point.group.label
    return name if len(point.group.exits) == 1 else f"exit{NBSP}{point.exit} of {name}"


def beside_words(point: Point, other: Point) -> str:
    """Return the exit's name, without its network where that of the other has just been said."""
    return f"exit{NBSP}{point.exit}" if point.group == other.group else exit_words(point)


def tested_words(run: Record) -> str:
    """Return how many patients or images accuracy was tested on."""
    people = run.subjects.get("test", 0)
    if not people and "test" not in run.images:
        return "test data of unknown number"
    return plural(people, "test subject") if people else plural(run.images["test"], "test image")


def share_words(share: Quantity) -> str:
    """Return the interval of a saving: `−45 to −49 %`, or that it is unknown."""
    if share.type_a is None:
        return "no interval"
    low, high = share.type_a
    if low <= 0 or high / low >= UNKNOWN_FROM:
        return "how much is unknown"
    return repeated(ends(change_words(high), change_words(low)))


def change_words(share: float) -> str:
    """Return by how much a share is below or above the whole: `−47 %`."""
    by = round(PERCENT * (share - 1))
    return f"{MINUS if by < 0 else '+' if by > 0 else ''}{abs(by)}{NBSP}%"
