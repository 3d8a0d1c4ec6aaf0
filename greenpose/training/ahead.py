"""Batches made by threads while the device is at work, so that it need not wait for them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")

THREADS = 4
"""Threads beside a GPU: decoding, warping and drawing targets leave the interpreter's lock alone most of the time."""


def ahead(make: Callable[[Item], Made], items: Iterable[Item], *, threads: int) -> Iterator[Made]:
    """Yield `make(item)` of every item in order, at most `threads` of them made ahead; with none, made when asked for.

    On a CPU nothing is made ahead: the threads would take the time of those that train, and be metered as theirs.
    """
    if not threads:
        yield from map(make, items)
        return
    waiting = deque[Future[Made]]()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
