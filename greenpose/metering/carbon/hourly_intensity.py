"""A grid's carbon intensity hour by hour, from a user's own file: a mean over any period, and how sure it is."""

import csv
import hashlib
import io
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from greenpose.errors import FaultsError, MeteringError

HOUR = timedelta(hours=1)
LEAST_HOURS = 24
"""A shorter file does not know every hour of a day."""
HOURLY_ERROR = 0.10
"""Relative error of one known hour, k about 2: a default. When the electricity was made is known, so that the swings of
an hour against its year (a factor of two or three) are gone; what is left are the emission factors of each kind of
power station and of imports. It is taken below the 15 % of a national annual mean, which holds those and the year."""
GUESSED_ERROR = 0.30
"""Least relative error of an hour that the file does not hold and the same hour of other days stands in for, k about 2:
a default, since a windy and a still day differ by more than the hours of one day do."""
PLAUSIBLE = (1.0, 2000.0)
"""Grams per kWh outside of which a figure is doubted: 0.331 is somebody's kg.

Source: over their life cycles power stations lie between nuclear's 5 and coal's 1100 (UNECE 2021, Integrated Life-cycle
Assessment of Electricity Sources); room on both sides is a judgement.
"""
YEARS = (1900, 2200)
"""Years that hours may lie in: beyond, a date is a slip, and its arithmetic ends."""
MOST_FAULTS = 20
"""Faults of a file that are listed; more are counted."""

TIMES = ("datetime", "datetime (utc)")
VALUES = ("g_per_kwh",)
EXPORT = "carbon intensity gco₂eq/kwh"
"""How the columns of Electricity Maps' export begin; `(Life cycle)` or `(LCA)` and `(direct)` follow."""


class Period(NamedTuple):
    """The intensity over a period."""

    low: float
    """Lower end of the systematic interval, in g/kWh."""
    mid: float
    """Time-weighted mean of the hours, in g/kWh."""
    high: float
    """Upper end."""
    guessed: float
    """Part of the period that the file does not hold, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """Consecutive hourly intensities."""

    name: str
    """Name of the file."""
    digest: str
    """First 12 hex digits of the file's SHA-256: tells two files of one name apart."""
    scope: str
    """What the figures count, in words; empty where the file does not say."""
    first: datetime
    """Start of the first hour, UTC."""
    values: tuple[float, ...]
    """Grams of CO2 equivalent per kWh of each hour."""
    doubt: str | None = None
    """Which figures are no grid's, with their place; None where all are plausible."""

    @property
    def end(self) -> datetime:
        """Return the end of the last hour."""
        return self.first + len(self.values) * HOUR

    @property
    def mean(self) -> float:
        """Return the mean of all hours, in g/kWh."""
        return statistics.fmean(self.values)

    @property
    def vintage(self) -> str:
        """Return the span that the file covers."""
        return f"{self.first:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M} UTC"

    def over(self, start: datetime, seconds: float) -> Period:
        """Return the time-weighted mean over a period; of no length, the hour that it lies in.

        An hour outside the file is the file's mean for that hour of the day (UTC), with a wider interval.
        """
        if start.tzinfo is None:
            raise MeteringError(f"{start.isoformat()}: has no time zone, so that its hour of the grid is not known")
        low = mid = high = guessed = 0.0
        for index, share in self.shares(start.astimezone(UTC), seconds):
            hour = self.hour(index)
            low, mid, high = low + share * hour.low, mid + share * hour.mid, high + share * hour.high
            guessed += share * hour.guessed
        return Period(low, mid, high, guessed)

    def shares(self, start: datetime, seconds: float) -> Iterator[tuple[int, float]]:
        """Yield each hour that the period touches, as its number in the file, and the part of the period in it."""
        begin = (start - self.first) / HOUR
        end = begin + max(0.0, seconds) / 3600
        if math.floor(begin) == math.floor(end) or end == begin:
            yield math.floor(begin), 1.0
            return
        for index in range(math.floor(begin), math.ceil(end)):
            yield index, (min(end, index + 1) - max(begin, index)) / (end - begin)

    def hour(self, index: int) -> Period:
        """Return the intensity of an hour, counted from the file's first; what stands in for one outside it."""
        if 0 <= index < len(self.values):
            return _within(self.values[index], HOURLY_ERROR, guessed=0.0)
        same = self.values[index % 24 :: 24]
        mean = statistics.fmean(same)
        scatter = 2 * statistics.stdev(same) / mean if len(same) > 1 and mean > 0 else 0.0
        return _within(mean, math.hypot(HOURLY_ERROR, max(GUESSED_ERROR, scatter)), guessed=1.0)


