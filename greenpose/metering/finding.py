"""One thing that a user should know about a machine."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["good", "note", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a user should know."""

    topic: str
    """`cpu`, `gpu`, `ram`, `allocator`, `threads`, `load`, `steal`, `codecarbon` or `numbers`."""
    level: Level
    """good: as it should be; note: worth knowing; warning: it makes numbers worse."""
    says: str
    """What is so, in plain words."""
    remedy: str | None = None
    """What to do about it; None if nothing can or need be done."""
