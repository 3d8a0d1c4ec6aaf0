"""What the first screen says of accuracy, whatever it is measured by: its tile, what is lost, intervals."""

from typing import Any

from greenpose.formatting import MINUS, NBSP, plain
from greenpose.intervals import Bounds
from greenpose.metrics import AP, Metric
from greenpose.quantity import Quantity
from greenpose.report.ranking import improvement
from greenpose.report.study import Point


def accuracy_tile(told: Point, best: Point) -> dict[str, Any]:
    """Return the tile of an exit's accuracy beside the best one's."""
    metric = told.accuracy
    each, most = told.figure(metric), best.figure(metric)
    tile: dict[str, Any] = {"name": tile_name(metric)}
    if each.value is None or not most.value:
        return tile | {"value": "not measured" if each.value is None else people(each), "note": each.missing}
    if told == best:
        note = f"95{NBSP}%: {ends_words(each.type_a, metric)}" if each.type_a else "no interval"
        return tile | {"value": people(each), "note": note} | _bar(each.value, metric.utmost, metric)
    return tile | {
        "value": people(each),
        "aside": f"(best: {people(most)})",
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
    words = f"{_point(abs(lost), metric)} {metric.points} {'lost' if lost >= 0 else 'gained'}"
    if gain.type_a is None:
        return f"{words}, no interval"
    ends = Bounds(-gain.type_a.high, -gain.type_a.low) if lost >= 0 else gain.type_a
    below, above = ("gained", "lost") if lost >= 0 else ("lost", "gained")
    return f"{words} (95{NBSP}%: {both_ends(ends, below, above, metric)})"


def both_ends(ends: Bounds, below: str, above: str, metric: Metric) -> str:
    """Return both ends of an interval of what is lost; words tell apart what lies below and above zero."""
    if ends.low >= 0 or ends.high <= 0:
        return f"{_point(ends.low, metric)} to {_point(ends.high, metric)}"
    return f"{_point(-ends.low, metric)} {below} to {_point(ends.high, metric)} {above}"


def people(each: Quantity) -> str:
    """Return an accuracy at two digits."""
    return f"{plain(each.known, 2)}{NBSP}{each.unit}" if each.unit else plain(each.known, 2)


def ends_words(ends: Bounds, metric: Metric) -> str:
    """Return `55 to 71`, ends of what is neither negative, unless it may be, nor above the most there can be."""
    low = ends.low if metric.signed else max(0.0, ends.low)
    return f"{plain(low, 2)} to {plain(min(metric.utmost, ends.high), 2)}"


def _point(value: float, metric: Metric) -> str:
    """Return points: one decimal below ten, none above; of other units two digits of what is less than one."""
    if metric.unit != "%" and 0 < abs(value) < 1:
        return (MINUS if value < 0 else "") + plain(abs(value), 2)
    return (MINUS if round(value, 1) < 0 else "") + f"{abs(value):.{0 if abs(value) >= 9.95 else 1}f}"
