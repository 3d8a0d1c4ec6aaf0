"""The records of many runs: found, read, and what a lost run's windows still tell."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from os import SEEK_END
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from pydantic import ConfigDict, Field

from greenpose.config import CarbonConfig
from greenpose.errors import ConfigError, GreenPoseError, MeteringError, RecordError
from greenpose.files import now
from greenpose.metering import NO_ENERGY, Joules, Log, Provenance, Window, carbon_of, read_log, short_of, worst_kind
from greenpose.quantity import KINDS, Kind, Quantity, missing, worst
from greenpose.record import Failure, Record, loads, with_bases
from greenpose.record.artefacts import ArtefactCosts
from greenpose.record.numbers import Numbers
from greenpose.record.policy import PolicyCurve
from greenpose.record.run import Reason
from greenpose.schema import Document, loaded, parsed
from greenpose.store.folder import RunFolder, State


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


class BriefExit(Document):
    """What it tells of each exit."""

    model_config = ConfigDict(extra="ignore")
    exit: int
    ap: float | None
    """As a fraction."""


class BriefPhase(Document):
    """What it tells of each phase."""

    model_config = ConfigDict(extra="ignore")
    name: str
    energy_kwh: float
    windows: int
    """How many there were."""


class Brief(Numbers):
    """What a look at very many finished runs tells of each: of all else in a record nothing is made or checked."""

    model_config = ConfigDict(extra="ignore")
    schema_: Literal["greenpose.record/1"] = Field(alias="schema")
    experiment: str
    epochs: int
    train_seconds: float
    train_energy_kwh: float
    phases: list[BriefPhase] = Field(default_factory=list)
    exits: list[BriefExit] = Field(default_factory=list)


HEAD_BYTES = 1 << 14
"""Within so many a record tells of everything but its exits, and what is told of those."""


def read_brief(path: Path, *, before: str = "") -> Brief | Record:
    """Return the most telling numbers of the record in a file; the record where it is not one of today's.

    Of one as we write it only what stands before the key `before` is read, and nothing wrong beyond it is found: most
    of a record is its phases and exits, which come late.

    Raises:
        RecordError: if there is none that can be read.
    """
    with suppress(OSError, ValueError), path.open("rb", buffering=0) as file:
        text = file.read(HEAD_BYTES)
        end = text.find(b',\n "%s": ' % before.encode()) if before else -1
        if end >= 0 and file.seek(-3, SEEK_END) and file.read(3) == b"\n}\n":  # as we write it, and whole
            return Brief.model_validate_json(text[:end] + b"}")
        file.seek(0)
        return Brief.model_validate_json(file.read())
    return read_record(path)


def collect(paths: Iterable[Path]) -> list[Record | Failure]:
    """Return the records and failures of record files, run folders and folders of runs, sorted by name within each.

    A run's earlier failed attempts are not listed: their cost is part of its record. A run that is met again, by a
    link, in a copy or by its file and its folder, is listed once.

    Raises:
        RecordError: with every path that holds no record, and every fault of those that do.
    """
    return list(stream(paths))


def stream(
    paths: Iterable[Path],
    *,
    left_out: list[str] | None = None,
    read: Callable[[Path], Record | Failure] = read_document,
) -> Iterator[Record | Failure]:
    """Yield what `collect` returns, one at a time, so that very many need not be in memory together; failures last.

    Where `left_out` is given, the faults of what cannot be read are added to it, and only paths that do not exist, or
    that hold no record at all, raise.

    Raises:
        RecordError: as `collect`, after the last record that can be read.
    """
    paths = tuple(paths)
    there = [path for path in paths if path.exists()]
    faults = [f"{path}: there is no such file or folder" for path in paths if path not in there]
    absent, found = bool(faults), _RunsMet(read)
    yield from found.records(there, faults)
    yield from found.failures()
    if left_out is None or absent or not found.any:
        if faults:
            raise RecordError(faults)
    else:
        left_out += faults


class _RunsMet:
    """The runs that were met so far, each once: by name, configuration, host and start, a failure by its name and end.

    Two hosts may have done the same cell, even at the same time: both are kept.
    """

    def __init__(self, read: Callable[[Path], Record | Failure]) -> None:
        self._read = read
        self._starts: dict[tuple[str, ...], tuple[Path, str]] = {}
        self._spans: dict[str, list[tuple[str, str]]] = {}
        self._failures: dict[tuple[str, str, str], Failure] = {}

    @property
    def any(self) -> bool:
        """Return whether any run was met."""
        return bool(self._starts or self._failures)

    def records(self, paths: Iterable[Path], faults: list[str]) -> Iterator[Record]:
        """Yield the finished runs, and keep the others."""
        for path in paths:
            found = _below(path, *NOTES, LOG)
            files, deserted = _notes(found) if path.is_dir() else [path], _deserted(found)
            for folder in deserted:
                self._keep(lost(folder), folder)
            if not files and not deserted:
                faults.append(f"{path}: no record.json or failure.json in or below it")
            for file in files:
                try:
                    entry = self._read(file)
                except RecordError as error:
                    faults += error.faults
                    continue
                if isinstance(entry, Failure):
                    self._keep(entry, RunFolder(file.parent))
                elif self._new(entry, file, faults):
                    yield entry

    def failures(self) -> Iterator[Failure]:
        """Yield the runs that did not finish, but none that a finished run holds as an earlier attempt of its own."""
        for (name, at, begun), entry in self._failures.items():
            spans = self._spans.get(name, ())
            if not any(begun == start if begun else start <= at <= end for start, end in spans):
                yield entry

    def _keep(self, entry: Failure, folder: RunFolder) -> None:
        """Keep a run that did not finish; when it began tells it from another host's, where its log is there."""
        begun = next((window.started_at for window in log_of(folder).windows), "")
        self._failures.setdefault((entry.name, entry.at, begun), entry)

    def _new(self, run: Record, file: Path, faults: list[str]) -> bool:
        """Return whether a run was not met before; two states of one run are a fault."""
        begun_on = str(run.host.get("fingerprint")).partition("+")[0]
        identity = (run.name, run.config_hash, run.started_at, begun_on)
        first, finished = self._starts.setdefault(identity, (file, run.finished_at))
        if finished == run.finished_at:  # machines of one make are told apart by their hosts
            first, _ = self._starts.setdefault((*identity, str(run.host.get("host"))), (file, finished))
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
    return _notes(_below(path, *NOTES))


