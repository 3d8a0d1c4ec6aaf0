"""Grams of CO2 equivalent per kilowatt-hour of a country's grid, with source, vintage and interval."""

import csv
import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache, reduce
from importlib.resources import files
from operator import add

from greenpose.errors import GreenPoseError, MeteringError
from greenpose.formatting import co2eq_g, joules_to_kwh
from greenpose.intervals import Bounds
from greenpose.metering.carbon.hourly_intensity import PLAUSIBLE, Hours, Period, plausible, read_hours
from greenpose.metering.sources.source import NO_ENERGY, Joules
from greenpose.metering.window import Window
from greenpose.quantity import Quantity

TABLE = "data/grid_intensity.csv"
"""National annual means; its first line says where they are from."""
TABLE_SOURCE = "codecarbon 3.3.2, global_energy_mix.json (Our World in Data)"
OWN_FACTOR = "user's own factor"
CUSTOM = "custom"
"""Stands where a country's code would, for a user's own factor."""
ANNUAL_MEAN_ERROR = 0.15
"""Systematic relative error of an annual national mean, k about 2; single hours differ by a factor of two or three."""
SHOWN = 0.005
"""Least part of a period outside an hourly file that is mentioned: what rounds to a percent."""
LIFETIME_YEARS = 4.0
"""Years that a machine is used before it is replaced.

Source: the example of the SCI specification 1.1 (ISO/IEC 21031:2024), section "Embodied emissions": four years.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intensity:
    """The carbon intensity of the electricity that a machine drew."""

    country: str
    """ISO 3166 alpha-3 code, `custom` for a user's own factor, `hourly` for a user's own file."""
    country_name: str
    """The country's name, or what the user called the factor or the file."""
    g_per_kwh: float
    """Grams of CO2 equivalent per kWh: the annual mean of a country, the mean over a period for hourly data."""
    interval: Bounds
    """Its systematic interval."""
    source: str
    """Table that it was taken from."""
    vintage: str
    """Year that the table's entry is about, or the span of an hourly file."""


UNIT = "gCO2eq"


