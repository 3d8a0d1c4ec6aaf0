"""Where labels go beside their points so that they cover neither each other nor the points."""

from collections.abc import Sequence
from dataclasses import dataclass

Box = tuple[float, float, float, float]
"""Left, bottom, right, top, in pixels."""

CHARACTER = 0.6
"""Mean width of a character over the font size, a little more than common sans-serif fonts need."""
_GAPS = (9.0, 26.0, 44.0, 64.0)
_NUM_NEAR = 8
"""The first spots tried touch the point; the rest need a leader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A label and the place found for it."""

    text: str
    """What it says."""
    box: Box
    """Room that it takes."""
    leader: bool
    """Whether it stands so far off that a line must lead to its point."""


def place(
    texts: Sequence[str],
    points: Sequence[tuple[float, float]],
    *,
    needed: Sequence[bool],
    frame: Box,
    obstacles: Sequence[Box],
    size: float,
) -> list[Label | None]:
    """Return a label for each point, or None where one that is not `needed` finds no free room.

    `obstacles` are boxes that should stay visible (points, error bars). Needed labels are placed first, the topmost
    point's before others', at the spot that covers least; up and to the left is preferred, where a front has no points.
    """
    placed: list[Label | None] = [None] * len(texts)
    taken: list[Box] = []
    for index in sorted(range(len(texts)), key=lambda each: (not needed[each], -points[each][1])):
        spots = _spots(texts[index], points[index], size)
        costs = [_cost(spot, taken, obstacles, frame) for spot in spots]
        best = min(range(len(spots)), key=costs.__getitem__)
        if not needed[index] and (costs[best] > 0 or best >= _NUM_NEAR):
            continue
        placed[index] = Label(text=texts[index], box=spots[best], leader=best >= _NUM_NEAR)
        taken.append(spots[best])
    return placed


def overlap_area(first: Box, second: Box) -> float:
    """Return the area that two boxes share."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(0.0, width) * max(0.0, height)


def _spots(text: str, point: tuple[float, float], size: float) -> list[Box]:
    """Return the places tried, best liked first: eight near ones, then farther ones."""
    width, height = CHARACTER * size * len(text), 1.2 * size
    spots = []
    for gap in _GAPS:
        d = gap * 0.7
        right, left, middle = point[0] + gap, point[0] - gap - width, point[0] - width / 2
        up, down, level = point[1] + gap, point[1] - gap - height, point[1] - height / 2
        corners = [
            (point[0] - d - width, point[1] + d),
            (middle, up),
            (left, level),
            (right, level),
            (point[0] + d, point[1] + d),
            (point[0] + d, point[1] - d - height),
            (point[0] - d - width, point[1] - d - height),
            (middle, down),
        ]
        spots += [(x, y, x + width, y + height) for x, y in corners]
    return spots


def _cost(spot: Box, labels: Sequence[Box], obstacles: Sequence[Box], frame: Box) -> float:
    """Return what a spot covers; another label counts eight times, the space outside the frame four times."""
    area = (spot[2] - spot[0]) * (spot[3] - spot[1])
    outside = max(0.0, area - overlap_area(spot, frame) - 1e-6)
    hidden = sum(overlap_area(spot, box) for box in obstacles)
    return 4 * outside + 8 * sum(overlap_area(spot, box) for box in labels) + hidden


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Return the places moved apart, as little as possible, so that neighbours are at least `gap` from each other.

    Places that would touch share one block around their mean, in their order.
    """
    order = sorted(range(len(places)), key=lambda index: places[index])
    blocks: list[list[int]] = []
    for index in order:
        blocks.append([index])
        while len(blocks) > 1 and _start(blocks[-1], places, gap) - _end(blocks[-2], places, gap) < gap:
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    moved = list(places)
    for block in (block for block in blocks if len(block) > 1):
        for step, index in enumerate(block):
            moved[index] = _start(block, places, gap) + gap * step
    return moved


def _start(block: Sequence[int], places: Sequence[float], gap: float) -> float:
    return sum(places[index] for index in block) / len(block) - gap * (len(block) - 1) / 2


def _end(block: Sequence[int], places: Sequence[float], gap: float) -> float:
    return _start(block, places, gap) + gap * (len(block) - 1)