NOTES = ("record.json", "failure.json")
"""What a run that ended leaves; the first tells of it where both are there."""


LOG = "windows.jsonl"
"""What a run writes from its beginning on."""


def _notes(found: Sequence[tuple[Path, Sequence[str]]]) -> list[Path]:
    return [folder / names[0] for folder, names in found if names[0] in NOTES]


def _below(path: Path, *names: str, least: int = 1) -> list[tuple[Path, list[str]]]:
    """Return the folders in and below a folder that hold files of some names, with these; hidden ones are left out."""
    found = []
    for folder, folders, files in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if len(held := [name for name in names if name in files]) >= least:
            found.append((Path(folder), held))
    return sorted(found, key=lambda each: each[0].parts)


OWN = b"\nown: "
"""What stands in the configuration of a run that nobody but itself takes care of: a program, or somebody's own loop."""


def _deserted(found: Sequence[tuple[Path, Sequence[str]]]) -> list[RunFolder]:
    """Return the folders whose run was killed, and that nobody else takes care of."""
    held = [RunFolder(folder) for folder, names in found if LOG in names]
    begun = [folder for folder in held if folder.state() is State.STARTED]
    return [folder for folder in begun if folder.config.is_file() and OWN in folder.config.read_bytes()]


def lost(folder: RunFolder) -> Failure:
    """Return the note on a run that was killed, by the windows that it had closed; nothing is written.

    Raises:
        ConfigError: if what its folder says of the run is damaged.
    """
    log = log_of(folder)
    last = log.windows[-1:]
    ends = [datetime.fromisoformat(each.started_at) + timedelta(seconds=each.seconds) for each in last]
    at = max(ends).isoformat(timespec="seconds") if ends else str(log.headers.get(1, {}).get("started_at", ""))
    message = "its process died without a word; what it had metered by then is counted"
    return _failure(folder, log, reason="lost", message=message, phase=phase_of(last[0]) if last else "", at=at)


