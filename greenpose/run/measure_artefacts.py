"""The measuring of artefacts: a run's model files and its exits in torch take turns in the same blocks."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from greenpose.artefact import Artefact, Model, open_model
from greenpose.artefact.card import JUDGED, CardNumber
from greenpose.config import Experiment
from greenpose.data.crops import normalised
from greenpose.errors import ArtefactError
from greenpose.files import now
from greenpose.ledger.costs import SHARE, carbon_entry, component_entries, cost_quantities, measured_fields
from greenpose.metering import ExitMeasurement, Meter, Plan, carbon_of, measure_in_turns, software_versions, worst_kind
from greenpose.metering.machine import PACKAGES
from greenpose.metrics import CHANGES, FILE, MEMORY
from greenpose.model import ExitNetwork
from greenpose.quantity import Kind, Quantity, missing
from greenpose.record import Record
from greenpose.record.artefacts import ArtefactCost, Turns
from greenpose.run import peak_memory
from greenpose.run.measure import COMPARED, Progress, random_crops, shared_warnings, trained_networks
from greenpose.run.setup import build_meter, build_network, seed_everything, surroundings
from greenpose.store import RunFolder, read_record
from greenpose.training.step import to_images

RUNTIMES = ("onnxruntime", "openvino", "onnx", "nncf")
"""Packages whose versions matter here besides."""
NO_RUN = "no run was named, and none lies beside the artefact: torch's own network did not take turns"


def measure_artefacts(
    config: Experiment,
    artefacts: Sequence[Artefact],
    *,
    trained: RunFolder | None,
    log: Path | None = None,
    on_progress: Progress = lambda *_: None,
) -> Turns:
    """Return what an image costs in each model file, on random images; with a run its exits take turns in torch.

    Ratios are to the run's final exit in torch float32. `config` is the run's, or whatever says how to measure.

    Raises:
        GreenPoseError: if a file does not belong to the run, its runtime refuses it, or weights cannot be read.
    """
    require_alike(config, artefacts, trained)
    seed_everything(config)
    subs = {} if trained is None else trained_networks(build_network(config)[0], trained, config.model.exits)
    places = {place_of(artefact, artefacts): artefact for artefact in artefacts}
    held = _memory(config, places, trained)
    models = {place: open_model(artefact, threads=config.process.threads) for place, artefact in places.items()}
    with build_meter(config, log) as meter:
        found = _in_turns(config, subs, models, meter, on_progress)
    record = None if trained is None else read_record(trained.record)
    entry = _Entries(config, meter, found, held)
    costs = [entry.of_exit(exit_, record, trained) for exit_ in subs if record and trained]
    costs += [entry.of_artefact(place, artefact, models[place]) for place, artefact in places.items()]
    return Turns(
        measured_at=now(),
        converged=all(one.converged for one in found.values()),
        blocks=next(iter(found.values())).blocks,
        warnings=shared_warnings({place: one.warnings for place, one in found.items()}),
        costs=costs,
        carbon=carbon_entry(config.carbon, embodied=meter.embodied),
        components=component_entries(meter.provenances),
        grade=meter.total.grade,
        **surroundings(config) | {"software": software_versions((*PACKAGES, *RUNTIMES))},
    )


def require_alike(config: Experiment, artefacts: Sequence[Artefact], trained: RunFolder | None) -> None:
    """Refuse artefacts that do not come from the run, or from one run, or take images of other sizes.

    Raises:
        ArtefactError: with every one of them.
    """
    first = artefacts[0].card
    wanted = (first.run, first.config_hash, first.trained_at)
    if trained is not None:
        record = read_record(trained.record)
        wanted = (record.name, record.config_hash, record.finished_at)
    faults = []
    for artefact in artefacts:
        card, (name, digest, when) = artefact.card, wanted
        if (card.config_hash, card.trained_at) != (digest, when):
            said = f"exported from {card.run} ({card.config_hash[:8]}), trained {card.trained_at}"
            faults.append(f"{artefact.path}: {said}, and not from {name} ({digest[:8]}), trained {when}")
        elif card.framing.input_size != tuple(config.data.input_size):
            sizes = ["x".join(map(str, size)) for size in (card.framing.input_size, config.data.input_size)]
            faults.append(f"{artefact.path}: takes images of {sizes[0]}, where {sizes[1]} are measured")
    if faults:
        raise ArtefactError([*faults, "measure the artefacts of one run, with its own settings, at a time"])


def place_of(artefact: Artefact, among: Sequence[Artefact]) -> str:
    """Return what a model file is called where it takes turns: its name, with the folder where two share it."""
    twins = [other for other in among if other.file.file == artefact.file.file]
    return artefact.file.file if len(twins) == 1 else str(artefact.path)


def torch_place(exit_: int) -> str:
    """Return what a trained exit in torch is called there."""
    return f"torch exit {exit_}"


def _in_turns(
    config: Experiment,
    subs: Mapping[int, ExitNetwork],
    models: Mapping[str, Model],
    meter: Meter,
    on_progress: Progress,
) -> dict[str, ExitMeasurement]:
    crops = random_crops(config)
    images, arrays = to_images(crops, torch.device("cpu")), normalised(crops)
    runners: dict[str, Callable[[], object]] = {torch_place(exit_): partial(sub, images) for exit_, sub in subs.items()}
    runners |= {place: partial(model, arrays) for place, model in models.items()}
    with torch.inference_mode():
        return measure_in_turns(
            runners,
            meter,
            reference=torch_place(max(subs)) if subs else None,
            items_per_call=len(crops),
            plan=Plan.of(config.measure),
            seed=config.seed,
            on_progress=on_progress,
        )


def _memory(config: Experiment, places: Mapping[str, Artefact], trained: RunFolder | None) -> dict[str, int | None]:
    how = {"batch": config.measure.batch, "threads": config.process.threads}
    held = {place: peak_memory.of_artefact(artefact.path, **how) for place, artefact in places.items()}
    if trained is None:
        return held
    return held | {torch_place(exit_): peak_memory.of_exit(trained.path, exit_, **how) for exit_ in config.model.exits}


class _Entries:
    """Makes entries of what was measured: whatever all of them share is known here."""

    def __init__(
        self,
        config: Experiment,
        meter: Meter,
        found: Mapping[str, ExitMeasurement],
        held: Mapping[str, int | None],
    ) -> None:
        self._config, self._found, self._held = config, found, held
        self._embodied, self._carbon = meter.embodied, carbon_of(**config.carbon.model_dump())
        self._kind: Kind = worst_kind(meter.total.joules, meter.provenances)

    def of_exit(self, exit_: int, record: Record, folder: RunFolder) -> ArtefactCost:
        """Return the entry of the trained network of an exit in torch."""
        weights, entry = folder.best(exit_), record.exit(exit_)
        content = weights.read_bytes()
        numbers = {name: entry.quantity(name) for name in JUDGED}
        itself = Quantity(
            value=0.0, unit="fraction", kind="computed", method="artefacts of this exit are held against it"
        )
        numbers |= dict.fromkeys((metric.name for metric in CHANGES), itself)
        return ArtefactCost(
            exit=exit_,
            file=weights.name,
            format="torch",
            precision="fp32",
            runtime=f"torch {torch.__version__}",
            arithmetic="float32",
            evidence="the type of the network's weights and images",
            sha256=hashlib.sha256(content).hexdigest(),
            folded=False,
            outputs="heatmaps",
            **self._fields(torch_place(exit_), len(content), numbers, "truncated network in torch"),
        )

    def of_artefact(self, place: str, artefact: Artefact, model: Model) -> ArtefactCost:
        """Return the entry of a model file."""
        file, card = artefact.file, artefact.card
        numbers = {name: _on_card(file.accuracy, name) for name in JUDGED}
        numbers |= {f"{name}_change": _on_card(file.accuracy_change, name) for name in JUDGED}
        return ArtefactCost(
            exit=card.exit,
            file=file.file,
            format=file.format,
            precision=file.precision,
            runtime=model.runtime,
            arithmetic=model.arithmetic,
            evidence=model.evidence,
            sha256=file.sha256,
            weights_sha256=file.weights_sha256,
            folded=card.folded,
            outputs=file.outputs,
            calibrated_on=file.calibration and file.calibration.images,
            **self._fields(place, file.bytes, numbers, f"{file.file} in {model.runtime}"),
        )

    def _fields(self, place: str, size: int, numbers: Mapping[str, Quantity], what: str) -> dict[str, Any]:
        measured, held = self._found[place], self._held[place]
        how = peak_memory.HOW.format(self._config.measure.batch)
        memory = missing("the process that was to tell failed", unit="bytes", method=how)
        if held is not None:
            memory = Quantity(value=held, unit="bytes", kind="measured", method=how)
        quantities = {
            **numbers,
            FILE.name: Quantity(value=size, unit=FILE.recorded, kind="counted", method=FILE.method),
            MEMORY.name: memory,
            **cost_quantities(measured, kind=self._kind, carbon=self._carbon, embodied=self._embodied, what=what),
        }
        absent = [f"{SHARE}{name}" for name in COMPARED if f"{SHARE}{name}" not in quantities]
        why = "a cost could not be had" if measured.ratios else NO_RUN
        quantities |= {
            name: missing(why, unit="fraction", method="ratio to the final exit in torch") for name in absent
        }
        return measured_fields(measured, quantities)


def _on_card(numbers: Mapping[str, CardNumber], name: str) -> Quantity:
    """Return a number of a card under the name that it has in the record."""
    told = numbers.get(name)
    return missing("the card does not say", unit="fraction") if told is None else told.quantity
