"""The budget of a whole grid: what its runs took so far, and what is left for the next one.

A run that begins is given a budget of its own, by which its training ends as by any other. What tests and the metering
of inference are going to take on top of it is held back: as much as in the dearest run of its experiment so far, or of
any where there is none yet.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from greenpose.config.accounting import Budget
from greenpose.errors import GreenPoseError, RecordError
from greenpose.formatting import joules_to_kwh, significant
from greenpose.ledger.phases import TRAINING, energy_of, epoch_costs
from greenpose.metering import Window
from greenpose.record import Record
from greenpose.store import RunFolder
from greenpose.store.records import Brief, log_of, outermost, read_brief

_Stamp = tuple[tuple[int, int], ...]
"""When some files were last written, and how long they are."""


class RunEnergy(NamedTuple):
    """What one run took, in kWh, and what that tells of the others."""

    used: float = 0.0
    """All that it took in all attempts: data, training, tests, metering of inference."""
    beyond: float = 0.0
    """What of it was not training; 0 before its end."""
    epoch: float = 0.0
    """What an epoch took that was validated and kept; 0 before there was any."""
    experiment: str = ""
    """Its experiment; empty before its end."""


def run_energy_of_record(record: Record | Brief) -> RunEnergy:
    """Return what a run took that has a record."""
    trained = [phase for phase in record.phases if phase.name in TRAINING]
    used = sum(phase.energy_kwh for phase in record.phases) or record.train_energy_kwh
    beyond = sum(phase.energy_kwh for phase in record.phases if phase.name not in TRAINING)
    epoch = sum(phase.energy_kwh / max(1, phase.windows) for phase in trained)
    return RunEnergy(used, beyond, epoch, record.experiment)


def run_energy_of_windows(windows: Sequence[Window]) -> RunEnergy:
    """Return what a run took so far that has none: the windows that it closed in all attempts."""
    epochs = [joules_to_kwh(cost.energy.mid) for cost in epoch_costs(windows).values()]
    return RunEnergy(joules_to_kwh(energy_of(outermost(list(windows))).mid), 0.0, max(epochs, default=0.0))


def run_energy(folder: RunFolder) -> RunEnergy:
    """Return what the run in a folder took so far."""
    try:
        return run_energy_of_record(read_brief(folder.record))
    except RecordError:  # there is none yet, or none that can be read
        return run_energy_of_windows(log_of(folder).windows)


@dataclass(frozen=True, slots=True, kw_only=True)
class GridBudget:
    """What all runs of a folder may take together."""

    root: Path
    """Where they lie."""
    energy_kwh: float
    """Energy of all metered components."""
    each: Budget = field(default_factory=Budget)
    """What each of them may take in any case."""
    runs: frozenset[str] | None = None
    """Names of those that it is for; None for all that lie there."""
    _known: dict[Path, tuple[_Stamp, RunEnergy]] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse a limit that allows nothing.

        Raises:
            GreenPoseError: if it is not a number above zero.
        """
        if not (math.isfinite(self.energy_kwh) and self.energy_kwh > 0):
            raise GreenPoseError(f"budget of {self.energy_kwh:g} kWh for the grid: must be a number above zero")

    @property
    def used(self) -> float:
        """Return what the runs took so far, in kWh: failed attempts included, those set aside not."""
        return math.fsum(energy.used for name, energy in self._run_energies().items() if self._counts(name))

    @property
    def left(self) -> float:
        """Return what is left of it, in kWh; below zero where they took more."""
        return self.energy_kwh - self.used

    def share(
        self, folder: RunFolder, experiment: str, *, granted: Mapping[str, float], rivals: int = 1
    ) -> Budget | None:
        """Return the budget of a run that is about to begin; None where what is left does not bear one epoch of it.

        `granted` are the budgets, in kWh, of those that are at work now; what they leave is divided among `rivals` that
        begin at the same time.
        """
        energies, name = self._run_energies(), folder.path.name
        own = energies.get(name, RunEnergy()).used
        alike = [energy for energy in energies.values() if energy.experiment == experiment] or energies.values()
        held, epoch = (max((getattr(energy, of) for energy in alike), default=0.0) for of in ("beyond", "epoch"))
        given = {other: grant + held for other, grant in granted.items()}
        others = {other: energy.used for other, energy in energies.items() if self._counts(other)} | given
        taken = math.fsum(max(took, given.get(other, 0.0)) for other, took in others.items() if other != name)
        left = (self.energy_kwh - taken - own) / rivals
        if left <= held + epoch:
            return None
        limit = own + left - held
        return replace(self.each, energy_kwh=min(limit, self.each.energy_kwh or math.inf))

    def divided(self, blocks: Iterable[Sequence[str]], *, held: float = 0.0) -> "list[GridBudget]":
        """Return the part of each block of runs, for blocks that do not hear of one another.

        Each keeps what its runs have used, and gets as much of the rest as it has runs, less the kWh that are `held`
        by others.
        """
        names = [frozenset(block) for block in blocks]
        left = max(0.0, self.left - held)
        count = sum(map(len, names))
        energies = self._run_energies()
        used = [math.fsum(energies.get(name, RunEnergy()).used for name in block) for block in names]
        return [
            replace(self, energy_kwh=before + left * len(block) / count, runs=block)
            for block, before in zip(names, used, strict=True)
        ]

    def told(self) -> str:
        """Return how much of it is used, in words."""
        limit, used = significant(self.energy_kwh), significant(self.used)
        return f"of the grid's budget of {limit} kWh, {used} kWh are used"

    def _counts(self, name: str) -> bool:
        return self.runs is None or name in self.runs

    def _run_energies(self) -> dict[str, RunEnergy]:
        """Return the energy of each run that was begun, by its name; only files are read that have changed."""
        return {
            file.parent.name: self._run_energy(RunFolder(file.parent))
            for file in sorted(self.root.glob("*/config.yaml"))
        }

    def _run_energy(self, folder: RunFolder) -> RunEnergy:
        stamp = stamp_of(folder.record, folder.windows)
        known = self._known.get(folder.path)
        if known is None or known[0] != stamp:
            known = self._known[folder.path] = stamp, run_energy(folder)
        return known[1]


def stamp_of(*files: Path) -> _Stamp:
    """Return what tells whether files have changed; a file that is not there has a stamp too."""
    found = []
    for file in files:
        try:
            seen = file.stat()
            found.append((seen.st_mtime_ns, seen.st_size))
        except OSError:
            found.append((0, -1))
    return tuple(found)
