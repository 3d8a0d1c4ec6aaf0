"""Dotted keys over nested mappings: `train.epochs: 5` means `train: {epochs: 5}`."""

from collections.abc import Mapping
from typing import Any


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `over` on top; mappings merge, everything else replaces; keys may be dotted."""
    merged = dict(base)
    for key, value in over.items():
        merged = assign(merged, str(key), value)
    return merged


def assign(base: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Return `base` with `value` at a dotted `key`; a mapping is merged into the one that is there."""
    first, _, rest = key.partition(".")
    there = base.get(first)
    if rest:
        inner: Any = assign(there if isinstance(there, Mapping) else {}, rest, value)
    elif isinstance(value, Mapping):
        inner = merge(there if isinstance(there, Mapping) else {}, value)
    else:
        inner = value
    return {**base, first: inner}


def lookup(data: Mapping[str, Any], key: str) -> Any:
    """Return the value at a dotted `key`.

    Raises:
        KeyError: if there is none.
    """
    value: Any = data
    for part in key.split("."):
        if not isinstance(value, Mapping):
            raise KeyError(key)
        value = value[part]
    return value
