"""One line about how a run ended."""

from greenpose.errors import RecordError
from greenpose.record import Failure, Interval, Quantity, Record
from greenpose.store import RunFolder, read_document
from greenpose.units import significant


def record_line(folder: RunFolder) -> str:
    """Return time, energy and the accuracy of every exit of a finished run.

    Raises:
        RecordError: if its record cannot be read.
    """
    record = read_document(folder.record)
    if not isinstance(record, Record):
        raise RecordError([f"{folder.record}: holds a failure, not a record"])
    energy = record.quantity("train_energy_kwh")
    parts = [
        f"{record.train_seconds:.0f} s training",
        f"{_spread(energy, energy.basis.type_b, factor=1e3)} Wh ({energy.basis.kind})",
        *(
            f"exit {entry.exit}: AP {_spread(ap, ap.basis.type_a, factor=100)} %"
            for entry in record.exits
            if (ap := entry.quantity("ap")).value is not None
        ),
    ]
    return "  ".join(parts)


def _spread(quantity: Quantity, interval: Interval | None, *, factor: float) -> str:
    """Return a number with its interval, to two digits: `51 [47-55]`."""
    numbers = [quantity.value or 0.0, *((interval.low, interval.high) if interval else ())]
    value, *ends = (significant(number * factor, 2) for number in numbers)
    return f"{value} [{'-'.join(ends)}]" if ends else value


def failure_line(folder: RunFolder, *, code: int) -> str:
    """Return what a run that did not finish said last, and where to read more.

    Raises:
        RecordError: if its note cannot be read.
    """
    if not folder.failure.exists():
        return f"exit code {code}; " + (f"see {folder.log}" if folder.log.exists() else "it left no log")
    failure = read_document(folder.failure)
    if not isinstance(failure, Failure):
        raise RecordError([f"{folder.failure}: holds a record, not a failure"])
    what = f": {failure.message}" if failure.reason != "interrupted" else ""
    return f"in {failure.phase or 'start'}{what}  (log: {folder.log})"
