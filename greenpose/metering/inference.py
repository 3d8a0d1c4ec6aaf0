"""The measuring of inference: interleaved blocks of truncated networks, with a stopping rule; microbenchmarks.

A block runs every exit, or whatever else is to be compared, once, in random order, and an idle window among them.
Ratios are taken inside a block, where drift, clock frequency, temperature and neighbours are nearly the same for all,
and therefore cancel.
"""

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Literal

from greenpose.errors import MeteringError
from greenpose.metering.inference_samples import IDLE, ExitMeasurement, Reference, Sample, describe, sound, widest
from greenpose.metering.meter import Meter
from greenpose.metering.sources.source import Provenance
from greenpose.metering.window import Window

PERIODS_PER_WINDOW = 20
"""A window lasts at least this many updates of the slowest counter."""
WINDOWS_PER_BLOCK = 4
"""A block lasts as long as this many windows at least: beside neighbours a machine's speed changes within seconds, and
blocks close to one another tell the same again."""
MOST_CALLS_A_TICK = 10_000
"""Clocks that are in use move once in 16 ms at least, and a call takes microseconds."""
BLOCKS_PER_LOOK = 6
"""Whether it is enough is asked after this many blocks. Every look is a chance to stop while the interval is narrow by
luck: looking at the third block and every third from there on, 95 % intervals held the truth in 90 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long to measure, and when it is enough."""

    min_window_seconds: float = 0.5
    """Calls are repeated until a window is at least this long."""
    rel_ci: float = 0.05
    """Enough when the 95 % half-width of every exit's cost and ratio is at most this part of it."""
    max_blocks: int = 30
    """Blocks after which to stop in any case, the dropped warm-up block not counted."""
    max_seconds: float = 120.0
    """Seconds after which no further block is begun, warm-up not counted; one block is always measured."""

    def __post_init__(self) -> None:
        """Refuse plans that measure nothing."""
        if min(self.min_window_seconds, self.rel_ci, self.max_seconds) <= 0 or self.max_blocks < 1:
            raise MeteringError(f"{self}: every limit must be above zero")

    @classmethod
    def of(cls, settings: object) -> "Plan":
        """Return the plan that settings of the same names ask for, among others."""
        return cls(**{field.name: getattr(settings, field.name) for field in fields(cls)})


def measure_exits(
    runners: Mapping[int, Callable[[], object]],
    meter: Meter,
    *,
    items_per_call: int,
    plan: Plan | None = None,
    seed: int = 0,
    sleep: Callable[[float], object] = time.sleep,
    on_progress: Callable[[int, float], object] = lambda *_: None,
) -> dict[int, ExitMeasurement]:
    """Return each exit's cost by `measure_in_turns`, shallow to deep, with ratios to the deepest exit.

    `runners` has for each exit a call that runs its truncated network once on a fixed batch; nothing deeper may run.

    Raises:
        MeteringError: if there is no exit, one below 1, or a call has no item.
    """
    if not runners or min(runners) < 1:
        raise MeteringError(f"inference: exits {sorted(runners)}: needs exits from 1 on")
    found = measure_in_turns(
        {exit_place(number): run for number, run in runners.items()},
        meter,
        reference=exit_place(max(runners)),
        items_per_call=items_per_call,
        plan=plan,
        seed=seed,
        sleep=sleep,
        on_progress=on_progress,
    )
    return {number: found[exit_place(number)] for number in sorted(runners)}


def exit_place(number: int) -> str:
    """Return what an exit is called in a block, and in the names of its windows."""
    return f"exit {number}"


def measure_in_turns(
    runners: Mapping[str, Callable[[], object]],
    meter: Meter,
    *,
    reference: Reference,
    items_per_call: int,
    plan: Plan | None = None,
    seed: int = 0,
    sleep: Callable[[float], object] = time.sleep,
    on_progress: Callable[[int, float], object] = lambda *_: None,
) -> dict[str, ExitMeasurement]:
    """Return everybody's latency, CPU time and energy per item, and their ratios to the reference, in their order.

    When it is enough is decided by what blocks scatter. What runs differ by on such a machine is then added to the
    intervals, save those of the ratios.

    Args:
        runners: By the name that windows bear behind `inference`, a call that does all of its work once.
        meter: An entered meter; every window also appears in its list and log.
        reference: The one that ratios are to, or each one's own by its name; None: there is none, and no ratio.
        items_per_call: Items that one call processes, e.g. the batch size.
        plan: Window length and stopping rule.
        seed: Of the order inside blocks.
        sleep: Waits, for the idle windows.
        on_progress: Told before the warm-up and after each block how many blocks there are, and the widest relative
            half-width by then.

    Raises:
        MeteringError: if there is nothing to run, the idle machine's name is taken, or a call has no item.
    """
    if not runners or IDLE in runners or items_per_call < 1:
        raise MeteringError(
            f"inference: {list(runners)} with {items_per_call} items a call: needs something to run, not called "
            f"{IDLE}, and an item"
        )
    plan = Plan() if plan is None else plan
    on_progress(0, math.inf)
    bench = _Bench(runners, meter, items_per_call=items_per_call, plan=plan, seed=seed, sleep=sleep)
    bench.warm_up()
    blocks: list[Mapping[str, Sample]] = []
    wide, stopped = math.inf, False
    while not stopped and bench.may_continue(len(blocks)):
        blocks.append(bench.block())
        believed = sound(blocks)
        wide = widest(believed, reference)
        stopped = wide <= plan.rel_ci and len(believed) % BLOCKS_PER_LOOK == 0
        on_progress(len(blocks), wide)
    found = describe(
        blocks,
        reference=reference,
        items_per_call=items_per_call,
        rel_ci=plan.rel_ci,
        sources=meter.provenances,
        between_runs=meter.between_runs,
    )
    return {place: found[place] for place in runners}


