"""Which quantities a check is restricted to: `--only exit3.macs`, `--only 'exit3.*'`, `--only HRNet3`."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from greenpose.check.differences import few
from greenpose.errors import CheckError
from greenpose.schema import near

OWN = re.compile(r"(exit\d+(/\w+)?|final|train|run)\.")
"""How a name without an experiment begins."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Patterns of names; without any, everything is selected."""

    patterns: tuple[str, ...] = ()
    """Names such as `exit3.macs`, `HRNet4/exit3.macs`, `exit3`, `HRNet4`, with `*` for anything."""

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
            f"--only {pattern}: matches no quantity here; {_hint(pattern, known)}"
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
    endings = ("", ".*", "/*") if not OWN.match(f"{pattern}.") else ("", ".*")
    return any(fnmatchcase(each, pattern + ending) for each in names for ending in endings)


def _hint(pattern: str, known: Sequence[str]) -> str:
    """Return near matches among quantities and experiments; where there are none, what can be written."""
    short = [name for name in known if ".operations." not in name]
    experiments = sorted({name.partition("/")[0] for name in short if not OWN.match(name)})
    hint = near(pattern, [*experiments, *short])
    if hint.startswith("did") or not short:
        return hint
    example = without_experiment(short[0])
    says = f"name an exit or a quantity, as {example.partition('.')[0]} or {example}"
    return f"{says}, or an experiment: {few(experiments, 8)}" if experiments else says
