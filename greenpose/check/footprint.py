"""The footprint of one experiment, counted or recorded, and what must agree before its numbers are compared."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from greenpose.config import Cell, Experiment
from greenpose.config.grid import PATHS, axis_text
from greenpose.errors import CheckError
from greenpose.metrics import COUNTED, OF_EXIT, OF_TRAINING
from greenpose.quantity import Quantity
from greenpose.record import Record
from greenpose.subject import config_of, read_runs

FREE = frozenset({"exits", "init", "partial", "weights"})
"""Settings of the model that no exit's cost depends on: it costs its minimal sub-network, whatever that starts from."""
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
    """Calls of torch's operators by exit; empty where they were not counted."""

    @property
    def name(self) -> str:
        """Return what it is called: its experiment, with what tells it apart where that is several networks."""
        return self.labels[-1]

    @property
    def trained(self) -> bool:
        """Return whether this comes from a run."""
        return self.data is not None


def of_record(record: Record) -> Footprint:
    """Return the footprint of a run."""
    data = record.config.get("data", {})
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
    shape = {key: value for key, value in model.items() if key not in FREE}
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One network with all exits that the candidate's experiments have of it."""

    label: str
    """The first of its experiments, which tells it apart."""
    file: Path
    """Experiment or grid that it is in."""
    only: tuple[str, ...]
    """The runs there that have it, by their names without the hash."""
    exits: tuple[int, ...]
    """Exits, shallow to deep."""
    input_size: tuple[int, int]
    """Width and height of an image, in pixels."""

    def request(self, file: Path | None = None) -> dict[str, Any]:
        """Return what to ask of a side's process (`run/paired_worker`), which may read another version of the file."""
        return {"file": str((file or self.file).absolute()), "only": self.only, "exits": self.exits}


def find_networks(
    candidate: Path, folder: Path, exits: Sequence[int] = (), *, settings: Sequence[str] = ()
) -> list[Network]:
    """Return the networks of an experiment, a grid, a run or a folder of runs; `folder` takes files made for runs.

    `settings` change what is read from an experiment or grid, like `--set`.

    Raises:
        CheckError: if no network has an exit that is asked for.
        GreenPoseError: if the candidate cannot be read.
    """
    groups: dict[tuple[str, Path], list[tuple[str, Experiment]]] = {}
    for run in read_runs(candidate, settings=settings):
        if isinstance(run, Cell):
            name, config, file = run.name.rpartition("-")[0], run.config, candidate
        elif isinstance(run, Record):
            name, config, file = run.experiment, config_of(run), folder / f"{run.name}.yaml"
            file.write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")
        else:
            continue
        groups.setdefault((shape_of(config), file), []).append((name, config))
    if not groups:
        raise CheckError([f"{candidate}: holds no finished run"])
    networks = [_network(file, group, exits) for (_, file), group in groups.items()]
    have = sorted({exit_ for group in groups.values() for _, config in group for exit_ in config.model.exits})
    missing = sorted(set(exits) - set(have))
    if missing:
        raise CheckError([f"--exit {missing[0]}: {candidate} has exits {', '.join(map(str, have))}"])
    return [network for network in networks if network.exits]


def shape_of(config: Experiment) -> str:
    """Return what the cost of an exit depends on, as text; a side's process groups by the same."""
    model = config.model.model_dump(mode="json", exclude={"exits", "weights", "init"})
    profile = config.data.model_dump(mode="json", include={"profile"})
    data = [*profile.values(), config.data.input_size, config.measure.batch, config.process.device]
    return json.dumps([model, data], sort_keys=True)


def _network(file: Path, group: Sequence[tuple[str, Experiment]], exits: Sequence[int]) -> Network:
    (label, first), *_ = group
    have = sorted({exit_ for _, config in group for exit_ in config.model.exits})
    return Network(
        label=label,
        file=file,
        only=tuple(name for name, _ in group),
        exits=tuple(exit_ for exit_ in have if not exits or exit_ in exits),
        input_size=first.data.input_size,
    )
