"""Finding and reading the curves of early exit that lie beside records."""

from collections.abc import Iterable
from pathlib import Path

from greenpose.errors import RecordError
from greenpose.record.policy import PolicyCurve, load_policy
from greenpose.store.folder import RunFolder
from greenpose.store.records import files_of, read_text


def policies(paths: Iterable[Path], *, left_out: list[str] | None = None) -> list[PolicyCurve]:
    """Return the curves that lie beside the records of record files, run folders and folders of runs, each once.

    Where `left_out` is given, the faults of those that cannot be read are added to it.

    Raises:
        RecordError: with every fault of those that cannot be read.
    """
    folders = dict.fromkeys(file.parent for path in paths for file in files_of(path) if file.name == "record.json")
    found: list[PolicyCurve] = []
    faults: list[str] = []
    for file in (RunFolder(folder).policy for folder in folders):
        if file.is_file():
            try:
                curve = load_policy(read_text(file), where=str(file))
            except RecordError as error:
                faults += error.faults
                continue
            if curve not in found:
                found.append(curve)
    if faults and left_out is None:
        raise RecordError(faults)
    if left_out is not None:
        left_out += faults
    return found
