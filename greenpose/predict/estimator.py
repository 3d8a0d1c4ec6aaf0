"""The estimator: which exit, early exit or exported file finds poses, and how crops become keypoints by it."""

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, UInt8

from greenpose.artefact import Artefact, open_model, read_artefact
from greenpose.data import Framing, load_profile
from greenpose.data.crops import normalised
from greenpose.data.images import Window
from greenpose.data.instances import Profile
from greenpose.data.splits import window_of_run
from greenpose.errors import ArtefactError, ConfigError, RecordError
from greenpose.formatting import percent, plural
from greenpose.metering.machine import this_machine
from greenpose.metrics import CPU, ENERGY, MARGIN, PERCENT, Metric
from greenpose.record import Record
from greenpose.record.artefacts import ArtefactCost, ArtefactCosts, Turns
from greenpose.record.policy import PolicyCurve
from greenpose.schema import loaded
from greenpose.store import RunFolder, read_record
from greenpose.store.records import read_text
from greenpose.subject import Subject

Outputs = Float32[np.ndarray, "batch keypoint *rest"]
Found = tuple[Float[np.ndarray, "pose keypoint 2"], Float[np.ndarray, "pose keypoint"]]
"""Keypoints in image pixels, and the confidence of each."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estimator:
    """A network with everything that is to be known about what goes in and what comes out."""

    profile: Profile
    """The keypoints."""
    framing: Framing
    """How a box becomes a crop."""
    window: Window | None
    """The depth window in mm that 16-bit images are seen through; None for a network of 8-bit images."""
    network: Callable[[Float32[np.ndarray, "batch 3 height width"]], Outputs]
    """From normalised crops to heatmaps, or to keypoints in crops."""
    places: Callable[[Outputs, Any, Any], Found]
    """From these to places in images, given the crops' centers and scales."""
    about: dict[str, Any]
    """Which network it is, and what runs it, as the bill says it."""
    said: str
    """The same in a line."""

    def __call__(
        self,
        crops: UInt8[np.ndarray, "pose height width *channel"],
        centers: Float32[np.ndarray, "pose 2"],
        scales: Float32[np.ndarray, "pose 2"],
    ) -> Found:
        """Return the pose in each crop, its keypoints in pixels of the image that the crop was cut from."""
        return self.places(self.network(normalised(crops)), centers, scales)


def of_artefact(path: Path, *, exit_: int | None = None, threads: int = 1) -> Estimator:
    """Return the estimator of an artefact: of the model file that is named, else of the folder's to choose.

    Raises:
        ArtefactError: it cannot be used, or is of another exit than the one that is asked for.
    """
    artefacts = read_artefact(path)
    card = artefacts[0].card
    if exit_ not in (None, card.exit):
        raise ArtefactError([f"--exit {exit_}: {path} is exit {card.exit}; leave --exit out, or export exit {exit_}"])
    return _of_file(*(chosen_file(artefacts) if len(artefacts) > 1 else (artefacts[0], "")), threads=threads)


def _of_file(artefact: Artefact, why: str, *, threads: int) -> Estimator:
    card, file = artefact.card, artefact.file
    model = open_model(artefact, threads=threads)
    return Estimator(
        profile=card.profile,
        framing=card.framing,
        window=card.depth_window_mm,
        network=model,
        places=artefact.places,
        about=_about(card.run, card.config_hash, card.exit)
        | {
            "file": str(artefact.path),
            "sha256": file.sha256,
            "format": file.format,
            "precision": file.precision,
            "runtime": model.runtime,
            "arithmetic": model.arithmetic,
            "arithmetic_shown_by": model.evidence,
            "threads": threads,
            "chosen_as": why,
        },
        said=f"{_named(artefact)} in {model.arithmetic} by {model.runtime}{f'; {why}' if why else ''}",
    )


def _named(artefact: Artefact) -> str:
    return f"{artefact.path} (exit {artefact.card.exit} of {artefact.card.run})"


