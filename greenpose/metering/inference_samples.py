"""Samples of inference: from blocks of windows to estimates; pure numbers, no clock."""

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from greenpose.intervals import Bounds, interval, relative_half_width
from greenpose.metering.machine import Machine
from greenpose.metering.sources.source import Joules, Provenance
from greenpose.metering.window import Window
from greenpose.quantity import Quantity, high_percentile, median

IDLE = "idle"
"""Place of the idle window in a block; nothing that is measured may be called so."""
RESOLUTION_WARNING = 0.02
"""A counter's step above this part of a window's energy is worth a warning."""
FOREIGN_WARNING = 0.10
"""Other processes' share of the CPU above which wall time is worth a warning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One window of one block."""

    window: Window
    """The window."""
    calls: tuple[float, ...]
    """Seconds of each call in it; none for an idle window."""


Block = Mapping[str, Sample]
"""Its samples by the name of what was measured, the idle machine's among them."""
Reference = str | Mapping[str, str] | None
"""Whom ratios are to: one and the same, each one's own by its name, or nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitMeasurement:
    """What one item costs at one exit, or in whatever else took turns with exits.

    An estimate that could not be had is None, and `missing` says why.
    """

    items_per_call: int
    """Items of one call: the batch size."""
    blocks: int
    """Blocks that the medians are over."""
    calls: int
    """Calls in all of them."""
    window_seconds: float
    """Median length of a window."""
    latency_s: Quantity
    """Seconds per item: median call of a block over its items."""
    latency_p95_s: Quantity
    """95th percentile over all calls of the seconds per item; without an interval where they are too few for one."""
    cpu_s_per_item: Quantity
    """CPU-seconds per item, all threads."""
    energy_j_per_item: Quantity | None
    """Gross joules per item: all that the metered components drew."""
    net_energy_j_per_item: Quantity | None
    """Net joules per item: gross minus idle watts times time."""
    idle_watts: float | None
    """Median power of the idle windows."""
    ratios: Mapping[str, Quantity] = field(default_factory=dict)
    """Within-block ratios to the reference of `latency_s`, `cpu_s_per_item`, `energy_j_per_item`; none without one."""
    between_runs: float
    """Relative standard deviation between runs of the same work, which the intervals of all but the ratios include."""
    converged: bool
    """Whether the stopping rule was met; one verdict for all that was measured together."""
    agreement: float | None
    """What the stopping rule went by: the widest relative half-width, by the blocks of this run alone, of anybody's
    energy or its ratio to the reference's; None for a single block."""
    foreign_cpu_share: float | None
    """Median CPU share of other processes; None where nobody watched."""
    steal_share: float | None
    """Largest CPU share that the hypervisor took; None where nobody watched."""
    involuntary_switches: int
    """Times that the process was taken off a CPU."""
    minor_faults: int
    """Pages fetched from the kernel."""
    resolution_share: float | None
    """Coarsest counter step over a window's energy; None where no counter has steps."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Why an estimate is None, by its name."""
    warnings: tuple[str, ...] = ()
    """What to mind, and what to try next."""


Value = Callable[[Sample], float]


def describe(
    blocks: Sequence[Block],
    *,
    reference: Reference,
    items_per_call: int,
    rel_ci: float,
    sources: Sequence[Provenance],
    between_runs: float,
) -> dict[str, ExitMeasurement]:
    """Return the estimates of all that was measured, with the ratios to their references."""
    every, blocks = blocks, sound(blocks)
    agreement, doubt = widest(blocks, reference), _doubt(every)
    alone = {
        place: _describe_place(
            blocks,
            place,
            items=items_per_call,
            sources=sources,
            between_runs=between_runs,
            agreement=agreement,
            wanted=rel_ci,
            doubt=doubt,
        )
        for place in blocks[0]
        if place != IDLE
    }
    pairs = _pairs(alone, reference)
    return alone | {
        place: replace(alone[place], ratios=_all_ratios(blocks, place, other)) for place, other in pairs.items()
    }


def _pairs(places: Iterable[str], reference: Reference) -> dict[str, str]:
    """Return each one's reference, of those that have one."""
    if isinstance(reference, Mapping):
        return {place: reference[place] for place in places if place in reference}
    return {} if reference is None else dict.fromkeys(places, reference)


def _too_few(agreement: float, wanted: float, blocks: int) -> str:
    """Return that blocks are too few, alike for runs alike so that a page tells it once, and what helps; or nothing."""
    if agreement <= wanted:
        return ""
    if math.isinf(agreement):
        return "a single block has no interval: allow more blocks"
    return f"{blocks} blocks do not agree to within {wanted:.0%}: allow more blocks or a quieter machine"


