"""A comparison of two sides from first pair to last: as many pairs as it takes, and what they decide.

What a process costs depends a little on how its memory happens to lie, for as long as it lives. So a difference counts
only if fresh processes show it again, every time.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NamedTuple

from greenpose.check.duel import Clock, Duel
from greenpose.check.paired import Decision, Judgement, Rule, against_itself, differs, weigh
from greenpose.formatting import percent
from greenpose.metering import Contamination, Witness

RESTARTS = 2
"""A difference has to show up again in this many pairs of fresh processes."""
FAULTS_PER_CALL = 50
"""A base that fetches more pages a call than this has an allocator that is not pinned; its times are not repeatable."""


class Quantity(NamedTuple):
    """What is judged."""

    exit: int
    """The exit."""
    clock: Clock
    """By which clock it is judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What went on beside an attempt."""

    load: float | None
    """Mean number of processes that wanted a CPU in the last minute; None where nobody counts them."""
    steal_share: float | None
    """Part of the machine's CPU time that the hypervisor gave to others; None where that is not known."""
    foreign_cpu_share: float | None
    """Part of it that other processes used; None where that is not known."""
    switches: int
    """How often the sides' processes were taken off their CPU against their will."""
    faults_per_call: float
    """Pages that the base fetched from the kernel per call."""

    def __str__(self) -> str:
        """Return one line for people."""
        known = [
            None if self.load is None else f"load {self.load:.1f} on {os.cpu_count()} CPUs",
            None if self.foreign_cpu_share is None else f"{percent(self.foreign_cpu_share, 2)} used by others",
            None if self.steal_share is None else f"{percent(self.steal_share, 2)} taken by the hypervisor",
            f"{self.switches} involuntary switches",
            f"{self.faults_per_call:.3g} page faults a call",
        ]
        return ", ".join(part for part in known if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What one pair of processes had to say."""

    judgements: Mapping[Quantity, Judgement]
    """What was decided of each quantity."""
    restless: frozenset[Quantity]
    """Quantities in which a side surely differs from itself: nothing can be said of them."""
    medians: Mapping[Quantity, tuple[float | None, float | None]]
    """Base's and head's median per call, in the clock's unit; None where it was not read."""
    surroundings: Surroundings
    """What went on beside it."""
    samples: Mapping[str, Any] = field(default_factory=dict)
    """Every pair, as plain JSON data."""

    @property
    def unpinned(self) -> bool:
        """Return whether the base's own allocator gave its times away to chance."""
        return self.surroundings.faults_per_call > FAULTS_PER_CALL

    def claim(self, quantity: Quantity) -> Decision | None:
        """Return the difference between the sides that this attempt is sure of, `regressed` or `improved`, if any."""
        decision = self.judgements[quantity].decision
        return None if self.unpinned or quantity in self.restless or decision == "ok" else decision


def contest(
    first: Duel,
    again: Callable[[], AbstractContextManager[Duel]],
    clocks: Sequence[Clock],
    *,
    rule: Rule,
    restarts: int = RESTARTS,
    heard: Callable[[str], object] = lambda _: None,
) -> list[Attempt]:
    """Return what the first pair of processes has to say, and where it sees a difference, what fresh ones do.

    `again` starts both sides afresh. A difference that an attempt does not find again is not looked at any more.
    """
    quantities = [Quantity(exit_, clock) for exit_ in first.exits for clock in clocks]
    attempts = [attempt(first, quantities, rule=rule, heard=heard)]
    claims = {one: claim for one in quantities if (claim := attempts[0].claim(one))}
    while claims and len(attempts) <= restarts:
        exits = ", ".join(f"exit {exit_}" for exit_ in dict.fromkeys(quantity.exit for quantity in claims))
        heard(f"{exits}: a difference; fresh processes have to show it again ({len(attempts)} of {restarts})")
        with again() as duel:
            attempts.append(attempt(duel, quantities, rule=rule, claims=claims, heard=heard))
        claims = {one: claim for one, claim in claims.items() if attempts[-1].claim(one) == claim}
    return attempts


def attempt(
    duel: Duel,
    quantities: Sequence[Quantity],
    *,
    rule: Rule,
    claims: Mapping[Quantity, Decision] | None = None,
    heard: Callable[[str], object] = lambda _: None,
) -> Attempt:
    """Return what this pair of processes has to say: of everything, or of claims only whether they are so.

    It goes on until that is decided, or as long as the rule lets it. Earlier pairs of the duel are forgotten.
    """
    asked = dict.fromkeys(quantities) if claims is None else claims
    duel.forget()
    judgements: dict[Quantity, Judgement] = {}
    with _Beside(duel) as beside:
        while len(duel.pairs) < rule.max_pairs:
            duel.fight(min(rule.batch, rule.max_pairs - len(duel.pairs)))
            judgements = {
                one: weigh(duel.differences(*one), rule, quantities=len(quantities), claim=asked.get(one))
                for one in quantities
            }
            undecided = sum(judgements[one].decision is None for one in asked)
            heard(f"{len(duel.pairs)} pairs, {undecided} of {len(asked)} open")
            if not undecided:
                break
    costs = {one: duel.costs(*one) for one in quantities}
    return Attempt(
        judgements=judgements,
        restless=frozenset(one for one in quantities if _restless(costs[one], rule, len(quantities))),
        medians={one: (_median(base), _median(head)) for one, (base, head) in costs.items()},
        surroundings=beside.surroundings(),
        samples=duel.as_dict(),
    )


def _median(costs: Sequence[float]) -> float | None:
    return median(costs) if costs else None


def _restless(costs: tuple[list[float], list[float]], rule: Rule, quantities: int) -> bool:
    """Return whether either side, or both together, surely differ from themselves."""
    base, head = (against_itself(side) for side in costs)
    return any(differs(steps, rule, quantities=quantities) for steps in (base, head, base + head))


class _Beside:
    """Watches what goes on beside a duel while its block runs."""

    def __init__(self, duel: Duel) -> None:
        self._duel = duel
        self._witness = Witness()
        self._contamination: Contamination | None = None

    def __enter__(self) -> "_Beside":
        self._witness.open()
        self._start = self._witness.read()
        self._began, self._own_began = time.monotonic(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        sides = sum(base.cpu_s + head.cpu_s for base, head in self._duel.windows())
        own = time.process_time() - self._own_began + sides
        seconds = time.monotonic() - self._began
        self._contamination = self._witness.between(self._start, seconds=seconds, cpu_seconds=own)
        self._witness.close()

    def surroundings(self) -> Surroundings:
        """Return what there was to see."""
        seen, windows = self._contamination, list(self._duel.windows())
        return Surroundings(
            load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
            steal_share=None if seen is None else seen.steal_share,
            foreign_cpu_share=None if seen is None else seen.foreign_cpu_share,
            switches=sum(base.switches + head.switches for base, head in windows),
            faults_per_call=sum(base.faults for base, _ in windows) / sum(base.calls for base, _ in windows),
        )
