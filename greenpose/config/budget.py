"""Limits that a run must not go beyond: energy, emissions, seconds."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from greenpose.errors import GreenPoseError
from greenpose.units import significant

OPTIONS = {"energy_kwh": "kwh", "co2eq_g": "gco2", "seconds": "seconds"}
"""Each limit's name on the command line, after `--budget-`."""
UNITS = {"energy_kwh": "kWh", "co2eq_g": "gCO2eq", "seconds": "s"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a run may use in all its attempts, data preparation included; None is no limit.

    Training ends with the epoch after which another one would not fit any more; one is trained in any case. The test
    and the metering of inference come on top: they are short, and without them the run would have been for nothing.
    """

    energy_kwh: float | None = None
    """Energy of all metered components."""
    co2eq_g: float | None = None
    """Operational emissions."""
    seconds: float | None = None
    """Wall time."""

    def __post_init__(self) -> None:
        """Refuse limits that allow nothing.

        Raises:
            GreenPoseError: if a limit is not a number above zero.
        """
        for name, limit in self.limits.items():
            if not (math.isfinite(limit) and limit > 0):
                raise GreenPoseError(f"budget of {limit:g} {UNITS[name]}: must be a number above zero")

    @property
    def limits(self) -> dict[str, float]:
        """Return the limits that are set, by name."""
        return {name: limit for name, limit in asdict(self).items() if limit is not None}

    def exceeded(self, used: Mapping[str, float], *, by_another: Mapping[str, float]) -> str | None:
        """Return which limit does not bear another epoch on top of what is used, in words; None where all do."""
        for name, limit in self.limits.items():
            unit, then = UNITS[name], used[name] + by_another[name]
            if used[name] > limit:
                return f"budget of {significant(limit)} {unit}: {significant(used[name])} {unit} are used already"
            if then > limit:
                return f"budget of {significant(limit)} {unit}: another epoch would come to {significant(then)} {unit}"
        return None

    def allows_more_than(self, limits: Mapping[str, float]) -> bool:
        """Return whether a run that stopped at `limits` may go on: one of them is higher now, or gone."""
        mine = self.limits
        return any(mine.get(name, math.inf) > limit for name, limit in limits.items())