def sound(blocks: Sequence[Block]) -> Sequence[Block]:
    """Return the blocks whose windows may all be believed; all blocks where there are none."""
    return [block for block in blocks if all(sample.window.sound for sample in block.values())] or blocks


def _doubt(blocks: Sequence[Block]) -> str:
    """Return how many blocks may not be believed, and why the first of them may not; nothing where all may.

    Of a component that no block has it is said elsewhere.
    """
    windows = [[sample.window for sample in block.values() if not sample.window.sound] for block in blocks]
    doubtful = [some[0] for some in windows if some]
    reasons = [why for window in doubtful for why in window.doubts.values()]
    if len(doubtful) == len(blocks):
        return f"all {len(blocks)} blocks are in doubt: {reasons[0]}" if reasons else ""
    reasons += [why for window in doubtful for why in window.missing.values()]
    return f"{len(doubtful)} of {len(blocks)} blocks are left out: {reasons[0]}" if doubtful else ""


def widest(blocks: Sequence[Block], reference: Reference) -> float:
    """Return the widest relative half-width of everybody's energy (or else CPU time) and its ratio to the reference."""
    places = [place for place in blocks[0] if place != IDLE]
    value = energy if _has_energy(blocks) else cpu_seconds
    series = [[value(block[place]) for block in blocks] for place in places]
    pairs = [pair for pair in _pairs(places, reference).items() if pair[0] != pair[1]]
    series += [ratio for pair in pairs if (ratio := _ratios(blocks, *pair, value))]
    return max(relative_half_width(statistics.median(values), interval(values)) for values in series)


def energy(sample: Sample) -> float:
    """Return gross joules per item."""
    return sample.window.energy.mid / sample.window.items


def cpu_seconds(sample: Sample) -> float:
    """Return CPU-seconds per item."""
    return sample.window.cpu_seconds / sample.window.items


def latency(sample: Sample) -> float:
    """Return the median call's seconds per item."""
    return statistics.median(sample.calls) * len(sample.calls) / sample.window.items


def idle_power(blocks: Sequence[Block]) -> Joules:
    """Return watts of the idle machine: the median of the interleaved idle windows, for each ledger."""
    windows = [block[IDLE].window for block in blocks]
    low, mid, high = (
        statistics.median(getattr(window.energy, end) / window.seconds for window in windows)
        for end in ("low", "mid", "high")
    )
    return Joules(low, mid, high)


def _describe_place(
    blocks: Sequence[Block],
    place: str,
    *,
    items: int,
    sources: Sequence[Provenance],
    between_runs: float,
    agreement: float,
    wanted: float,
    doubt: str,
) -> ExitMeasurement:
    samples = [block[place] for block in blocks]
    gross, net, missing = _energies(blocks, samples, sources)
    gross, net = (None if found is None else found.widened(between_runs) for found in (gross, net))
    steps = _resolution_share(samples, sources)
    foreign = _watched(samples, "foreign_cpu_share")
    steal = _watched(samples, "steal_share")
    return ExitMeasurement(
        items_per_call=items,
        blocks=len(blocks),
        calls=sum(len(sample.calls) for sample in samples),
        window_seconds=statistics.median(sample.window.seconds for sample in samples),
        latency_s=_estimate(samples, latency).widened(between_runs),
        latency_p95_s=_percentile(samples, items).widened(between_runs),
        cpu_s_per_item=_estimate(samples, cpu_seconds).widened(between_runs),
        energy_j_per_item=gross,
        net_energy_j_per_item=net,
        idle_watts=idle_power(blocks).mid if gross is not None else None,
        between_runs=between_runs,
        converged=agreement <= wanted,
        agreement=agreement if math.isfinite(agreement) else None,
        foreign_cpu_share=statistics.median(foreign) if foreign else None,
        steal_share=max(steal, default=None),
        involuntary_switches=int(sum(_watched(samples, "involuntary_switches"))),
        minor_faults=int(sum(_watched(samples, "minor_faults"))),
        resolution_share=steps,
        missing=missing,
        warnings=(*filter(None, (_too_few(agreement, wanted, len(blocks)), doubt)), *_warnings(foreign, steps)),
    )


def _estimate(samples: Sequence[Sample], value: Value) -> Quantity:
    return median([value(sample) for sample in samples])


