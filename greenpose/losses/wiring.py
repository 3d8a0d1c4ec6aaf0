"""Who teaches whom: exits are places, teacher and student are roles on an edge."""

from collections.abc import Collection
from dataclasses import dataclass

from greenpose.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One exit learns another exit's heatmaps."""

    teacher: int
    """The exit to be imitated."""
    student: int
    """The exit that imitates."""

    def __str__(self) -> str:
        """Return the edge as `teacher->student`."""
        return f"{self.teacher}->{self.student}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """Which exits learn from the labels, and which from each other."""

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
        faults = [*self._supervision_faults(), *self._edge_faults()] or self._idle_faults()
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

        Exits that only deeper ones would teach are left out.
        """
        edges = tuple(edge for edge in self.edges if max(edge.teacher, edge.student) <= exit_number)
        learning = {exit_number, *self.labelled, *(edge.student for edge in edges)}
        exits = tuple(number for number in self.exits if number <= exit_number and number in learning)
        return Wiring(
            exits=exits,
            edges=tuple(edge for edge in edges if edge.teacher in exits),
            supervised=tuple(number for number in exits if number in {exit_number, *self.labelled}),
        )

    def _supervision_faults(self) -> list[str]:
        faults = []
        for i, number in enumerate(self.labelled):
            place = f"wiring.supervise[{i}]"
            if number not in self.exits:
                faults.append(f"{place}: {_no_such_exit(number, self.exits)}")
            elif number in self.labelled[:i]:
                faults.append(f"{place}: exit {number} is named twice")
        return faults

    def _edge_faults(self) -> list[str]:
        faults = []
        for i, edge in enumerate(self.edges):
            place = f"wiring.teach[{i}]"
            unknown = [number for number in (edge.teacher, edge.student) if number not in self.exits]
            faults += [f"{place}: {_no_such_exit(number, self.exits)}" for number in dict.fromkeys(unknown)]
            if edge.teacher == edge.student:
                faults.append(f"{place}: exit {edge.student} cannot teach itself")
            elif edge in self.edges[:i]:
                faults.append(f"{place}: {edge} is named twice")
        return faults

    def _idle_faults(self) -> list[str]:
        learning = {*self.labelled, *(edge.student for edge in self.edges)}
        return [
            f"wiring: exit {number} learns from nobody; supervise it, teach it, or leave it out of the network's exits"
            for number in self.exits
            if number not in learning
        ]


def _no_such_exit(number: int, exits: Collection[int]) -> str:
    names = ", ".join(str(known) for known in exits)
    return f"exit {number} does not exist; this network has {'exit' if len(exits) == 1 else 'exits'} {names}"
