"""What enforces annotations while tests run: beartype, with an int allowed where a float is asked for (PEP 484).

The numbers of many runs that are alike may stand where that of one is asked for: formulas are asked of both.
"""

import sys
from collections.abc import Callable
from functools import wraps
from importlib.machinery import ModuleSpec, PathFinder
from importlib.resources import files
from pathlib import Path
from typing import Any

from beartype import BeartypeConf, FrozenDict, beartype
from beartype.claw import beartype_packages
from jaxtyping import install_import_hook

UNRESOLVED = ("cli", "init", "pytest_plugin")
"""Rooms whose annotations name what only the type checker imports; beartype alone would look for it."""


class _Named(type):
    """Knows a column by its name: who imported its class before the watch begins would leave its room unwatched."""

    def __instancecheck__(cls, value: object) -> bool:
        return f"{type(value).__module__}.{type(value).__name__}" == "greenpose.store.columns.RunColumn"


class _Column(metaclass=_Named):
    """The numbers of many runs."""


_ALSO = FrozenDict({float: float | int | _Column, int: int | _Column, bool: bool | _Column})
_CONF = BeartypeConf(hint_overrides=_ALSO, claw_is_pep526=False, violation_type=TypeError)
_enforced = beartype(conf=_CONF)


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function whose annotations are enforced from its first call on: most are never called by one worker."""
    made: list[Callable[..., Any]] = []

    @wraps(function)
    def checked(*given: Any, **named: Any) -> Any:
        if not made:
            made.append(_enforced(function))
        return made[0](*given, **named)

    return checked


class _Plainly:
    """Finds GreenPose's modules as if it had no plugin of pytest's: pytest would load them past beartype."""

    @staticmethod
    def find_spec(name: str, path: list[str] | None, target: None = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, path, target) if name.startswith("greenpose.") else None


def watch() -> None:
    """Enforce the annotations of everything of GreenPose that is imported from now on.

    Files without shapes in signatures, whose functions are called millions of times, are watched by beartype alone:
    that takes a tenth of the time that jaxtyping takes to ask it.
    """
    root, plain, shaped = Path(str(files("greenpose"))), set[str](), set[str]()
    for path in sorted(root.iterdir()):
        room, sources = path.name.removesuffix(".py"), [path] if path.suffix == ".py" else path.rglob("*.py")
        with_shapes = {source: "jaxtyping" in source.read_text() for source in sources}
        if room in UNRESOLVED or not any(with_shapes.values()):
            (shaped if room in UNRESOLVED else plain).add(f"greenpose.{room}")
            continue
        for source, has_shapes in with_shapes.items():
            if source.stem != "__init__":  # which only hands on what these define
                name = ".".join(source.relative_to(root.parent).with_suffix("").parts)
                (shaped if has_shapes else plain).add(name)
    beartype_packages(sorted(plain), conf=_CONF)
    sys.meta_path.insert(0, _Plainly)
    install_import_hook(sorted(shaped), f"{__name__}.check")
