"""Trackers: MLflow, TensorBoard and Weights & Biases are told what a run writes into its folder, offline.

They read along from the process that starts the runs: a run knows nothing of them, and none of their time is in its
windows. What they are told has its unit in its name, as in the record.
"""

import json
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, final

from greenpose.errors import GreenPoseError, RecordError, said
from greenpose.files import utc_now
from greenpose.formatting import joules_to_kwh
from greenpose.ledger.phases import TRAINING
from greenpose.metering import NO_ENERGY, CarbonAccounting, Joules, carbon_of
from greenpose.record import Exit, Failure, Record
from greenpose.store import RunFolder, read_document

PROJECT = "greenpose"
"""What MLflow calls the experiment, and W&B the project, that runs without a grid belong to."""
LOOK_S = 1.0
"""How often logs are looked at: a look takes 0.15 ms."""


class Tracker(Protocol):
    """One run in one tracker; its construction begins it."""

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Keep numbers of an epoch."""

    def end(self, numbers: Mapping[str, float], words: Mapping[str, str], *, well: bool) -> None:
        """Keep the run's own numbers, and say whether it ended well."""


class Place(NamedTuple):
    """A tracker's folder."""

    begin: Callable[[str, str, Mapping[str, str]], Tracker]
    """Begins a run: its grid, its name, its settings."""
    faults: tuple[type[Exception], ...]
    """What it raises where it cannot write."""


@final
class MlflowRun:
    """A run in an MLflow database, `DIR/mlflow.db`."""

    def __init__(self, client: Any, grid: str, name: str, settings: Mapping[str, str]) -> None:
        """Begin it, in the experiment that is called as the grid."""
        import mlflow

        self._client, self._entities = client, mlflow.entities
        known = client.get_experiment_by_name(grid)
        experiment = known.experiment_id if known else client.create_experiment(grid)
        self._id: str = client.create_run(experiment, run_name=name).info.run_id
        self._client.log_batch(self._id, params=[self._entities.Param(key, text) for key, text in settings.items()])

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Keep numbers of an epoch."""
        at = self._entities.Metric
        now_ms = round(1000 * utc_now().timestamp())
        self._client.log_batch(self._id, metrics=[at(name, value, now_ms, step) for name, value in numbers.items()])

    def end(self, numbers: Mapping[str, float], words: Mapping[str, str], *, well: bool) -> None:
        """Keep the run's own numbers, and say whether it ended well."""
        self.log(0, numbers)
        self._client.log_batch(self._id, tags=[self._entities.RunTag(key, text) for key, text in words.items()])
        self._client.set_terminated(self._id, "FINISHED" if well else "FAILED")


def _mlflow(folder: Path) -> Place:
    import mlflow
    from alembic.util import CommandError  # what makes its database
    from sqlalchemy.exc import SQLAlchemyError

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    client = mlflow.MlflowClient(f"sqlite:///{folder.resolve()}/mlflow.db")
    client.search_experiments(max_results=1)  # the database is made before the first run begins
    return Place(partial(MlflowRun, client), (OSError, mlflow.MlflowException, SQLAlchemyError, CommandError))


@final
class TensorboardRun:
    """A run as TensorBoard's event files, `DIR/GRID/NAME`."""

    def __init__(self, writer: Callable[[str], Any], folder: Path, grid: str, name: str, _: Mapping[str, str]) -> None:
        """Begin its file; its settings stand in its name alone."""
        self._writer = writer(str(folder / grid / name))

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Keep numbers of an epoch."""
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def end(self, numbers: Mapping[str, float], words: Mapping[str, str], *, well: bool) -> None:
        """Keep the run's own numbers; TensorBoard has no word for how a run ended."""
        del words, well
        self.log(0, numbers)
        self._writer.close()


def _tensorboard(folder: Path) -> Place:
    from tensorboard.summary import Writer

    return Place(partial(TensorboardRun, Writer, folder), (OSError,))


@final
class WandbRun:
    """A run of Weights & Biases, offline, `DIR/wandb`; `wandb sync` brings it to a server where one is wanted."""

    def __init__(self, wandb: Any, folder: Path, grid: str, name: str, settings: Mapping[str, str]) -> None:
        """Begin it; nothing of the machine or of the code is watched."""
        quiet = wandb.Settings(silent=True, console="off", x_disable_stats=True, x_disable_meta=True, save_code=False)
        self._run = wandb.init(
            mode="offline",
            dir=str(folder),
            project=PROJECT,
            group=grid,
            name=name,
            config=dict(settings),
            settings=quiet,
            reinit="create_new",
        )

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Keep numbers of an epoch."""
        self._run.log(dict(numbers), step=step)

    def end(self, numbers: Mapping[str, float], words: Mapping[str, str], *, well: bool) -> None:
        """Keep the run's own numbers as its summary."""
        self._run.summary.update({**numbers, **words})
        self._run.finish(exit_code=0 if well else 1)


