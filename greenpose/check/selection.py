"""Which quantities a check is restricted to: `--only exit3.macs`, `--only 'exit3.*'`."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from greenpose.errors import CheckError
from greenpose.schema import near

OWN = re.compile(r"(exit\d+(/\w+)?|final|train|run)\.")
"""How a name without an experiment begins."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Patterns of names; without any, everything is selected."""

    patterns: tuple[str, ...] = ()
    """Names such as `exit3.macs`, `HRNet4/exit3.macs`, `exit3`, with `*` for anything."""

    def __contains__(self, name: str) -> bool:
        """Return whether a quantity is selected; without an experiment, a pattern means that of every experiment."""
        return not self.patterns or any(_fits(pattern, name) for pattern in self.patterns)

    def require(self, names: Iterable[str]) -> None:
        """Refuse patterns that select nothing.

        Raises:
            CheckError: naming each of them, with near matches.
        """
        known = sorted(names)
        faults = [
            f"--only {pattern}: matches no quantity here; {near(pattern, _short(known))}"
            for pattern in self.patterns
            if not any(_fits(pattern, name) for name in known)
        ]
        if faults:
            raise CheckError(faults)


def without_experiment(name: str) -> str:
    """Return `exit3.macs` of `HRNet4/exit3.macs`; a name that has no experiment stays as it is."""
    return name if OWN.match(name) else name.partition("/")[2] or name


def _fits(pattern: str, name: str) -> bool:
    """Return whether a pattern means a name, or what the name belongs to."""
    names = {name, without_experiment(name)}
    return any(fnmatchcase(each, pattern) or fnmatchcase(each, f"{pattern}.*") for each in names)


def _short(names: Sequence[str]) -> list[str]:
    """Return the names with those of single operators left out."""
    return [name for name in names if ".operations." not in name]
