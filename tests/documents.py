"""Documentation that is made from the code, so that it cannot drift: field tables and JSON Schemas."""

import json
import types
import typing
from collections.abc import Iterator

from pydantic import BaseModel

from greenpose.artefact import Card
from greenpose.check.baseline import Baseline
from greenpose.check.budgets import BudgetFile
from greenpose.config import Experiment, Grid
from greenpose.predict import PredictionBill
from greenpose.quantity import Kind
from greenpose.record import Failure, Record
from greenpose.record.artefacts import ArtefactCosts
from greenpose.record.policy import PolicyCurve
from greenpose.run.measure import Measurement

HEAD = """# The record, field by field

A finished run leaves `record.json`, one that did not finish `failure.json`. Both carry a `schema`; a changed meaning
gets a new one. Numbers stand under their plain names, in the unit that the name ends in; `basis` says, for each of
them, how it was obtained and how far it can be trusted. **null** means: not obtained; the number's basis says why in
`missing`. A field that may be null says so. `greenpose measure ARTEFACT` leaves `artefacts.json` beside the record:
[ArtefactCosts](#artefactcosts).

This page is made from the code (`pytest tests/test_documents.py --update-golden`).
"""


def record_page() -> str:
    """Return `docs/record.md`."""
    models = list(dict.fromkeys([*_models(Record), *_models(Failure), *_models(ArtefactCosts)]))
    return HEAD + "".join(_section(model) for model in models)


def schemas() -> dict[str, str]:
    """Return the JSON Schemas by file name."""
    kinds: dict[str, type[BaseModel]] = {
        "experiment": Experiment,
        "grid": Grid,
        "record": Record,
        "failure": Failure,
        "measurement": Measurement,
        "policy": PolicyCurve,
        "artefacts": ArtefactCosts,
        "card": Card,
        "bill": PredictionBill,
        "baseline": Baseline,
        "budgets": BudgetFile,
    }
    return {
        f"{name}.schema.json": json.dumps(kind.model_json_schema(by_alias=True), indent=1, ensure_ascii=False) + "\n"
        for name, kind in kinds.items()
    }


def _section(model: type[BaseModel]) -> str:
    first = (model.__doc__ or "").strip().splitlines()[0]
    rows = [
        f"| `{field.alias or name}` | {_type(field.annotation)} | {' '.join((field.description or '').split())} |"
        for name, field in model.model_fields.items()
    ]
    return f"\n## {model.__name__}\n\n{first}\n\n| field | type | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def _type(annotation: typing.Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Kind or origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join("null" if part is type(None) else _type(part) for part in arguments)
    if origin in (list, tuple):
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"mapping of {_type(arguments[0])} to {_type(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    names = {float: "number", int: "integer", str: "text", bool: "true or false", typing.Any: "anything"}
    return names[annotation]


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield a model and those that its fields hold, each once, in order."""
    yield model
    for field in model.model_fields.values():
        for part in _parts(field.annotation):
            yield from _models(part)


def _parts(annotation: typing.Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _parts(argument)