def of_run(
    subject: Subject, *, exit_: int | None = None, policy: Path | None = None, threads: int = 1, in_torch: bool = False
) -> Estimator:
    """Return the estimator of a finished run: of what was measured to cost least, or of a policy's cascade.

    Its exits in torch and its exported files are chosen from, or of one exit only; where no file was measured, or it
    must be `in_torch`, it is the exit of highest AP.

    Raises:
        ConfigError: the run is not finished, or the policy is not its own.
        GreenPoseError: weights, record or policy cannot be read.
    """
    folder = subject.trained
    if folder is None:
        raise ConfigError(
            [f"{subject.source}: has no trained weights; give the folder of a finished run, or an artefact"]
        )
    if policy is not None and exit_ is not None:
        raise ConfigError(
            [f"--exit {exit_}: with --policy every image leaves at the exit that suits it; leave one out"]
        )
    record = read_record(folder.record)
    exits = [entry.exit for entry in record.exits] if exit_ is None else [exit_]
    measured = None if policy or in_torch else chosen_of_run(folder, record, exits)
    if measured and measured[1]:
        return _of_file(measured[1], measured[2], threads=threads)
    from greenpose.predict import network

    about = {"runtime": network.runtime(), "arithmetic": "float32", "threads": threads}
    if policy is not None:
        curve = _own_policy(policy, subject.source, record)
        net: network.Network = network.of_policy(subject.config, folder, curve, threads=threads)
        about = _about(record.name, record.config_hash, None) | {"policy": str(policy), **about}
        said = (
            f"{folder.path}, each image leaving where it is sure enough ({policy}), in float32 by {network.runtime()}"
        )
    else:
        exit_, why = _own_exit(record, exit_) if measured is None else (measured[0], measured[2])
        net = network.of_exit(subject.config, folder, exit_, threads=threads)
        about = _about(record.name, record.config_hash, exit_) | {"file": str(folder.best(exit_)), **about}
        said = f"{folder.path}, exit {exit_} ({why}), in float32 by {network.runtime()}"
    data = subject.config.data
    framing = Framing.of_data(data)
    return Estimator(
        profile=load_profile(data.profile),
        framing=framing,
        window=window_of_run(data),
        network=net,
        places=framing.places,
        about=about,
        said=said,
    )


def _own_exit(record: Record, asked: int | None) -> tuple[int, str]:
    """Return an exit to use in torch where nothing was measured, and why."""
    best = max(record.exits, key=lambda entry: (-1.0 if entry.ap is None else entry.ap, -entry.exit))
    if asked not in (None, best.exit):
        return asked, "as asked"
    why = f"the best of {len(record.exits)} by AP" if len(record.exits) > 1 else "the only one"
    return best.exit, f"{why}; no exported file in its folder was measured"


def _about(run: str, config_hash: str, exit_: int | None) -> dict[str, Any]:
    return {"run": run, "config_hash": config_hash, "exit": exit_}


def _own_policy(file: Path, source: str, record: Record) -> PolicyCurve:
    """Return the curve in a file, which must be of this record and no other.

    Raises:
        RecordError: it is none.
        ConfigError: it is another run's.
    """
    curve = loaded(PolicyCurve, read_text(file), where=str(file), error=RecordError)
    if (curve.config_hash, curve.run_finished_at) != (record.config_hash, record.finished_at):
        said = f"is the policy of {curve.run} as finished at {curve.run_finished_at}, and {source} is another run"
        raise ConfigError([f"{file}: {said}; find its own with greenpose policy {source}"])
    return curve


Digests = tuple[str, str | None]
CARDS = ("*/card.json", "*/*/card.json")
"""Where exported files lie in a run's folder."""
UNMEASURED = "the first by format and precision: none of its files was measured (greenpose measure)"


