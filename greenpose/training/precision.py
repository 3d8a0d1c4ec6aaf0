"""Arithmetic in bfloat16, where the device has units for it."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Literal

import torch

from greenpose.errors import GreenPoseError

Precision = Literal["float32", "bf16"]
CPUINFO = Path("/proc/cpuinfo")
UNITS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""What Linux calls them: AVX-512 and AMX on x86, `bf16` on Arm."""


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
    if precision == "float32":
        return
    if device.startswith("cuda"):
        if not torch.cuda.is_bf16_supported(including_emulation=False):
            raise GreenPoseError(f"bf16: {device} has no bfloat16 units (Ampere and later have); choose float32")
    elif not has_bf16_units(cpuinfo):
        raise GreenPoseError(
            f"bf16: this CPU has no bfloat16 units ({cpuinfo} lists none of {', '.join(sorted(UNITS))}) and would be"
            " several times slower than with float32; choose float32, or a GPU"
        )


def has_bf16_units(cpuinfo: Path = CPUINFO) -> bool:
    """Return whether the kernel lists such units among the CPU's features; False where there is no such list."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return not UNITS.isdisjoint(features.partition(":")[2].split())
