"""What stands below the table of `measure`: how its numbers are to be read, and how far they are to be trusted."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from greenpose.cli.cost_table import ROWS, SHARES, Row, costs, shares
from greenpose.formatting import listed, plain, plural, span
from greenpose.metering import FEWEST, FEWEST_CALLS, MEANING
from greenpose.report.quantities import MARKS
from greenpose.run.measure import Measurement

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
    kinds = dict.fromkeys(entry.quantity(row.name).basis.kind for row in ROWS for entry in found.exits)
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
        for missing in (entry.quantity(row.name).basis.missing for entry in found.exits):
            if missing is not None:
                reasons.setdefault(missing, {})[f"{row.head} share" if row in SHARES else row.head] = None
    for reason, heads in reasons.items():
        yield Note("not measured", f"{listed(list(heads))}: {reason}", "yellow")


def _warnings(found: Measurement) -> Iterator[Note]:
    for warning in found.warnings:
        yield Note("warning", warning, "yellow")
