"""Settings of metering, of carbon accounting, and of budgets that end a training."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from greenpose.errors import GreenPoseError
from greenpose.formatting import significant
from greenpose.schema import NO_TRUTH, Document, Place


def _is_float32(precision: str) -> bool:
    return precision == "float32"


class MeasureConfig(Document):
    """How inference is metered, exit by exit, on truncated networks."""

    batch: Annotated[int, Field(ge=1, le=65_536), NO_TRUTH] = 8
    """Images per call; latency and energy are per image."""
    precision: Annotated[Literal["float32", "bf16", "auto"], Field(exclude_if=_is_float32)] = "float32"
    """Arithmetic that exits will run in. They are measured in float32 in any case; with `bf16`, refused where there are
    no units for it, each takes turns with itself in bfloat16, whose cost and AP stand beside; `auto`: so where there
    are units, else float32, and the record says why."""
    min_window_seconds: Annotated[float, Field(ge=1e-6, le=3600), NO_TRUTH] = 0.5
    """A window lasts at least this long: the call is repeated inside it."""
    rel_ci: Annotated[float, Field(ge=1e-12, le=10), NO_TRUTH] = 0.05
    """Stop when the 95 % half-width, over this run's blocks, of every exit's energy and of its ratio to the final
    exit's is below this fraction."""
    max_blocks: Annotated[int, Field(ge=1, le=1_000_000), NO_TRUTH] = 12
    """Stop after this many interleaved blocks in any case."""
    max_seconds: Annotated[float, Field(ge=1e-6, le=1e6), NO_TRUTH] = 60.0
    """Stop after this many seconds in any case."""
    step_blocks: Annotated[int, Field(ge=1, le=100_000), NO_TRUTH] = 12
    """Interleaved blocks in which the parts of a training step are measured, for networks with several exits."""
    allocation: Literal["airport", "macs", "incremental", "deepest"] = "airport"
    """Rule by which training is split over the exits that share it: `airport` divides each segment equally among the
    exits that need it; `macs` is proportional to each exit's MACs; `incremental` charges what an exit adds to the next
    shallower one; `deepest` charges the deepest exit everything."""


def _no_norway(value: Any) -> Any:
    if value is False:
        raise ValueError('YAML reads NO, no and off as the truth value false; Norway is "NOR" (ISO 3166 alpha-3)')
    return value


class CarbonConfig(Document):
    """What turns joules, and the making of the machine, into grams."""

    country: Annotated[str | None, BeforeValidator(_no_norway)] = None
    """ISO 3166 alpha-3 code of the grid, e.g. ITA; its annual mean intensity is looked up offline."""
    intensity_g_per_kwh: Annotated[float, Field(ge=1e-3, le=10_000), NO_TRUTH] | None = None
    """Your own intensity instead, in gCO2eq per kWh."""
    hourly: Place | None = None
    """Your own file of hourly intensities instead: a CSV with the columns `datetime` (ISO 8601, UTC unless it has an
    offset) and `g_per_kwh`, or an export of Electricity Maps."""
    label: str | None = None
    """What to call the grid of your own intensity or file."""
    pue: Annotated[float, Field(ge=1, le=100), NO_TRUTH] = 1.0
    """Power usage effectiveness: the building's energy over the machine's. It applies to energy only."""
    embodied_kg: Annotated[float, Field(ge=0, le=1e6), NO_TRUTH] | None = None
    """What it took to make the machine that you see (on a virtual machine: your part of its host), in kgCO2eq; null =
    modelled from its parts, 0 = left out."""
    lifetime_years: Annotated[float, Field(ge=0.01, le=100), NO_TRUTH] = 4.0
    """Years that the machine is used, over which making it is spread (the SCI specification's example)."""

    @model_validator(mode="after")
    def _one_grid(self) -> "CarbonConfig":
        grids = [name for name in ("country", "intensity_g_per_kwh", "hourly") if getattr(self, name) is not None]
        faults = []
        if not grids:
            faults.append(
                "give country (e.g. ITA), intensity_g_per_kwh or hourly (a CSV file): emissions depend on where you are"
            )
        if len(grids) > 1:
            faults.append(f"{' and '.join(grids)} are given; keep one, and set the others to null")
        if self.label is not None and self.country is not None:
            faults.append(f"label {self.label!r} belongs to intensity_g_per_kwh or hourly; a country has its own name")
        if faults:
            raise ValueError("; ".join(faults))
        return self


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
