"""The records inside the page, as JSON that is small enough to travel and complete enough to be read back.

Numbers are rounded to six significant digits, ends of intervals from repetition to four; systematic error is kept as
factors of its number, to three. What recurs is written once:

- `{"$": 3}` stands for `shared[3]`;
- `["$2", ...]` is a mapping whose keys are `shapes[2]` and whose values follow; `["$", ...]` is the list that follows,
  written so where it begins with a string like these;
- a basis is `[k, type A]`: `bases[k]` holds its unit, kind, method, missing reason and the factors of type B (the ends
  themselves where the number is zero or missing).
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from greenpose.record import FAILURE_SCHEMA, SCHEMA, Failure, Record

LAYOUT = "greenpose.report-data/1"
FACTOR_DIGITS = 3
"""Significant digits of systematic error as factors of its number."""
_ENDS = ("low", "high")
_WORTH_SHARING = 24
"""Characters of JSON below which a reference is no shorter."""


def pack(entries: Sequence[Record | Failure]) -> str:
    """Return the entries as JSON, safe inside a script element: no `<` is left in it."""
    bases: dict[str, int] = {}
    plain = [_pack_bases(_dump(entry), bases) for entry in entries]
    counts = Counter(text for entry in plain for text in _subtrees(entry))
    packer = _Packer(counts)
    packed = [packer.pack(entry) for entry in plain]
    document = {
        "schema": LAYOUT,
        "note": "numbers are rounded to 6 significant digits, intervals to 4, systematic error, as factors, to 3",
        "bases": [json.loads(text) for text in bases],
        "shared": [json.loads(text) for text in packer.shared],
        "shapes": [json.loads(text) for text in packer.shapes],
        "entries": packed,
    }
    return _compact(document).replace("<", "\\u003c")


def unpack(text: str) -> list[Record | Failure]:
    """Return the entries that `pack` wrote."""
    document = json.loads(text)
    kinds: dict[str, type[Record | Failure]] = {SCHEMA: Record, FAILURE_SCHEMA: Failure}
    entries = [_expand(entry, document) for entry in document["entries"]]
    return [kinds[entry["schema"]].model_validate(entry) for entry in entries]


class _Packer:
    """Replaces what recurs by references, and remembers what they refer to."""

    def __init__(self, counts: Counter[str]) -> None:
        self.counts = counts
        self.shared: dict[str, int] = {}
        self.shapes: dict[str, int] = {}

    def pack(self, value: Any) -> Any:
        """Return the tree with references in place of recurring parts and of the keys of mappings."""
        if not isinstance(value, dict | list | str):
            return value
        text = _compact(value)
        if self.counts[text] > 1:
            return {"$": self.shared.setdefault(text, len(self.shared))}
        if isinstance(value, dict):
            shape = self.shapes.setdefault(_compact(list(value)), len(self.shapes))
            return [f"${shape}", *(self.pack(each) for each in value.values())]
        if not isinstance(value, list):
            return value
        escape = ["$"] if value and isinstance(value[0], str) and value[0].startswith("$") else []
        return escape + [self.pack(each) for each in value]


def _dump(entry: Record | Failure) -> dict[str, Any]:
    schema = SCHEMA if isinstance(entry, Record) else FAILURE_SCHEMA
    said = entry.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {"schema": schema} | {key: _rounded(value) for key, value in said.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _pack_bases(value: Any, bases: dict[str, int]) -> Any:
    """Return the tree with every `basis` mapping in its short form; new kinds of basis are added to `bases`."""
    if isinstance(value, list):
        return [_pack_bases(each, bases) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: {name: _short(basis, bases, _number(value, name)) for name, basis in each.items()}
        if key == "basis" and isinstance(each, dict)
        else _pack_bases(each, bases)
        for key, each in value.items()
    }


def _short(basis: dict[str, Any], bases: dict[str, int], number: float | None) -> list[Any]:
    """Return a basis as the number of its kind and its interval from repetition.

    Systematic error belongs to the kind, as factors of the number: it comes from coefficients that many numbers share.
    """
    same = {key: each for key, each in basis.items() if key not in {"type_a", "type_b"}}
    if basis.get("type_b"):
        same["factors"] = [_end(basis["type_b"][end] / (number or 1), FACTOR_DIGITS) for end in _ENDS]
    short: list[Any] = [bases.setdefault(_compact(same), len(bases))]
    return [*short, [_end(basis["type_a"][end], 4) for end in _ENDS]] if basis.get("type_a") else short


def _number(numbers: dict[str, Any], name: str) -> float | None:
    """Return the number that a basis is about; a dotted name leads into a mapping."""
    field, _, key = name.partition(".")
    value = numbers.get(field)
    return value.get(key) if key and isinstance(value, dict) else value


def _end(value: float, digits: int) -> float:
    """Return an end of an interval at so many digits, as an integer where it is one: it takes two bytes less."""
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded.is_integer() else rounded


def _long(short: list[Any], bases: list[dict[str, Any]], number: float | None) -> dict[str, Any]:
    basis = dict(bases[short[0]])
    factors = basis.pop("factors", None)
    if short[1:]:
        basis["type_a"] = dict(zip(_ENDS, short[1], strict=True))
    if factors:
        basis["type_b"] = {end: _end(each * (number or 1), 6) for end, each in zip(_ENDS, factors, strict=True)}
    return basis


def _subtrees(value: Any) -> Iterator[str]:
    """Yield the JSON of every mapping, list and string inside `value` that is worth sharing."""
    if isinstance(value, dict | list | str):
        text = _compact(value)
        if len(text) >= _WORTH_SHARING:
            yield text
            children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
            for child in children:
                yield from _subtrees(child)


def _expand(value: Any, document: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return _expand_bases(document["shared"][value["$"]], document["bases"])
    if not isinstance(value, list):
        return value
    sign = value[0] if value and isinstance(value[0], str) else ""
    if not sign.startswith("$"):
        return [_expand(each, document) for each in value]
    rest = [_expand(each, document) for each in value[1:]]
    if sign == "$":
        return rest
    whole = dict(zip(document["shapes"][int(sign[1:])], rest, strict=True))
    return _expand_bases(whole, document["bases"])


def _expand_bases(value: Any, bases: list[dict[str, Any]]) -> Any:
    """Return the tree with every short basis written out; those written out already stay."""
    if isinstance(value, list):
        return [_expand_bases(each, bases) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: {
            name: _long(each, bases, _number(value, name)) if isinstance(each, list) else each
            for name, each in inner.items()
        }
        if key == "basis"
        else _expand_bases(inner, bases)
        for key, inner in value.items()
    }


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
