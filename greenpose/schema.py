"""Schemas: how every file that people write or read back is validated: unknown keys refused, all faults together."""

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Tag, ValidationError
from pydantic.fields import FieldInfo

from greenpose.errors import FaultsError

DocumentT = TypeVar("DocumentT", bound="Document")

SYNONYMS: Mapping[str, str] = MappingProxyType(
    {
        "learning_rate": "lr",
        "batch_size": "batch",
        "num_epochs": "epochs",
        "max_epochs": "epochs",
        "n_epochs": "epochs",
        "image_size": "input_size",
        "channels": "width",
        "scheduler": "schedule",
        "lr_schedule": "schedule",
        "num_threads": "threads",
        "pretrained": "weights",
        "checkpoint": "weights",
        "path": "root",
        "folder": "root",
        "dataset": "data",
        "early_stopping": "patience",
        "flip": "mirror",
    }
)
"""What settings are called elsewhere, and here."""
WORDS: Mapping[str, str] = MappingProxyType(
    {
        "int_type": "must be a whole number",
        "int_parsing": "must be a whole number",
        "int_from_float": "must be a whole number",
        "int_parsing_size": "has more digits than any number here",
        "float_type": "must be a number",
        "float_parsing": "must be a number",
        "finite_number": "must be a finite number",
        "bool_type": "must be true or false",
        "bool_parsing": "must be true or false",
        "greater_than": "must be above {gt}",
        "greater_than_equal": "must be at least {ge}",
        "less_than": "must be below {lt}",
        "less_than_equal": "must be at most {le}",
        "literal_error": "must be {expected}",
        "string_too_short": "must not be empty",
        "string_too_long": "must have {max_length} characters at most",
        "string_unicode": "holds half a character",
        "too_short": "needs {min_length} at least, and has {actual_length}",
        "too_long": "takes {max_length} at most, and has {actual_length}",
    }
)
"""What is wrong, by pydantic's name for it."""
LISTS = ("list_type", "tuple_type")
MAPPINGS = ("dict_type", "mapping_type", "model_type", "model_attributes_type")
LONGEST = 60
"""Characters of a wrong value that a message repeats."""


def _no_truth(value: Any) -> Any:
    if value is True or value is False:
        raise ValueError(f"must be a number; {_truth(value)}")
    return value


def _truth(value: bool) -> str:
    words = "yes, on and true" if value else "no, off and false"
    return f"YAML reads {words} as the truth value {str(value).lower()}"


NO_TRUTH = BeforeValidator(_no_truth)
"""What a number is marked with that people write: a truth value is none."""


def _at_home(place: str) -> str:
    if not place.startswith("~"):
        return place
    try:
        return str(Path(place).expanduser())
    except RuntimeError:
        raise ValueError(f"{place}: this machine knows no such home folder; write the whole path") from None


Place = Annotated[str, AfterValidator(_at_home)]
"""A path; `~` stands for the home folder."""