def policies(paths: Iterable[Path], *, left_out: list[str] | None = None) -> list[PolicyCurve]:
    """Return the curves that lie beside the records of record files, run folders and folders of runs, each once.

    Where `left_out` is given, the faults of those that cannot be read are added to it.

    Raises:
        RecordError: with every fault of those that cannot be read.
    """
    return _beside(paths, PolicyCurve, lambda folder: folder.policy, left_out)


def artefact_costs(paths: Iterable[Path], *, left_out: list[str] | None = None) -> list[ArtefactCosts]:
    """Return what artefacts cost that were measured, for the records of the same paths; otherwise as `policies`.

    Raises:
        RecordError: with every fault of those that cannot be read.
    """
    return _beside(paths, ArtefactCosts, lambda folder: folder.artefacts, left_out)


BesideT = TypeVar("BesideT", PolicyCurve, ArtefactCosts)
"""A document that lies beside a record."""


def _beside(
    paths: Iterable[Path], kind: type[BesideT], place: Callable[[RunFolder], Path], left_out: list[str] | None
) -> list[BesideT]:
    """Return the documents of a kind that lie beside records, each once."""
    name, record = place(RunFolder(Path())).name, NOTES[0]
    folders = [
        folder
        for path in paths
        for folder, _ in (_below(path, record, name, least=2) if path.name != record else [(path.parent, [])])
    ]
    found: list[BesideT] = []
    faults: list[str] = []
    for file in (place(RunFolder(folder)) for folder in dict.fromkeys(folders)):
        if file.is_file():
            try:
                document = loaded(kind, read_text(file), where=str(file), error=RecordError)
            except RecordError as error:
                faults += error.faults
                continue
            if document not in found:
                found.append(document)
    if faults and left_out is None:
        raise RecordError(faults)
    if left_out is not None:
        left_out += faults
    return found


INTERRUPTED = 130
"""Exit code of a process that was asked to stop."""


def write_failure(folder: RunFolder, *, reason: Reason, message: str, phase: str, at: str) -> Failure:
    """Write `failure.json` and return it; seconds, energy and emissions are those of all windows closed so far."""
    failure = _failure(folder, log_of(folder), reason=reason, message=message, phase=phase, at=at)
    folder.write_failure(failure)
    return failure


def _failure(folder: RunFolder, log: Log, *, reason: Reason, message: str, phase: str, at: str) -> Failure:
    cell = folder.read_cell()
    windows = outermost(log.windows)
    energy = sum((window.energy for window in windows), NO_ENERGY)
    kind = kind_of(attempts_of(log)) if windows else "modelled"
    spent = energy.kwh(kind=kind, method="sum of the windows closed before it ended")
    emissions = _emissions(cell["experiment"]["carbon"], windows, kind)
    return Failure(
        name=cell["name"],
        experiment=cell["experiment"]["name"],
        grid=cell["grid"],
        axes=cell["axes"],
        own=cell.get("own"),
        reason=reason,
        message=message.splitlines()[0] if message else "",
        phase=phase,
        seconds=sum(window.seconds for window in windows),
        at=at,
        **with_bases({"energy_kwh": spent, "co2eq_g": emissions}),
    )


def _emissions(settings: Mapping[str, Any], windows: Sequence[Window], kind: Kind) -> Quantity:
    """Return the operational emissions of windows; none where the settings or an hourly file are damaged by now."""
    try:
        found = parsed(CarbonConfig, settings, where="carbon", error=ConfigError)
        carbon = carbon_of(**found.model_dump())
    except GreenPoseError as error:
        return missing(str(error).splitlines()[0], unit="gCO2eq", method="energy x PUE x grid intensity")
    return replace(carbon.grams_of(windows), kind=kind)


def note_lost(folder: RunFolder, *, code: int) -> Failure:
    """Write down that a process died without a word, e.g. killed for memory; `code` is its exit code."""
    last = log_of(folder).windows[-1:]
    reason: Reason = "interrupted" if code == INTERRUPTED else "lost"
    died = f"its process was ended by signal {-code}" if code < 0 else f"its process ended with code {code}"
    phase = phase_of(last[0]) if last else ""
    if not folder.log.exists():
        told = "it left no log: what it said stands in the terminal or its job's log"
    elif code < 0 or reason == "interrupted":
        told = "see log.txt"
    else:  # it had words, and could not write them into the folder
        told = "what it said stands in the terminal or its job's log, and in log.txt if that could be written"
    return write_failure(folder, reason=reason, message=f"{died}; {told}", phase=phase, at=now())