def _wandb(folder: Path) -> Place:
    import wandb

    return Place(partial(WandbRun, wandb, folder), (OSError, wandb.Error))


KINDS: Mapping[str, tuple[Callable[[Path], Place], str]] = MappingProxyType(
    {
        "mlflow": (_mlflow, "mlflow-skinny sqlalchemy alembic"),
        "tensorboard": (_tensorboard, "tensorboard"),
        "wandb": (_wandb, "wandb"),
    }
)
"""What opens a tracker's folder, and what pip is to install for it."""


def opened(asked: str) -> Place:
    """Return the folder of a tracker, which is `KIND:DIR`; its packages are imported now.

    Raises:
        GreenPoseError: if there is no such tracker, its packages lack, or nothing can be written into the folder.
    """
    kind, _, place = asked.partition(":")
    if kind not in KINDS or not place:
        raise GreenPoseError(
            f"--log {asked}: give a tracker and its folder: {', '.join(f'{each}:DIR' for each in KINDS)}"
        )
    if "://" in place:
        raise GreenPoseError(
            f"--log {asked}: trackers are kept offline, in a folder of this machine; a server reads that"
        )
    make, packages = KINDS[kind]
    folder = Path(place)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return make(folder)
    except ModuleNotFoundError as error:
        lacks = (error.name or kind).partition(".")[0]
        raise GreenPoseError(f"--log {asked}: {lacks} is not installed: pip install {packages}") from None
    except OSError as error:
        raise GreenPoseError(f"--log {asked}: {said(error)}") from None


@final
class Following:
    """Reads along in the folders of runs, and tells trackers; one that fails is left, and the run goes on."""

    def __init__(self, places: Mapping[str, Place], *, every_s: float = LOOK_S) -> None:
        """Keep the trackers' folders, by what the user calls them, and how often to look at most."""
        self._places = dict(places)
        self._every_s, self._looked_at = every_s, 0.0
        self._runs: dict[Path, _Read] = {}
        self.faults: list[str] = []
        """Why a tracker was left, one a line."""

    def begin(self, folder: RunFolder, grid: str, name: str, config: Mapping[str, Any]) -> None:
        """Begin to follow a run."""
        settings = dict(_flat(config))
        read = self._runs[folder.path] = _Read(folder, carbon_of(**config["carbon"]))
        for asked, place in [*self._places.items()]:
            with self._leaving(asked):
                read.trackers[asked] = place.begin(grid or PROJECT, name, settings)

    def look(self) -> None:
        """Tell what the runs have written since the last look, unless that was just now."""
        if time.monotonic() - self._looked_at < self._every_s:
            return
        self._looked_at = time.monotonic()
        for read in self._runs.values():
            self._tell(read)

    def end(self, folder: RunFolder) -> None:
        """Tell the rest of a run, and how it ended."""
        read = self._runs.get(folder.path)
        if read is None:
            return
        self._tell(read, ended=True)
        numbers, words, well = _outcome(folder)
        for asked, tracker in [*read.trackers.items()]:
            with self._leaving(asked):
                tracker.end(numbers, words, well=well)
        del self._runs[folder.path]

    def _tell(self, read: "_Read", *, ended: bool = False) -> None:
        for step, numbers in read.news(ended=ended):
            for asked, tracker in [*read.trackers.items()]:
                with self._leaving(asked):
                    tracker.log(step, numbers)

    @contextmanager
    def _leaving(self, asked: str) -> Iterator[None]:
        """Leave a tracker that cannot write; the runs go on without it."""
        try:
            yield
        except self._places[asked].faults as error:
            self.faults.append(f"--log {asked}: {said(error)}; the runs go on without it")
            for read in self._runs.values():
                read.trackers.pop(asked, None)
            self._places.pop(asked)


