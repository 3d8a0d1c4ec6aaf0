"""Notices when a process does not run at all: stopped by a signal, frozen, or on a machine that is held."""

import os
import threading
import time
from collections.abc import Callable
from typing import final

from greenpose.metering.beat import Beat

PERIOD_S = 0.5
"""How often it is looked whether the process runs: 2 looks a second cost less than 0.01 % of a CPU."""
LEAST_S = 2.0
"""A process that runs is not silent for as long, however busy the machine."""
BUSY = 0.05
"""Part of a silence that a process which was stopped may have used the CPU; one that kept its thread from looking used
all of it."""


@final
class Pulse:
    """Counts the seconds in which this process was stopped.

    A thread looks at the clock twice a second, also while the rest of the process waits for a disk or a device. Where
    it did not for seconds, and the process used no CPU meanwhile, it was stopped.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        """Keep the clocks; `cpu_clock` is the process's own, without its children."""
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._stopped_s = 0.0
        self._looked_at, self._cpu_s = clock(), cpu_clock()
        self._beat = Beat(self.stopped_s, period_s=PERIOD_S)

    def start(self) -> None:
        """Begin to look."""
        self._looked_at, self._cpu_s = self._clock(), self._cpu_clock()
        self._beat.start()

    def stop(self) -> None:
        """Look no more."""
        self._beat.stop()

    def stopped_s(self) -> float:
        """Return the seconds so far in which the process was stopped; a forked child has no thread to see more."""
        if os.getpid() != self._pid:
            return self._stopped_s
        with self._lock:
            now, cpu_s = self._clock(), self._cpu_clock()
            silent_s = now - self._looked_at
            if silent_s >= LEAST_S and cpu_s - self._cpu_s < BUSY * silent_s:
                self._stopped_s += silent_s
            self._looked_at, self._cpu_s = now, cpu_s
            return self._stopped_s
