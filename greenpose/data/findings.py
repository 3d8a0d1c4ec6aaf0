"""Findings: what is wrong or odd in a folder of annotations: one line per kind, counted, with the first few named."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from greenpose.formatting import shown

Level = Literal["error", "warning", "note"]
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFinding:
    """One thing to know about a file."""

    level: Level
    """`error`: cannot be used so; `warning`: used, but look at it; `note`: handled, for the record."""
    where: str
    """The file, and the field in it."""
    message: str
    """What is there, how often, and what was or should be done."""

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class Notebook:
    """Findings on one file, gathered while it is read."""

    def __init__(self, where: str) -> None:
        """Begin a notebook on the file `where`."""
        self.where = where
        self.findings: list[DataFinding] = []

    def add(self, level: Level, message: str, *, field: str = "") -> None:
        """Note one thing."""
        where = f"{self.where}: {field}" if field else self.where
        self.findings.append(DataFinding(level=level, where=where, message=shown(message)))

    def count(self, level: Level, examples: Iterable[object], message: str, *, field: str = "") -> None:
        """Note one kind of thing, if it occurs: `{n}` in the message is how often; the first few are named."""
        every = list(examples)
        if every:
            self.add(level, message.format(n=len(every)) + f" ({first_few(every)})", field=field)

    def count_kinds(
        self, kinds: Mapping[str, tuple[Level, str, str]], seen: Mapping[str, Sequence[object]], *, within: str = ""
    ) -> None:
        """Note every kind that was `seen`, in the order of the table: its level, its field and its message."""
        for kind, (level, field, message) in kinds.items():
            self.count(level, seen.get(kind, ()), message, field=within + field)


def first_few(examples: Iterable[object]) -> str:
    """Return the first five of some things, and how many more there are."""
    every = [shown(str(example)) for example in examples]
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(every[:_SHOWN]) + more


def errors(findings: Iterable[DataFinding]) -> list[str]:
    """Return the findings that forbid use, as lines."""
    return [str(finding) for finding in findings if finding.level == "error"]
