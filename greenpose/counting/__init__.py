"""Parameters, multiply-accumulates, memory and operators needed to reach each exit, by several counters."""

from greenpose.counting.counters import FORMULAE, CountingError, census
from greenpose.counting.counts import ExitCount, architecture_of, count, count_network, count_training_step
from greenpose.counting.paper import reference_crop, reference_share

__all__ = [
    "FORMULAE",
    "CountingError",
    "ExitCount",
    "architecture_of",
    "census",
    "count",
    "count_network",
    "count_training_step",
    "reference_crop",
    "reference_share",
]
