"""Finding and reading the records of many runs."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from greenpose.errors import RecordError
from greenpose.record import Failure, Record, loads


def read_document(path: Path) -> Record | Failure:
    """Return the record or failure in a file.

    Raises:
        RecordError: if there is no such file, or it is no record; all faults are named.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError([f"{path}: cannot be read: {error}"]) from None
    return loads(text, where=str(path))


def collect(paths: Iterable[Path]) -> list[Record | Failure]:
    """Return the records and failures of record files, run folders and folders of runs, sorted by name within each.

    A run's earlier failed attempts are not listed: their cost is part of its record.

    Raises:
        RecordError: with every path that holds no record, and every fault of those that do.
    """
    return list(stream(paths))


def stream(paths: Iterable[Path]) -> Iterator[Record | Failure]:
    """Yield what `collect` returns, one at a time, so that very many need not be in memory together.

    Raises:
        RecordError: as `collect`, after the last record that can be read.
    """
    faults: list[str] = []
    for path in paths:
        files = files_of(path)
        if not files:
            faults.append(f"{path}: no record.json or failure.json in or below it")
        for file in files:
            try:
                yield read_document(file)
            except RecordError as error:
                faults += error.faults
    if faults:
        raise RecordError(faults)


def files_of(path: Path) -> list[Path]:
    """Return the record or failure files that a path names: itself, or those in and below it, hidden folders left out.

    Where nothing is found the list is empty; a path that does not exist is returned as it is.
    """
    if path.is_file() or not path.exists():
        return [path]
    done = {file.parent: file for file in _below(path, "record.json")}
    failed = {file.parent: file for file in _below(path, "failure.json") if file.parent not in done}
    return [file for _, file in sorted({**done, **failed}.items())]


def _below(path: Path, name: str) -> list[Path]:
    """Return the files of a name below a folder, hidden folders (runs set aside) left out."""
    return [file for file in path.rglob(name) if not any(p.startswith(".") for p in file.relative_to(path).parts)]