def chosen_file(artefacts: Sequence[Artefact]) -> tuple[Artefact, str]:
    """Return which of an exit's files to use, and why: by `artefacts.json` beside them or their run, else the first."""
    card = artefacts[0].card
    for folder in (artefacts[0].folder, artefacts[0].folder / "..", artefacts[0].folder / "../.."):
        known = _read(RunFolder(folder).artefacts)
        if known and (known.config_hash, known.run_finished_at) == (card.config_hash, card.trained_at):
            files = {_digests(each): each for each in artefacts}
            found = _cheapest(known, files, exits={card.exit}, with_torch=False)
            if found:
                return files[found[0].digests], found[1]
    return artefacts[0], UNMEASURED


def chosen_of_run(folder: RunFolder, record: Record, exits: Iterable[int]) -> tuple[int, Artefact | None, str] | None:
    """Return which of a run's exits to use, its exported file or None for its own network in torch, and why.

    None if nothing was measured that is there.
    """
    known = _read(folder.artefacts)
    if known is None or not known.belongs_to(record):
        return None
    artefacts = [each for pattern in CARDS for card in sorted(folder.path.glob(pattern)) for each in _files(card)]
    files = {_digests(each): each for each in artefacts if each.card.exit in exits}
    found = _cheapest(known, files, exits={*exits}, with_torch=True)
    return found and (found[0].exit, files.get(found[0].digests), found[1])


def _read(path: Path) -> ArtefactCosts | None:
    """Return what artefacts cost; None where nothing says so, or nothing that can be read."""
    try:
        return loaded(ArtefactCosts, read_text(path), where=str(path), error=RecordError) if path.is_file() else None
    except RecordError:
        return None


def _files(card: Path) -> list[Artefact]:
    try:
        return read_artefact(card.parent)
    except ArtefactError:  # others may do
        return []


def _digests(artefact: Artefact) -> Digests:
    return artefact.file.sha256, artefact.file.weights_sha256


def _cheapest(
    known: ArtefactCosts, files: Collection[Digests], *, exits: set[int], with_torch: bool
) -> tuple[ArtefactCost, str] | None:
    """Return what costs least of what took turns in one measurement, and why: costs of several are not compared."""
    turns = _turns(known, files)
    if turns is None:
        return None
    usable = [each for each in turns.costs if each.digests in files or (with_torch and each.is_trained_network)]
    usable = [each for each in usable if each.exit in exits and each.ap is not None]
    metric = ENERGY if all(each.energy_j_per_image is not None for each in usable) else CPU
    enough = [each for each in usable if _lost(each, turns, exits) <= MARGIN / PERCENT]
    best = min(enough, key=lambda each: each.quantity(metric.name).value or math.inf, default=None)
    return None if best is None else (best, _why(best, turns, metric, len(enough)))


def _why(best: ArtefactCost, turns: Turns, metric: Metric, number: int) -> str:
    where = "on this machine" if turns.machine == this_machine().fingerprint else "on another machine"
    share, final = best.relative_to_final.get(metric.name), turns.reference
    ratio = f", {percent(share)} of torch float32 at exit {final.exit}" if share and final else ""
    what = "energy" if metric is ENERGY else "CPU time"
    among = f"{plural(number, 'model')} measured {where} within {MARGIN:g} points of AP"
    return f"the least {what} of {among}{ratio}"


def _turns(known: ArtefactCosts, files: Collection[Digests]) -> Turns | None:
    """Return the newest measurement of any of the files, one of this machine before others."""
    some = [turns for turns in known.measurements if any(each.digests in files for each in turns.files)]
    here = [turns for turns in some if turns.machine == this_machine().fingerprint]
    return next(reversed(here or some), None)


def _lost(each: ArtefactCost, turns: Turns, exits: set[int]) -> float:
    """Return by how much a model's AP lies below that of the best of the exits in torch that took turns."""
    own = (each.ap or 0.0) - (each.ap_change or 0.0)
    torch = [cost.ap or 0.0 for cost in turns.costs if cost.is_trained_network and cost.exit in exits]
    return max([*torch, own]) - (each.ap or 0.0)
