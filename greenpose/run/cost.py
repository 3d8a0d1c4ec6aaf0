"""What work costs: seconds and joules, added and scaled together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from greenpose.metering import Window
from greenpose.run.phases import energy_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Wall time and energy of some work."""

    seconds: float = 0.0
    """Wall time."""
    joules: float = 0.0
    """Energy of all metered components, by the middle of their intervals."""

    def __add__(self, other: "Cost") -> "Cost":
        """Return both together."""
        return Cost(seconds=self.seconds + other.seconds, joules=self.joules + other.joules)

    def __sub__(self, other: "Cost") -> "Cost":
        """Return what is left of it without another."""
        return self + other * -1

    def __mul__(self, times: float) -> "Cost":
        """Return the cost of doing it several times."""
        return Cost(seconds=self.seconds * times, joules=self.joules * times)

    @property
    def watts(self) -> float:
        """Return the mean power; zero where no time passed."""
        return self.joules / self.seconds if self.seconds > 0 else 0.0


NOTHING = Cost()


def cost_of(windows: Sequence[Window]) -> Cost:
    """Return what windows cost that do not overlap."""
    return Cost(seconds=sum(window.seconds for window in windows), joules=energy_of(windows).mid)


def total(costs: Iterable[Cost]) -> Cost:
    """Return the sum."""
    return sum(costs, NOTHING)
