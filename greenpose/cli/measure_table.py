"""The table of `measure` and the notes below it: a row per number, a column per exit, both intervals."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from greenpose.formatting import MINUS, borne_decimals, fixed, listed, number, plain, plural, prefix, span
from greenpose.intervals import FEWEST, FEWEST_CALLS, Bounds
from greenpose.metering import MEANING
from greenpose.quantity import MARKS, ROUNDING, Quantity, kind_mark
from greenpose.run.measure import MeasuredExit, Measurement

NOT_MEASURED = "not measured"
PERCENT = 100.0
GAP = 2
"""Spaces between columns."""


class Row(NamedTuple):
    """One number of every exit."""

    name: str
    """Field of the record."""
    head: str
    """What it is."""
    unit: str = ""
    """Unit of the field, before an SI prefix; empty for shares."""


Line = tuple[str, Sequence[str]]
"""A row in words: what it is, with its unit, and a cell for each exit."""

ROWS = (
    Row("latency_s", "latency p50", "s"),
    Row("latency_p95_s", "latency p95", "s"),
    Row("energy_j_per_image", "energy gross", "J/image"),
    Row("net_energy_j_per_image", "energy net", "J/image"),
    Row("co2eq_g_per_1000_images", "CO2eq", "g/1000 images"),
    Row("macs", "compute", "MACs/image"),
    Row("energy_j_per_gmac", "energy", "J/GMAC"),
)
DETAILS = (
    Row("cpu_s_per_image", "CPU time", "s"),
    Row("embodied_co2eq_g_per_1000_images", "embodied CO2eq", "g/1000 images"),
    Row("sci_g_per_1000_images", "SCI", "g/1000 images"),
)
"""Rows for those who want to see more."""
SHARES = (
    Row("relative_to_final.latency_s", "latency"),
    Row("relative_to_final.energy_j_per_image", "energy"),
    Row("relative_to_final.macs", "compute"),
)


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


def cell(each: Quantity) -> str:
    """Return `value (A ±x %, B low–high)`, the value with no more digits than the wider interval bears.

    A symbol in front tells what was not measured or counted, as on the page. Where nothing but rounding errors varied,
    there is no A.
    """
    if each.value is None:
        return NOT_MEASURED
    repeated, systematic = each.type_a, each.type_b if each.value else None
    if repeated and repeated.high - repeated.low <= ROUNDING * abs(repeated.high):
        repeated = None
    if systematic and systematic.low == systematic.high:
        systematic = None
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
        yield (
            f"{row.head}, {letter}{row.unit}",
            [cell(entry.quantity(row.name) * (1 / factor)) for entry in found.exits],
        )


def _shares(found: Measurement) -> Iterator[Line]:
    """Yield each exit's part of the final one."""
    final = max(found.config["model"]["exits"])
    for row in shares(found):
        yield f"{row.head}, % of exit {final}", [cell(entry.quantity(row.name) * PERCENT) for entry in found.exits]


def _half(ends: Bounds) -> float:
    return (ends[1] - ends[0]) / 2


def _rounded(half_width: float) -> str:
    return fixed(half_width, borne_decimals(half_width))


def _range(ends: Bounds) -> str:
    decimals = borne_decimals(_half(ends))
    low, high = (fixed(end, decimals) for end in ends)
    return f"{low} to {high}" if MINUS in low else f"{low}–{high}"


