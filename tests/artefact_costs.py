"""Costs of artefacts that nobody measured: entries and measurements with the numbers that a test wants."""

from collections.abc import Sequence
from typing import Any

from greenpose.intervals import Bounds
from greenpose.quantity import Quantity
from greenpose.record import Record
from greenpose.record.artefacts import ArtefactCost, ArtefactCosts, Turns
from greenpose.record.numbers import basis_of, with_bases

JOULES = 0.1
"""Energy of an image at the final exit in torch float32."""
SHAPE = {"fp32": "float32", "bf16": "bf16", "int8": "int8"}
RUNTIMES = {
    "onnx": "onnxruntime 1.23.0",
    "openvino": "openvino 2026.4.1",
    "pt2": "torch 2.13.0",
    "torch": "torch 2.13.0",
}
ENDINGS = {"onnx": ".onnx", "openvino": ".xml", "pt2": ".pt2", "torch": ".safetensors"}


def number(value: float, unit: str, kind: Any, type_a: Bounds | None = None, **more: Any) -> Quantity:
    """Return a number that was made up."""
    return Quantity(value=value, unit=unit, kind=kind, method="made up", type_a=type_a, **more)


def cost(
    format_: str = "onnx",
    precision: str = "fp32",
    *,
    exit_: int = 3,
    share: float = 0.5,
    ap: float = 0.5,
    change: tuple[float, float, float] = (0.0, -0.004, 0.004),
    spread: float = 0.02,
    **fields: Any,
) -> ArtefactCost:
    """Return an entry that costs a `share` of the reference; intervals are `spread` of the value either way.

    `change` is the AP lost beside torch float32 with its interval, as fractions.
    """
    value, low, high = change
    joules = share * JOULES

    def known(value: float, unit: str, kind: str = "modelled") -> Quantity:
        return number(value, unit, kind, Bounds(0.9 * value, 1.1 * value), type_b=Bounds(value / 2, value * 2))

    ratio = number(share, "fraction", "measured", Bounds(share * (1 - spread), share * (1 + spread)))
    lost = number(value, "fraction", "computed", Bounds(low, high))
    reached = number(ap, "fraction", "computed", Bounds(ap - 0.05, ap + 0.05))
    numbers = {
        **dict.fromkeys(("ap", "ar", "pck"), reached),
        **dict.fromkeys(("ap_change", "ar_change", "pck_change"), lost),
        "file_bytes": number(4_000_000, "bytes", "counted"),
        "memory_bytes": number(200_000_000, "bytes", "measured"),
        "latency_s": known(joules / 10, "s", "measured"),
        "latency_p95_s": known(joules / 8, "s", "measured"),
        "cpu_s_per_image": known(joules / 10, "s", "measured"),
        "energy_j_per_image": known(joules, "J"),
        "net_energy_j_per_image": known(joules / 2, "J"),
        "co2eq_g_per_1000_images": known(joules / 10, "gCO2eq"),
    }
    shares = dict.fromkeys(("latency_s", "cpu_s_per_image", "energy_j_per_image"), ratio)
    filled = with_bases(numbers)
    filled["basis"] |= {f"relative_to_final.{name}": basis_of(each) for name, each in shares.items()}
    name = f"exit{exit_}{'' if precision == 'fp32' else f'-{precision}'}{ENDINGS[format_]}"
    return ArtefactCost(
        **{
            "exit": exit_,
            "file": name,
            "format": format_,
            "precision": precision,
            "runtime": RUNTIMES[format_],
            "arithmetic": SHAPE[precision],
            "evidence": "made up",
            "sha256": f"digest of {name}",
            "folded": False,
            "outputs": "heatmaps",
            "relative_to_final": dict.fromkeys(shares, share),
            "measurement": {"items_per_call": 8, "blocks": 6, "calls": 60, "window_seconds": 0.5, "idle_watts": 3.0},
            **filled,
            **fields,
        }
    )


def turns(costs: Sequence[ArtefactCost], record: Record, **fields: Any) -> Turns:
    """Return a measurement of these entries on the machine of a record."""
    return Turns(
        **{
            "measured_at": "2026-11-30T03:00:00+00:00",
            "converged": True,
            "blocks": 6,
            "warnings": [],
            "costs": list(costs),
            "carbon": record.carbon,
            "components": record.components,
            "grade": record.grade,
            "host": record.host,
            "process": record.process,
            "software": record.software,
            **fields,
        }
    )


def known_of(record: Record, *measured: Turns) -> ArtefactCosts:
    """Return all that is known of a run's artefacts."""
    return ArtefactCosts(
        run=record.name,
        config_hash=record.config_hash,
        run_finished_at=record.finished_at,
        measurements=list(measured),
    )
