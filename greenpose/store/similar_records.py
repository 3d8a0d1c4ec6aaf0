"""Records that are alike: of very many, each is read by the lines in which it differs from one that was read in full.

Runs of an experiment write the same thousand lines but for some hundred numbers and a few words. A pattern is such a
text with gaps, and a text that it gives back byte for byte, its gaps filled with numbers and words of JSON, is as sound
as the pattern. That was read in full by `loads`, with the least and with the greatest number in every gap, and all that
is asked of a number by itself is that it lies in a range. What fits no pattern is read in full, so that what is wrong
with it is named.

Of each record a row of numbers and words is kept, a tenth of what the record takes; its parts are made when asked for.
"""

import json
import re
import sys
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import compress, count
from operator import getitem, itemgetter
from pathlib import Path
from types import new_class
from typing import Any, ClassVar, NamedTuple, get_origin

from pydantic import BaseModel, ConfigDict
from pydantic_core import from_json

from greenpose.errors import RecordError
from greenpose.intervals import Bounds
from greenpose.quantity import Quantity
from greenpose.record import Exit, Failure, Record, loads
from greenpose.record.numbers import Numbers
from greenpose.schema import Document
from greenpose.store.records import read_document

MOST_PATTERNS = 500
"""Patterns beyond which no more are made: such records are too unlike each other."""
_VARIES = b"0123456789.+-abcdefE"
"""What numbers, hashes and times are written with: texts that are equal but for these may be alike."""
_EXPERIMENT = b'\n "experiment": '
_LINE = re.compile(rb'(\s*(?:"(?:[^"\\]|\\.)*": )?)(-?\d[^,\s]*|"(?:[^"\\]|\\.)*")(,?)')
"""A line of a record with its value, behind its key unless it is one of a list's."""
_REACHES = ((0, 1), (0, 10**15), (-(10**15), 10**15))
"""How far the numbers of a gap may go: the first of these that holds those which were met."""
_WORDS = ("", "any word, and be it long")


class AlikeReader:
    """Reads records: so many of them in full, those that follow by what they are alike in."""

    def __init__(self, *, after: int) -> None:
        self._in_full = after
        self._patterns: dict[tuple[bytes, int], _Pattern] = {}

    def __call__(self, path: Path) -> Record | Failure:
        """Return the record or failure in a file.

        Raises:
            RecordError: as `read_document`.
        """
        self._in_full -= 1
        if self._in_full >= 0 or not path.is_file():
            return read_document(path)
        text = path.read_bytes()
        start = text.find(_EXPERIMENT) + len(_EXPERIMENT)
        key = text[start : text.find(b"\n", start)], hash(text.translate(None, _VARIES))
        pattern = self._patterns.get(key)
        if pattern and (alike := pattern.record(text)):
            return alike
        found = read_document(path)
        if isinstance(found, Record):
            if pattern and pattern.learns(text):
                return pattern.record(text) or found
            if not pattern and len(self._patterns) < MOST_PATTERNS:
                self._patterns[key] = _Pattern(text)
        return found


class Row(NamedTuple):
    """What fills the gaps of a pattern."""

    numbers: Sequence[float]
    """Its numbers, in their order."""
    words: tuple[str, ...]
    """Its words, likewise."""


Look = Callable[[Row], Any]
"""Looks a value up in a row."""


class _Gap(NamedTuple):
    """Where texts differ in a line."""

    before: bytes
    after: bytes
    kind: type
    """Of what fills it: int, float or str."""
    reach: int
    """How far its numbers may go."""

    def end(self, which: int) -> bytes:
        """Return the least that may fill it (0), or the greatest (1)."""
        return json.dumps(_WORDS[which] if self.kind is str else self.kind(_REACHES[self.reach][which])).encode()


