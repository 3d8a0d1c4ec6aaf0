"""The measuring of inference at each exit, for a run and for a measurement on its own."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from greenpose import counting, metrics
from greenpose.config import Experiment
from greenpose.counting import ExitCount
from greenpose.data import Framing, load_profile
from greenpose.data.crops import flip_partners
from greenpose.errors import ModelError
from greenpose.files import now
from greenpose.ledger.costs import SHARE, carbon_entry, component_entries
from greenpose.metering import (
    ExitMeasurement,
    Meter,
    Plan,
    carbon_of,
    exit_place,
    measure_in_turns,
    worst_kind,
)
from greenpose.metrics import ACCURACIES
from greenpose.model import ExitNetwork, InBfloat16, Network, load_weights
from greenpose.quantity import Grade, Quantity, missing
from greenpose.record import Carbon, Component, Exit
from greenpose.run.measure_bf16 import entry_in_bf16, in_bf16
from greenpose.run.record_exits import entry_fields, inference_quantities
from greenpose.run.setup import (
    build_meter,
    build_network,
    channels_last,
    require_device,
    seed_everything,
    surroundings,
)
from greenpose.schema import Document
from greenpose.store import RunFolder
from greenpose.training.evaluate import averaged
from greenpose.training.step import to_images

Progress = Callable[[int, float], object]
"""Told after each block how many there are, and the widest relative half-width when last looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a measurement on its own found."""

    exits: Mapping[int, ExitMeasurement]
    """Inference of each exit, with ratios to the deepest one measured."""
    bf16: Mapping[int, ExitMeasurement] = field(default_factory=dict)
    """The same in bfloat16, with ratios to the same exit in float32; empty where float32 was measured alone."""
    counts: Mapping[int, ExitCount]
    """Parameters and MACs of each exit."""
    meter: Meter
    """The meter, closed."""


def measure(
    config: Experiment,
    *,
    exits: Sequence[int],
    trained: RunFolder | None = None,
    log: Path | None = None,
    on_progress: Progress = lambda *_: None,
) -> Measured:
    """Return what an image costs at each of `exits`, on random images: no data set is needed.

    With `trained` the networks have that run's best weights, otherwise fresh ones; costs do not depend on their values.

    Raises:
        GreenPoseError: if there is no such device, or weights do not fit the network.
    """
    require_device(config.process.device)
    seed_everything(config)
    net, _ = build_network(config)
    subs = trained_networks(net, trained, exits) if trained is not None else _networks(net, exits)
    counts = counting.count(counting.architecture_of(config).at(exits), config.data.input_size)
    images = to_images(random_crops(config), torch.device(config.process.device))
    with build_meter(config, log) as meter:
        found, rounded = measure_networks(
            subs, in_bf16(subs, config), images, meter, config=config, on_progress=on_progress
        )
    return Measured(exits=found, bf16=rounded, counts=counts, meter=meter)


def measure_networks(
    subs: Mapping[int, ExitNetwork],
    rounded: Mapping[int, InBfloat16],
    images: torch.Tensor,
    meter: Meter,
    *,
    config: Experiment,
    on_progress: Progress = lambda *_: None,
) -> tuple[dict[int, ExitMeasurement], dict[int, ExitMeasurement]]:
    """Return what an image costs at each exit's stand-alone network as the test takes it, and in bfloat16.

    Ratios are to the deepest exit, and in bfloat16 to the same one in float32.
    """
    runners = {exit_place(exit_): partial(as_tested(sub, config), images) for exit_, sub in subs.items()}
    runners |= {
        f"{exit_place(exit_)} in bf16": partial(as_tested(net, config), images) for exit_, net in rounded.items()
    }
    reference = dict.fromkeys(map(exit_place, subs), exit_place(max(subs)))
    reference |= {f"{exit_place(exit_)} in bf16": exit_place(exit_) for exit_ in rounded}
    with torch.inference_mode():
        found = measure_in_turns(
            runners,
            meter,
            reference=reference,
            items_per_call=len(images),
            plan=Plan.of(config.measure),
            seed=config.seed,
            on_progress=on_progress,
        )
    each = {exit_: found[exit_place(exit_)] for exit_ in sorted(subs)}
    return each, {exit_: found[f"{exit_place(exit_)} in bf16"] for exit_ in sorted(rounded)}


Pass = Callable[[torch.Tensor], torch.Tensor]
"""From images to heatmaps."""


def as_tested(net: Pass, config: Experiment) -> Pass:
    """Return the way from images to heatmaps that a run's test takes: by `test.flip` in two passes."""
    return in_two_passes(net, config) if config.test.flip else net