@final
class _Read:
    """What was read of a run's logs so far."""

    def __init__(self, folder: RunFolder, carbon: CarbonAccounting) -> None:
        self.trackers: dict[str, Tracker] = {}
        self._carbon = carbon
        self._epochs, self._windows = _Tail(folder.epochs), _Tail(folder.windows)
        self._waiting: list[dict[str, Any]] = []
        self._energy: Joules = NO_ENERGY
        self._seconds = 0.0
        self._began: datetime | None = None

    def news(self, *, ended: bool) -> Iterator[tuple[int, dict[str, float]]]:
        """Yield the epochs that were written down by the last look: by this one, their windows are closed too."""
        for window in self._windows.lines(b'"parent":null'):
            self._add(window)
        epochs = self._waiting
        self._waiting = [*self._epochs.lines()]
        for line in [*epochs, *(self._waiting if ended else ())]:
            yield int(line["epoch"]), {**_losses(line), **self._costs()}

    def _add(self, window: Mapping[str, Any]) -> None:
        if window["name"].partition("/")[0] not in TRAINING:
            return
        self._energy = sum((Joules(*each) for each in window["joules"].values()), self._energy)
        self._seconds += window["seconds"]
        self._began = self._began or datetime.fromisoformat(window["started_at"])

    def _costs(self) -> dict[str, float]:
        """Return what training has used by now."""
        grams = self._carbon.grams(self._energy, self._began, self._seconds).value if self._began else None
        said = {"train/energy_kwh": joules_to_kwh(self._energy.mid), "train/seconds": self._seconds}
        return said | ({} if grams is None else {"train/co2eq_g": grams})


class _Tail:
    """The lines that a log has got since the last look; one that is not whole yet waits."""

    def __init__(self, path: Path) -> None:
        self._path, self._at = path, 0

    def lines(self, holding: bytes = b"") -> Iterator[dict[str, Any]]:
        with suppress(FileNotFoundError), self._path.open("rb") as log:
            log.seek(self._at)
            whole, _, _ = log.read().rpartition(b"\n")
            self._at += len(whole) + bool(whole)
            for line in whole.split(b"\n"):
                if holding in line:
                    with suppress(ValueError):
                        yield json.loads(line)


def _losses(line: Mapping[str, Any]) -> dict[str, float]:
    """Return an epoch's losses and validation, by names that every tracker takes."""
    numbers = {"train/loss": line["loss"], "train/lr": line["lr"]}
    numbers |= {f"train/loss {_plain(name)}": value for name, value in line["terms"].items()}
    return numbers | {f"val/exit{exit_} ap": value for exit_, value in line["ap"].items()}


def _plain(name: str) -> str:
    return re.sub(r"[^\w .-]", "", name.replace("->", " to "))


def _outcome(folder: RunFolder) -> tuple[dict[str, float], dict[str, str], bool]:
    """Return a run's own numbers and words, and whether it finished."""
    file = folder.record if folder.record.exists() else folder.failure
    try:
        document = read_document(file)
    except RecordError as error:
        return {}, {"greenpose.ended": said(error)}, False
    if isinstance(document, Failure):
        return _numbers(document, ("seconds", "energy_kwh", "co2eq_g")), {"greenpose.ended": document.message}, False
    numbers = _numbers(document, ("train_energy_kwh", "train_co2eq_g", "train_seconds", "train_cpu_seconds"))
    for exit_ in document.exits:
        numbers |= {f"exit{exit_.exit}/{name}": value for name, value in _numbers(exit_, _OF_EXIT).items()}
    kind = document.quantity("train_energy_kwh").kind
    return numbers, {"greenpose.energy": kind, "greenpose.grade": document.grade, "greenpose.record": str(file)}, True


_OF_EXIT = (
    "ap",
    "ar",
    "params",
    "macs",
    "latency_s",
    "cpu_s_per_image",
    "energy_j_per_image",
    "co2eq_g_per_1000_images",
)


def _numbers(document: Record | Failure | Exit, names: Sequence[str]) -> dict[str, float]:
    """Return numbers by their names in the record, with the ends of their systematic intervals."""
    found: dict[str, float] = {}
    for name in names:
        value = getattr(document, name)
        if value is not None:
            found[name] = float(value)
            basis = document.basis.get(name)
            if basis is not None and basis.type_b is not None:
                found |= {f"{name}_low": basis.type_b.low, f"{name}_high": basis.type_b.high}
    return found


def _flat(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Yield settings by their dotted keys, as text of at most 500 letters: MLflow takes no longer ones."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{_plain(str(key))}", str(value)[:500]
