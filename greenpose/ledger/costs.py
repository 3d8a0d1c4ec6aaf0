"""What an image costs, as a record has it: size, time, energy, emissions, and shares of a reference within blocks."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from greenpose.intervals import FEWEST_CALLS
from greenpose.ledger.metered import carbon_intensity, embodied_emissions
from greenpose.metering import (
    CarbonAccounting,
    EmbodiedShare,
    ExitMeasurement,
    Joules,
)
from greenpose.metering.carbon import UNIT
from greenpose.metrics import COUNTED
from greenpose.quantity import Kind, Quantity, missing, scaled
from greenpose.record import (
    basis_of,
    with_bases,
)

SHARE = "relative_to_final."
"""What the names of numbers over the final exit's begin with."""


def measured_fields(measured: ExitMeasurement, quantities: Mapping[str, Quantity]) -> dict[str, Any]:
    """Return the fields of what was measured with these quantities: numbers, shares, bases, and how it was done."""
    shares = {name: each for name, each in quantities.items() if name.startswith(SHARE)}
    fields = with_bases({name: each for name, each in quantities.items() if name not in shares})
    return {
        "relative_to_final": {
            name.removeprefix(SHARE): each.value for name, each in shares.items() if each.value is not None
        },
        "measurement": _how(measured),
        **fields,
        "basis": fields["basis"] | {name: basis_of(each) for name, each in shares.items()},
    }


def size_quantities(sizes: Mapping[str, int]) -> dict[str, Quantity]:
    """Return what is counted of an exit, as the record has it."""
    return {
        metric.name: Quantity(value=sizes[metric.name], unit=metric.recorded, kind="counted", method=metric.method)
        for metric in COUNTED
    }


def cost_quantities(
    measured: ExitMeasurement,
    *,
    kind: Kind,
    carbon: CarbonAccounting,
    embodied: EmbodiedShare | None = None,
    what: str = "truncated network",
) -> dict[str, Quantity]:
    """Return what an image costs in something, which `what` names, and its shares of the reference's cost."""
    return _costs(measured, kind=kind, carbon=carbon, embodied=embodied, what=what) | _shares(measured)


def _costs(
    measured: ExitMeasurement, *, kind: Kind, carbon: CarbonAccounting, embodied: EmbodiedShare | None, what: str
) -> dict[str, Quantity]:
    """Return latency, CPU time, energy and emissions of one image."""
    how = f"median over {measured.blocks} interleaved blocks, batch {measured.items_per_call}, {what}"
    gross = _energy(measured, "energy_j_per_item", kind, f"gross; {how}")
    operational = _grams(gross, carbon)
    latency = replace(measured.latency_s, unit="s", method=f"wall time per image; {how}")
    thousand = latency * 1000
    making = embodied_emissions(embodied, thousand.known, time="wall time of 1000 images", repeated=thousand.type_a)
    return {
        "latency_s": latency,
        "latency_p95_s": replace(measured.latency_p95_s, unit="s", method=_percentile(measured)),
        "cpu_s_per_image": replace(measured.cpu_s_per_item, unit="s", method=f"CPU time per image; {how}"),
        "energy_j_per_image": gross,
        "net_energy_j_per_image": _energy(
            measured, "net_energy_j_per_item", kind, f"gross minus idle power x wall time; {how}"
        ),
        "co2eq_g_per_1000_images": operational,
        "embodied_co2eq_g_per_1000_images": making,
        "sci_g_per_1000_images": carbon_intensity(operational, making, per="1000 images"),
    }


def _energy(measured: ExitMeasurement, name: str, kind: Kind, method: str) -> Quantity:
    found: Quantity | None = getattr(measured, name)
    if found is None:
        reason = measured.missing.get(name, "no component's energy could be read")
        return missing(reason, unit="J", method=method)
    return replace(found, unit="J", kind=kind, method=method)


def _percentile(measured: ExitMeasurement) -> str:
    """Return how the 95th percentile was obtained, and why it has no interval if it has none."""
    how = f"wall time per image; 95th percentile over {measured.calls} calls"
    few = measured.latency_p95_s.type_a is None
    return f"{how}; no interval for fewer than {FEWEST_CALLS} calls, or a single block" if few else how


def _grams(energy: Quantity, carbon: CarbonAccounting) -> Quantity:
    """Return the emissions of 1000 images: Type A scales with the energy's, Type B is widened by the intensity's."""
    method = f"gross energy of 1000 images x PUE x {carbon.describe_grid(timed=False)}"
    if energy.value is None:
        return replace(energy, unit=UNIT, method=method)
    low, high = energy.type_b or (energy.value, energy.value)
    grams = carbon.grams(Joules(low * 1000, energy.value * 1000, high * 1000))
    factor = grams.known / energy.value if energy.value else 0.0
    return replace(grams, kind=energy.kind, method=method, type_a=scaled(energy.type_a, factor), repeats=energy.repeats)


def _shares(measured: ExitMeasurement) -> dict[str, Quantity]:
    """Return the within-block ratios under the record's names: an item is an image here."""
    return {
        f"{SHARE}{name.replace('_per_item', '_per_image')}": replace(
            ratio,
            unit="fraction",
            method=f"median of ratios within {ratio.repeats} blocks; systematic errors cancel",
            type_b=None,
        )
        for name, ratio in measured.ratios.items()
    }


def _how(measured: ExitMeasurement) -> dict[str, Any]:
    """Return how inference was measured: all that is no estimate."""
    return {name: getattr(measured, name) for name in CONDITIONS} | {"warnings": list(measured.warnings)}


CONDITIONS = (
    *("items_per_call", "blocks", "calls", "window_seconds", "idle_watts", "between_runs", "converged", "agreement"),
    *("foreign_cpu_share", "steal_share", "involuntary_switches", "minor_faults", "resolution_share"),
)
