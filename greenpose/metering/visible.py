"""Which GPUs a process sees: what the variable CUDA_VISIBLE_DEVICES means."""

import re
from collections.abc import Sequence

VARIABLE = "CUDA_VISIBLE_DEVICES"
ORDINAL = re.compile(r"[+-]?[0-9]+")
UUID = "GPU-"
SLICE = "MIG-"


def visible_gpus(setting: str | None, uuids: Sequence[str]) -> tuple[int, ...]:
    """Return the places of the GPUs that are seen, in the order in which CUDA numbers them.

    The list ends at the first entry that names no GPU, -1 among them; a GPU named twice leaves none at all; UUIDs may
    be shortened as long as they are unambiguous. Ordinals and UUIDs do not mix.

    Source: CUDA programming guide, environment variables (2025); for doubles and trailing letters, torch.cuda.

    Args:
        setting: Value of the variable; None where it is not set, and all are seen.
        uuids: UUIDs of all GPUs, in the driver's order.
    """
    if setting is None:
        return tuple(range(len(uuids)))
    by_uuid = setting.startswith(UUID)
    seen: list[int] = []
    for entry in setting.split(","):
        place = _by_uuid(entry, uuids) if by_uuid else _by_ordinal(entry, len(uuids))
        if place is None:
            break
        if place in seen:
            return ()
        seen.append(place)
    return tuple(seen)


def _by_ordinal(entry: str, count: int) -> int | None:
    """Return the number that an entry begins with; letters after it do not matter."""
    found = ORDINAL.match(entry.strip())
    ordinal = int(found[0]) if found else -1
    return ordinal if 0 <= ordinal < count else None


def _by_uuid(entry: str, uuids: Sequence[str]) -> int | None:
    fitting = [place for place, uuid in enumerate(uuids) if uuid.startswith(entry)]
    return fitting[0] if entry.startswith(UUID) and len(fitting) == 1 else None
