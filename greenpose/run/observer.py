"""Who watches a run, and how the run tells them where it is."""

import logging
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from greenpose.metering import Meter, OpenWindow

LOGGER = logging.getLogger("greenpose")


@runtime_checkable
class Observer(Protocol):
    """Who watches a run."""

    def phase(self, name: str, total: int | None = None) -> None:
        """Hear that a phase of `total` steps begins (None: unknown)."""

    def step(self, done: int, note: str = "") -> None:
        """Hear that `done` steps of the phase are complete."""

    def training(self, *, done: int, rate: float, loss: float, energy_wh: float) -> None:
        """Hear of training: images done in all epochs, images per second, mean loss, Wh of the run so far."""

    def say(self, line: str, *, detail: bool = False) -> None:
        """Hear something worth a line; a detail is for those who want to hear everything."""


@dataclass(slots=True)
class Stage:
    """Opens the window of a phase, tells the observer, and remembers the phase for a failure's sake."""

    meter: Meter
    """Meters the run."""
    observer: Observer
    """Watches the run."""
    phase: str = "start"
    """What the run is doing."""
    began: float = field(default=0.0)
    """The meter's clock when the open window of training began."""
    epochs: int = field(default=0)
    """How many epochs were begun."""

    def __call__(self, name: str, items: int = 0) -> AbstractContextManager[OpenWindow]:
        """Return the window of a phase."""
        self.enter(name)
        return self.meter.window(name, items=items)

    def enter(self, name: str, total: int | None = None) -> None:
        """Begin a phase that opens its windows itself; what the phase before it left is put on disk."""
        self.meter.flush()
        self.phase = name
        self.observer.phase(name, total)
        LOGGER.info("%s", name)

    def training(self, name: str, items: int) -> AbstractContextManager[OpenWindow]:
        """Return the window of an epoch's part; training itself is cross-checked in some epochs."""
        self.phase = name.partition("/")[0]
        self.began = self.meter.clock()
        self.epochs += self.phase == "train"
        return self.meter.window(name, items=items, crosscheck=self.phase == "train" and crosschecked(self.epochs))


def crosschecked(epoch: int) -> bool:
    """Return whether the `epoch`-th one of a process, from 1, is cross-checked: 1, 10, 100 and so on.

    codecarbon costs milliseconds at both ends of a window and a thread in between: asked in every epoch it takes more
    of a small training than all the rest of the metering. Its ratio to ours hardly differs between epochs.
    """
    return str(epoch).rstrip("0") == "1"
