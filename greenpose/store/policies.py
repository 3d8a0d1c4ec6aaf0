"""Finding and reading the curves of early exit that lie beside records."""

from collections.abc import Iterable
from pathlib import Path

from greenpose.errors import RecordError
from greenpose.record.policy import PolicyCurve, load_policy
from greenpose.store.folder import RunFolder
from greenpose.store.records import files_of


def policies(paths: Iterable[Path]) -> list[PolicyCurve]:
    """Return the curves that lie beside the records of record files, run folders and folders of runs.

    Raises:
        RecordError: with every fault of those that cannot be read.
    """
    folders = dict.fromkeys(file.parent for path in paths for file in files_of(path) if file.name == "record.json")
    found: list[PolicyCurve] = []
    faults: list[str] = []
    for file in (RunFolder(folder).policy for folder in folders):
        if file.is_file():
            try:
                found.append(load_policy(file.read_text(encoding="utf-8"), where=str(file)))
            except RecordError as error:
                faults += error.faults
    if faults:
        raise RecordError(faults)
    return found
