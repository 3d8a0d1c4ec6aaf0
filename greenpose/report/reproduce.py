"""How to run it again: the configuration of each experiment, the first in full, the others by what they change."""

from collections.abc import Mapping
from typing import Any

from greenpose.report.study import Study, seeds

_OWN = ("name", "seed")
"""Settings that differ anyway."""


def configurations(study: Study) -> str:
    """Return the configurations as YAML: one document for each, led by a comment; empty where no run finished."""
    import yaml

    documents: list[str] = []
    base: dict[str, Any] = {}
    for group in study.groups:
        config = dict(group.runs[0].config)
        said = "in full" if not base else f"what differs from {study.groups[0].label}"
        changed = config if not base else differing(config, base)
        base = base or config
        text = yaml.safe_dump(changed, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
        documents.append(f"# {' '.join(group.label.split())}, {said}; seeds {seeds(group.runs)}\n{text}")
    return "---\n".join(documents)


def differing(config: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a configuration that is not as in `base`; what only `base` has is null."""
    found: dict[str, Any] = {}
    for key in dict.fromkeys((*config, *base)):
        ours, theirs = config.get(key), base.get(key)
        if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
            inner = differing(ours, theirs)
            found |= {key: inner} if inner else {}
        elif ours != theirs and key not in _OWN:
            found[key] = ours
    return found
