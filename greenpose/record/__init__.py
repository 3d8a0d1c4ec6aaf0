"""The record of one run: what was trained, what it cost, how accurate each exit is, and how sure each number is.

`record.json` is the truth that the report and the gate read; `docs/record.md` documents it field by field. A number
stands under its plain name, in the unit that its name ends in; `basis`, beside it, says under the same name how it was
obtained and how far it can be trusted. A number that could not be had is null, and its basis says why.
"""

from greenpose.record.numbers import Basis, Interval, Kind, Quantity
from greenpose.record.run import (
    FAILURE_SCHEMA,
    SCHEMA,
    Allocation,
    Carbon,
    Component,
    CrossCheck,
    Embodied,
    Exit,
    Failure,
    Forecast,
    Hardware,
    Phase,
    Record,
    StepExit,
    TrainingStep,
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
    "Failure",
    "Forecast",
    "Hardware",
    "Interval",
    "Kind",
    "Phase",
    "Quantity",
    "Record",
    "StepExit",
    "TrainingStep",
    "Validation",
    "dumps",
    "loads",
]
