"""How every file that people write or read back is validated: unknown keys refused, all faults together."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

DocumentT = TypeVar("DocumentT", bound="Document")


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
    """Return the document and no faults, or None and every fault, each as `where: key: what is wrong`."""
    try:
        return kind.model_validate(data), []
    except ValidationError as error:
        return None, [_sentence(fault, kind, where) for fault in error.errors(include_url=False)]


def near(value: str, choices: Sequence[str]) -> str:
    """Return a hint that names the nearest of `choices` to a mistyped `value`, or lists a few of them."""
    close = difflib.get_close_matches(str(value), [str(c) for c in choices], n=2, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(close) + "?"
    return "known: " + ", ".join(str(c) for c in list(choices)[:12]) + (" ..." if len(choices) > 12 else "")


def dotted(location: Sequence[str | int]) -> str:
    """Return a path such as `wiring.teach[1]` from pydantic's location tuple."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else (f".{part}" if path else str(part))
    return path


def _sentence(fault: Mapping[str, Any], kind: type[BaseModel], where: str) -> str:
    location = tuple(fault["loc"])
    place = f"{where}: {dotted(location)}" if location else where
    if fault["type"] == "extra_forbidden":
        return f"{place}: unknown key; {near(str(location[-1]), _keys_at(kind, location[:-1]))}"
    if fault["type"] == "missing":
        return f"{place}: is missing"
    message = str(fault["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    value = fault.get("input")
    shown = "" if isinstance(value, Mapping | list | tuple) or fault["type"] == "value_error" else f" (got {value!r})"
    return f"{place}: {message}{shown}"


def _keys_at(kind: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """Return the keys that the model at `location` inside `kind` knows, or none where the path leaves plain models."""
    for part in location:
        field = kind.model_fields.get(str(part))
        inner = _model_in(field.annotation) if field else kind  # no field: a place in a list or mapping of models
        if inner is None:
            return []
        kind = inner
    return list(kind.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model that an annotation is, or is a list or mapping of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)
