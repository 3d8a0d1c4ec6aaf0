"""The footprint of one experiment, counted or recorded, and what must agree before its numbers are compared."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from greenpose.config import Experiment
from greenpose.config.grid import PATHS, axis_text
from greenpose.metrics import AP, COUNTED, OF_EXIT, OF_TRAINING, SCORE, Metric
from greenpose.quantity import Quantity
from greenpose.record import Record

FREE = frozenset({"exits", "folder", "init", "partial", "sha256", "weights"})
"""Settings of the model that no exit's cost depends on: it costs its minimal sub-network, whatever that starts from;
and the place and state of one's own, whose changes are what is to be seen."""
PLACES = frozenset(key.removeprefix("data.") for key in PATHS if key.startswith("data."))
TRAIN = "train_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """The numbers of one experiment, measured in a run or profiled without one."""

    labels: tuple[str, ...]
    """Names under which a baseline may know it, the most specific first; under the last one it is accepted."""
    network: str
    """Shape of the network in words."""
    input: str
    """Width and height of an image, e.g. `64x64`."""
    torch: str
    """Minor version of torch, e.g. `2.13`."""
    data: str | None
    """What accuracy was evaluated on, with a digest of its settings; None for what was only profiled."""
    exits: tuple[int, ...]
    """Exits, shallow to deep."""
    quantities: Mapping[str, Quantity]
    """By name: `exit3.macs`, `train.energy_kwh`, `exit2/final.energy_j_per_image`."""
    operations: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    """Calls of torch's operators by exit, of an exported model those in its graph; empty where nobody counted."""
    metric: Metric = AP
    """What its accuracy is measured by."""
    exported: bool = False
    """Whether it is an exported model, whose shares are of its run's final exit in torch float32."""

    @property
    def name(self) -> str:
        """Return what it is called: its experiment, with what tells it apart where that is several networks."""
        return self.labels[-1]

    @property
    def own_final(self) -> int | None:
        """Return the exit that there is no share of, since shares are of it; None for an exported model."""
        return None if self.exported else max(self.exits)

    @property
    def trained(self) -> bool:
        """Return whether this comes from a run."""
        return self.data is not None


def of_record(record: Record) -> Footprint:
    """Return the footprint of a run."""
    data = record.config.get("data", {})
    if record.own is not None:
        return _of_own(record)
    return Footprint(
        labels=tuple(dict.fromkeys((label(record.experiment, record.axes), record.experiment))),
        network=network_of(record.config.get("model", {}), num_joints=len(record.dataset.get("keypoints", ()))),
        input="x".join(map(str, data.get("input_size", ()))),
        torch=minor(record.software.get("torch", "")),
        data=_data_of(data, record.dataset.get("annotations_sha256", {})),
        exits=tuple(entry.exit for entry in record.exits),
        quantities=dict(_of_run(record)),
        operations={entry.exit: entry.operations for entry in record.exits if entry.operations},
    )


def _of_own(record: Record) -> Footprint:
    """Return the footprint of a loop that is not ours, of which nobody but its program knows network and images."""
    metric = record.accuracy
    direction = "lower" if metric.lower else "higher"
    data = _data_of({"source": record.dataset.get("source", "its data")}, record.dataset.get("annotations_sha256", {}))
    return Footprint(
        labels=(record.experiment,),
        network="as its program gives it",
        input="as its program gives it",
        torch=minor(record.software.get("torch", "")),
        data=f"{data}, by {metric.words} ({metric.recorded or 'a plain number'}, {direction} is better)",
        exits=tuple(entry.exit for entry in record.exits),
        quantities=dict(_of_run(record)),
        operations={entry.exit: entry.operations for entry in record.exits if entry.operations},
        metric=metric,
    )


