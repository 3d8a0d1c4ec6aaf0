"""What small pieces of work cost beside one another: short windows, interleaved in blocks.

As with inference, ratios are taken inside a block, where drift, temperature and neighbours are the same for all.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from greenpose.metering.inference import PERIODS_PER_WINDOW, require_motion
from greenpose.metering.instrument import Meter
from greenpose.metering.source import Provenance
from greenpose.metering.window import Window

LONGEST_WINDOW_SECONDS = 0.25
"""A counter so slow that a window would have to be longer than this is not asked; the wall clock is."""

Currency = Literal["joules", "cpu_seconds", "seconds"]
Costs = Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroPlan:
    """How long to measure."""

    min_window_seconds: float = 0.05
    """A piece is repeated until its window is at least this long."""
    max_blocks: int = 12
    """Blocks, the dropped warm-up block not counted."""
    max_seconds: float = 20.0
    """Seconds after which no further block is begun, once there are `min_blocks`."""
    min_blocks: int = 3
    """Blocks that are measured in any case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroCosts:
    """What each piece cost, block by block, in every currency that could be had."""

    currency: Currency
    """The one to compare pieces in: joules from a counter; CPU-seconds where energy is but a model of them, since
    neighbours move those least; wall seconds where neither says enough."""
    series: Mapping[Currency, Costs]
    """Cost of one call of each piece, one value a block, by currency."""

    @property
    def costs(self) -> Costs:
        """Return what each piece cost in the currency to compare them in."""
        return self.series[self.currency]

    @property
    def blocks(self) -> int:
        """Return the number of blocks."""
        return len(next(iter(self.costs.values())))

    def ratio(self, over: str, under: str) -> list[float]:
        """Return the cost of one piece over another's, block by block."""
        return [a / b for a, b in zip(self.costs[over], self.costs[under], strict=True)]


def measure_pieces(
    pieces: Mapping[str, Callable[[], object]],
    meter: Meter,
    *,
    phase: str,
    plan: MicroPlan | None = None,
    seed: int = 0,
) -> MicroCosts:
    """Return what each piece of work costs; every window also appears in the meter's log, as `PHASE/PIECE`.

    A block runs every piece once, in an order drawn anew; the first block warms up and is dropped.
    """
    plan = MicroPlan() if plan is None else plan
    order, began = random.Random(seed), meter.clock()
    slowest = max((provenance.update_period_s or 0.0 for provenance in meter.provenances), default=0.0)
    fast_enough = PERIODS_PER_WINDOW * slowest <= LONGEST_WINDOW_SECONDS
    seconds = max(plan.min_window_seconds, PERIODS_PER_WINDOW * slowest) if fast_enough else plan.min_window_seconds

    def block() -> Mapping[str, Window]:
        names = list(pieces)
        order.shuffle(names)
        return {name: _window(pieces[name], meter, f"{phase}/{name}", seconds) for name in names}

    block()
    blocks = [block()]
    while len(blocks) < plan.max_blocks and (len(blocks) < plan.min_blocks or meter.clock() - began < plan.max_seconds):
        blocks.append(block())
    return _costs(blocks, meter, fast_enough=fast_enough)


def _window(piece: Callable[[], object], meter: Meter, name: str, seconds: float) -> Window:
    with meter.window(name) as opened:
        began = meter.clock()
        while meter.clock() - began < seconds:
            piece()
            meter.synchronize()
            opened.items += 1
            require_motion(began, meter.clock(), calls=opened.items)
    return opened.result


def _costs(blocks: Sequence[Mapping[str, Window]], meter: Meter, *, fast_enough: bool) -> MicroCosts:
    blocks = [block for block in blocks if all(window.sound for window in block.values())] or blocks
    windows = [window for block in blocks for window in block.values()]
    series: dict[Currency, Costs] = {"seconds": _series(blocks, lambda window: window.seconds)}
    if all(window.cpu_seconds > 0 for window in windows):
        series["cpu_seconds"] = _series(blocks, lambda window: window.cpu_seconds)
    if fast_enough and all(window.energy.mid > 0 and not window.missing for window in windows):
        series["joules"] = _series(blocks, lambda window: window.energy.mid)
    return MicroCosts(currency=_currency(series, meter.provenances), series=series)


def _currency(series: Mapping[Currency, Costs], provenances: Sequence[Provenance]) -> Currency:
    kinds = {provenance.kind for provenance in provenances}
    if "joules" in series and kinds & {"measured", "estimated"}:
        return "joules"
    gpu = any(provenance.component == "gpu" for provenance in provenances)
    return "cpu_seconds" if "cpu_seconds" in series and not gpu else "seconds"


def _series(blocks: Sequence[Mapping[str, Window]], cost: Callable[[Window], float]) -> Costs:
    return {name: [cost(block[name]) / block[name].items for block in blocks] for name in blocks[0]}