def idle_windows(others: int) -> int:
    """Return as how many windows the idle one lasts, which fills a block of so many others up."""
    return max(1, WINDOWS_PER_BLOCK - others)


def require_motion(first: float, last: float, *, calls: int) -> None:
    """Refuse a clock that does not move while work is done: a window would never be long enough."""
    if first == last and calls > MOST_CALLS_A_TICK:
        raise MeteringError(f"the clock stands still: it showed {last} before and after {calls} calls")


class _Bench:
    """Runs blocks: everybody once and one idle window, in an order drawn anew for each."""

    def __init__(
        self,
        runners: Mapping[str, Callable[[], object]],
        meter: Meter,
        *,
        items_per_call: int,
        plan: Plan,
        seed: int,
        sleep: Callable[[float], object],
    ) -> None:
        periods = [provenance.update_period_s or 0.0 for provenance in meter.provenances]
        self._runners = runners
        self._meter = meter
        self._items = items_per_call
        self._plan = plan
        self._seconds = max(plan.min_window_seconds, PERIODS_PER_WINDOW * max(periods, default=0.0))
        self._idle_seconds = self._seconds * idle_windows(len(runners))
        self._order = random.Random(seed)
        self._sleep = sleep
        self._began = math.inf

    def warm_up(self) -> None:
        """Run a block that is not kept, and begin to count the time."""
        self.block()
        self._began = self._meter.clock()

    def may_continue(self, measured: int) -> bool:
        """Return whether another block fits into the limits; the first one always does."""
        elapsed = self._meter.clock() - self._began
        return measured == 0 or (measured < self._plan.max_blocks and elapsed < self._plan.max_seconds)

    def block(self) -> Mapping[str, Sample]:
        """Return everybody's sample of one window, and under `IDLE` the idle machine's."""
        places = [IDLE, *self._runners]
        self._order.shuffle(places)
        return {place: self._idle() if place == IDLE else self._work(place) for place in places}

    def _idle(self) -> Sample:
        with self._meter.window(f"inference {IDLE}") as opened:
            self._sleep(self._idle_seconds)
        return _sample(opened.result, ())

    def _work(self, place: str) -> Sample:
        window, edges = repeated(
            self._runners[place], self._meter, f"inference {place}", seconds=self._seconds, items=self._items
        )
        return _sample(window, edges)


def repeated(
    run: Callable[[], object], meter: Meter, name: str, *, seconds: float, items: int = 1
) -> tuple[Window, Sequence[float]]:
    """Return a window in which a call of so many items is repeated until it is long enough, and when each was over.

    Each call is waited for, so that it has a latency.
    """
    clock, synchronize = meter.clock, meter.synchronize
    edges: list[float] = []
    with meter.window(name) as opened:
        edges.append(clock())
        while edges[-1] - edges[0] < seconds:
            run()
            synchronize()
            edges.append(clock())
            require_motion(edges[0], edges[-1], calls=len(edges))
        opened.items = items * (len(edges) - 1)
    return opened.result, edges


def _sample(window: Window, edges: Sequence[float]) -> Sample:
    return Sample(window=window, calls=tuple(after - before for before, after in pairwise(edges)))


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
        return {name: repeated(pieces[name], meter, f"{phase}/{name}", seconds=seconds)[0] for name in names}

    block()
    blocks = [block()]
    while len(blocks) < plan.max_blocks and (len(blocks) < plan.min_blocks or meter.clock() - began < plan.max_seconds):
        blocks.append(block())
    return _costs(blocks, meter, fast_enough=fast_enough)


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
