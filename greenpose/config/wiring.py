"""Who teaches whom, which exits see the labels, and how much each loss weighs."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, model_validator

from greenpose.errors import ConfigError
from greenpose.schema import NO_TRUTH, Document, shown


def _an_exit(value: Any) -> Any:
    if isinstance(value, int) and not 1 <= value <= 4:
        raise ValueError(f"{value} is not an exit; HRNet has exits 1, 2, 3, 4, and no network more than 4")
    return value


Exit = Annotated[int, Field(ge=1, le=4), BeforeValidator(_an_exit), NO_TRUTH]
"""Number of the stage after which a heatmap is read."""
HEAVIEST = 1e9
"""Largest weight of a loss."""
Weight = Annotated[float, Field(ge=0, le=HEAVIEST), NO_TRUTH]
"""Weight of a loss."""
Normalise = Literal["pixels", "keypoints"]
"""Divisor of the distillation loss."""

TEACHES = re.compile(r"^\s*([1-4])\s*->\s*([1-4])\s*$")


class Edge(NamedTuple):
    """One exit learns another exit's heatmaps."""

    teacher: int
    """The exit to be imitated."""
    student: int
    """The exit that imitates."""

    def __str__(self) -> str:
        """Return the edge as `teacher->student`."""
        return f"{self.teacher}->{self.student}"


class WiringConfig(Document):
    """Which exit teaches which, and which exits see the labels."""

    teach: tuple[str, ...] = ()
    """Online distillation: edges such as `4->3` (exit 4 teaches exit 3)."""
    supervise: tuple[Exit, ...] | None = None
    """Exits that see the labels; null = only the deepest. More than one is deep supervision."""

    @property
    def edges(self) -> tuple[Edge, ...]:
        """Return each edge of `teach`."""
        return tuple(Edge(int(match[1]), int(match[2])) for match in map(TEACHES.match, self.teach) if match)

    @model_validator(mode="after")
    def _arrows(self) -> "WiringConfig":
        for index, arrow in enumerate(self.teach):
            if not TEACHES.match(arrow):
                raise ValueError(f"teach[{index}] is {arrow!r}; write teacher->student with two exits, e.g. 4->3")
        return self


def paper_weight(heatmap_size: tuple[int, int]) -> float:
    """Return the weight that balances distillation and labels on heatmaps of a size as the paper's does on its own."""
    width, height = heatmap_size
    return 2000 * width * height / (48 * 64)


def _weight_or_auto(value: Any) -> Any:
    """Return a weight as a number, or `auto`; one sentence says what is wrong with anything else."""
    try:
        if value == "auto" or 0 <= float(value) <= HEAVIEST:
            return value
    except (TypeError, ValueError):
        pass
    raise ValueError(f"must be auto, or a number from 0 to {HEAVIEST:g} (got {shown(value)})")


