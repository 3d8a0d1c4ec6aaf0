"""Run folders: their files, their state, their logs, and writing that is never seen half done."""

import enum
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from greenpose.config import Experiment, read_yaml
from greenpose.config.accounting import Budget
from greenpose.errors import ConfigError, GreenPoseError, RecordError, writing
from greenpose.files import locked, write_text
from greenpose.record import Failure, Record, dumps, loads
from greenpose.record.artefacts import ArtefactCosts, Turns
from greenpose.schema import from_json, loaded, parse
from greenpose.store import claim

CELL = MappingProxyType({"name": str, "grid": str, "axes": dict, "experiment": dict})
"""What stands in a run's `config.yaml`, and what it is."""
_KINDS = MappingProxyType({str: "text", dict: "a mapping of keys to values"})


OF_SAFETENSORS = ".tmp??????"
"""What safetensors calls a file of weights until it is whole; earlier versions of GreenPose had it write them."""


class State(enum.Enum):
    """What is known of a run from its folder alone."""

    TODO = "to do"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    STARTED = "started"
    RUNNING = "running"
    STOPPED = "stopped at its budget"


class _In:
    """The path of a file in a run's folder, by its name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, folder: "RunFolder", owner: type["RunFolder"]) -> Path:
        return folder.path / self._name


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run."""

    path: Path
    """Where it lies."""

    record = _In("record.json")
    """The record: there if and only if the run finished."""
    failure = _In("failure.json")
    """The note that the last attempt left when it did not finish."""
    running = _In(claim.NOTE)
    """Which process is at work here, on which host."""
    lease = _In(claim.LEASE)
    """What that process touches as long as it lives."""
    config = _In("config.yaml")
    """The resolved configuration."""
    windows = _In("windows.jsonl")
    """The log of metered windows."""
    epochs = _In("epochs.jsonl")
    """The log of epochs."""
    checkpoint = _In("checkpoint.pt")
    """The training state after the last epoch."""
    policy = _In("policy.json")
    """The curve of early exit at run time, where somebody asked for it."""
    artefacts = _In("artefacts.json")
    """What exported models of the run were measured to cost, where somebody measured them."""
    predictions = _In("predictions.png")
    """The picture of some test images with what each exit says about them."""
    log = _In("log.txt")
    """The text log."""

    def best(self, exit_: int) -> Path:
        """Return the path of an exit's best weights."""
        return self.path / f"best-exit{exit_}.safetensors"

    def state(self) -> State:
        """Return what the files say: a record beats a living process beats a failure beats traces of a start.

        A run that stopped at its budget has a record, and may go on.
        """
        recorded = self.record.exists()
        if recorded and not self.stopped_at():
            return State.DONE
        if self.is_taken():
            return State.RUNNING
        if recorded:
            return State.STOPPED
        if self.failure.exists():
            text = self.failure.read_text(encoding="utf-8", errors="replace")
            return State.INTERRUPTED if '"reason": "interrupted"' in text else State.FAILED
        return State.STARTED if self.windows.exists() or self.checkpoint.exists() else State.TODO

    def is_taken(self) -> bool:
        """Return whether a process that is alive now, on this host or another one, is at work here."""
        return claim.is_claimed(self.path)

    def holder(self) -> str:
        """Return who is at work here and since when, for people; empty where nobody says so."""
        return claim.said_of(self.path)

    def stopped_at(self) -> dict[str, float]:
        """Return the limits at which the recorded run stopped; none where it went to its end or has no record."""
        if not (self.checkpoint.exists() and self.record.exists()):
            return {}
        record = self._recorded()
        return dict(record.budget) if record is not None and record.stopped == "budget" else {}

    def may_go_on(self, budget: Budget) -> bool:
        """Return whether there is something left to do: no record yet, or one of a run that a lower budget stopped."""
        limits = self.stopped_at()
        return budget.allows_more_than(limits) if limits else not self.record.exists()

    @contextmanager
    def claimed(self, *, lost: Callable[[], None] = lambda: None) -> Iterator[bool]:
        """Yield whether this process alone may work here until the block ends; what killed ones left goes first.

        `lost` is called where another host took the folder over meanwhile, as `greenpose.store.claim.claimed` says.

        Raises:
            GreenPoseError: if nothing can be claimed here.
        """
        with claim.claimed(self.path, lost=lost) as mine:
            if mine:
                self._sweep()
            yield mine

    def write_cell(self, cell: Mapping[str, Any]) -> None:
        """Write the resolved configuration and what the grid knows of the run."""
        write_text(self.config, as_yaml(cell))

    def holds(self, entries: str) -> bool:
        """Return whether entries, `as_yaml`, stand in the configuration as `write_cell` writes them, by its text alone.

        To read it takes a millisecond, and only that tells where they stand there in another way.
        """
        with suppress(OSError):
            _, found, rest = self.config.read_text(encoding="utf-8", errors="replace").partition("\n" + entries)
            return bool(found) and not rest.startswith(" ")
        return False

    def read_cell(self) -> dict[str, Any]:
        """Return what `write_cell` wrote.

        Raises:
            ConfigError: if it is damaged, or none of this.
        """
        cell = read_yaml(self.config)
        faults = [f"{name}: is missing" for name in CELL if name not in cell]
        faults += [
            f"{name}: is {cell[name]!r:.40}; it must be {_KINDS[kind]}"
            for name, kind in CELL.items()
            if name in cell and not isinstance(cell[name], kind)
        ]
        if not faults and not isinstance(cell["experiment"].get("name"), str):
            faults = ["experiment.name: is missing, or no text"]
        if not faults and not isinstance(cell["experiment"].get("carbon"), dict):
            faults = ["experiment.carbon: is missing, or no mapping of keys to values"]
        if not faults and "trained_in" in cell:
            faults = _adoption_faults(cell["trained_in"])
        if faults:
            raise ConfigError([f"{self.config}: {fault}; this is not what a run writes there" for fault in faults])
        return cell

    def experiment(self) -> Experiment:
        """Return the configuration that `write_cell` wrote.

        Raises:
            ConfigError: if it is damaged, or of another version of GreenPose that had other settings.
        """
        config, faults = parse(Experiment, self.read_cell()["experiment"], where=f"{self.config}: experiment")
        if config is None:
            raise ConfigError(faults)
        return config

    def write_record(self, record: Record) -> None:
        """Write the record; the run is done, and what only a resume needs is removed, unless a budget stopped it."""
        write_text(self.record, dumps(record))
        if record.stopped != "budget":
            self.checkpoint.unlink(missing_ok=True)

    def add_turns(self, turns: Turns, record: Record) -> ArtefactCosts:
        """Add what artefacts of the recorded run were measured to cost to what is known of them, and return all of it.

        What belongs to an earlier training goes; two that measure at once wait for one another.

        Raises:
            RecordError: if what is there cannot be read.
        """
        ours = ArtefactCosts(
            run=record.name, config_hash=record.config_hash, run_finished_at=record.finished_at, measurements=[]
        )
        with locked(self.path / f".{self.artefacts.name}.lock"):
            if self.artefacts.exists():
                text, where = self.artefacts.read_text(encoding="utf-8"), str(self.artefacts)
                there = loaded(ArtefactCosts, text, where=where, error=RecordError)
                ours = there if there.belongs_to(record) else ours
            known = ours.with_turns(turns)
            write_text(self.artefacts, dumps(known))
        return known

    def write_failure(self, failure: Failure) -> None:
        """Write why the attempt ended."""
        write_text(self.failure, dumps(failure))

    def tidy(self) -> None:
        """Sweep what a process left that was killed just after the run was done, where this process may."""
        if (
            self.checkpoint.exists()
            or self.lease.exists()
            or self.running.exists()
            or any(self.path.glob(OF_SAFETENSORS))
        ):
            with suppress(OSError, GreenPoseError), self.claimed():
                pass

    def _sweep(self) -> None:
        """Remove what a kill left behind: half-written files, and beside a finished record what only a resume needs.

        A half-written configuration stays: whoever starts a worker writes it, a rival perhaps just now.
        """
        for leftover in [*self.path.glob(".*.[0-9]*"), *self.path.glob(OF_SAFETENSORS)]:
            if not leftover.name.startswith(f".{self.config.name}."):
                leftover.unlink(missing_ok=True)
        record = self._recorded()
        if record is not None and record.stopped != "budget":
            self.checkpoint.unlink(missing_ok=True)

    def _recorded(self) -> Record | None:
        """Return the record; None where there is none, or none that can be read."""
        try:
            record = loads(self.record.read_text(encoding="utf-8"), where=str(self.record))
        except (OSError, UnicodeDecodeError, RecordError):
            return None
        return record if isinstance(record, Record) else None

    def shelve_record(self) -> None:
        """Keep the record of a run that stopped at its budget under a number, so that the run can go on."""
        if self.record.exists():
            number = 1 + sum(1 for _ in self.path.glob("record-*.json"))
            self.record.rename(self.path / f"record-{number}.json")

    def shelve_failure(self) -> None:
        """Keep an earlier attempt's failure under a number, so that a new attempt can start."""
        if self.failure.exists():
            number = 1 + sum(1 for _ in self.path.glob("failure-*.json"))
            self.failure.rename(self.path / f"failure-{number}.json")


