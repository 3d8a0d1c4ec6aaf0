"""Counters that wrap or stand still, and what is read from them every so often."""

import threading
import weakref
from collections.abc import Callable
from typing import final

from greenpose.errors import MeteringError


@final
class Periodic:
    """Calls a method every `period_s` seconds from a daemon thread, until it is stopped or the method's owner is gone.

    The owner is not kept alive by it, so that a source which nobody closes leaves no thread behind for long.
    """

    def __init__(self, method: Callable[[], object], *, period_s: float) -> None:
        """Keep the bound method; nothing runs before `start`."""
        self._method = weakref.WeakMethod(method)
        self._period_s = period_s
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, unless it has begun and was not stopped; a forked child has no thread, and begins anew."""
        if (self._thread is None or not self._thread.is_alive()) and not self._over.is_set():
            arguments = (self._method, self._over, self._period_s)
            self._thread = threading.Thread(target=_periodic, args=arguments, name="greenpose periodic", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop for good, and wait for a call under way."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()


def _periodic(method: "weakref.WeakMethod[Callable[[], object]]", over: threading.Event, period_s: float) -> None:
    while not over.wait(period_s):
        call = method()
        if call is None:
            return
        call()
        # A bound method in hand would keep its owner alive until the next call.
        del call


SLACK_S = 1.0
"""A counter moves in steps: this much time's energy more than expected is no sign of a fault."""


@final
class WrappingCounter:
    """Microjoules of one counter since its first reading, over any number of wraps.

    Two readings tell how often it wrapped in between only if that can be at most once: **it has to be read at least
    every `horizon_s` seconds**, the time in which the largest plausible power fills it. After a longer silence, or
    after a fall that no such power explains (a suspended machine resets its counters), every reading is refused for
    good: a window around the gap would be short of it, and would not show it.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[], str],
        *,
        range_uj: int,
        largest_watts: float,
        clock: Callable[[], float],
    ) -> None:
        """Take the first reading."""
        self.name = name
        self.range_uj = range_uj
        self.largest_watts = largest_watts
        self.horizon_s = range_uj / 1e6 / largest_watts
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._refused: str | None = None
        self._total_uj = 0
        self._last_uj, self._last_s = self._raw(), clock()
        self.stood_at_zero = self._last_uj == 0

    def microjoules(self) -> int:
        """Return the energy since the first reading."""
        with self._lock:
            now_uj, now_s = self._raw(), self._clock()
            if self._refused is None:
                self._refused = self._doubt(now_uj, now_s - self._last_s)
            if self._refused is not None:
                raise MeteringError(self._refused)
            self._total_uj += self._rise(now_uj)
            self._last_uj, self._last_s = now_uj, now_s
            return self._total_uj

    def _raw(self) -> int:
        try:
            return int(self._read())
        except (OSError, ValueError) as error:
            raise MeteringError(f"{self.name}: the counter cannot be read: {error}") from None

    def _rise(self, now_uj: int) -> int:
        rise = now_uj - self._last_uj
        return rise if rise >= 0 else rise + self.range_uj

    def _doubt(self, now_uj: int, gap_s: float) -> str | None:
        """Return why the rise since the last reading cannot be told, None if it can."""
        if gap_s >= self.horizon_s:
            return (
                f"{self.name}: not read for {gap_s:.0f} s, in which it may have wrapped more than once; "
                f"read it at least every {self.horizon_s:.0f} s"
            )
        if now_uj < self._last_uj and self._rise(now_uj) > 1e6 * self.largest_watts * (gap_s + SLACK_S):
            return (
                f"{self.name}: fell from {self._last_uj} to {now_uj} µJ within {gap_s:.3g} s, which is no wrap: "
                "it was reset, as by suspending the machine"
            )
        return None
