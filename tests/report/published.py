"""Many runs as real ones are: those of the published Table 1, and more that differ from them as seeds and sweeps would.

The fakes of `records.py` are leaner than what a run writes, so what a page weighs and takes is judged by these.
"""

import json
import random
from collections.abc import Iterator
from typing import Any

from greenpose.record import Record
from reports.examples import REPORTS

_AS_THEY_ARE = {"config", "carbon", "components", "host", "process", "dataset", "shares_by_rule"}
"""Parts of a record that all runs of an experiment on one machine have alike."""
_LEAST = 0.94
"""Factor that a number of another run is at least of its model's; at most it is 1, which keeps fractions fractions."""


def published(*, experiments: int, seeds: int) -> list[Record]:
    """Return so many experiments with so many seeds each."""
    return [Record.model_validate(each) for each in documents(experiments=experiments, seeds=seeds)]


def documents(*, experiments: int, seeds: int) -> Iterator[dict[str, Any]]:
    """Yield the same as their files hold it: the published experiments first, then sweeps of their learning rate."""
    models: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(REPORTS.glob("table1_small/*/record.json")):
        run = json.loads(path.read_text(encoding="utf-8"))
        models.setdefault(run["experiment"], []).append(run)
    for index in range(experiments):
        sweep, kind = divmod(index, len(models))
        runs = list(models.values())[kind]
        for seed in range(1, seeds + 1):
            model = runs[(seed - 1) % len(runs)]
            yield model if not sweep and seed <= len(runs) else _another(model, seed=seed, sweep=sweep)


def _another(model: dict[str, Any], *, seed: int, sweep: int) -> dict[str, Any]:
    """Return a run with another seed, and with another learning rate if it belongs to a sweep."""
    chance = random.Random(f"{model['experiment']}/{seed}/{sweep}")
    digest = f"{chance.getrandbits(256):064x}"
    axes, train = {"seed": seed}, model["config"]["train"]
    if sweep:
        train = train | {"lr": round(train["lr"] * (1 + sweep / 100), 8)}
        axes |= {"train.lr": train["lr"]}
    own = {
        "name": "-".join([model["experiment"], *(f"{name}={value}" for name, value in axes.items()), digest[:8]]),
        "axes": axes,
        "config": model["config"] | {"seed": seed, "train": train},
        "config_hash": digest,
        "seed": seed,
    }
    return _varied(model, chance) | own


def _varied(value: Any, chance: random.Random) -> Any:
    """Return the tree with every number a little smaller; a number and the ends of its intervals by one factor."""
    if isinstance(value, list):
        return [_varied(each, chance) for each in value]
    if not isinstance(value, dict):
        return _scaled(value, chance.uniform(_LEAST, 1))
    factors = {name: chance.uniform(_LEAST, 1) for name in value.get("basis", {})}
    varied = {
        key: each if key in _AS_THEY_ARE else _scaled(each, factors[key]) if key in factors else _varied(each, chance)
        for key, each in value.items()
    }
    if factors:
        varied["basis"] = {name: _scaled(each, factors[name]) for name, each in value["basis"].items()}
    return varied


def _scaled(value: Any, factor: float) -> Any:
    """Return the tree with every number that is not a count scaled."""
    if isinstance(value, dict):
        return {key: _scaled(each, factor) for key, each in value.items()}
    return value * factor if isinstance(value, float) else value