def _percentile(samples: Sequence[Sample], items: int) -> Quantity:
    return high_percentile([[call / items for call in sample.calls] for sample in samples])


def _energies(
    blocks: Sequence[Block], samples: Sequence[Sample], sources: Sequence[Provenance]
) -> tuple[Quantity | None, Quantity | None, dict[str, str]]:
    """Return gross and net joules per item, and why one is None."""
    if not _has_energy(blocks):
        reasons = [reason for sample in samples for reason in sample.window.missing.values()]
        why = reasons[0] if reasons else "no component of this machine is metered"
        return None, None, {"energy_j_per_item": why, "net_energy_j_per_item": why}
    gross = _energy_estimate(samples, Joules(0.0, 0.0, 0.0))
    crooked = [provenance.component for provenance in sources if not provenance.affine]
    if crooked:
        why = f"the model of {', '.join(crooked)} is not affine: subtracting idle power would mean nothing"
        return gross, None, {"net_energy_j_per_item": why}
    return gross, _energy_estimate(samples, idle_power(blocks)), {}


def _energy_estimate(samples: Sequence[Sample], idle: Joules) -> Quantity:
    """Return joules per item above idle watts; Type A from the blocks, Type B from the outer ledgers."""
    used = [(sample.window.energy - idle * sample.window.seconds) * (1 / sample.window.items) for sample in samples]
    low, high = (statistics.median(getattr(joules, end) for joules in used) for end in ("low", "high"))
    return median([joules.mid for joules in used], type_b=Bounds(low, high))


def _all_ratios(blocks: Sequence[Block], place: str, reference: str) -> dict[str, Quantity]:
    values: dict[str, Value] = {"latency_s": latency, "cpu_s_per_item": cpu_seconds}
    if _has_energy(blocks):
        values["energy_j_per_item"] = energy
    series = {name: _ratios(blocks, place, reference, value) for name, value in values.items()}
    return {name: median(ratios) for name, ratios in series.items() if ratios}


def _ratios(blocks: Sequence[Block], place: str, reference: str, value: Value) -> list[float]:
    """Return the within-block ratios; none if the reference ever reads zero."""
    pairs = [(value(block[place]), value(block[reference])) for block in blocks]
    return [ours / whole for ours, whole in pairs] if all(whole > 0 for _, whole in pairs) else []


def _has_energy(blocks: Sequence[Block]) -> bool:
    """Return whether every window of every block read all the components, at least one."""
    windows = [sample.window for block in blocks for sample in block.values()]
    return all(window.joules and not window.missing for window in windows)


def _resolution_share(samples: Sequence[Sample], sources: Sequence[Provenance]) -> float | None:
    """Return the largest counter step over that counter's smallest window energy."""
    shares = []
    for provenance in sources:
        energies = [
            s.window.joules[provenance.component].mid for s in samples if provenance.component in s.window.joules
        ]
        if provenance.resolution_j is not None and energies:
            shares.append(provenance.resolution_j / min(energies) if min(energies) > 0 else 1.0)
    return max(shares, default=None)


def _watched(samples: Sequence[Sample], name: str) -> list[float]:
    seen = [sample.window.contamination for sample in samples if sample.window.contamination is not None]
    return [float(getattr(contamination, name)) for contamination in seen]


def _warnings(foreign: Sequence[float], steps: float | None) -> Iterator[str]:
    if foreign and (share := statistics.median(foreign)) > FOREIGN_WARNING:
        yield f"other processes used {share:.0%} of the CPU: trust CPU-seconds and ratios, not wall time"
    if steps is not None and steps > RESOLUTION_WARNING:
        yield f"the counter's step is {steps:.1%} of a window's energy: lengthen the windows"


VIRTUAL = 0.12
"""Relative standard deviation between runs on a shared virtual machine, of seconds, CPU-seconds and joules per item.

Source: `python -m benchmarks.repeatability`, a virtual machine with 2 vCPUs and nothing else running on it, 2026: 11 %
between a run and the next, 12 % and 21 % among 40 runs of two times ten minutes. Elsewhere the same binary's times
differed by 26 % between CI jobs and by 0.3 % within one (github.com/namecheap/fast_mail_parser/issues/128), which is
two of these.
"""
BARE = 0.02
"""The same on a machine of one's own: a default, not yet measured."""


def between_runs(machine: Machine) -> float:
    """Return the relative standard deviation between runs on such a machine; unknown counts as shared."""
    return BARE if machine.virtualised is False else VIRTUAL
