"""Which networks a candidate has: every distinct one, with the file that a side's process reads it from."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from greenpose.config import Experiment, expand, load_experiment, load_grid, read_yaml
from greenpose.errors import CheckError
from greenpose.record import Record
from greenpose.store import collect

YAML = (".yaml", ".yml")


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
    members = _described(candidate, settings) if candidate.suffix in YAML else _recorded(candidate, folder)
    groups: dict[tuple[str, Path], list[_Member]] = {}
    for member in members:
        groups.setdefault((shape_of(member.config), member.file), []).append(member)
    networks = [_network(group, exits) for group in groups.values()]
    have = sorted({exit_ for member in members for exit_ in member.config.model.exits})
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


class _Member(NamedTuple):
    name: str
    config: Experiment
    file: Path


def _network(group: Sequence[_Member], exits: Sequence[int]) -> Network:
    have = sorted({exit_ for member in group for exit_ in member.config.model.exits})
    return Network(
        label=group[0].name,
        file=group[0].file,
        only=tuple(member.name for member in group),
        exits=tuple(exit_ for exit_ in have if not exits or exit_ in exits),
        input_size=group[0].config.data.input_size,
    )


def _described(file: Path, settings: Sequence[str]) -> list[_Member]:
    data = read_yaml(file)
    load = load_grid if "base" in data or "experiments" in data else load_experiment
    cells = expand(load(file, settings=settings), where=str(file))
    return [_Member(cell.name.rpartition("-")[0], cell.config, file) for cell in cells]


def _recorded(path: Path, folder: Path) -> list[_Member]:
    """Return the configurations of runs, each in a file made for both sides to read."""
    records = [document for document in collect([path]) if isinstance(document, Record)]
    if not records:
        raise CheckError([f"{path}: holds no finished run"])
    members = []
    for record in records:
        config = Experiment.model_validate({**record.config, "name": record.experiment})
        file = folder / f"{record.name}.yaml"
        file.write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")
        members.append(_Member(config.name, config, file))
    return members
