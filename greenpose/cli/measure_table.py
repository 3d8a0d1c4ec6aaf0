"""The table of `measure` and the notes below it: a row per number, a column per exit, and the systematic error."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.text import Text

from greenpose.formatting import ends, listed, plain, plural, prefix
from greenpose.intervals import FEWEST, FEWEST_CALLS
from greenpose.metering import MEANING
from greenpose.metrics import (
    CO2,
    CPU,
    EMBODIED,
    ENERGY,
    ENERGY_PER_GMAC,
    LATENCY,
    LATENCY_P95,
    MACS,
    NET_ENERGY,
    PERCENT,
    SCI,
    Metric,
)
from greenpose.quantity import MARKS, Quantity
from greenpose.record.artefacts import ArtefactCost, Turns
from greenpose.record.numbers import Numbers
from greenpose.tables import Cell, Column, TableCell, quantity_cell, systematic_notes, terminal_notes, terminal_table

if TYPE_CHECKING:
    from greenpose.run.measure import MeasuredExit, Measurement

GAP = 2
"""Spaces between columns."""
COSTS = {
    LATENCY: "s",
    LATENCY_P95: "s",
    ENERGY: "J/image",
    NET_ENERGY: "J/image",
    CO2: "g/1000 images",
}
"""What an image costs, with the unit of its field, before an SI prefix."""
ROWS = COSTS | {MACS: "MACs/image", ENERGY_PER_GMAC: "J/GMAC"}
"""What is shown of every exit, with the unit of its field, before an SI prefix."""
DETAILS = {CPU: "s", EMBODIED: "g/1000 images", SCI: "g/1000 images"}
"""Rows for those who want to see more."""
SHARES = (LATENCY, ENERGY, MACS)
"""What is compared with the final exit."""
COSTS_IN_BF16 = {metric: unit for metric, unit in COSTS.items() if metric in (LATENCY, ENERGY, CO2)}
BESIDE = (LATENCY, ENERGY)
"""What is said of an exit in bfloat16, where it was measured in that too."""
Line = tuple[str, str, list[Quantity]]
"""A row: what it is, its unit, and the number of each exit."""


def print_costs(found: "Measurement", console: Console, *, verbose: bool = False) -> None:
    """Print every number of every exit; the exits that do not fit beside one another follow below."""
    print_pages([f"exit {entry.exit}" for entry in found.exits], _lines(found, verbose=verbose), console)


def print_pages(heads: Sequence[str], lines: Iterable[Line], console: Console) -> None:
    """Print a row for each line and a column for each head; those that do not fit beside one another follow below."""
    rows = [
        (", ".join(filter(None, (name, unit))), list(map(quantity_cell, numbers)), _factors(numbers))
        for name, unit, numbers in lines
    ]
    for page in _pages(rows, heads, console.width):
        columns = [Column(head=heads[place]) for place in page]
        cells: list[list[Cell]] = [[name, *cells[page.start : page.stop], factors] for name, cells, factors in rows]
        console.print(terminal_table(("", *columns, Column(head="B", words=True)), cells))
        console.print()


def _factors(numbers: Sequence[Quantity]) -> str:
    return "".join(systematic_notes(numbers))[len("syst. ") :]


def _lines(found: "Measurement", *, verbose: bool) -> Iterator[Line]:
    """Yield what an image costs, with one prefix for all that have a unit in common, and each exit's part of the final.

    The parts are left out where the network has a single exit.
    """
    yield from prefixed_lines(found.exits, ROWS | DETAILS if verbose else ROWS)
    exits = found.config["model"]["exits"]
    yield from share_lines(found.exits, SHARES if len(exits) > 1 else (), f"exit {max(exits)}")
    rounded = [entry.bf16 for entry in found.exits if entry.bf16]
    if rounded:
        yield from ((f"{name} in bf16", unit, each) for name, unit, each in prefixed_lines(rounded, COSTS_IN_BF16))
        yield from ((f"{each.label} in bf16", "% of float32", [one.share(each) for one in rounded]) for each in BESIDE)


def prefixed_lines(entries: Sequence[Numbers], rows: Mapping[Metric, str]) -> Iterator[Line]:
    """Yield each metric of all entries; those of one unit have the prefix in common that suits the largest number."""
    for metric, unit in rows.items():
        alike = [entry.quantity(each.name).value for each in rows for entry in entries if rows[each] == unit]
        factor, letter = prefix(max((abs(value) for value in alike if value is not None), default=1.0))
        yield metric.label, letter + unit, [entry.quantity(metric.name, scale=1 / factor) for entry in entries]


def share_lines(entries: Sequence[Numbers], metrics: Sequence[Metric], whole: str) -> Iterator[Line]:
    """Yield each entry's part of what the whole costs, in percent."""
    for metric in metrics:
        shares = [entry.quantity(f"relative_to_final.{metric.name}", scale=PERCENT) for entry in entries]
        yield metric.label, f"% of {whole}", shares


