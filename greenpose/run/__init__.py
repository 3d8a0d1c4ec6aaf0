"""One instrumented run: configuration in, record out. Only this room knows both the training and the meter."""

from greenpose.run.callbacks import Observer
from greenpose.run.execute import execute
from greenpose.run.setup import require_device

__all__ = ["Observer", "execute", "require_device"]
