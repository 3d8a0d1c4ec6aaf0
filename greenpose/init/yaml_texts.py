"""Profile and experiment as YAML, with the reason above each value that was chosen for somebody."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from greenpose.config import Experiment, ModelConfig
from greenpose.config.profile import Profile
from greenpose.config.yaml_files import parse_yaml

WIDTH = 100
"""Characters of a line of reasons."""
NO_COUNTRY = (
    "MISSING: where the electricity comes from decides the CO2. Put your country in the place of null, e.g."
    " {country: ITA} (ISO 3166 alpha-3), or give --country to every command."
)


def as_yaml(document: Mapping[str, Any], reasons: Mapping[str, str], *, head: str) -> str:
    """Return a document as YAML, block by block, with `reasons` by dotted key as comments above.

    Names that YAML would take for something else, as yes, null or 1e3, are put into quotes; what comes back when it is
    read is the document.
    """
    text = "\n".join([*_comment(head, ""), *_lines(document, reasons, "", "")]) + "\n"
    assert parse_yaml(text, where="init") == _plain(document), text
    return text


def _lines(document: Mapping[str, Any], reasons: Mapping[str, str], path: str, indent: str) -> Iterator[str]:
    for key, value in document.items():
        dotted = f"{path}{key}"
        yield from _comment(reasons.get(dotted, ""), indent)
        if isinstance(value, Mapping) and value:
            yield f"{indent}{_scalar(key)}:"
            yield from _lines(value, reasons, f"{dotted}.", f"{indent}  ")
        elif _is_names(value):
            yield f"{indent}{_scalar(key)}:"
            yield from (f"{indent}  - {_scalar(name)}  # {number}" for number, name in enumerate(value))
        elif isinstance(value, str) and len(value) > WIDTH and value == " ".join(value.split()):
            yield f"{indent}{_scalar(key)}: >-"
            yield from (f"{indent}  {line}" for line in _wrapped(value, WIDTH - len(indent)))
        else:
            yield f"{indent}{_scalar(key)}: {_scalar(value)}"


def _is_names(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > 1 and all(isinstance(each, str) for each in value)


def _comment(text: str, indent: str) -> list[str]:
    return [f"{indent}# {line}" for line in _wrapped(" ".join(text.split()), WIDTH - len(indent))]


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _scalar(value: Any) -> str:
    """Return a value in one line, in quotes where it needs them."""
    (line,) = yaml.safe_dump([_plain(value)], default_flow_style=True, width=10**9, allow_unicode=True).splitlines()
    return line[1:-1]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def profile_text(profile: Profile, reasons: Mapping[str, str], *, origin: str) -> str:
    """Return the text of `profile.yaml`."""
    head = f"What is labelled in {origin}, as `greenpose init` found it. What each key means: docs/profile.md."
    return as_yaml(profile.model_dump(mode="json"), reasons, head=head)


def experiment_text(
    experiment: Experiment, reasons: Mapping[str, str], *, profile: str, country: str | None, origin: str
) -> str:
    """Return the text of `experiment.yaml`: what was chosen, all other settings left to their defaults.

    Without a country its place is left open, and said to be.
    """
    document = _chosen_settings(experiment)
    document["data"]["profile"] = profile
    document["carbon"] = {"country": country}
    told = dict(reasons) if country else {**reasons, "carbon": NO_COUNTRY}
    head = f"Proposed by `greenpose init` for {origin}. greenpose run this-file trains, meters and reports it."
    return as_yaml(document, told, head=head)


def _chosen_settings(experiment: Experiment) -> dict[str, Any]:
    whole = experiment.model_dump(mode="json", exclude_defaults=True)
    train, data, model = experiment.train, experiment.data, experiment.model
    assert isinstance(model, ModelConfig), "HRNet is what is proposed"
    order: dict[str, Sequence[str]] = {
        "data": ("source", "profile", "root", "images", "annotations", "input_size", "depth_window_mm"),
        "model": ("exits", "width", "stem_width", "modules", "blocks"),
        "train": ("epochs", "batch", "lr", "milestones", "validate_every", "patience"),
    }
    always = {"data": {"input_size": list(data.input_size)}, "train": train.model_dump(mode="json")}
    document: dict[str, Any] = {"name": experiment.name}
    for section, keys in order.items():
        values = {**whole.get(section, {}), **always.get(section, {"width": model.width})}
        document[section] = {key: values[key] for key in keys if key in values}
        if section == "model":
            document["wiring"] = {"teach": ["4->3"], "supervise": [3, 4]}
    document["measure"] = {"max_seconds": experiment.measure.max_seconds}
    document["process"] = {"device": experiment.process.device}
    return document