class _Pattern:
    """A text with gaps, and how a record is read from what fills them."""

    def __init__(self, text: bytes) -> None:
        self._first, self._grows = text, True
        self._gaps: dict[int, _Gap] = {}

    def record(self, text: bytes) -> Record | None:
        """Return the record that a text tells; None where it does not follow the pattern."""
        if not self._gaps:
            return None
        try:
            said: tuple[bytes, ...] = tuple(map(getitem, self._picked(text.split(b"\n")), self._inside))
            if self._text % said != text:
                return None
            values = from_json(b"[" + b",".join(said) + b"]")
            numbers = array("d", compress(values, self._numeric))
        except (IndexError, ValueError, TypeError, OverflowError):
            return None
        if tuple(map(type, values)) != self._kinds or not self._holds(numbers):
            return None
        found: Record = self._record(Row(numbers, tuple(map(sys.intern, compress(values, self._worded)))))
        return found

    def learns(self, text: bytes) -> bool:
        """Return whether a text that was read in full tells of further gaps, or of ones that reach further."""
        gaps = dict(self._gaps)
        for line, (first, other) in enumerate(zip(self._first.split(b"\n"), text.split(b"\n"), strict=False)):
            if first != other:
                gap = _gap(first, other, gaps.get(line))
                if gap is None:
                    return False
                gaps[line] = gap
        if not self._grows or len(gaps) < 2 or gaps == self._gaps:
            return False
        try:
            self._take_on(dict(sorted(gaps.items())))
        except RecordError:
            self._grows = False
        return self._grows

    def _take_on(self, gaps: dict[int, _Gap]) -> None:
        """Let the pattern have these gaps, if `loads` reads it with what fills them at least, and at most.

        Raises:
            RecordError: if it does not.
        """
        import numpy as np

        lines = self._first.replace(b"%", b"%%").split(b"\n")
        for line, gap in gaps.items():
            lines[line] = gap.before.replace(b"%", b"%%") + b"%b" + gap.after
        text = b"\n".join(lines)
        ends = [text % tuple(gap.end(which) for gap in gaps.values()) for which in (0, 1)]
        meant, _ = (loads(each.decode(), where="") for each in ends)
        self._gaps, self._text, self._picked = gaps, text, itemgetter(*gaps)
        self._inside = [slice(len(gap.before), -len(gap.after) or None) for gap in gaps.values()]
        self._kinds = tuple(gap.kind for gap in gaps.values())
        self._worded = [kind is str for kind in self._kinds]
        self._numeric = [not each for each in self._worded]
        reaches = [_REACHES[gap.reach] for gap in gaps.values() if gap.kind is not str]
        self._low, self._high = np.array(reaches, dtype=float).reshape(-1, 2).T
        marks = [f"\x00{index}" for index in range(len(gaps))]
        said = json.loads(text % tuple(json.dumps(mark).encode() for mark in marks))
        places = {False: count(), True: count()}
        named = {mark: next(places[worded]) for mark, worded in zip(marks, self._worded, strict=True)}
        self._record: Any = _look(said, meant, named)

    def _holds(self, numbers: Sequence[float]) -> bool:
        """Return whether all numbers lie within what was read in full."""
        import numpy as np

        found = np.asarray(numbers)
        return bool(((self._low <= found) & (found <= self._high)).all())


def _gap(first: bytes, other: bytes, known: _Gap | None) -> _Gap | None:
    """Return in what two lines differ; None where that is not one number, or word, of a kind."""
    lines = [_LINE.fullmatch(each) for each in (first, other)]
    if not all(lines):
        return None
    (before, one, after), (begins, another, ends) = (line.groups() for line in lines if line)
    values = [from_json(each) for each in (one, another)]
    kind = type(values[0])
    if (begins, ends) != (before, after) or type(values[1]) is not kind:
        return None
    reach = known.reach if known else 0
    while kind is not str and not all(_REACHES[reach][0] <= value <= _REACHES[reach][1] for value in values):
        reach += 1
        if reach == len(_REACHES):
            return None
    return _Gap(before, after, kind, reach)


