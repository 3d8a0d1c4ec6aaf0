"""The axes of charts of accuracy against cost: what stands at them, and how far intervals reach along them.

Accuracy is AP of pose, or a metric of the runs' own: its name may be long, less of it may be better, and it may be
negative. Cost is never negative. Neither axis shows what cannot be.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from greenpose.metrics import AP, Metric
from greenpose.quantity import Kind, Quantity
from greenpose.report.drawing import FONT, MUTED
from greenpose.tables import kind_notes


def axis_title(metric: Metric, kinds: Iterable[Kind]) -> str:
    """Return the title of the horizontal axis, unit and kinds included."""
    notes = "".join(f", {note}" for note in kind_notes(kinds))
    words = metric.words[:1].upper() + metric.words[1:]
    return f"{words} ({metric.unit.partition('/')[0]}){notes}"


def reach(each: Quantity, most: float = math.inf) -> tuple[float, float]:
    """Return the ends of an interval as far as they can be: costs are not negative, shares not above the whole."""
    value = each.value or 0.0
    low, high = each.type_a or (value, value)
    return max(0.0, low), min(most, high)


def extent(each: Quantity, metric: Metric) -> tuple[float, float]:
    """Return the ends of an accuracy's interval as far as they can be."""
    return each.type_a or (each.known, each.known) if metric.signed else reach(each, metric.utmost)


def name_axis(axes: Any, metric: Metric, ap: str, *, at: float) -> None:
    """Write what accuracy is measured by over its axis, from the left edge on where that is longer than AP."""
    style: dict[str, Any] = {"color": MUTED, "fontsize": FONT, "va": "bottom"}
    if metric is AP:
        axes.text(0, at, ap, transform=axes.transAxes, ha="right", **style)
    else:
        edge = axes.get_window_extent().x0 / axes.get_window_extent().width
        axes.text(-edge, at, axis_words(metric), transform=axes.transAxes, ha="left", **style)


def axis_words(metric: Metric) -> str:
    """Return what is written at the axis of accuracy; of an error, that less is better."""
    unit = f" ({metric.unit})" if metric.unit else ""
    return f"{metric.label}{unit}{', lower is better' if metric.lower else ''}"


def ends_of(reaches: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the lowest and highest value that intervals reach."""
    return min(low for low, _ in reaches), max(high for _, high in reaches)


def padded(ends: tuple[float, float], share: float) -> tuple[float, float]:
    """Return the ends of an axis with some room, but none below zero, where nothing is unless it is there."""
    room = (ends[1] - ends[0]) * share or abs(ends[1]) * 0.1 or 1.0
    return max(min(0.0, ends[0] * (1 + share)), ends[0] - room), ends[1] + room