def read_hours(path: str | Path) -> Hours:
    """Return the hourly intensities of a CSV file, read once per content.

    Columns `datetime` (ISO 8601, UTC unless it has an offset) and `g_per_kwh`, or an Electricity Maps export, of which
    the life-cycle column is preferred.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FaultsError(
            [f"{path}: cannot be read: {error.strerror}; give a CSV file of hourly intensities"]
        ) from None
    return _parsed(str(path), content)


def plausible(g_per_kwh: float) -> bool:
    """Return whether a grid may have such an intensity."""
    return PLAUSIBLE[0] <= g_per_kwh <= PLAUSIBLE[1]


@lru_cache(maxsize=4)
def _parsed(path: str, content: bytes) -> Hours:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FaultsError([f"{path}: is not UTF-8 text (byte {error.start}); save it as a CSV file in UTF-8"]) from None
    faults: list[str] = []
    lines = _lines(path, text, faults)
    _, names = next(lines, (1, []))
    time, value = _columns(path, names)
    rows: list[tuple[datetime, float]] = []
    odd: list[str] = []
    before: datetime | None = None
    for number, cells in lines:
        where = f"{path}:{number}"
        row = _row(names, cells, where, faults)
        moment, grams = _moment(row, time, where, faults), _grams(row, value, where, faults)
        if moment is not None:
            faults += _disorder(before, moment, where)
            rows.append((moment, grams or 0.0))
        if grams is not None and not plausible(grams):
            odd.append(f"{grams:g} in line {number}")
        before = moment
    if not faults and len(rows) < LEAST_HOURS:
        faults.append(f"{path}: holds {len(rows)} hours; a day, {LEAST_HOURS}, is the least")
    if faults:
        more = [f"{path}: and {len(faults) - MOST_FAULTS} faults more"] if len(faults) > MOST_FAULTS else []
        raise FaultsError(faults[:MOST_FAULTS] + more)
    return Hours(
        name=Path(path).name,
        digest=hashlib.sha256(content).hexdigest()[:12],
        scope=_scope(value),
        first=rows[0][0],
        values=tuple(grams for _, grams in rows),
        doubt=_doubt(odd, len(rows)),
    )


def _lines(path: str, text: str, faults: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each line that is not empty with its number, up to one that is no CSV."""
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        faults.append(f"{path}:{reader.line_num}: is no CSV: {error}")


def _row(names: Sequence[str], cells: Sequence[str], where: str, faults: list[str]) -> dict[str, str]:
    if len(cells) > len(names):
        hint = "12.9, not 12,9, and no commas between thousands"
        faults.append(f"{where}: has {len(cells)} cells, the header {len(names)}; write numbers with a point: {hint}")
    return dict(zip(names, cells, strict=False))


def _doubt(odd: Sequence[str], rows: int) -> str | None:
    if not odd:
        return None
    shown = ", ".join(odd[:3]) + (" and so on" if len(odd) > 3 else "")
    low, high = PLAUSIBLE
    return f"{len(odd)} of {rows} hours lie outside {low:g} to {high:g} g/kWh ({shown}): were other units meant?"


def _columns(path: str, names: Sequence[str]) -> tuple[str, str]:
    """Return the names of the columns with the time and with the intensity."""
    plain = {" ".join(name.casefold().split()): name for name in names if name}
    exported = [name for name in plain if name.startswith(EXPORT)]
    life_cycle = [name for name in exported if "life cycle" in name or "lca" in name]
    time = [name for name in TIMES if name in plain]
    value = [*(name for name in VALUES if name in plain), *life_cycle, *exported]
    faults = []
    if not time:
        faults.append(f"{path}:1: there is no column datetime (or `Datetime (UTC)`)")
    if not value:
        faults.append(f"{path}:1: there is no column g_per_kwh (or `Carbon intensity gCO₂eq/kWh (Life cycle)`)")
    if faults:
        raise FaultsError([f"{fault}; the file has: {', '.join(names) or 'no header'}" for fault in faults])
    return plain[time[0]], plain[value[0]]


def _moment(row: Mapping[str, str], column: str, where: str, faults: list[str]) -> datetime | None:
    text = row.get(column, "").strip()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        faults.append(f"{where}: {column} is {text!r}; write ISO 8601, e.g. 2025-01-31T13:00Z")
        return None
    if not YEARS[0] <= moment.year < YEARS[1]:
        faults.append(f"{where}: {column} is {text!r}; the years {YEARS[0]} to {YEARS[1]} are understood")
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _grams(row: Mapping[str, str], column: str, where: str, faults: list[str]) -> float | None:
    text = row.get(column, "").strip()
    try:
        grams = math.nan if "_" in text else float(text)
    except ValueError:
        grams = math.nan
    if math.isfinite(grams) and grams >= 0:
        return grams
    faults.append(f"{where}: {column} is {text!r}; must be a number of g/kWh, zero or more")
    return None


def _disorder(before: datetime | None, moment: datetime, where: str) -> list[str]:
    """Return what is wrong with an hour that follows another: each must begin when the one before it ends."""
    if before is None or moment - before == HOUR:
        return []
    at = f"{where}: {moment:%Y-%m-%d %H:%M} UTC"
    if moment == before:
        return [f"{at} is there twice"]
    if moment < before:
        return [f"{at} comes after {before:%Y-%m-%d %H:%M}; the hours must ascend"]
    if moment - before < HOUR or (moment - before) % HOUR:
        return [f"{at} is {(moment - before) / timedelta(minutes=1):g} min after the line before; one line an hour"]
    return [f"{at}: the {(moment - before) // HOUR - 1} h before it are missing"]


def _scope(column: str) -> str:
    plain = column.casefold()
    if not plain.startswith(EXPORT):
        return ""
    return "life cycle" if "life cycle" in plain or "lca" in plain else "direct emissions only, upstream left out"


def _within(mid: float, relative: float, *, guessed: float) -> Period:
    return Period(mid * max(0.0, 1 - relative), mid, mid * (1 + relative), guessed)
