"""Something that has to happen every so often while a program does something else."""

import threading
import weakref
from collections.abc import Callable
from typing import final


@final
class Beat:
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
        """Begin to beat, if it does not already and was not stopped; a forked child has no thread, and begins anew."""
        if (self._thread is None or not self._thread.is_alive()) and not self._over.is_set():
            arguments = (self._method, self._over, self._period_s)
            self._thread = threading.Thread(target=_beat, args=arguments, name="greenpose beat", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop for good, and wait for a call under way."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()


def _beat(method: "weakref.WeakMethod[Callable[[], object]]", over: threading.Event, period_s: float) -> None:
    while not over.wait(period_s):
        call = method()
        if call is None:
            return
        call()
        # A bound method in hand would keep its owner alive until the next beat.
        del call
