"""How training is watched without knowing by whom: a window is opened around each piece of work."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

Window = Callable[[str, int], AbstractContextManager[object]]
"""Called with a name and a number of images; the context that it returns spans the work."""


def unmetered(name: str, items: int) -> AbstractContextManager[object]:
    """Return a window that measures nothing."""
    del name, items
    return nullcontext()