def _pages(lines: Sequence[Line], exits: int, width: int) -> list[range]:
    """Return which exits stand beside one another, spread as evenly as the width allows."""
    head = max(len(head) for head, _ in lines)
    widest = max(len(text) for _, cells in lines for text in cells)
    room = max(1, (width - head) // (GAP + widest))
    pages = math.ceil(exits / room)
    return [range(page * exits // pages, (page + 1) * exits // pages) for page in range(pages)]


def _table(lines: Sequence[Line], exits: Sequence[MeasuredExit], page: range) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, GAP, 0, 0))
    table.add_column("", no_wrap=True)
    for index in page:
        table.add_column(f"exit {exits[index].exit}", no_wrap=True)
    for head, cells in lines:
        table.add_row(head, *(cells[index] for index in page))
    return table


USUAL = 0.15
"""Relative half-width times the root of the number of blocks, where blocks scatter by 6 % (one standard deviation)."""


class Note(NamedTuple):
    """Something to know about the numbers."""

    topic: str
    """What it is about."""
    says: str
    """What is to be known."""
    style: str = ""
    """Colour: yellow for what calls for attention."""


def title(found: Measurement) -> Text:
    """Return what was measured, in one line."""
    width, height = found.config["data"]["input_size"]
    exits = f"exit{'s' if len(found.exits) > 1 else ''} {listed([str(entry.exit) for entry in found.exits])}"
    return Text.assemble((found.name, "bold"), f", {exits}, images of {width}x{height}, {found.weights} weights")


def print_notes(found: Measurement, console: Console, *, verbose: bool = False) -> None:
    """Print how to read the numbers, where they come from, and what to mind."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column()
    gaps = _gaps(found, [*costs(verbose=verbose), *shares(found)])
    for note in (_verdict(found), *_warnings(found), *gaps, *_reading(found), *_origin(found)):
        table.add_row(note.topic, Text(note.says, style=note.style))
    console.print(table)


def _verdict(found: Measurement) -> Note:
    """Say whether the stopping rule was met, and if not how to give it more time."""
    plan = found.config["measure"]
    wanted = f"{plan['rel_ci']:.0%}"
    if found.converged:
        return Note(
            "converged", f"the blocks of this run agree to within {wanted} on every exit's energy and its share"
        )
    agreement = found.exits[0].measurement["agreement"]
    so_far = "are a single one" if agreement is None else f"agree to within {agreement:.0%}"
    says = f"NO: the blocks of this run {so_far}, {wanted} was asked for; what is shown holds within its own intervals"
    return Note("converged", f"{says}; for more time: {_more(plan, found.blocks, agreement)}", "yellow")


def _more(plan: Mapping[str, float], blocks: int, agreement: float | None) -> str:
    """Return the option that allows as many blocks as their scatter calls for: intervals shrink with their root.

    Where there are too few to tell how blocks scatter, they are taken to do so as is usual.
    """
    told = blocks * agreement**2 if agreement is not None and blocks >= FEWEST else USUAL**2
    needed = max(2 * blocks, math.ceil(told / plan["rel_ci"] ** 2))
    if blocks >= plan["max_blocks"]:
        return f"--set measure.max_blocks={needed}"
    return f"--max-seconds {math.ceil(plan['max_seconds'] * needed / blocks)}"


def _reading(found: Measurement) -> Iterator[Note]:
    """Yield how to read the numbers."""
    how = found.exits[0].measurement
    kinds = dict.fromkeys(entry.quantity(row.name).kind for row in ROWS for entry in found.exits)
    for kind in kinds:
        if kind in MARKS:
            yield Note(*MARKS[kind])
    once = "; a single one has no interval" if found.blocks == 1 else ""
    blocks, seconds = plural(found.blocks, "block"), plain(how["window_seconds"], 2)
    yield Note("A", f"95 % interval from repetition: {blocks} of windows of {seconds} s, in random order{once}")
    if how.get("between_runs"):
        apart = f"{how['between_runs']:.0%}"
        yield Note("", f"save in shares, A is wider than blocks differ: runs on such a machine do by {apart} (1 sd)")
    yield Note(
        "B", "interval of systematic error, k about 2: the same for all exits here, so that it cancels in shares"
    )
    images = plural(how["items_per_call"], "image")
    yield Note(
        "latency", f"time of a call over its {images}; p50: median, p95: 95th percentile of {how['calls']} calls"
    )
    if any(entry.basis["latency_p95_s"].type_a is None for entry in found.exits):
        yield Note("", f"p95 has no A where there are fewer than {FEWEST_CALLS} calls, or a single block")
    if how["idle_watts"] is not None:
        yield Note("energy", f"gross: all that was drawn; net: less the idle machine's {plain(how['idle_watts'], 2)} W")


def _origin(found: Measurement) -> Iterator[Note]:
    """Yield where energy and emissions come from, and what was measured with."""
    for part in found.components:
        yield Note(part.component, f"{part.kind.replace('_', ' ')}: {part.method}")
    yield Note(f"grade {found.grade}", MEANING[found.grade])
    grid = found.carbon
    interval = span(grid.intensity_interval.low, grid.intensity_interval.high, 3)
    place = f"{plain(grid.intensity_g_per_kwh)} g/kWh ({interval}), {grid.country} {grid.vintage}"
    yield Note("CO2eq", f"gross energy at {place}, PUE {grid.pue:g}; {grid.source}")
    process = found.process
    pinned = "allocator and threads pinned" if process["pinned"] else "allocator NOT pinned"
    threads = plural(process["torch_threads"], "thread")
    cpus = f"{found.host['usable_cpus']:g} of {plural(found.host['vcpus'], 'CPU')}"
    yield Note("process", f"{process['device']}, {threads}, {pinned}, on {found.host['cpu']}, {cpus}")
    if found.weights == "fresh":
        yield Note("weights", "random ones: what an image costs does not depend on their values")


def _gaps(found: Measurement, rows: Sequence[Row]) -> Iterator[Note]:
    """Yield what could not be had, reason by reason."""
    reasons: dict[str, dict[str, None]] = {}
    for row in rows:
        for missing in (entry.quantity(row.name).missing for entry in found.exits):
            if missing:
                reasons.setdefault(missing, {})[f"{row.head} share" if row in SHARES else row.head] = None
    for reason, heads in reasons.items():
        yield Note("not measured", f"{listed(list(heads))}: {reason}", "yellow")


def _warnings(found: Measurement) -> Iterator[Note]:
    for warning in found.warnings:
        yield Note("warning", warning, "yellow")