def as_yaml(entries: Mapping[str, Any]) -> str:
    """Return entries of a configuration as it is written."""
    return yaml.safe_dump(dict(entries), sort_keys=False, allow_unicode=True)


def _adoption_faults(found: Any) -> list[str]:
    """Return what is wrong with what a run keeps of another one's training that it took over."""
    if not isinstance(found, dict):
        return [f"trained_in: is {found!r:.40}; it must be a mapping of keys to values"]
    best, name = found.get("best"), found.get("run")
    numbers = [*best, *best.values()] if isinstance(best, dict) else [None]
    sound = {
        "run": isinstance(name, str) and Path(name).name == name,
        "epochs": type(found.get("epochs")) is int and found["epochs"] > 0,
        "stopped": found.get("stopped") in ("epochs", "patience", "budget"),
        "best": bool(numbers) and all(type(number) is int for number in numbers),
        "annotations_sha256": isinstance(found.get("annotations_sha256", {}), dict),
    }
    return [f"trained_in.{key}: is {found.get(key)!r:.40}" for key, right in sound.items() if not right]


def append_line(path: Path, entry: Mapping[str, Any]) -> None:
    """Append one object to a log."""
    with writing(path), path.open("a", encoding="utf-8") as log:
        log.write(json.dumps(entry, ensure_ascii=False) + "\n")


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a log, none where there is no log; a line that is torn, or no sound JSON, is passed over."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as log:
        for line in log:
            try:
                entry = from_json(line)
            except ValueError:
                continue
            if isinstance(entry, dict):
                yield entry
