"""One process's part of a counter that shows the whole machine."""

from dataclasses import dataclass

from greenpose.metering.source import Joules, Kind
from greenpose.units import KINDS

UNEQUAL = (0.5, 2.0)
"""How far one of several workers' true part may be from an equal one: an assumption, k about 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """How a counter's joules become those of one of `workers` processes like this one."""

    counter_kind: Kind
    """How the counter itself obtains them."""
    error: float
    """Relative systematic error of the counter, k about 2."""
    workers: int
    """Processes that the joules are divided among equally."""

    @property
    def kind(self) -> Kind:
        """Return how the process's joules are obtained: an equal part is an estimate."""
        return max(self.counter_kind, "estimated", key=KINDS.index) if self.workers > 1 else self.counter_kind

    def of(self, whole_j: float) -> Joules:
        """Return this process's joules, with their interval."""
        low, high = UNEQUAL if self.workers > 1 else (1.0, 1.0)
        part = whole_j / self.workers
        return Joules(part * (1 - self.error) * low, part, part * (1 + self.error) * high)

    def explain(self, method: str) -> str:
        """Return the method with the division said."""
        return method if self.workers == 1 else f"{method}, divided equally by {self.workers} workers"

    def explain_scope(self, scope: str) -> str:
        """Return the scope with what the division leaves open said."""
        if self.workers == 1:
            return f"{scope}, whoever used it"
        return f"an equal part of {scope}: right over all workers together, unequal work of one does not show"
