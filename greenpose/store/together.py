"""Runs together: what a page asks of very many, those that are alike in one question.

A question is a function of a record: a number of it, a word, several in a dictionary or tuple, without effects.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from greenpose.quantity import Quantity
from greenpose.record import Record

AnswerT = TypeVar("AnswerT")


class Together:
    """Runs that are asked together."""

    def __init__(self, runs: Iterable[Record]) -> None:
        self._runs, alike = list(runs), dict[Any, list[int]]()
        for place, run in enumerate(self._runs):
            looks = getattr(run, "looks", None)
            alike.setdefault((place,) if looks is None else id(looks), []).append(place)
        self._parts = [(places, _as_one([self._runs[place] for place in places])) for places in alike.values()]

    def each(self, ask: Callable[[Record], AnswerT]) -> list[AnswerT]:
        """Return what is asked of each run, in their order."""
        found: list[Any] = [None] * len(self._runs)
        for places, part in self._parts:
            for place, answer in zip(places, part.each(ask), strict=True):
                found[place] = answer
        return found

    def quantities(self, ask: Callable[[Record], Quantity | None]) -> list[Quantity]:
        """Return a number of all runs that have it, for a mean over them: of those that are alike one for all."""
        return [each for _, part in self._parts for each in part.quantities(ask) if each is not None]


class Single:
    """A run that is asked by itself."""

    def __init__(self, run: Record) -> None:
        self._run = run

    def each(self, ask: Callable[[Record], AnswerT]) -> list[AnswerT]:
        """Return what is asked of it, or of several runs of each."""
        return [ask(self._run)]

    def quantities(self, ask: Callable[[Record], Quantity | None]) -> list[Quantity | None]:
        """Return a number of it, or of several runs one for all."""
        return [ask(self._run)]


def _as_one(runs: list[Record]) -> Single:
    if len(runs) == 1:
        return Single(runs[0])
    from greenpose.store.columns import AlikeRuns

    return AlikeRuns(runs)
