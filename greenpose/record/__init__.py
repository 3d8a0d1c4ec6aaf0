"""The record of one run: what was trained, what it cost, how accurate each exit is, and how sure each number is.

`record.json` is the truth that the report and the gate read; `docs/record.md` documents it field by field. A number
stands under its plain name, in the unit that its name ends in; `basis`, beside it, says under the same name how it was
obtained and how far it can be trusted. A number that could not be had is null, and its basis says why.
"""

from greenpose.record.exits import Allocation, Exit, ExitInBf16, StepExit, TrainingStep
from greenpose.record.numbers import Basis, Interval, basis_of, interval_of, with_bases
from greenpose.record.run import (
    FAILURE_SCHEMA,
    SCHEMA,
    Carbon,
    Component,
    CrossCheck,
    Embodied,
    Failure,
    Forecast,
    Hardware,
    Phase,
    Record,
    Validation,
)
from greenpose.record.text import dumps, loads

__all__ = [
    "FAILURE_SCHEMA",
    "SCHEMA",
    "Allocation",
    "Basis",
    "Carbon",
    "Component",
    "CrossCheck",
    "Embodied",
    "Exit",
    "ExitInBf16",
    "Failure",
    "Forecast",
    "Hardware",
    "Interval",
    "Phase",
    "Record",
    "StepExit",
    "TrainingStep",
    "Validation",
    "basis_of",
    "dumps",
    "interval_of",
    "loads",
    "with_bases",
]
