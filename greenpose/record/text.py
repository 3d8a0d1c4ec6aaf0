"""Records as JSON text, and back."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from greenpose.errors import RecordError
from greenpose.metrics import MOST, OF_EXIT, OF_TRAINING
from greenpose.record.exits import CONDITIONS
from greenpose.record.run import FAILURE_SCHEMA, SCHEMA, Failure, Record
from greenpose.schema import Document, from_json, parsed

_OF_EXIT = {metric.name: metric.most for metric in OF_EXIT if not metric.signed}
_OF_RUN = ("epochs", "attempts", *(metric.name for metric in OF_TRAINING))
_AMOUNTS_OF_PHASE = ("seconds", "cpu_seconds", "energy_kwh", "windows")
_AMOUNTS_OF_FAILURE = ("seconds", "energy_kwh", "co2eq_g")
"""Numbers that cannot be negative; net energy can, gross energy less idle power."""

_SECTIONS = ("data", "model", "wiring", "loss", "train", "measure", "carbon", "process")
"""Parts of a configuration that hold settings themselves."""

_NONE = type(None)
_INNER: Mapping[str, Mapping[str, tuple[tuple[type, ...], str]]] = {
    "process": {
        "torch_threads": ((int, _NONE), "a whole number"),
        "concurrent_workers": ((int,), "a whole number"),
        "shared_node": ((bool,), "true or false"),
        "pinned": ((bool, _NONE), "true or false"),
        "environment": ((dict, _NONE), "variables by name"),
    },
    "dataset": {
        "shared_subjects": ((int,), "a whole number"),
        "resampled_groups": ((int, _NONE), "a whole number"),
        "annotations_sha256": ((dict,), "digests by split"),
        "keypoints": ((list,), "a list of names"),
    },
    "measurement": {
        "converged": ((bool, _NONE), "true or false"),
        "warnings": ((list, _NONE), "a list of sentences"),
    }
    | {name: ((int, float, _NONE), "a number") for name in CONDITIONS if name != "converged"},
}
"""What readers reckon with among surroundings that are kept as they were found."""


def dumps(document: Document) -> str:
    """Return the document as JSON text, keys in the order in which they are documented, one line break at the end.

    What was read, and so says itself of which schema it is, is written as it stood: without what later versions added.
    """
    data = document.model_dump(mode="json", by_alias=True, exclude_unset="schema_" in document.model_fields_set)
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def loads(text: str, *, where: str) -> Record | Failure:
    """Return the record or failure written in `text`.

    Raises:
        RecordError: if the text is no JSON, gives a key twice, is of an unknown schema, breaks it, or holds numbers
            that there cannot be; all faults are named.
    """
    document = _parsed(text, where=where)
    faults = _impossible(document)
    if faults:
        raise RecordError([f"{where}: {fault}" for fault in faults])
    return document


def _parsed(text: str, *, where: str) -> Record | Failure:
    for kind in (Record, Failure):  # thrice as fast as parsing first, and what is at fault is found below
        with contextlib.suppress(ValidationError):
            document = kind.model_validate_json(text)
            if _each_key_once(document, text):
                return document
    try:
        data = from_json(text)
    except ValueError as error:
        raise RecordError([f"{where}: {error}"]) from None
    schema = data.get("schema") if isinstance(data, dict) else None
    kinds: dict[Any, type[Record | Failure]] = {SCHEMA: Record, FAILURE_SCHEMA: Failure}
    if not isinstance(schema, str) or schema not in kinds:
        raise RecordError([f"{where}: schema is {schema!r}; this version reads {' and '.join(kinds)}"])
    return parsed(kinds[schema], data, where=where, error=RecordError)


def _each_key_once(document: Document, text: str) -> bool:
    """Return whether a document that was read from a text has all of its keys: of one given twice, pydantic drops one.

    Colons are counted, which no way of writing JSON but an escape hides: that is half the time of parsing once more.
    """
    kept = document.model_dump_json(by_alias=True, exclude_unset=True)
    return "\\u" not in text and kept.count(":") == text.count(":")


def _impossible(document: Record | Failure) -> list[str]:
    """Return every number that there cannot be, each as `key: value; what it would have to be`."""
    if isinstance(document, Failure):
        return _beyond(document, _AMOUNTS_OF_FAILURE, "", MOST)
    faults = [
        f"config.{name}: is {settings!r:.40}; it holds settings by name"
        for name, settings in document.config.items()
        if name in _SECTIONS and not isinstance(settings, Mapping)
    ]
    faults += _otherwise("process", document.process) + _otherwise("dataset", document.dataset)
    faults += _beyond(document, _OF_RUN, "", MOST)
    for name, parts in (("phases", document.phases), ("train_parts", document.train_parts)):
        # noise may take what lies between the windows, or parts, below zero
        faults += [
            fault
            for at, part in enumerate(parts)
            if part.name != "other"
            for fault in _beyond(part, _AMOUNTS_OF_PHASE, f"{name}[{at}].", MOST)
        ]
    faults += _beyond(document.carbon, ("intensity_g_per_kwh", "pue"), "carbon.", MOST)
    numbers = [entry.exit for entry in document.exits]
    if len({*numbers}) < len(numbers) or (not numbers and document.own is None):
        faults.append(f"exits: {numbers}; each exit stands there once, and at least one does")
    for at, entry in enumerate(document.exits):
        faults += _beyond(entry, ["exit"], f"exits[{at}].", MOST)
        for name, most in _OF_EXIT.items():
            faults += _beyond(entry, [name], f"exits[{at}].", most)
        faults += _otherwise("measurement", entry.measurement, f"exits[{at}].")
    for at, each in enumerate(document.validations):
        faults += [
            f"validations[{at}].ap.{exit_}: {ap!r}; it lies between 0 and 1"
            for exit_, ap in each.ap.items()
            if not 0 <= ap <= 1
        ]
    return faults


def _otherwise(part: str, values: Mapping[str, Any], place: str = "") -> list[str]:
    """Return what of some surroundings is of another kind than readers reckon with."""
    return [
        f"{place}{part}.{name}: is {values[name]!r:.40}; it must be {said}"
        for name, (kinds, said) in _INNER[part].items()
        if name in values and not isinstance(values[name], kinds)
    ]


def _beyond(document: Document, names: Sequence[str], place: str, most: float) -> list[str]:
    """Return the numbers of a document that are negative or greater than the most they can be."""
    values = vars(document)
    return [
        f"{place}{name}: {value!r}; it lies between 0 and {most:g}"
        for name in names
        if (value := values[name]) is not None and not 0 <= value <= most
    ]
