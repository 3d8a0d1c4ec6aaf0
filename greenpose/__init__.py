"""GreenPose: what does this accuracy cost, in parameters, compute, seconds, energy and CO2, per exit of a pose network?

`import greenpose` is cheap: the rooms below are imported when they are first named.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from greenpose import accuracy, counting, data, losses, metering, model
    from greenpose.ledger.own import experiment
    from greenpose.metering import meter

__all__ = ["__version__", "accuracy", "counting", "data", "experiment", "losses", "meter", "metering", "model"]


def __getattr__(name: str) -> Any:
    """Import a room on first use (PEP 562)."""
    if name == "meter":
        return importlib.import_module("greenpose.metering").meter
    if name == "experiment":
        return importlib.import_module("greenpose.ledger.own").experiment
    if name in __all__:
        return importlib.import_module(f"greenpose.{name}")
    raise AttributeError(f"module 'greenpose' has no attribute {name!r}")