def _look(said: Any, meant: Any, places: Mapping[str, int]) -> Look | None:
    """Return what looks a value of a record up in a row; None where all records have what is `meant`.

    `said` is the same in the pattern's text, with a mark for each gap; `places` are theirs in a row.
    """
    if isinstance(said, str) and said in places:
        return _at(places[said], type(meant))
    parts = _parts(said, meant)
    found = {key: look for key, both in parts.items() if (look := _look(*both, places))}
    if not found or isinstance(meant, Document):
        return _Maker(meant, found) if found else None
    looks = {key: found.get(key) or _always(each) for key, (_, each) in parts.items()}
    if isinstance(meant, list):
        return lambda row: [look(row) for look in looks.values()]
    if any(isinstance(each, Document) for each in meant.values()):
        return partial(Bases, looks)
    return lambda row: {**meant, **{key: look(row) for key, look in found.items()}}


def _at(place: int, kind: type) -> Look:
    """Return what looks up the number or word at a place."""
    if kind is str:
        return lambda row: row.words[place]
    return (lambda row: whole(row.numbers[place])) if kind is int else (lambda row: row.numbers[place])


def whole(number: Any) -> Any:
    """Return a number that is a whole one as such, or a column of them."""
    return int(number) if isinstance(number, float) else number.astype(int)


def _parts(said: Any, meant: Any) -> dict[Any, tuple[Any, Any]]:
    """Return the parts of a value by name, key or place, each as the text has it and as it is meant; none of a leaf."""
    if said is None:
        return {}
    if isinstance(meant, Document):
        keys = {name: field.alias or name for name, field in type(meant).model_fields.items()}
        return {name: (said.get(key), getattr(meant, name)) for name, key in keys.items()}
    if isinstance(meant, dict):
        return dict(zip(meant, zip(said.values(), meant.values(), strict=True), strict=True))
    return dict(enumerate(zip(said, meant, strict=True))) if isinstance(meant, list) else {}


def _always(value: Any) -> Look:
    return lambda _: value


class _Maker:
    """Makes documents like one, but for the fields that are looked up in a row."""

    def __init__(self, meant: Document, looks: Mapping[str, Look]) -> None:
        self.looks, self.same = looks, {name: each for name, each in vars(meant).items() if name not in looks}
        self._given = meant.model_fields_set
        self._kind = _alike(type(meant), tuple(looks))
        self.both = [looks.get(each) or _always(value) for each, value in vars(meant).items()]
        """What looks up each field; the ends of an interval."""
        self.is_said = {"unit", "kind", "method", "missing"} <= self.same.keys()
        """Whether it is what is known of a number, in words that all have."""

    def __call__(self, row: Row) -> Document:
        """Return the document of a row."""
        return _made(self._kind, self._given, self.same, self.looks, row)

    def bounds(self, name: str, row: Row, scale: float) -> Bounds | None:
        """Return an interval of the document of a row, in a unit that is so many times smaller; None without."""
        interval: Any = self.looks.get(name)
        if interval is None:
            interval = self.same[name]
            return None if interval is None else Bounds(interval.low * scale, interval.high * scale)
        low, high = interval.both
        return Bounds(low(row) * scale, high(row) * scale)


def _made(kind: type[Document], given: set[str], same: dict[str, Any], looks: Mapping[str, Look], row: Row) -> Document:
    made: Document = object.__new__(kind)
    _SET_GIVEN(made, given)
    _SET_SAME(made, same)
    _SET_LOOKS(made, looks)
    _SET_ROW(made, row)
    return made


