"""An expected footprint: time, energy and emissions, each with its two intervals."""

from dataclasses import dataclass

from greenpose.metering import Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """An expected amount, in one unit."""

    value: float
    """What is expected."""
    type_a: Bounds
    """95 % prediction interval: where one run on this machine will lie, by the same meter."""
    type_b: Bounds
    """Systematic interval, k about 2: how far the meter itself can be off, for all runs alike."""

    def __add__(self, other: "Amount") -> "Amount":
        """Return the sum, end by end: what moves one run, neighbours and meter, moves the others too."""
        return Amount(
            value=self.value + other.value,
            type_a=Bounds(self.type_a.low + other.type_a.low, self.type_a.high + other.type_a.high),
            type_b=Bounds(self.type_b.low + other.type_b.low, self.type_b.high + other.type_b.high),
        )

    def __mul__(self, factor: float) -> "Amount":
        """Return the amount in another unit."""
        return Amount(
            value=self.value * factor,
            type_a=Bounds(self.type_a.low * factor, self.type_a.high * factor),
            type_b=Bounds(self.type_b.low * factor, self.type_b.high * factor),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What something is expected to cost."""

    seconds: Amount
    """Wall time."""
    energy_kwh: Amount
    """Energy of all metered components."""
    co2eq_g: Amount
    """Operational emissions."""

    def __add__(self, other: "Footprint") -> "Footprint":
        """Return both together."""
        return Footprint(
            seconds=self.seconds + other.seconds,
            energy_kwh=self.energy_kwh + other.energy_kwh,
            co2eq_g=self.co2eq_g + other.co2eq_g,
        )