def in_two_passes(net: Pass, config: Experiment) -> Pass:
    """Return the way that runs a network on images and on their mirror images, and averages the heatmaps.

    Raises:
        DataError: the profile does not say which joints a mirror swaps.
    """
    framing, sides = Framing.of_data(config.data), flip_partners(load_profile(config.data.profile))
    return lambda images: averaged(net(images), net(images.flip(-1)), sides, framing)


def trained_networks(net: Network, folder: RunFolder, exits: Sequence[int]) -> dict[int, ExitNetwork]:
    """Return each exit's stand-alone network with its best weights, ready for inference.

    Raises:
        ModelError: if a file of weights cannot be read, or belongs to another network.
    """
    subs = _networks(net, exits)
    for exit_, sub in subs.items():
        report = load_weights(sub, folder.best(exit_))
        unfilled = [*report.missing, *(each.name for each in report.mismatched)]
        if unfilled:
            what = f"{len(unfilled)} of its tensors are absent or of another shape, {unfilled[0]} first"
            raise ModelError([f"{folder.best(exit_)}: belongs to another network than exit {exit_} here: {what}"])
    return subs


def _networks(net: Network, exits: Sequence[int]) -> dict[int, ExitNetwork]:
    return {exit_: channels_last(net.truncate(exit_).eval()) for exit_ in sorted(exits)}


def random_crops(config: Experiment) -> np.ndarray:
    """Return noise of the size and kind of a batch of crops: what they show does not change what they cost."""
    width, height = config.data.input_size
    return np.random.default_rng(config.seed).integers(0, 256, (config.measure.batch, height, width, 3), dtype=np.uint8)


SCHEMA: Literal["greenpose.measurement/1"] = "greenpose.measurement/1"
OF_TRAINING = {*(metric.name for metric in ACCURACIES), "best_epoch", "break_even_images"}
"""Fields of a record's exit that only a training can fill."""
COMPARED = tuple(metric.name for metric in metrics.COMPARED)
"""Numbers that are compared with those of the final exit."""
MACS_PER_GMAC = 1e9


class MeasuredExit(Exit):
    """One exit: the record's entry without accuracy, with energy over compute and the share of MACs."""

    energy_j_per_gmac: float | None = None
    """Gross energy of one image over its 10^9 MACs. It differs between exits: MACs are not energy."""


