"""What enforces annotations while tests run: beartype, with an int allowed where a float is asked for (PEP 484)."""

import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.resources import files
from pathlib import Path

from beartype import BeartypeConf, beartype
from beartype.claw import beartype_packages
from jaxtyping import install_import_hook

UNRESOLVED = ("cli", "files", "pytest_plugin", "tables")
"""Rooms whose annotations name what only the type checker imports; beartype alone would look for it."""
_CONF = BeartypeConf(is_pep484_tower=True, claw_is_pep526=False, violation_type=TypeError)
check = beartype(conf=_CONF)


class _Plainly:
    """Finds GreenPose's modules as if it had no plugin of pytest's: pytest would load them past beartype."""

    @staticmethod
    def find_spec(name: str, path: list[str] | None, target: None = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, path, target) if name.startswith("greenpose.") else None


def watch() -> None:
    """Enforce the annotations of everything of GreenPose that is imported from now on.

    Rooms without shapes in signatures, whose functions are called millions of times, are watched by beartype alone:
    that takes a tenth of the time that jaxtyping takes to ask it.
    """
    rooms: dict[bool, set[str]] = {True: set(), False: set()}
    for path in sorted(Path(str(files("greenpose"))).iterdir()):
        name, sources = path.name.removesuffix(".py"), [path] if path.suffix == ".py" else path.rglob("*.py")
        shaped = any("jaxtyping" in source.read_text() for source in sources)
        rooms[shaped or name in UNRESOLVED].add(f"greenpose.{name}")
    beartype_packages(sorted(rooms[False]), conf=_CONF)
    sys.meta_path.insert(0, _Plainly)
    install_import_hook(sorted(rooms[True]), f"{__name__}.check")
