"""The records of many runs: found, read, and what a lost run's windows still tell."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from greenpose.errors import RecordError
from greenpose.record import Failure, Record, loads


def read_document(path: Path) -> Record | Failure:
    """Return the record or failure in a file.

    Raises:
        RecordError: if there is no such file, or it is no record; all faults are named.
    """
    return loads(read_text(path), where=str(path))


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises:
        RecordError: if there is no such file, or it is no text in UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError([f"{path}: cannot be read: {error}"]) from None


def read_record(path: Path) -> Record:
    """Return the record in a file.

    Raises:
        RecordError: if there is none that can be read.
    """
    document = read_document(path)
    if not isinstance(document, Record):
        raise RecordError([f"{path}: holds a failure, not a record"])
    return document


def collect(paths: Iterable[Path]) -> list[Record | Failure]:
    """Return the records and failures of record files, run folders and folders of runs, sorted by name within each.

    A run's earlier failed attempts are not listed: their cost is part of its record. A run that is met again, by a
    link, in a copy or by its file and its folder, is listed once.

    Raises:
        RecordError: with every path that holds no record, and every fault of those that do.
    """
    return list(stream(paths))


def stream(paths: Iterable[Path], *, left_out: list[str] | None = None) -> Iterator[Record | Failure]:
    """Yield what `collect` returns, one at a time, so that very many need not be in memory together; failures last.

    Where `left_out` is given, the faults of what cannot be read are added to it, and only paths that do not exist, or
    that hold no record at all, raise.

    Raises:
        RecordError: as `collect`, after the last record that can be read.
    """
    paths = tuple(paths)
    there = [path for path in paths if path.exists()]
    faults = [f"{path}: there is no such file or folder" for path in paths if path not in there]
    absent, found = bool(faults), _Found()
    yield from found.records(there, faults)
    yield from found.failures()
    if left_out is None or absent or not found.any:
        if faults:
            raise RecordError(faults)
    else:
        left_out += faults


class _Found:
    """The runs that were met so far, each once: by name, configuration and start, a failure by its name and end."""

    def __init__(self) -> None:
        self._starts: dict[tuple[str, str, str], tuple[Path, str]] = {}
        self._spans: dict[str, list[tuple[str, str]]] = {}
        self._failures: dict[tuple[str, str], Failure] = {}

    @property
    def any(self) -> bool:
        """Return whether any run was met."""
        return bool(self._starts or self._failures)

    def records(self, paths: Iterable[Path], faults: list[str]) -> Iterator[Record]:
        """Yield the finished runs, and keep the others."""
        for path in paths:
            files = files_of(path)
            if not files:
                faults.append(f"{path}: no record.json or failure.json in or below it")
            for file in files:
                try:
                    entry = read_document(file)
                except RecordError as error:
                    faults += error.faults
                    continue
                if isinstance(entry, Failure):
                    self._failures.setdefault((entry.name, entry.at), entry)
                elif self._new(entry, file, faults):
                    yield entry

    def failures(self) -> Iterator[Failure]:
        """Yield the runs that did not finish, but none that a finished run holds as an earlier attempt of its own."""
        for (name, at), entry in self._failures.items():
            if not any(start <= at <= end for start, end in self._spans.get(name, ())):
                yield entry

    def _new(self, run: Record, file: Path, faults: list[str]) -> bool:
        """Return whether a run was not met before; two states of one run are a fault."""
        identity = (run.name, run.config_hash, run.started_at)
        first, finished = self._starts.setdefault(identity, (file, run.finished_at))
        if first is file:
            self._spans.setdefault(run.name, []).append((run.started_at, run.finished_at))
        elif finished != run.finished_at:
            faults.append(
                f"{file}: the same run as {first}, which ended at {finished}, at another state; name one of them"
            )
        return first is file


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
