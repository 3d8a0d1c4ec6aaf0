"""Fake exits of a record: the paper's networks at 256x192, made-up accuracy, energy and time."""

import random
from collections.abc import Sequence
from typing import Any

from greenpose.record import Basis, Exit, Interval

PARAMS = {1: 399_244, 2: 919_116, 3: 7_686_028, 4: 28_535_948}
MACS = {1: 1_230_372_864, 2: 1_798_176_768, 3: 4_685_955_072, 4: 7_644_512_256}
THOP = {1: 1.0051, 2: 1.0098, 3: 1.0121, 4: 1.0102}
PTFLOPS = {1: 1.0052, 2: 1.0099, 3: 1.0121, 4: 1.0104}
SECONDS = {1: 0.031, 2: 0.044, 3: 0.083, 4: 0.117}
"""Wall time of one image; deliberately not proportional to MACs."""
AP = {1: 0.551, 2: 0.677, 3: 0.925, 4: 0.9395}
WATTS = 11.0
IDLE_WATTS = 3.0
MISSING_AP = "no test split was evaluated: the data set has none"
MISSING_ENERGY = "no component's energy could be read"


def basis(
    unit: str,
    kind: str,
    method: str,
    *,
    a: tuple[float, float] | None = None,
    b: tuple[float, float] | None = None,
    missing: str | None = None,
) -> Basis:
    """Return a basis with its intervals given as pairs."""
    return Basis(
        unit=unit,
        kind=kind,
        method=method,
        type_a=Interval(low=a[0], high=a[1]) if a else None,
        type_b=Interval(low=b[0], high=b[1]) if b else None,
        missing=missing,
    )


def exit_entry(
    number: int,
    *,
    seed: int = 1,
    experiment: str = "HRNet4",
    role: str = "final",
    final: int = 4,
    ap: float | None = None,
    half: float | None = 0.012,
    kind: str = "modelled",
    evaluated: bool = True,
    metered: bool = True,
    converged: bool = True,
) -> Exit:
    """Return one exit of a fake run; `ap` and its half-width `half` may be set, the rest follows from the exit."""
    chance = random.Random(f"{experiment}/{seed}/{number}")
    numbers: dict[str, Any] = {}
    bases: dict[str, Basis] = {
        "params": basis("parameters", "counted", "parameters of the truncated network"),
        "macs": basis("MACs", "counted", "torch's FlopCounterMode, halved"),
    }
    _accuracy(number, chance, numbers, bases, ap=ap, half=half, evaluated=evaluated)
    _cost(number, chance, numbers, bases, kind=kind, metered=metered)
    relative = _relative(number, final, chance, bases) if metered else {}
    if number != final and metered:
        numbers["break_even_images"] = 20_000.0 * number
        bases["break_even_images"] = basis("images", "estimated", "extra / saved", a=(15e3 * number, 26e3 * number))
    else:
        why = "nothing was added for another exit, or it is the final one" if metered else MISSING_ENERGY
        bases["break_even_images"] = basis("images", "not_covered", "extra / saved", missing=why)
    return Exit(
        exit=number,
        role=role,
        params=PARAMS[number],
        macs=MACS[number],
        macs_by_counter={
            "torch": MACS[number],
            "thop": round(MACS[number] * THOP[number]),
            "ptflops": round(MACS[number] * PTFLOPS[number]),
            "ptflops_aten": MACS[number] + 36_864,
        },
        activation_bytes=MACS[number] // 16,
        best_epoch=40 + number + seed,
        relative_to_final=relative,
        measurement={
            "items_per_call": 8,
            "blocks": 9 + number,
            "calls": 12 * (9 + number),
            "window_seconds": 0.5,
            "idle_watts": IDLE_WATTS,
            "converged": converged,
            "foreign_cpu_share": 0.01 * number,
            "steal_share": 0.002,
            "involuntary_switches": 14,
            "minor_faults": 0,
            "resolution_share": 1e-5,
            "warnings": [] if converged else ["the 95 % interval is wider than 5 %; give it more blocks"],
        }
        if metered
        else {},
        basis=bases,
        **numbers,
    )


def role_of(number: int, numbers: Sequence[int], teach: Sequence[str]) -> str:
    """Return the exit's place in the wiring as the record words it."""
    student = any(edge.endswith(f"->{number}") for edge in teach)
    teacher = any(edge.startswith(f"{number}->") for edge in teach)
    if student and teacher:
        return "student and teacher"
    if number == max(numbers):
        return "final"
    return "student" if student else "teacher" if teacher else "side"


def _accuracy(
    number: int,
    chance: random.Random,
    numbers: dict[str, Any],
    bases: dict[str, Basis],
    *,
    ap: float | None,
    half: float | None,
    evaluated: bool,
) -> None:
    centre = AP[number] + chance.gauss(0, 0.004) if ap is None else ap
    method = "COCO evaluator on the test split; bootstrap over subjects"
    figures = {"ap": 0.0, "ap50": 0.04, "ap75": 0.02, "ar": 0.015, "pck": 0.01, "pck_corrected": 0.012}
    for name, offset in figures.items():
        if not evaluated:
            bases[name] = basis("fraction", "not_covered", "", missing=MISSING_AP)
            continue
        value = min(1.0, centre + offset) if centre else 0.0
        numbers[name] = value
        interval = (max(0.0, value - 1.2 * half), min(1.0, value + 0.9 * half)) if half else None
        bases[name] = basis("fraction", "computed", method, a=interval)


def _cost(
    number: int, chance: random.Random, numbers: dict[str, Any], bases: dict[str, Basis], *, kind: str, metered: bool
) -> None:
    seconds = SECONDS[number] * chance.gauss(1, 0.01)
    cpu = 1.04 * seconds
    cost = {
        "latency_s": ("s", seconds, "measured", 0.06),
        "latency_p95_s": ("s", 1.2 * seconds, "measured", None),
        "cpu_s_per_image": ("s", cpu, "measured", 0.02),
        "energy_j_per_image": ("J", WATTS * cpu, kind, 0.03),
        "net_energy_j_per_image": ("J", (WATTS - IDLE_WATTS) * cpu, kind, 0.05),
        "co2eq_g_per_1000_images": ("gCO2eq", WATTS * cpu / 3600 * 331, kind, 0.03),
    }
    how_often = f"median over {9 + number} interleaved blocks, batch 8, truncated network"
    methods = {"s": f"time per image; {how_often}", "J": f"gross; {how_often}"}
    for name, (unit, value, how, spread) in cost.items():
        if unit != "s" and not metered:
            bases[name] = basis(unit, "not_covered", "", missing=MISSING_ENERGY)
            continue
        numbers[name] = value
        a = (value * (1 - spread), value * (1 + spread)) if spread else None
        wide = {"modelled": (0.5, 2.0), "estimated": (0.8, 1.2)}.get(how)
        b = (value * wide[0], value * wide[1]) if wide else None
        bases[name] = basis(unit, how, methods.get(unit, "energy x PUE x grid intensity"), a=a, b=b)


def _relative(number: int, final: int, chance: random.Random, bases: dict[str, Basis]) -> dict[str, float]:
    ratio = SECONDS[number] / SECONDS[final] * (chance.gauss(1, 0.005) if number != final else 1.0)
    relative = {}
    for name, spread in (("latency_s", 0.03), ("cpu_s_per_image", 0.01), ("energy_j_per_image", 0.015)):
        relative[name] = ratio
        a = (ratio * (1 - spread), ratio * (1 + spread)) if number != final else None
        bases[f"relative_to_final.{name}"] = basis("fraction", "measured", "median of within-block ratios", a=a)
    return relative