def of_counts(
    config: Experiment, counts: Mapping[int, Mapping[str, Any]], *, labels: tuple[str, ...], num_joints: int, torch: str
) -> Footprint:
    """Return the footprint of what was only profiled: by exit its parameters, MACs, bytes and operators."""
    quantities = {
        f"exit{number}.{metric.name}": Quantity(
            value=count[metric.name], unit=metric.counted_unit, kind="counted", method=metric.convention
        )
        for number, count in counts.items()
        for metric in COUNTED
    }
    return Footprint(
        labels=labels,
        network=network_of(config.model.model_dump(mode="json"), num_joints=num_joints),
        input="x".join(map(str, config.data.input_size)),
        torch=minor(torch),
        data=None,
        exits=tuple(sorted(counts)),
        quantities=quantities | dict(_exact_ratios(quantities, tuple(sorted(counts)))),
        operations={number: dict(count["operations"]) for number, count in counts.items()},
    )


def label(experiment: str, axes: Mapping[str, Any]) -> str:
    """Return an experiment's name with those values of a grid's axes that can make it another network."""
    parts = [f"{axis}={axis_text(value)}" for axis, value in axes.items() if axis.startswith(("model.", "data."))]
    return "-".join([experiment, *parts])


def network_of(model: Mapping[str, Any], *, num_joints: int) -> str:
    """Return the shape of a network in words: every setting that moves its cost."""
    shape = {key: value for key, value in model.items() if key not in FREE | {"settings"}} | dict(
        model.get("settings", {})
    )
    parts = [f"{key} {'/'.join(map(str, value)) if isinstance(value, list) else value}" for key, value in shape.items()]
    return ", ".join(sorted([*parts, f"joints {num_joints}"]))


def settings_of(network: str) -> dict[str, str]:
    """Return the settings that `network_of` put into words, by name; a version may have named free ones too."""
    parts = (part.partition(" ") for part in network.split(", "))
    return {name: value for name, _, value in parts if name not in FREE}


def minor(version: str) -> str:
    """Return `2.13` of `2.13.0+cpu`."""
    return ".".join(version.partition("+")[0].split(".")[:2])


def _of_run(record: Record) -> Iterator[tuple[str, Quantity]]:
    """Yield every number of a run by name."""
    for entry in record.exits:
        for metric in OF_EXIT:
            yield f"exit{entry.exit}.{metric.name}", entry.quantity(metric.name)
        if record.metric is not None:
            yield f"exit{entry.exit}.{SCORE.name}", entry.quantity(record.accuracy.name)
        for name in entry.relative_to_final:
            yield f"exit{entry.exit}/final.{name}", entry.quantity(f"relative_to_final.{name}")
    for metric in OF_TRAINING:
        yield f"train.{metric.name.removeprefix(TRAIN)}", record.quantity(metric.name)
    sizes = [(entry, metric.name) for entry in record.exits for metric in COUNTED]
    counted = {f"exit{entry.exit}.{name}": entry.quantity(name) for entry, name in sizes}
    yield from _exact_ratios(counted, tuple(entry.exit for entry in record.exits))


def _exact_ratios(quantities: Mapping[str, Quantity], exits: tuple[int, ...]) -> Iterator[tuple[str, Quantity]]:
    """Yield each exit's counted figures over the final exit's."""
    for number in exits:
        for name in (metric.name for metric in COUNTED):
            part, whole = (quantities[f"exit{k}.{name}"].value for k in (number, max(exits)))
            if part is not None and whole:
                yield (
                    f"exit{number}/final.{name}",
                    Quantity(value=part / whole, unit="fraction", kind="counted", method="ratio of two counts"),
                )


def _data_of(data: Mapping[str, Any], annotations: Mapping[str, str]) -> str:
    """Return what accuracy was evaluated on: source, profile, digests of all settings but folders and of the labels."""
    profile: Any = data.get("profile")
    own = profile if isinstance(profile, Mapping) else None
    settings = {key: value for key, value in data.items() if key not in PLACES} | ({"profile": own} if own else {})
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    settled = f"{data.get('source')} {own.get('name') if own else str(profile).rsplit('/', 1)[-1]} {digest}"
    return f"{settled}, annotations {annotations['test'][:12]}" if "test" in annotations else settled