@dataclass(frozen=True, slots=True, kw_only=True)
class CarbonAccounting:
    """What turns energy, and the making of the machine, into emissions; each factor is kept apart."""

    intensity: Intensity
    """The grid; the mean of the whole file where the intensities are hourly."""
    pue: float = 1.0
    """Power usage effectiveness: the building's energy over the machine's."""
    hours: Hours | None = None
    """Hourly intensities; None where one figure stands for the year."""
    embodied_kg: float | None = None
    """The user's own figure for making the machine, in kgCO2eq; None for the model, 0 to leave it out."""
    lifetime_years: float = LIFETIME_YEARS
    """Years over which making the machine is spread."""

    def __post_init__(self) -> None:
        """Refuse a building that uses less than its machines, and machines that are made of less than nothing."""
        if not (math.isfinite(self.pue) and self.pue >= 1):
            raise GreenPoseError(f"pue {self.pue}: must be 1 or more (the building's energy over the machine's)")
        if self.embodied_kg is not None and not (math.isfinite(self.embodied_kg) and self.embodied_kg >= 0):
            raise GreenPoseError(f"embodied_kg {self.embodied_kg}: must be a finite number of kg, zero or more")
        if not (math.isfinite(self.lifetime_years) and self.lifetime_years > 0):
            raise GreenPoseError(f"lifetime_years {self.lifetime_years}: must be a number of years above zero")

    @property
    def doubt(self) -> str | None:
        """Return why an intensity of the user's own may be a slip; None where it may be a grid's."""
        if self.hours is not None:
            return self.hours.doubt
        return None if self.intensity.country != CUSTOM else _slip(self.intensity.g_per_kwh)

    def grid(self, start: datetime | None = None, seconds: float = 0.0) -> Intensity:
        """Return the grid's intensity over a period; without a start, or without hourly data, its mean."""
        if self.hours is None or start is None:
            return self.intensity
        return _hourly(self.hours, self.hours.over(start, seconds), name=self.intensity.country_name)

    def grid_of(self, windows: Iterable[Window]) -> Intensity:
        """Return the grid's intensity over windows, each counted by its energy; its mean where they used none."""
        used = [window for window in windows if window.energy.mid > 0]
        if self.hours is None or not used:
            return self.intensity
        whole = sum(window.energy.mid for window in used)
        periods = [
            (window.energy.mid / whole, self.hours.over(datetime.fromisoformat(window.started_at), window.seconds))
            for window in used
        ]
        mean = Period(*(sum(part * period[index] for part, period in periods) for index in range(len(Period._fields))))
        return _hourly(self.hours, mean, name=self.intensity.country_name)

    def describe_grid(self, *, timed: bool) -> str:
        """Return what energy is multiplied with, in words; `timed` is work that is charged by when it was done."""
        if self.hours is not None:
            return "hourly grid intensity at the time of the work" if timed else "mean of the hourly grid intensities"
        return "the user's own grid intensity" if self.intensity.country == CUSTOM else "annual mean grid intensity"

    def grams(self, energy: Joules, start: datetime | None = None, seconds: float = 0.0) -> Quantity:
        """Return energy x PUE x grid intensity, interval ends multiplied with interval ends.

        With hourly data `start` (with a time zone) and `seconds` say when the energy was used. Of what kind the energy
        is, its owner knows.
        """
        grid = self.grid(start, seconds)
        factors = (grid.interval.low, grid.g_per_kwh, grid.interval.high)
        low, mid, high = (
            co2eq_g(joules_to_kwh(joules), intensity_g_per_kwh=factor, pue=self.pue)
            for joules, factor in zip((energy.low, energy.mid, energy.high), factors, strict=True)
        )
        method = f"energy x PUE x {self.describe_grid(timed=start is not None)}"
        return Quantity(value=mid, unit=UNIT, kind="modelled", method=method, type_b=Bounds(low, high))

    def grams_of(self, windows: Iterable[Window]) -> Quantity:
        """Return the emissions of windows, each with the intensity of its own time; give windows that do not overlap.

        A part of a window, which comes and goes, is counted over its seconds from its start on.
        """
        each = (
            self.grams(window.energy, datetime.fromisoformat(window.started_at), window.seconds) for window in windows
        )
        return reduce(
            add, each, replace(self.grams(NO_ENERGY), method=f"energy x PUE x {self.describe_grid(timed=True)}")
        )


def carbon_of(
    *,
    country: str | None = None,
    intensity_g_per_kwh: float | None = None,
    hourly: str | None = None,
    label: str | None = None,
    pue: float = 1.0,
    embodied_kg: float | None = None,
    lifetime_years: float = LIFETIME_YEARS,
) -> CarbonAccounting:
    """Return what turns energy into emissions; the names are those of a configuration's section `carbon`.

    A user's own intensity goes before an hourly file, and that before the country.

    Raises:
        GreenPoseError: if the country is unknown, the file unusable, or none of the three is given.
    """
    hours = None if hourly is None or intensity_g_per_kwh is not None else read_hours(hourly)
    if intensity_g_per_kwh is not None:
        grid = custom_intensity(intensity_g_per_kwh, name=label or OWN_FACTOR)
    elif hours is not None:
        grid = hourly_intensity(hours, name=label)
    elif country is not None:
        grid = intensity(country)
    else:
        raise GreenPoseError(
            "carbon: give a country (e.g. ITA), your own intensity_g_per_kwh, or an hourly file of intensities"
        )
    return CarbonAccounting(
        intensity=grid, pue=pue, hours=hours, embodied_kg=embodied_kg, lifetime_years=lifetime_years
    )


def intensity(country: str) -> Intensity:
    """Return the grid intensity of a country named by its three-letter ISO code.

    Source: `TABLE_SOURCE`, of which the package holds a copy: no network, and no codecarbon.

    Raises:
        GreenPoseError: if the table has no such country; the message names the nearest.
    """
    table = _table()
    entry = table.get(country.strip().upper())
    if entry is None:
        raise GreenPoseError(
            f"country {country!r} is not a three-letter ISO code of the table; {_hint(country, table)}"
        )
    factor = float(entry["carbon_intensity"])
    if factor <= 0:
        raise MeteringError(
            f"country {country!r}: the table has no intensity above zero for {entry['country_name']}; "
            "give your own in g/kWh"
        )
    return Intensity(
        country=entry["iso_code"],
        country_name=entry["country_name"],
        g_per_kwh=factor,
        interval=_of_a_year(factor),
        source=TABLE_SOURCE,
        vintage=entry["year"],
    )


