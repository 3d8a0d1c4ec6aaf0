"""What a meter adds up."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from greenpose.metering.carbon import Grams
from greenpose.metering.grading import Grade
from greenpose.metering.source import NO_ENERGY, Joules


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """What was used since the meter's start."""

    seconds: float
    """Wall time."""
    cpu_seconds: float
    """CPU time of this process and its children."""
    joules: Mapping[str, Joules]
    """Energy per component."""
    co2eq_g: Grams | None
    """Operational emissions in grams, low, mid and high (energy and grid intervals multiplied); None without a grid."""
    embodied_co2eq_g: Grams | None
    """What making the hardware costs for the wall time; None without a grid, or where it was left out."""
    grade: Grade
    """A measured, B mixed, C modelled."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Components of which some or all is not in it, and why."""
    doubts: Mapping[str, str] = field(default_factory=dict)
    """What is wrong with the clocks, by topic."""

    @property
    def energy(self) -> Joules:
        """Return the energy of all components."""
        return sum(self.joules.values(), NO_ENERGY)

    @property
    def sci_g(self) -> Grams | None:
        """Return operational and embodied emissions together: the Software Carbon Intensity per metered block."""
        if self.co2eq_g is None or self.embodied_co2eq_g is None:
            return None
        return self.co2eq_g + self.embodied_co2eq_g
