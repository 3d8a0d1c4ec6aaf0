"""The records inside the page, as JSON that is small enough to travel and complete enough to be read back.

Numbers are rounded to six significant digits, ends of intervals from repetition to four; systematic error is kept as
factors of its number, to three. A basis is `[k, type A]`: `bases[k]` holds its unit, kind, method, missing reason and
the factors of type B (the ends themselves where the number is zero or missing). `columns` holds each field of all
entries, by the number of the entry: what is alike lies together. That document is written as bzip2 in base64: there is
one bzip2, while what deflate makes of a text differs from one build of zlib to the next, and the same records are to
give the same page everywhere.
"""

import base64
import bz2
import json
from collections.abc import Sequence
from typing import Any

from greenpose.errors import ReportError
from greenpose.record import FAILURE_SCHEMA, SCHEMA, Failure, Record

LAYOUT = "greenpose.report-data/2"
FACTOR_DIGITS = 3
"""Significant digits of systematic error as factors of its number."""
_ENDS = ("low", "high")


def pack(entries: Sequence[Record | Failure]) -> str:
    """Return the entries as JSON, safe inside a script element: no `<` is left in it."""
    bases: dict[str, int] = {}
    columns: dict[str, dict[int, Any]] = {}
    for index, entry in enumerate(entries):
        for key, value in _pack_bases(_dump(entry), bases).items():
            columns.setdefault(key, {})[index] = value
    text = _compact({"bases": [json.loads(each) for each in bases], "columns": columns})
    return _compact(
        {
            "schema": LAYOUT,
            "note": "numbers are rounded to 6 significant digits, intervals to 4, systematic error, as factors, to 3",
            "encoding": "JSON, bzip2, base64",
            "data": base64.b64encode(bz2.compress(text.encode())).decode(),
        }
    )


def unpack(text: str) -> list[Record | Failure]:
    """Return the entries that `pack` wrote.

    Raises:
        ReportError: if the text has another layout.
    """
    said = json.loads(text)
    if said.get("schema") != LAYOUT:
        raise ReportError(
            f"the records of the page have the layout {said.get('schema')!r}; this version reads {LAYOUT}"
        )
    document = json.loads(bz2.decompress(base64.b64decode(said["data"])))
    kinds: dict[str, type[Record | Failure]] = {SCHEMA: Record, FAILURE_SCHEMA: Failure}
    columns: dict[str, dict[str, Any]] = document["columns"]
    entries = [
        {key: each[index] for key, each in columns.items() if index in each} for index in columns.get("schema", {})
    ]
    return [kinds[entry["schema"]].model_validate(_expand_bases(entry, document["bases"])) for entry in entries]


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


def _expand_bases(value: Any, bases: list[dict[str, Any]]) -> Any:
    """Return the tree with every short basis written out."""
    if isinstance(value, list):
        return [_expand_bases(each, bases) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: {name: _long(each, bases, _number(value, name)) for name, each in inner.items()}
        if key == "basis" and isinstance(inner, dict)
        else _expand_bases(inner, bases)
        for key, inner in value.items()
    }


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
