"""Grams of CO2 equivalent per kilowatt-hour of a country's grid, with source, vintage and interval."""

import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from greenpose.errors import GreenPoseError, MeteringError
from greenpose.metering.source import Joules
from greenpose.units import co2eq_g, joules_to_kwh

TABLE = "data/private_infra/global_energy_mix.json"
ANNUAL_MEAN_ERROR = 0.15
"""Systematic relative error of an annual national mean, k about 2; single hours differ by a factor of two or three."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intensity:
    """The carbon intensity of the electricity that a machine drew."""

    country: str
    """ISO 3166 alpha-3 code, or `custom` for a user's own factor."""
    country_name: str
    """The country's name, or what the user called the factor."""
    g_per_kwh: float
    """Grams of CO2 equivalent per kWh, annual mean."""
    low: float
    """Lower end of the systematic interval."""
    high: float
    """Upper end of the systematic interval."""
    source: str
    """Table that it was taken from."""
    vintage: str
    """Year that the table's entry is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grams:
    """Emissions in grams of CO2 equivalent with their systematic interval."""

    low: float
    """Least energy on the cleanest grid that the intervals allow."""
    mid: float
    """Best estimate."""
    high: float
    """Most energy on the dirtiest grid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carbon:
    """What turns energy into emissions; each factor is kept apart."""

    intensity: Intensity
    """The grid."""
    pue: float = 1.0
    """Power usage effectiveness: the building's energy over the machine's."""

    def __post_init__(self) -> None:
        """Refuse a building that uses less than its machines."""
        if not (math.isfinite(self.pue) and self.pue >= 1):
            raise GreenPoseError(f"pue {self.pue}: must be 1 or more (the building's energy over the machine's)")

    def grams(self, energy: Joules) -> Grams:
        """Return energy x PUE x grid intensity, interval ends multiplied with interval ends."""
        pairs = (
            (energy.low, self.intensity.low),
            (energy.mid, self.intensity.g_per_kwh),
            (energy.high, self.intensity.high),
        )
        low, mid, high = (
            co2eq_g(joules_to_kwh(joules), intensity_g_per_kwh=factor, pue=self.pue) for joules, factor in pairs
        )
        return Grams(low=low, mid=mid, high=high)


def carbon_of(*, country: str | None, intensity_g_per_kwh: float | None = None, pue: float = 1.0) -> Carbon:
    """Return what turns energy into emissions: a user's own intensity where one is given, else the country's.

    Raises:
        GreenPoseError: if the country is unknown, or neither is given.
    """
    if intensity_g_per_kwh is not None:
        return Carbon(intensity=custom_intensity(intensity_g_per_kwh), pue=pue)
    if country is None:
        raise GreenPoseError("carbon: give a country (e.g. ITA) or your own intensity in g/kWh")
    return Carbon(intensity=intensity(country), pue=pue)


def intensity(country: str) -> Intensity:
    """Return the grid intensity of a country named by its three-letter ISO code.

    Source: the table that codecarbon ships (national annual means, Our World in Data), read as a file: no network.

    Raises:
        GreenPoseError: if the table has no such country; the message names the nearest.
    """
    table = _table()
    entry = table.get(country.strip().upper())
    if entry is None:
        raise GreenPoseError(
            f"country {country!r} is not a three-letter ISO code of the table; {_hint(country, table)}"
        )
    factor = entry.get("carbon_intensity")
    if not factor:
        raise MeteringError(
            f"country {country!r}: the table has no intensity above zero for {entry['country_name']}; "
            "give your own in g/kWh"
        )
    return Intensity(
        country=str(entry["iso_code"]),
        country_name=str(entry["country_name"]),
        g_per_kwh=float(factor),
        low=factor * (1 - ANNUAL_MEAN_ERROR),
        high=factor * (1 + ANNUAL_MEAN_ERROR),
        source=f"codecarbon {version('codecarbon')}, {Path(TABLE).name} (Our World in Data)",
        vintage=str(entry["year"]),
    )


def custom_intensity(g_per_kwh: float, *, name: str = "user's own factor", vintage: str = "not stated") -> Intensity:
    """Return a user's own grid intensity, with the same relative interval as a national mean.

    Raises:
        GreenPoseError: if it is not a finite number of grams, zero or more.
    """
    if not (math.isfinite(g_per_kwh) and g_per_kwh >= 0):
        raise GreenPoseError(f"carbon intensity {g_per_kwh} g/kWh: must be a finite number, zero or more")
    return Intensity(
        country="custom",
        country_name=name,
        g_per_kwh=g_per_kwh,
        low=g_per_kwh * (1 - ANNUAL_MEAN_ERROR),
        high=g_per_kwh * (1 + ANNUAL_MEAN_ERROR),
        source="given by the user",
        vintage=vintage,
    )


def countries() -> dict[str, str]:
    """Return the names of all countries in the table by their ISO codes."""
    return {code: str(entry["country_name"]) for code, entry in _table().items()}


def _hint(country: str, table: Mapping[str, Mapping[str, Any]]) -> str:
    """Name the countries probably meant: codes that begin so, names that contain it, else what looks alike."""
    wanted = country.strip().casefold()
    names = {str(entry["country_name"]).casefold(): code for code, entry in table.items()}
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
def _table() -> dict[str, dict[str, Any]]:
    """Read codecarbon's file without importing codecarbon, which takes a fifth of a second and pandas."""
    found = find_spec("codecarbon")
    if found is None or not found.submodule_search_locations:
        raise MeteringError(
            "codecarbon, whose table of grid intensities is used, is not installed: pip install codecarbon"
        )
    text = (Path(found.submodule_search_locations[0]) / TABLE).read_text(encoding="utf-8")
    table: dict[str, dict[str, Any]] = json.loads(text)
    return table