class Document(BaseModel):
    """A frozen, validated piece of a file; the docstring under a field is its documentation."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=False,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        ser_json_inf_nan="null",
        protected_namespaces=(),
    )


def parse(kind: type[DocumentT], data: Mapping[str, Any], *, where: str) -> tuple[DocumentT | None, list[str]]:
    """Return the document and no faults, or None and every fault, each as `where: key: what is wrong`.

    Where `where` is empty, it is left out.
    """
    try:
        return kind.model_validate(data), []
    except ValidationError as error:
        return None, [_sentence(fault, kind, where) for fault in error.errors(include_url=False)]


def parsed(kind: type[DocumentT], data: Mapping[str, Any], *, where: str, error: type[FaultsError]) -> DocumentT:
    """Return the document.

    Raises:
        FaultsError: of the kind `error`, with every fault.
    """
    document, faults = parse(kind, data, where=where)
    if document is None:
        raise error(faults)
    return document


def loaded(kind: type[DocumentT], text: str, *, where: str, error: type[FaultsError]) -> DocumentT:
    """Return the document that a text holds, which says itself of which schema it is.

    Raises:
        FaultsError: of the kind `error`, if it is no JSON, of another schema, or not as that demands; with every fault.
    """
    try:
        data = from_json(text)
    except ValueError as found:
        raise error([f"{where}: {found}"]) from None
    schema = kind.model_fields["schema_"].default
    if not isinstance(data, dict) or data.get("schema") != schema:
        raise error([f"{where}: is not of the schema {schema}"])
    return parsed(kind, data, where=where, error=error)


def from_json(text: str) -> Any:
    """Return what JSON text holds; a mark of its byte order is passed over.

    Raises:
        ValueError: saying where and why it holds nothing that could be used: it is no JSON, a key is given twice in an
            object, or it holds what no text or number can be.
    """
    text = text.removeprefix("\ufeff")
    try:
        data = json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("not JSON that anybody reads: it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    except _TwiceError:
        raise ValueError(_twice(text)) from None
    except ValueError as error:  # a number of thousands of digits
        long = _LONG.search(text)
        place = f"{_place(text, long.start())}: " if long else ""
        raise ValueError(place + str(error).partition("; use sys.")[0]) from None
    half = _HALF.search(text)
    if half:
        try:
            json.dumps(data, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            said = "half of a character (a lone surrogate) stands in it; it is no text in UTF-8"
            raise ValueError(f"{_place(text, half.start())}: {said}") from None
    return data


def keys_in(text: str) -> Iterator[tuple[tuple[str | int, ...], int]]:
    """Yield each key of valid JSON text with those that lead there, and the character of the text that it starts at."""
    path: list[str | int] = []
    for token in _TOKEN.finditer(text):
        said = token[0]
        if said in "{[":
            path.append("" if said == "{" else 0)
        elif said in "]}":
            path.pop()
        elif said == ",":
            path[-1] = path[-1] + 1 if isinstance(path[-1], int) else ""
        elif token["key"]:
            path[-1] = json.loads(token["key"])
            yield tuple(path), token.start()


class _TwiceError(ValueError):
    """A key is given twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON, a key given twice refused: which one counts would be the reader's choice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _TwiceError
    return found


def _twice(text: str) -> str:
    """Return which key is given twice, and where the second time."""
    seen: dict[tuple[str | int, ...], int] = {}
    for path, start in keys_in(text):
        if path in seen:
            key, first = dotted(path), _place(text, seen[path])
            return f"{_place(text, start)}: {key} is given twice, first in {first}; keep one"
        seen[path] = start
    return "a key is given twice; keep one"


def _place(text: str, start: int) -> str:
    return f"line {text.count(chr(10), 0, start) + 1}, column {start - text.rfind(chr(10), 0, start)}"


_HALF = re.compile(r"\\u(?:[dD][89abAB]\w\w(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]\w\w\\u)[dD][c-fC-F]\w\w)")
"""How JSON writes half of a character: a surrogate without its other half."""
_LONG = re.compile(r"\d{4301,}")
"""A whole number of more digits than Python reads."""
_TOKEN = re.compile(r'(?P<key>"(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[{}\[\],]')
"""What the place of a key in JSON text depends on."""


def near(value: str, choices: Sequence[str]) -> str:
    """Return a hint that names the nearest of `choices` to a mistyped `value`, or lists a few of them."""
    listed = "known: " + ", ".join(str(c) for c in list(choices)[:12]) + (" ..." if len(choices) > 12 else "")
    return nearest(value, choices) or listed


def nearest(value: str, choices: Sequence[str]) -> str:
    """Return a hint that names the nearest of `choices` to a mistyped `value`; empty where none is near."""
    close = difflib.get_close_matches(str(value), [str(c) for c in choices], n=2, cutoff=0.6)
    return f"did you mean {' or '.join(close)}?" if close else ""


def dotted(location: Sequence[str | int]) -> str:
    """Return a path such as `wiring.teach[1]` from pydantic's location tuple."""
    path = ""
    for part in location:
        name = part or "''"
        path += f"[{part}]" if isinstance(part, int) else (f".{name}" if path else str(name))
    return path


def field_at(kind: type[BaseModel], key: str) -> FieldInfo | None:
    """Return the field at a dotted key of a model, or None where there is none."""
    first, _, rest = key.partition(".")
    field = kind.model_fields.get(first)
    if field is None or not rest:
        return field
    inner = _model_in(field.annotation)
    return field_at(inner, rest) if inner is not None else None


