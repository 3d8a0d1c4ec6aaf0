"""Columns: of runs that are alike one record whose numbers are arrays, so that a page asks all of them at once.

A question is a function of a record. Asked of such a record it gives an array, in the time that one run takes, where it
comes to the same whatever the numbers are. Where it does not, since runs fall on both sides of a condition or differ in
a word that decides, it is asked of each.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any, NoReturn, TypeVar, cast

import numpy as np

from greenpose.quantity import Quantity
from greenpose.record import Record
from greenpose.store.similar_records import Alike, Row

AnswerT = TypeVar("AnswerT")


class Varies(Exception):  # noqa: N818  no fault: it is asked of each instead
    """Runs that are alike differ in what decides the answer."""


def _differs(*_: object) -> NoReturn:
    raise Varies


class RunColumn(np.ndarray):  # without parameters, which would be one more thing to check
    """One number of many runs, which formulas take in its place; a condition on it holds for all of them or none."""

    def __bool__(self) -> bool:
        """Return whether it holds.

        Raises:
            Varies: if it does for some of them.
        """
        if (holds := self.view(np.ndarray).astype(bool)).all():
            return True
        return _differs() if holds.any() else False

    __float__ = __int__ = __index__ = __format__ = _differs
    __hash__ = _differs  # type: ignore[assignment]  # NumPy says None


class Word(str):
    """A word in which runs differ, as the first has it: it may be passed on, and decides nothing."""

    column: Callable[[], list[str]]
    """Returns that of each."""

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __hash__ = _differs
    __add__ = __contains__ = __format__ = __getitem__ = __iter__ = __len__ = _differs


class _Numbers(Sequence[Any]):
    """The numbers of rows, column by column."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = [row.numbers for row in rows]

    def __len__(self) -> int:
        return len(self._rows[0])

    def __getitem__(self, place: Any) -> Any:
        found = np.fromiter(map(itemgetter(place), self._rows), dtype=float, count=len(self._rows))
        return found.view(RunColumn)


class AlikeRuns:
    """Runs that are alike, as one record that has their numbers as columns."""

    def __init__(self, runs: Sequence[Record]) -> None:
        rows = [cast("Any", run).row for run in runs]
        words = tuple(_word(rows, place) for place in range(len(rows[0].words)))
        self._runs = runs
        self._run: Record = cast("Any", runs[0]).of_row(Row(_Numbers(rows), words))

    def each(self, ask: Callable[[Record], AnswerT]) -> list[AnswerT]:
        """Return what is asked of each of them."""
        try:
            return self._spread(ask(self._run))
        except Varies:
            return [*map(ask, self._runs)]

    def quantities(self, ask: Callable[[Record], Quantity | None]) -> list[Quantity | None]:
        """Return one number, its value a column; or one of each of them."""
        try:
            return [self._as_column(ask(self._run))]
        except Varies:
            return [*map(ask, self._runs)]

    def _as_column(self, found: Quantity | None) -> Quantity | None:
        if found is None:
            return None
        if isinstance(found.unit, Word) or isinstance(found.kind, Word):
            raise Varies
        value: Any = found.value
        if value is not None and not isinstance(value, RunColumn):
            value = np.full(len(self._runs), value).view(RunColumn)
        return replace(found, value=value, method=str(found.method), missing=str(found.missing))

    def _spread(self, answer: Any) -> list[Any]:
        """Return an answer of all of them run by run, the parts of one that has several likewise."""
        if isinstance(answer, RunColumn):
            return cast("list[Any]", answer.tolist())
        if isinstance(answer, Word):
            return answer.column()
        if isinstance(answer, Alike):
            raise Varies
        if answer and isinstance(answer, dict):
            return [dict(zip(answer, values, strict=True)) for values in self._spread([*answer.values()])]
        if answer and isinstance(answer, list | tuple):
            return [*zip(*map(self._spread, answer), strict=True)]
        return [answer] * len(self._runs)


def _word(rows: Sequence[Row], place: int) -> Word:
    found = Word(rows[0].words[place])
    found.column = lambda: [row.words[place] for row in rows]
    return found