def _pages(rows: Sequence[tuple[str, list[TableCell], str]], heads: Sequence[str], width: int) -> list[range]:
    """Return which columns stand beside one another, spread as evenly as the width allows."""
    aside = max(len(name) for name, _, _ in rows) + GAP + max(len(factors) for _, _, factors in rows)
    widest = max([*map(len, heads), *(len(cell.line) for _, cells, _ in rows for cell in cells)])
    room = max(1, (width - aside) // (GAP + widest))
    count, pages = len(heads), math.ceil(len(heads) / room)
    return [range(page * count // pages, (page + 1) * count // pages) for page in range(pages)]


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


def title(found: "Measurement") -> Text:
    """Return what was measured, in one line."""
    width, height = found.config["data"]["input_size"]
    exits = f"exit{'s' if len(found.exits) > 1 else ''} {listed([str(entry.exit) for entry in found.exits])}"
    return Text.assemble((found.name, "bold"), f", {exits}, images of {width}x{height}, {found.weights} weights")


def print_notes(found: "Measurement", console: Console, *, verbose: bool = False) -> None:
    """Print how to read the numbers, where they come from, and what to mind."""
    told = (_verdict(found), *_warnings(found), *gaps(_lines(found, verbose=verbose)))
    notes = (*told, *reading(found.exits, found.blocks), *origin(found), *_weights(found))
    console.print(terminal_notes(notes))


def _weights(found: "Measurement") -> Iterator[Note]:
    if found.exits[0].passes > 1:
        yield Note("test.flip", "every image is computed twice: time and energy, also of a GMAC, are of both passes")
    if found.weights == "fresh":
        yield Note("weights", "random ones: what an image costs does not depend on their values")


def _verdict(found: "Measurement") -> Note:
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


def reading(entries: "Sequence[MeasuredExit | ArtefactCost]", num_blocks: int) -> Iterator[Note]:
    """Yield how to read the numbers of what took turns in so many blocks."""
    how = entries[0].measurement
    kinds = dict.fromkeys(entry.quantity(row.name).kind for row in COSTS for entry in entries)
    for kind in kinds:
        if kind in MARKS:
            yield Note(*MARKS[kind])
    once = "; a single one has no interval" if num_blocks == 1 else ""
    blocks, seconds = plural(num_blocks, "block"), plain(how["window_seconds"], 2)
    yield Note("interval", f"95 % from repetition: {blocks} of windows of {seconds} s, in random order{once}")
    if how.get("between_runs"):
        apart = f"{how['between_runs']:.0%}"
        yield Note("", f"save in shares, it is wider than blocks differ: runs on such a machine do by {apart} (1 sd)")
    yield Note("B", "systematic error as factors, k about 2: the same for all here, so that it cancels in shares")
    images = plural(how["items_per_call"], "image")
    yield Note("latency", f"time of a call over its {images}: median, and 95th percentile, of {how['calls']} calls")
    if any(entry.basis["latency_p95_s"].type_a is None for entry in entries):
        yield Note("", f"the percentile has none where there are fewer than {FEWEST_CALLS} calls, or a single block")
    if how["idle_watts"] is not None:
        yield Note("energy", f"gross: all that was drawn; net: less the idle machine's {plain(how['idle_watts'], 2)} W")


def origin(found: "Measurement | Turns") -> Iterator[Note]:
    """Yield where energy and emissions come from, and what was measured with."""
    for part in found.components:
        yield Note(part.component, f"{part.kind.replace('_', ' ')}: {part.method}")
    yield Note(f"grade {found.grade}", MEANING[found.grade])
    grid = found.carbon
    truly = ends(plain(grid.intensity_interval.low), plain(grid.intensity_interval.high))
    place = f"{plain(grid.intensity_g_per_kwh)} g/kWh (truly {truly}), {grid.country} {grid.vintage}"
    yield Note("CO2eq", f"gross energy at {place}, PUE {grid.pue:g}; {grid.source}")
    process = found.process
    pinned = "allocator and threads pinned" if process["pinned"] else "allocator NOT pinned"
    threads = plural(process["torch_threads"], "thread")
    cpus = f"{found.host['usable_cpus']:g} of {plural(found.host['vcpus'], 'CPU')}"
    yield Note("process", f"{process['device']}, {threads}, {pinned}, on {found.host['cpu']}, {cpus}")


def gaps(lines: Iterator[Line]) -> Iterator[Note]:
    """Yield what could not be had, reason by reason."""
    reasons: dict[str, dict[str, None]] = {}
    for head, unit, numbers in lines:
        for missing in (each.missing for each in numbers if each.missing):
            reasons.setdefault(missing, {})[f"{head} share" if unit.startswith("% of") else head] = None
    for reason, heads in reasons.items():
        yield Note("not measured", f"{listed(list(heads))}: {reason}", "yellow")


def _warnings(found: "Measurement") -> Iterator[Note]:
    for warning in found.warnings:
        yield Note("warning", warning, "yellow")
