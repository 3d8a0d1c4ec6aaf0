"""Dotted keys over nested mappings: `train.epochs: 5` means `train: {epochs: 5}`."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from greenpose.errors import ConfigError

DEEPEST = 20
"""No setting lies deeper than this."""


def merge(base: Mapping[str, Any], over: Mapping[Any, Any]) -> dict[str, Any]:
    """Return `base` with the values of `over` on top; mappings merge, everything else replaces; keys may be dotted.

    Raises:
        ConfigError: if a dotted key leads below a value that is no mapping.
    """
    merged = dict(base)
    for key, value in over.items():
        merged = assign(merged, str(key), value)
    return merged


def assign(base: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Return `base` with `value` at a dotted `key`; a mapping is merged into the one that is there.

    Raises:
        ConfigError: if the key leads below a value that is no mapping.
    """
    if key.count(".") > DEEPEST:
        raise ConfigError([f"{key[:60]}...: no setting lies so deep"])
    first, _, rest = key.partition(".")
    there = base.get(first)
    if rest:
        if there is not None and not isinstance(there, Mapping):
            raise ConfigError([f"{first}: is {there!r}, so that {key} has no place; write its settings below {first}"])
        inner: Any = assign(there or {}, rest, value)
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


def placed(fault: str, where: str, overrides: Mapping[str, Any]) -> str:
    """Return a fault with the option or the file that its setting comes from."""
    told = from_option(fault, "", overrides)
    return told if told != fault else f"{where}: {fault}"


def from_option(fault: str, place: str, overrides: Mapping[str, Any]) -> str:
    """Return a fault as one of `--set`, where that is where its setting comes from, and not the file."""
    said = fault.removeprefix(place)
    return f"--set {said}" if any(said.startswith((f"{key}:", f"{key}.", f"{key}[")) for key in overrides) else fault


def given_twice(data: Mapping[Any, Any]) -> list[str]:
    """Return each setting that one mapping gives both nested and by a dotted key."""
    return [key for key, count in Counter(_leaves(data)).items() if count > 1]


def _leaves(data: Mapping[Any, Any], before: str = "") -> Iterator[str]:
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{before}{key}.")
        else:
            yield f"{before}{key}"
