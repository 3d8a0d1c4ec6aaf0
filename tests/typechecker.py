"""What enforces annotations while tests run: beartype, with an int allowed where a float is asked for (PEP 484)."""

import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.resources import files

from beartype import BeartypeConf, beartype
from beartype.claw import beartype_packages
from jaxtyping import install_import_hook

PLAIN = ("formatting", "intervals", "metrics", "quantity", "record", "report")
"""Rooms without shapes in signatures, whose functions are called millions of times: beartype alone watches them, which
takes a tenth of the time that jaxtyping takes to ask it."""

_CONF = BeartypeConf(is_pep484_tower=True, claw_is_pep526=False)
check = beartype(conf=_CONF)


class _Plainly:
    """Finds GreenPose's modules as if it had no plugin of pytest's: pytest would load them past beartype."""

    @staticmethod
    def find_spec(name: str, path: list[str] | None, target: None = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, path, target) if name.startswith("greenpose.") else None


def watch() -> None:
    """Enforce the annotations of everything of GreenPose that is imported from now on."""
    names = {path.name.removesuffix(".py") for path in files("greenpose").iterdir()}
    beartype_packages([f"greenpose.{name}" for name in PLAIN], conf=_CONF)
    sys.meta_path.insert(0, _Plainly)
    shaped = [f"greenpose.{name}" for name in sorted(names - {*PLAIN})]
    install_import_hook(shaped, f"{__name__}.check")