def phase_of(window: Window) -> str:
    """Return the phase that a window belongs to: the first word of its name."""
    return window.name.replace("/", " ").split(" ", 1)[0]


def log_of(folder: RunFolder) -> Log:
    """Return what can be read of the log of windows; nothing where nothing was metered yet."""
    try:
        return read_log(folder.windows)
    except MeteringError:
        return Log([], {}, [])


class Attempt(NamedTuple):
    """How an attempt was metered, where, and what it drew."""

    joules: Mapping[str, Joules]
    """Energy by component."""
    provenances: tuple[Provenance, ...]
    """Where each component's energy came from; none where the log does not say any more."""
    host: str | None
    """Fingerprint of the machine; None where the log does not say."""
    short: frozenset[str] = frozenset()
    """Components that some of its windows lack, since they could not be read or not be believed."""


def attempts_of(log: Log) -> list[Attempt]:
    """Return the attempts that closed a window, in order."""
    found = []
    roots = outermost(log.windows)
    for number in sorted({window.attempt for window in roots}):
        joules: dict[str, Joules] = {}
        for window in roots:
            for component, energy in window.joules.items() if window.attempt == number else ():
                joules[component] = joules.get(component, NO_ENERGY) + energy
        header = log.headers.get(number, {})
        host = header.get("host")
        short = short_of(window for window in roots if window.attempt == number)
        found.append(Attempt(joules, _provenances(header), host if isinstance(host, str) else None, short))
    return found


def _provenances(header: Mapping[str, Any]) -> tuple[Provenance, ...]:
    try:
        return tuple(Provenance(**each) for each in header.get("components", ()) if each["kind"] in KINDS)
    except (TypeError, KeyError):  # damaged, or of another version
        return ()


def kind_of(attempts: Sequence[Attempt]) -> Kind:
    """Return the worst kind of any attempt's energy; where an attempt does not say, it may have been modelled."""
    kinds = [
        worst_kind(one.joules, one.provenances, short=one.short) if one.provenances else "modelled" for one in attempts
    ]
    return worst(kinds)


def missing_windows(windows: Sequence[Window], *, epochs: int) -> list[str]:
    """Return in words which windows are gone of a run that trained so many epochs: its totals are too small by them.

    Numbers have no gaps, but for windows that a kill left open: their parts name them.
    """
    trained = {window.name for window in windows if window.ok}
    gone = [number for number in range(1, epochs + 1) if f"train/epoch {number}" not in trained]
    said = []
    if gone:
        said.append(f"of {epochs} epochs the windows of {len(gone)} are lost: {_spans(gone)}")
    by_attempt: dict[int, set[int]] = {}
    for window in windows:
        by_attempt.setdefault(window.attempt, set()).update({window.id, window.parent or window.id})
    for number in range(1, max(by_attempt, default=0) + 1):
        known = by_attempt.get(number, set())
        if not known and number != max(by_attempt):
            continue  # it may have ended before its first window
        lost = sorted({*range(1, max(known) + 1)} - known)
        if lost:
            said.append(f"of attempt {number} the windows numbered {_spans(lost)} are lost")
    return said


def _spans(numbers: Sequence[int]) -> str:
    """Return ascending numbers with runs of them drawn together, e.g. `1-3, 5`."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][-1] + 1:
            spans[-1] = [spans[-1][0], number]
        else:
            spans.append([number])
    return ", ".join("-".join(map(str, span)) for span in spans)


def outermost(windows: list[Window]) -> list[Window]:
    """Return the windows that lie in no other closed one: their sum counts everything once.

    The parts of a window that a kill left open are among them, so that what an epoch had cost by then is kept.
    """
    closed = {(window.attempt, window.id) for window in windows}
    return [window for window in windows if (window.attempt, window.parent) not in closed]