def shown(value: Any) -> str:
    """Return a value as people write it, cut where it is long."""
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _sentence(fault: Mapping[str, Any], kind: type[BaseModel], where: str) -> str:
    path = tuple(part for part in fault["loc"] if part != "[key]")
    unknown = fault["type"] == "extra_forbidden"
    says = f"unknown key; {_meant(kind, path)}" if unknown else _wrong(str(fault["type"]), fault)
    location = [part for part in path if not _is_tag(part)]
    return ": ".join(filter(None, [where, dotted(location), says]))


def _is_tag(part: str | int) -> bool:
    """Return whether a part of a location tells which of several models was meant, such as `[own]`."""
    return isinstance(part, str) and part.startswith("[")


def _wrong(what: str, fault: Mapping[str, Any]) -> str:
    """Return what is wrong with a value, in the words of who wrote it."""
    value, said = fault.get("input"), str(fault["msg"])
    if what == "value_error":
        return said.removeprefix("Value error, ")
    if what == "missing":
        return "is missing"
    if what in LISTS:
        return f"must be a list; write {'[]' if value is None else f'[{shown(value)}]'}"
    if what in MAPPINGS:
        return (
            f"{'holds nothing' if value is None else f'is {shown(value)}'}; it takes keys and values, or {{}} for none"
        )
    if what == "string_type" and isinstance(value, bool | int | float):
        why = _truth(value) if isinstance(value, bool) else f"{shown(value)} is a number"
        return f'must be text; {why}: put it in quotes, e.g. "{"no" if value is False else shown(value)}"'
    limits = {name: _plain(limit) for name, limit in fault.get("ctx", {}).items()}
    words = WORDS[what].format(**limits) if what in WORDS else said[:1].lower() + said[1:]
    return words if isinstance(value, Mapping | list | tuple) else f"{words} (got {shown(value)})"


def _plain(limit: Any) -> Any:
    """Return a limit without the `.0` of a whole number."""
    return f"{limit:g}" if isinstance(limit, float) else limit


def _meant(kind: type[BaseModel], location: Sequence[str | int]) -> str:
    """Return what an unknown key may stand for: a sibling, or a key of that name elsewhere in the file."""
    key, siblings = str(location[-1]), _keys_at(kind, location[:-1])
    meant = SYNONYMS.get(key.lower(), key)
    if meant in siblings:
        return f"did you mean {meant}?"
    elsewhere = [path for path in paths(kind) if path.rpartition(".")[2] == meant]
    return f"did you mean {' or '.join(elsewhere[:2])}?" if elsewhere else near(key, siblings)


def paths(kind: type[BaseModel], before: str = "") -> Iterator[str]:
    """Yield the dotted path of every key below a model."""
    for name, field in kind.model_fields.items():
        yield f"{before}{name}"
        is_model = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        inner = _model_in(field.annotation) if is_model or _is_several(field.annotation) else None
        if inner is not None:
            yield from paths(inner, f"{before}{name}.")


def _keys_at(kind: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """Return the keys that the model at `location` inside `kind` knows, or none where the path leaves plain models."""
    several: Any = None
    for part in location:
        if _is_tag(part):
            kind = _tagged(several, str(part)) or kind
            continue
        field = kind.model_fields.get(str(part))
        inner = _model_in(field.annotation) if field else kind  # no field: a place in a list or mapping of models
        if inner is None:
            return []
        several, kind = field and field.annotation, inner
    return [field.alias or name for name, field in kind.model_fields.items()]


def _is_several(annotation: Any) -> bool:
    """Return whether an annotation is one of several models, told apart by tags; the first is the usual one."""
    return any(isinstance(mark, Tag) for each in get_args(annotation) for mark in getattr(each, "__metadata__", ()))


def _tagged(annotation: Any, tag: str) -> type[BaseModel] | None:
    """Return the one of several models that a tag stands for."""
    marked = (each for each in get_args(annotation) if Tag(tag) in getattr(each, "__metadata__", ()))
    return next((_model_in(each) for each in marked), None)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model that an annotation is, or is a list or mapping of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)
