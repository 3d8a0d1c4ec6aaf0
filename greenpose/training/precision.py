"""The arithmetic of training: float32 or bfloat16, refused where it is emulated, or chosen by measuring."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from greenpose.errors import GreenPoseError
from greenpose.formatting import ends, plain, repeated, significant
from greenpose.intervals import interval

Precision = Literal["float32", "bf16"]
KINDS: tuple[Precision, Precision] = ("float32", "bf16")
"""Both."""
CPUINFO = Path("/proc/cpuinfo")
UNITS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""What Linux calls them: AVX-512 and AMX on x86, `bf16` on Arm."""
SECONDS = 1.0
"""For so long steps of both kinds take turns before one is chosen."""
FEWEST_TURNS = 3
"""Turns that are taken in any case, where a step takes long."""
WORTH = 1.05
"""Bfloat16 is to be so many times as fast at least, by the lower end of its interval."""


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[None]:
    """Return the context in which a network is run forward: convolutions in bfloat16, weights and norms in float32."""
    if precision == "float32":
        return nullcontext()
    context: AbstractContextManager[None] = torch.autocast(device.type, dtype=torch.bfloat16)
    return context


def require_precision(precision: Precision, device: str, *, cpuinfo: Path = CPUINFO) -> None:
    """Refuse bfloat16 where it would be emulated.

    It then costs more than it saves: on a CPU with AVX2 alone, training was 9 and inference 8 times as slow.

    Raises:
        GreenPoseError: if the device has no units for it.
    """
    if precision == "bf16" and (lacking := lacks_units(device, cpuinfo=cpuinfo)):
        raise GreenPoseError(f"bf16: {lacking}; choose float32, or auto")


def lacks_units(device: str, *, cpuinfo: Path = CPUINFO) -> str:
    """Return in words why bfloat16 would be emulated on a device; empty where it has units for it."""
    if device.startswith("cuda"):
        there = torch.cuda.is_bf16_supported(including_emulation=False)
        return "" if there else f"{device} has no bfloat16 units (Ampere and later have)"
    if has_bf16_units(cpuinfo):
        return ""
    return (
        f"this CPU has no bfloat16 units ({cpuinfo} lists none of {', '.join(sorted(UNITS))}) and would be"
        " several times slower than with float32"
    )


def has_bf16_units(cpuinfo: Path = CPUINFO) -> bool:
    """Return whether the kernel lists such units among the CPU's features; False where there is no such list."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return not UNITS.isdisjoint(features.partition(":")[2].split())


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenPrecision:
    """The arithmetic that was chosen."""

    precision: Precision
    """Which."""
    why: str
    """By what, in words."""

    def __str__(self) -> str:
        """Return both: `bf16: 2.25 times as fast as float32 (...)`."""
        return f"{self.precision}: {self.why}"


def choose(
    steps: Callable[[], Mapping[Precision, Callable[[], object]]],
    device: torch.device,
    *,
    seconds: float = SECONDS,
    lacking: str | None = None,
) -> ChosenPrecision:
    """Return the arithmetic in which a step of training is faster; float32 where bfloat16 is not clearly so.

    `steps` gives a step of each kind, done in turns for `seconds`: CPU time of it counts on a CPU, so that neighbours
    do not decide, wall time on a GPU. Where the device has no units nothing is measured. `lacking` says why not where
    that is known.
    """
    why_not = lacks_units(str(device)) if lacking is None else lacking
    if why_not:
        return ChosenPrecision(precision="float32", why=why_not)
    ratios = list(_in_turns(steps(), device, seconds))
    ratio, bounds = statistics.median(ratios), interval(ratios)
    low, high = bounds or (ratio, ratio)
    within = repeated(ends(plain(low), plain(high)))
    measured = f"bf16 is {significant(ratio)} times as fast ({within}, {len(ratios)} turns of a step)"
    if low >= WORTH:
        return ChosenPrecision(precision="bf16", why=measured)
    return ChosenPrecision(precision="float32", why=f"{measured}, and {WORTH} is asked for")


def _in_turns(steps: Mapping[Precision, Callable[[], object]], device: torch.device, seconds: float) -> Iterator[float]:
    """Yield how many times as fast a step in bfloat16 is, turn by turn; the first of each kind only warms up."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter

    def cost(precision: Precision) -> float:
        began = clock()
        steps[precision]()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return clock() - began

    for precision in steps:
        cost(precision)
    began, turns = time.perf_counter(), 0
    while turns < FEWEST_TURNS or time.perf_counter() - began < seconds:
        order: tuple[Precision, Precision] = ("float32", "bf16") if turns % 2 else ("bf16", "float32")
        costs = {precision: cost(precision) for precision in order}
        turns += 1
        yield costs["float32"] / costs["bf16"]