def custom_intensity(g_per_kwh: float, *, name: str = OWN_FACTOR, vintage: str = "not stated") -> Intensity:
    """Return a user's own grid intensity, with the same relative interval as a national mean."""
    if not (math.isfinite(g_per_kwh) and g_per_kwh >= 0):
        raise GreenPoseError(f"carbon intensity {g_per_kwh} g/kWh: must be a finite number, zero or more")
    return Intensity(
        country=CUSTOM,
        country_name=name,
        g_per_kwh=g_per_kwh,
        interval=_of_a_year(g_per_kwh),
        source="; ".join(filter(None, ("given by the user", _slip(g_per_kwh)))),
        vintage=vintage,
    )


def hourly_intensity(hours: Hours, *, name: str | None = None) -> Intensity:
    """Return the mean over a whole hourly file: for work of which no time is known, with an annual mean's interval."""
    low, high = _of_a_year(hours.mean)
    return _hourly(hours, Period(low, hours.mean, high, 0.0), name=name or hours.name)


def _of_a_year(g_per_kwh: float) -> Bounds:
    """Return the systematic interval of an annual mean."""
    return Bounds(g_per_kwh * (1 - ANNUAL_MEAN_ERROR), g_per_kwh * (1 + ANNUAL_MEAN_ERROR))


def countries() -> dict[str, str]:
    """Return the names of all countries in the table by their ISO codes."""
    return {code: entry["country_name"] for code, entry in _table().items()}


def _hourly(hours: Hours, period: Period, *, name: str) -> Intensity:
    source = f"hourly data given by the user: {hours.name} (SHA-256 {hours.digest})"
    if hours.scope:
        source += f", {hours.scope}"
    if hours.doubt:
        source += f"; {hours.doubt}"
    if period.guessed >= SHOWN:
        source += f"; {period.guessed:.0%} of the time is outside the file: its mean for the same hours of the day"
    return Intensity(
        country="hourly",
        country_name=name,
        g_per_kwh=period.mid,
        interval=Bounds(period.low, period.high),
        source=source,
        vintage=hours.vintage,
    )


def _slip(g_per_kwh: float) -> str | None:
    if plausible(g_per_kwh):
        return None
    low, high = PLAUSIBLE
    kg = f": were {1000 * g_per_kwh:g} meant, given in kg?" if plausible(1000 * g_per_kwh) else ""
    return f"{g_per_kwh:g} g/kWh is no grid's, which have {low:g} to {high:g}{kg}"


def _hint(country: str, table: Mapping[str, Mapping[str, str]]) -> str:
    """Name the countries probably meant: codes that begin so, names that contain it, else what looks alike."""
    wanted = country.strip().casefold()
    names = {entry["country_name"].casefold(): code for code, entry in table.items()}
    begin = [code for code in table if wanted and code.casefold().startswith(wanted)]
    contain = [code for name, code in names.items() if len(wanted) > 2 and wanted in name]
    words = names | {code.casefold(): code for code in table}
    alike = [words[word] for word in difflib.get_close_matches(wanted, words, n=3, cutoff=0.5)]
    codes = begin or contain or alike
    if not codes:
        return "known are for example DEU, FRA, ITA, USA"
    named = dict.fromkeys(f"{code} ({table[code]['country_name']})" for code in codes[:4])
    return f"did you mean {' or '.join(named)}?"


@lru_cache(maxsize=1)
def _table() -> dict[str, dict[str, str]]:
    """Return each country's line by its code."""
    lines = files("greenpose.metering").joinpath(TABLE).read_text(encoding="utf-8").splitlines()
    return {entry["iso_code"]: entry for entry in csv.DictReader(lines[1:])}
