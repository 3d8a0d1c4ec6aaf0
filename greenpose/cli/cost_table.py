"""The table of `measure`: a row per number, a column per exit, each number with both of its intervals."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from greenpose.formatting import MINUS, borne_decimals, fixed, number
from greenpose.report.quantities import ROUNDING, Estimate, estimate, kind_mark
from greenpose.run.measure import MeasuredExit, Measurement
from greenpose.units import prefix

NOT_MEASURED = "not measured"
PERCENT = 100.0
GAP = 2
"""Spaces between columns."""

Ends = tuple[float, float]
"""Lower and upper end of an interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One number of every exit."""

    name: str
    """Field of the record."""
    head: str
    """What it is."""
    unit: str = ""
    """Unit of the field, before an SI prefix; empty for shares."""


ROWS = (
    Row(name="latency_s", head="latency p50", unit="s"),
    Row(name="latency_p95_s", head="latency p95", unit="s"),
    Row(name="energy_j_per_image", head="energy gross", unit="J/image"),
    Row(name="net_energy_j_per_image", head="energy net", unit="J/image"),
    Row(name="co2eq_g_per_1000_images", head="CO2eq", unit="g/1000 images"),
    Row(name="macs", head="compute", unit="MACs/image"),
    Row(name="energy_j_per_gmac", head="energy", unit="J/GMAC"),
)
DETAILS = (
    Row(name="cpu_s_per_image", head="CPU time", unit="s"),
    Row(name="embodied_co2eq_g_per_1000_images", head="embodied CO2eq", unit="g/1000 images"),
    Row(name="sci_g_per_1000_images", head="SCI", unit="g/1000 images"),
)
"""Rows for those who want to see more."""
SHARES = (
    Row(name="relative_to_final.latency_s", head="latency"),
    Row(name="relative_to_final.energy_j_per_image", head="energy"),
    Row(name="relative_to_final.macs", head="compute"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A row in words."""

    head: str
    """What it is, with its unit."""
    cells: Sequence[str]
    """One for each exit."""


def print_costs(found: Measurement, console: Console, *, verbose: bool = False) -> None:
    """Print every number of every exit; the exits that do not fit beside one another follow below."""
    lines = [*_costs(found, costs(verbose=verbose)), *_shares(found)]
    for page in _pages(lines, len(found.exits), console.width):
        console.print(_table(lines, found.exits, page))
        console.print()


def costs(*, verbose: bool) -> tuple[Row, ...]:
    """Return the rows of what an image costs."""
    return (*ROWS, *DETAILS) if verbose else ROWS


def shares(found: Measurement) -> tuple[Row, ...]:
    """Return the rows that compare with the final exit; none for a network with a single exit."""
    return SHARES if len(found.config["model"]["exits"]) > 1 else ()


def cell(each: Estimate) -> str:
    """Return `value (A ±x %, B low–high)`, the value with no more digits than the wider interval bears.

    A symbol in front tells what was not measured or counted, as on the page.
    """
    if each.value is None:
        return NOT_MEASURED
    repeated, systematic = _repeated(each), _systematic(each)
    wider = max((ends for ends in (repeated, systematic) if ends), key=_half, default=(None, None))
    said = [] if repeated is None else [f"A ±{_rounded(PERCENT * _half(repeated) / abs(each.value))} %"]
    said += [] if systematic is None else [f"B {_range(systematic)}"]
    value = kind_mark(each.kind) + number(each.value, *wider).value
    return f"{value} ({', '.join(said)})" if said else value


def _costs(found: Measurement, rows: Sequence[Row]) -> Iterator[Line]:
    """Yield the costs of every exit, with one prefix for all that have a unit in common, so that they compare."""
    for row in rows:
        alike = [entry.quantity(each.name).value for each in rows for entry in found.exits if each.unit == row.unit]
        factor, letter = prefix(max((abs(value) for value in alike if value is not None), default=1.0))
        cells = [cell(estimate(entry.quantity(row.name), 1 / factor)) for entry in found.exits]
        yield Line(head=f"{row.head}, {letter}{row.unit}", cells=cells)


def _shares(found: Measurement) -> Iterator[Line]:
    """Yield each exit's part of the final one."""
    for row in shares(found):
        cells = [cell(estimate(entry.quantity(row.name), PERCENT)) for entry in found.exits]
        yield Line(head=f"{row.head}, % of exit {max(found.config['model']['exits'])}", cells=cells)


def _repeated(each: Estimate) -> Ends | None:
    """Return the interval from repetition; None where there is none, or nothing but rounding errors varied."""
    if each.low is None or each.high is None or each.high - each.low <= ROUNDING * abs(each.high):
        return None
    return each.low, each.high


def _systematic(each: Estimate) -> Ends | None:
    if each.value is None or each.systematic is None:
        return None
    low, high = sorted(each.value * factor for factor in each.systematic)
    return None if low == high else (low, high)


def _half(ends: Ends) -> float:
    return (ends[1] - ends[0]) / 2


def _rounded(half_width: float) -> str:
    return fixed(half_width, borne_decimals(half_width))


def _range(ends: Ends) -> str:
    decimals = borne_decimals(_half(ends))
    low, high = (fixed(end, decimals) for end in ends)
    return f"{low} to {high}" if MINUS in low else f"{low}–{high}"


def _pages(lines: Sequence[Line], exits: int, width: int) -> list[range]:
    """Return which exits stand beside one another, spread as evenly as the width allows."""
    head = max(len(line.head) for line in lines)
    widest = max(len(text) for line in lines for text in line.cells)
    room = max(1, (width - head) // (GAP + widest))
    pages = math.ceil(exits / room)
    return [range(page * exits // pages, (page + 1) * exits // pages) for page in range(pages)]


def _table(lines: Sequence[Line], exits: Sequence[MeasuredExit], page: range) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, GAP, 0, 0))
    table.add_column("", no_wrap=True)
    for index in page:
        table.add_column(f"exit {exits[index].exit}", no_wrap=True)
    for line in lines:
        table.add_row(line.head, *(line.cells[index] for index in page))
    return table
