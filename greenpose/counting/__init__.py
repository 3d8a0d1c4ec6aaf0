"""Parameters, multiply-accumulates, memory and operators needed to reach each exit, by several counters."""

from greenpose.counting.counters import (
    FORMULAE,
    PAPER_FORMULA,
    Census,
    CountingError,
    Formula,
    census,
    operations,
    peak_bytes,
    run_counters,
)
from greenpose.counting.counts import (
    INPUT_SIZE,
    ExitCount,
    StepFlops,
    activation_bytes,
    architecture_of,
    count,
    count_network,
    count_training_step,
    num_params,
)
from greenpose.counting.macs import count_macs
from greenpose.counting.reference import ReferenceCount, Share, reference_crop, reference_share

__all__ = [
    "FORMULAE",
    "INPUT_SIZE",
    "PAPER_FORMULA",
    "Census",
    "CountingError",
    "ExitCount",
    "Formula",
    "ReferenceCount",
    "Share",
    "StepFlops",
    "activation_bytes",
    "architecture_of",
    "census",
    "count",
    "count_macs",
    "count_network",
    "count_training_step",
    "num_params",
    "operations",
    "peak_bytes",
    "reference_crop",
    "reference_share",
    "run_counters",
]