@cache
def _alike(kind: type[Document], looked_up: tuple[str, ...]) -> type[Document]:
    """Return the subclass of a kind that looks some fields up, and keeps what pages ask for again and again."""
    settings = {"__module__": __name__, "__slots__": (), "model_config": ConfigDict(defer_build=True)}
    bases = (AlikeNumbers if issubclass(kind, Numbers) else Alike, kind)
    made: Any = new_class(kind.__name__, bases, exec_body=lambda names: names.update(settings))
    made.stands_for = kind
    for name in _OF_ALL:
        setattr(made, name, _of_whole(name))
    for name in looked_up:
        get = _kept if kind in (Record, Exit) and get_origin(kind.model_fields[name].annotation) else _asked
        setattr(made, name, property(get(name)))
    found: type[Document] = made
    return found


_OF_ALL = ("__eq__", "__hash__", "model_copy", "model_dump", "model_dump_json")
"""What takes all fields of a document."""


def _of_whole(name: str) -> Callable[..., Any]:
    return lambda document, *others, **given: getattr(document.whole(), name)(*map(_whole, others), **given)


def _asked(name: str) -> Callable[[Any], Any]:
    return lambda document: document.looks[name](document.row)


def _kept(name: str) -> Callable[[Any], Any]:
    asked = _asked(name)

    def get(document: Any) -> Any:
        try:
            return document.kept[name]
        except AttributeError:
            _SET_KEPT(document, {})
        except KeyError:
            document.kept[name] = asked(document)
        return get(document)

    return get


class Bases(Mapping[str, Any]):
    """Documents by name, each made when it is asked for."""

    __slots__ = ("looks", "row")

    def __init__(self, looks: Mapping[str, Look], row: Row) -> None:
        self.looks, self.row = looks, row

    def __getitem__(self, name: str) -> Any:
        return self.looks[name](self.row)

    def __iter__(self) -> Iterator[str]:
        return iter(self.looks)

    def __len__(self) -> int:
        return len(self.looks)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the document of a name; what is given where there is none."""
        return self.looks[name](self.row) if name in self.looks else default


class Alike(Document):
    """A document that looks its fields up when they are asked for; what takes all of them at once takes `whole`."""

    __slots__ = ("kept", "looks", "row")
    stands_for: ClassVar[type[Document]]
    """What it is one of."""

    def of_row(self: Any, row: Row) -> Document:
        """Return the document of another row."""
        return _made(type(self), self.model_fields_set, vars(self), self.looks, row)

    def whole(self) -> Document:
        """Return the same with its fields in it."""
        kind, given = self.stands_for, self.model_fields_set
        return kind.model_construct(given, **{name: _whole(getattr(self, name)) for name in kind.model_fields})


class AlikeNumbers(Alike, Numbers):
    """The same of numbers, whose bases are not made for a quantity."""

    __slots__ = ()

    def quantity(
        self: Any, name: str, *, scale: float = 1.0, unit: str | None = None, disturbed: bool = False
    ) -> Quantity:
        """Return the number `name` as `Numbers` do."""
        basis, row = self.basis, self.row
        make = basis.looks.get(name) if isinstance(basis, Bases) else None
        value = None if "." in name else getattr(self, name)
        if value is None or not isinstance(make, _Maker) or not make.is_said:
            return Numbers.quantity(self, name, scale=scale, unit=unit, disturbed=disturbed)
        said = make.same
        return Quantity(
            value=value * scale,
            unit=said["unit"] if unit is None else unit,
            kind=said["kind"],
            method=said["method"],
            type_a=make.bounds("type_a", row, scale),
            type_b=make.bounds("type_b", row, scale),
            missing=said["missing"] or "",
            disturbed=disturbed,
        )


def _whole(value: Any) -> Any:
    if isinstance(value, list):
        return [_whole(each) for each in value]
    if isinstance(value, Mapping):
        return {key: _whole(each) for key, each in value.items()}
    return value.whole() if isinstance(value, Alike) else value


_SET_KEPT, _SET_LOOKS, _SET_ROW = (vars(Alike)[name].__set__ for name in Alike.__slots__)
_SET_SAME, _SET_GIVEN = (vars(BaseModel)[name].__set__ for name in ("__dict__", "__pydantic_fields_set__"))
