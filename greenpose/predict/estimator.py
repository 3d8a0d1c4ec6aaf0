"""The estimator: a run's exit, its early exit, or an artefact, as something that finds poses in crops."""

from collections.abc import Callable
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
from greenpose.predict.choice import chosen_file, chosen_of_run
from greenpose.record import Record
from greenpose.record.policy import PolicyCurve
from greenpose.schema import loaded
from greenpose.store import read_record
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
