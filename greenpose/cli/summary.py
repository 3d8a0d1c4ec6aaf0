"""One line about how a run ended."""

from greenpose.record import Failure, Record
from greenpose.store import RunFolder, read_document
from greenpose.units import significant


def record_line(folder: RunFolder) -> str:
    """Return time, energy and the accuracy of every exit of a finished run."""
    record = read_document(folder.record)
    assert isinstance(record, Record)
    kind = record.basis["train_energy_kwh"].kind
    parts = [
        f"{record.train_seconds:.0f} s training",
        f"{significant(record.train_energy_kwh * 1e3)} Wh ({kind})",
        *(f"exit {entry.exit}: AP {100 * entry.ap:.1f} %" for entry in record.exits if entry.ap is not None),
    ]
    return "  ".join(parts)


def failure_line(folder: RunFolder, *, code: int) -> str:
    """Return what a run that did not finish said last, and where to read more."""
    if not folder.failure.exists():
        return f"exit code {code}; see {folder.log}"
    failure = read_document(folder.failure)
    assert isinstance(failure, Failure)
    what = f": {failure.message}" if failure.reason != "interrupted" else ""
    return f"in {failure.phase or 'start'}{what}  (log: {folder.log})"