class Measurement(Document):
    """What `greenpose measure` found."""

    schema_: Literal["greenpose.measurement/1"] = Field(default=SCHEMA, alias="schema")
    """Version of this layout."""
    source: str
    """Run folder or file that was measured."""
    name: str
    """Name of the run or of the experiment."""
    weights: Literal["trained", "fresh"]
    """`trained`: the run's best ones; `fresh`: random ones, which cost the same."""
    config: dict[str, Any]
    """The resolved configuration, options applied."""
    config_hash: str
    """SHA-256 of the run's configuration, or of the experiment's with the options applied."""
    measured_at: str
    """UTC time of the end, ISO 8601."""
    converged: bool
    """Whether the blocks of this run agree on every exit's energy and its ratio to within `config.measure.rel_ci`."""
    blocks: int
    """Interleaved blocks that the medians are over."""
    warnings: list[str]
    """What to mind, and what to try next."""
    exits: list[MeasuredExit]
    """One entry per exit, shallow to deep, laid out as in a record."""
    carbon: Carbon
    """What turns energy into emissions."""
    components: list[Component]
    """Where each component's energy readings come from."""
    grade: Grade
    """A: every material component measured; B: mixed; C: modelled."""
    host: dict[str, Any]
    """Fingerprint of the machine."""
    process: dict[str, Any]
    """Threads, allocator, environment and device of the measured process."""
    software: dict[str, str]
    """Versions of Python, GreenPose and the packages that matter."""
    git: dict[str, Any]
    """Commit and dirty flag of the code, where it runs from a repository."""

    @property
    def final(self) -> MeasuredExit | None:
        """Return the network's final exit; None where it was left out."""
        deepest = max(self.config["model"]["exits"])
        return next((entry for entry in self.exits if entry.exit == deepest), None)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON data, without what only a training can fill."""
        exits = {"__all__": OF_TRAINING}
        data: dict[str, Any] = json.loads(self.model_dump_json(by_alias=True, exclude={"exits": exits}))
        return data


def compose_measurement(
    measured: Measured, config: Experiment, *, source: str, name: str, config_hash: str, trained: bool
) -> Measurement:
    """Return the document of a measurement."""
    meter, exits = measured.meter, measured.exits
    first = next(iter(exits.values()))
    return Measurement(
        source=source,
        name=name,
        weights="trained" if trained else "fresh",
        config=config.model_dump(mode="json"),
        config_hash=config_hash,
        measured_at=now(),
        converged=all(one.converged for one in exits.values()),
        blocks=first.blocks,
        warnings=shared_warnings({f"exit {number}": one.warnings for number, one in exits.items()}),
        exits=[_entry(number, measured, config) for number in sorted(exits)],
        carbon=carbon_entry(config.carbon, embodied=meter.embodied),
        components=component_entries(meter.provenances),
        grade=meter.total.grade,
        **surroundings(config),
    )


def _entry(number: int, measured: Measured, config: Experiment) -> MeasuredExit:
    meter = measured.meter
    count, here = measured.counts[number], measured.exits[number]
    kind, carbon = worst_kind(meter.total.joules, meter.provenances), carbon_of(**config.carbon.model_dump())
    quantities = inference_quantities(count, here, kind=kind, carbon=carbon, embodied=meter.embodied)
    energy, gmacs = quantities["energy_j_per_image"], config.test.passes * count.macs / MACS_PER_GMAC
    final = measured.counts.get(max(config.model.exits))
    quantities["energy_j_per_gmac"] = replace(
        energy * (1 / gmacs), method=f"{energy.method}; over 10^9 MACs of one image"
    )
    quantities |= _no_shares(config) if final is None else _shares(quantities, count.macs / final.macs)
    rounded = measured.bf16.get(number)
    return MeasuredExit(
        **entry_fields(config, count, here, quantities),
        bf16=rounded and entry_in_bf16(rounded, kind=kind, carbon=carbon, accuracy={}),
    )


def _shares(quantities: Mapping[str, Quantity], macs: float) -> dict[str, Quantity]:
    """Return the share of MACs, and of each share that could not be had since a cost could not, the reason."""
    names = [name for name in COMPARED if SHARE + name not in quantities]
    counted = Quantity(value=macs, unit="fraction", kind="counted", method="MACs over the final exit's")
    return {f"{SHARE}macs": counted} | {SHARE + name: _none(quantities[name].missing or "it is zero") for name in names}


def _no_shares(config: Experiment) -> dict[str, Quantity]:
    """Return why there is no share where the network's final exit was not measured along."""
    why = f"the network's final exit, {max(config.model.exits)}, was left out"
    return {SHARE + name: _none(why) for name in (*COMPARED, "macs")}


def _none(why: str) -> Quantity:
    return missing(why, unit="fraction", method="ratio to the final exit")


def shared_warnings(said: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return what is warned of everybody once, then what is warned of single ones, with their names."""
    shared = [warning for warning in next(iter(said.values())) if all(warning in each for each in said.values())]
    single = [f"{name}: {warning}" for name, each in said.items() for warning in each if warning not in shared]
    return shared + single