class LossConfig(Document):
    """Weights and conventions of the supervised and the distillation loss."""

    teacher_weight: Weight = 1.0
    """Weight of the deepest exit's supervised loss."""
    ds_weight: Weight = 1.0
    """Weight of each other supervised exit's loss (deep supervision)."""
    kd_weight: Annotated[Weight | Literal["auto"], BeforeValidator(_weight_or_auto), NO_TRUTH] = "auto"
    """Weight of each distillation loss. Its effect scales with 1 / heatmap pixels: `auto` is 2000 x pixels / 3072, the
    paper's 2000 at its 48x64, and is kept as that number."""
    temperature: Annotated[float, Field(ge=0.01, le=1000), NO_TRUTH] = 1.0
    """Temperature that softens both heatmaps of a distillation edge."""
    detach_teacher: bool = False
    """True: the distillation loss does not move the teacher. The paper's training did not detach it."""
    temperature_squared: bool = False
    """True: multiply the distillation loss by the squared temperature (Hinton et al. 2015). The paper's did not."""
    normalise: Normalise = "pixels"
    """Divisor of the distillation loss: heatmap pixels (the paper's) or keypoints."""
    use_target_weight: bool = False
    """True: unlabelled keypoints drop out of the supervised loss. The paper trained them towards empty heatmaps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """Which exits of a network learn from the labels, and which from each other."""

    exits: tuple[int, ...]
    """The network's exits."""
    edges: tuple[Edge, ...] = ()
    """The soft losses: online distillation."""
    supervised: tuple[int, ...] | None = None
    """Exits that learn from the labels; None means the final one only. More than that is deep supervision."""

    def __post_init__(self) -> None:
        """Refuse a wiring that does not fit the exits.

        Raises:
            ConfigError: every fault by its place; `wiring.teach[i]` is edge i, as experiment files call it.
        """
        if not self.exits:
            raise ConfigError(["wiring: there are no exits to wire"])
        faults = wiring_faults(self.exits, self.edges, self.labelled)
        if faults:
            raise ConfigError(faults)

    @property
    def final(self) -> int:
        """The last exit."""
        return max(self.exits)

    @property
    def labelled(self) -> tuple[int, ...]:
        """The exits that learn from the labels."""
        return (self.final,) if self.supervised is None else self.supervised

    def up_to(self, exit_number: int) -> "Wiring":
        """Return who learns from whom in the network that ends with an exit: that one sees the labels now.

        Exits that only deeper ones would teach, directly or through others, are left out.
        """
        within = tuple(edge for edge in self.edges if max(edge) <= exit_number)
        labelled = {exit_number, *(number for number in self.labelled if number <= exit_number)}
        learning = _learning(labelled, within)
        return Wiring(
            exits=tuple(number for number in self.exits if number in learning),
            edges=tuple(edge for edge in within if edge.teacher in learning),
            supervised=tuple(number for number in self.exits if number in labelled),
        )


def wiring_faults(
    exits: Sequence[int], edges: Sequence[Edge], labelled: Sequence[int], *, loss: LossConfig | None = None
) -> list[str]:
    """Return what is wrong with who learns from whom, by its place in an experiment's file; empty where nothing is.

    With a `loss`, what has no weight teaches nothing.
    """
    have = "this network has exits " + ", ".join(map(str, exits))
    faults = []
    for index, edge in enumerate(edges):
        place = f"wiring.teach[{index}]"
        faults += [f"{place}: exit {one} does not exist; {have}" for one in dict.fromkeys(edge) if one not in exits]
        if edge.teacher == edge.student:
            faults.append(f"{place}: exit {edge.student} cannot teach itself")
        elif edge in edges[:index]:
            faults.append(f"{place}: {edge} is named twice")
    for index, number in enumerate(labelled):
        place = f"wiring.supervise[{index}]"
        if number not in exits:
            faults.append(f"{place}: exit {number} does not exist; {have}")
        elif number in labelled[:index]:
            faults.append(f"{place}: exit {number} is named twice")
    return faults or [
        f"wiring: exit {number} learns nothing{why}; supervise it or let an exit teach it ({have})"
        for number, why in _idle(exits, edges, labelled, loss).items()
    ]


def _idle(
    exits: Sequence[int], edges: Sequence[Edge], labelled: Sequence[int], loss: LossConfig | None
) -> dict[int, str]:
    """Return the exits that learn nothing, each with the weights of zero that are why."""
    weights = {number: "teacher_weight" if number == max(exits) else "ds_weight" for number in exits}
    naught = {name for name in (*weights.values(), "kd_weight") if loss is not None and not getattr(loss, name)}
    learning = _learning(
        [number for number in labelled if weights[number] not in naught], () if "kd_weight" in naught else edges
    )
    taught = {edge.student for edge in edges}
    idle = {}
    for number in exits:
        if number not in learning:
            lost = {weights[number]} & naught if number in labelled else set()
            lost |= {"kd_weight"} & naught if number in taught else set()
            zeros = [f"loss.{name}" for name in sorted(lost)]
            idle[number] = f", since {' and '.join(zeros)} {'is' if len(zeros) == 1 else 'are'} 0" if zeros else ""
    return idle


def _learning(labelled: Collection[int], edges: Sequence[Edge]) -> set[int]:
    """Return the exits that learn from the labels, or from one that does."""
    learning = set(labelled)
    for _ in edges:  # a chain of teachers is no longer
        learning |= {edge.student for edge in edges if edge.teacher in learning}
    return learning
