"""The architecture of a network, checked before anything is built."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from pydantic import Field, field_validator

from greenpose.config import HRNetConfig
from greenpose.errors import ModelError
from greenpose.schema import NO_TRUTH, parsed

SIZE_MULTIPLE = 32
"""Image sides must be multiples of this, whatever the exit: the coarsest branch has a 32nd of the resolution."""


class Architecture(HRNetConfig):
    """The numbers that define a multi-exit HRNet; its exits ascend, and nothing behind the last one is built."""

    num_joints: Annotated[int, Field(ge=1), NO_TRUTH]
    """Heatmaps per exit."""

    @field_validator("exits")
    @classmethod
    def _ascending(cls, exits: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(exits))

    @classmethod
    def of(cls, **numbers: Any) -> "Architecture":
        """Return the shape of a network with these numbers.

        Raises:
            ModelError: naming every number that no such network can have.
        """
        return parsed(cls, numbers, where="", error=ModelError)

    @property
    def keywords(self) -> dict[str, Any]:
        """Return what builds such an `HRNet`, in the order of its parameters; exported files say it in their header."""
        names = ("width", "num_joints", "exits", "stem_width", "modules", "blocks")
        return {name: getattr(self, name) for name in names}

    def at(self, exits: Sequence[int]) -> "Architecture":
        """Return the shape of the same network with other exits, in any order.

        Raises:
            ModelError: HRNet has no such exits.
        """
        return self.of(**self.keywords | {"exits": exits})

    def widths(self, stage: int) -> tuple[int, ...]:
        """Return the channels of each branch of `stage` (2-4), finest first."""
        return tuple(self.width * 2**branch for branch in range(stage))

    def only(self, exit_number: int) -> "Architecture":
        """Return the architecture of what one exit needs.

        Raises:
            ModelError: this network has no such exit.
        """
        if exit_number not in self.exits:
            raise ModelError([f"exit {exit_number!r} does not exist; this network has {named(self.exits)}"])
        return self.at((exit_number,))


def named(exits: Iterable[int]) -> str:
    """Return `exit 3` or `exits 2, 3`, as messages name them."""
    names = [str(number) for number in exits]
    return ("exit " if len(names) == 1 else "exits ") + ", ".join(names)


def check_input_size(width: int, height: int) -> None:
    """Accept an image size that every branch can halve exactly.

    Raises:
        ModelError: naming the nearest valid sizes.
    """
    if width > 0 and height > 0 and width % SIZE_MULTIPLE == 0 and height % SIZE_MULTIPLE == 0:
        return
    sizes = [f"{w} x {h}" for h in _nearest_multiples(height) for w in _nearest_multiples(width)]
    raise ModelError(
        [
            f"images of {width} x {height} px (width x height) do not fit: both sides must be multiples of "
            f"{SIZE_MULTIPLE}; nearest: {', '.join(sizes)}"
        ]
    )


def _nearest_multiples(side: int) -> list[int]:
    below = side // SIZE_MULTIPLE * SIZE_MULTIPLE
    above = below if below == side else below + SIZE_MULTIPLE
    return sorted({multiple for multiple in (below, above) if multiple > 0} or {SIZE_MULTIPLE})
