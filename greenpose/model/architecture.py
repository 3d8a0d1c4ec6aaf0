"""What a network is made of, checked before anything is built."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from greenpose.errors import ModelError

STRIDE = 4
"""A heatmap's sides are a quarter of the image's."""
SIZE_MULTIPLE = 32
"""Image sides must be multiples of this, whatever the exit: the coarsest branch has a 32nd of the resolution."""
NUM_STAGES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """The numbers that define a multi-exit HRNet."""

    width: int = 32
    """Channels of the finest branch; every coarser branch doubles it."""
    num_joints: int = 12
    """Heatmaps per exit."""
    exits: tuple[int, ...] = (1, 2, 3, 4)
    """Stages with a head, ascending. Nothing behind the last one is built."""
    stem_width: int = 64
    """Channels of the stem and of layer1's inner convolutions; layer1 puts out four times as many."""
    modules: tuple[int, int, int] = (1, 4, 3)
    """Multi-resolution modules in stages 2, 3 and 4."""
    blocks: int = 4
    """Residual blocks in each branch of a module, and bottlenecks in layer1."""

    def __post_init__(self) -> None:
        """Refuse numbers that no network can have.

        Raises:
            ModelError: naming every such number.
        """
        faults = [*self._bad_numbers(), *_bad_exits(self.exits)]
        if faults:
            raise ModelError(faults)

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
        return replace(self, exits=(exit_number,))

    def _bad_numbers(self) -> list[str]:
        numbers = {"width": self.width, "num_joints": self.num_joints, "stem_width": self.stem_width}
        faults = [_not_positive(name, value) for name, value in {**numbers, "blocks": self.blocks}.items()]
        if not isinstance(self.modules, tuple) or len(self.modules) != NUM_STAGES - 1:
            faults.append(
                f"modules: {self.modules!r} is not one count for each of stages 2, 3 and 4, such as (1, 4, 3)"
            )
        else:
            faults += [_not_positive(f"modules[{i}]", count) for i, count in enumerate(self.modules)]
        return [fault for fault in faults if fault]


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


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _not_positive(name: str, value: object) -> str | None:
    if _is_count(value) and value > 0:  # type: ignore[operator]  # an int by then
        return None
    return f"{name}: {value!r} is not a positive whole number"


def _bad_exits(exits: object) -> list[str]:
    if not isinstance(exits, tuple) or not exits:
        return [f"exits: {exits!r} names no exit; a network has at least one of 1, 2, 3, 4"]
    unknown = [number for number in exits if not _is_count(number) or not 1 <= number <= NUM_STAGES]
    if unknown:
        return [f"exits: {number!r} is not an exit; HRNet has exits 1, 2, 3, 4" for number in unknown]
    if sorted(set(exits)) != list(exits):
        return [f"exits: {exits!r} are not ascending and different; {tuple(sorted(set(exits)))!r} would be right"]
    return []
