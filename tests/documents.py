"""Documentation that is made from the code, so that it cannot drift: field tables and JSON Schemas."""

import json
import types
import typing
from collections.abc import Iterator

import yaml
from pydantic import BaseModel

from greenpose.artefact import Card
from greenpose.check.baseline import Baseline
from greenpose.check.budgets import BudgetFile
from greenpose.config import Experiment, Grid
from greenpose.config.profile import Profile
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
        "profile": Profile,
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


EXPERIMENT = """# The experiment file, key by key

An experiment is one YAML file that says what is trained, on what, and how it is metered; a grid is many of them in one
file: `base`, and what each experiment changes. Only `carbon` has no default, because emissions depend on where the
machine stands. `greenpose run FILE --dry-run` tells every fault of a file at once, and trains nothing. An editor that
knows JSON Schema completes these keys with [schema/experiment.schema.json](schema/experiment.schema.json) and
[schema/grid.schema.json](schema/grid.schema.json).

```yaml
name: mine
data: {source: coco, root: FOLDER, profile: coco, input_size: [192, 256]}
model: {width: 32, exits: [3, 4]}
wiring: {teach: [4->3], supervise: [3, 4]}  # exit 4 teaches exit 3, and both see the labels
train: {epochs: 60, batch: 32}
carbon: {country: ITA}
```

Keys may be dotted, `model.exits: [3, 4]`, and any of them may be given on the command line: `--set train.epochs=5`.
Paths are taken from beside the file. A setting changes the run's hash, and so its folder, unless it is a path.

This page is made from the code (`pytest tests/test_documents.py --update-golden`).
"""
GRID = """
## A grid

```yaml
name: mine
base:
  data: {source: coco, root: FOLDER, profile: coco}
  carbon: {country: ITA}
experiments:
  HRNet4: {model.exits: [4]}
  HRNet4-OKD-DS: {model.exits: [3, 4], wiring.teach: [4->3], wiring.supervise: [3, 4]}
axes:
  seed: [1, 2, 3]
```

Six runs: each experiment with each seed. `greenpose run FILE --grid --dry-run` lists them.

"""


PROFILE_KEYS = "## Every key\n\n"
"""Below it, the page on profiles has a table that is made; the rest of it is written by hand."""


def profile_page(page: str) -> str:
    """Return `docs/profile.md` with the table of its keys made anew."""
    before, _, after = page.partition(PROFILE_KEYS)
    schema = Profile.model_json_schema()
    return before + PROFILE_KEYS + _settings(schema, schema) + after[after.index("\nPairs count") :]


def experiment_page() -> str:
    """Return `docs/experiment.md`."""
    schema = Experiment.model_json_schema()
    texts = EXPERIMENT + "\n## The whole\n\n" + _settings(schema, schema)
    for name, field in schema["properties"].items():
        for part in _named(field):
            texts += _settings_under(name, schema["$defs"][part], schema)
    return texts + GRID + _settings(Grid.model_json_schema(), {})


def _settings_under(name: str, part: dict[str, typing.Any], schema: dict[str, typing.Any]) -> str:
    about = _line(part["description"]).rstrip(".")
    texts = f"\n## `{name}`: {about[:1].lower()}{about[1:]}\n\n"
    texts += _settings(part, schema, before=f"{name}.")
    for key, field in part["properties"].items():
        for inner in _named(field):
            if inner != "Profile":  # a file of its own, docs/profile.md
                texts += _settings_under(f"{name}.{key}", schema["$defs"][inner], schema).replace("\n## ", "\n### ")
    return texts


def _settings(part: dict[str, typing.Any], schema: dict[str, typing.Any], before: str = "") -> str:
    rows = [
        f"| `{before}{key}` | {_values(field, schema)} | {_default(key, part, field)} | {_meaning(field, schema)} |"
        for key, field in part["properties"].items()
    ]
    return "| key | value | default | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"


def _meaning(field: dict[str, typing.Any], schema: dict[str, typing.Any]) -> str:
    """Return a field's docstring, which its schema leaves out where the part that it holds has the same."""
    return _line(field["description"] if "description" in field else schema["$defs"][_named(field)[0]]["description"])


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _default(key: str, part: dict[str, typing.Any], field: dict[str, typing.Any]) -> str:
    if key in part.get("required", ()):
        return "must be given"
    value = field.get("default", [] if field.get("type") == "array" else {})
    if isinstance(value, dict) and value:
        return "see below"
    return f"`{yaml.safe_dump(value, default_flow_style=True).removesuffix('...' + chr(10)).strip()}`"


def _named(field: dict[str, typing.Any]) -> list[str]:
    """Return the names of the parts that a field holds directly."""
    refs = [one["$ref"] for one in (field, *field.get("anyOf", ()), *field.get("oneOf", ())) if "$ref" in one]
    return [ref.rsplit("/", 1)[1] for ref in refs]


def _values(field: dict[str, typing.Any], schema: dict[str, typing.Any]) -> str:
    """Return which values a field takes, from its JSON Schema."""
    several = field.get("anyOf") or field.get("oneOf")
    if several:
        return " or ".join(dict.fromkeys(_values(one, schema) for one in several))
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[1]
        return "a profile" if name == "Profile" else "settings"
    if "enum" in field or "const" in field:
        return " or ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    kind = field.get("type", "any")
    if kind == "array":
        inner = field.get("prefixItems") or [field["items"]]
        each = list(dict.fromkeys(_values(one, schema) for one in inner))
        return f"{'list' if 'items' in field else len(inner)} of: {', '.join(each)}"
    if kind == "object":
        inner = field.get("additionalProperties")
        return f"mapping to {_values(inner, schema)}" if isinstance(inner, dict) else "mapping"
    names = {
        "number": "number",
        "integer": "whole number",
        "string": "text",
        "boolean": "`true` or `false`",
        "null": "null",
    }
    return names.get(kind, "anything") + _bounds(field)


def _bounds(field: dict[str, typing.Any]) -> str:
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    said = [f"{word} {field[name]}" for name, word in words.items() if name in field]
    return f" {' '.join(said)}" if said else ""


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
