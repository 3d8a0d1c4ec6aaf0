"""Something tiny to measure: an experiment, a run that looks finished, and what is found on a fake machine."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from greenpose import counting
from greenpose.config import Experiment
from greenpose.counting import ExitCount, architecture_of
from greenpose.metering import Plan
from greenpose.model import HRNet
from greenpose.run.measure import Measured, Measurement, compose_measurement
from greenpose.store import RunFolder
from greenpose.training.checkpoint import save_best
from tests.metering.test_inference import PLAN, Bench
from tests.report.records import record

EXPERIMENT: dict[str, Any] = {
    "name": "tiny",
    "data": {
        "input_size": [32, 32],
        "synthetic": {
            "size": [160, 120],
            "patients": {"train": 1, "val": 2, "test": 3},
            "frames": {"train": 1, "val": 3, "test": 3},
        },
    },
    "model": {"exits": [2, 3], "width": 4, "stem_width": 4, "modules": [1, 1, 1], "blocks": 1},
    "wiring": {"teach": ["3->2"], "supervise": [2, 3]},
    "measure": {"batch": 2, "min_window_seconds": 0.005, "max_blocks": 3, "max_seconds": 2},
    "carbon": {"country": "ITA"},
}


def experiment(**sections: Any) -> Experiment:
    """Return the tiny experiment with some sections replaced."""
    return Experiment.model_validate(EXPERIMENT | sections)


def network(config: Experiment) -> HRNet:
    """Return a network of an experiment's shape, its weights drawn anew."""
    return HRNet(**architecture_of(config).keywords)


@cache
def counts_of(exits: tuple[int, ...]) -> Mapping[int, ExitCount]:
    """Return the counts of the tiny network with some exits, which takes half a second an exit."""
    model = EXPERIMENT["model"] | {"exits": exits}
    return counting.count(experiment(model=model, wiring={"supervise": list(exits)}))


def finished_run(path: Path, *, net: HRNet | None = None) -> RunFolder:
    """Return a folder as a finished run leaves it, with the weights of a network."""
    folder, config = RunFolder(path), experiment()
    folder.write_cell(
        {"name": path.name, "grid": "tiny", "axes": {}, "config_hash": "00c0ffee" * 8, "experiment": EXPERIMENT}
    )
    net = net or network(config)
    for number in net.exits:
        save_best(folder.best(number), net.truncate(number).state_dict())
    folder.write_record(record("tiny", exits=(2, 3)))
    return folder


def fake_measurement(
    bench: Bench, seconds: dict[int, float], *, left_out: int | None = None, plan: Plan = PLAN, **sections: Any
) -> Measurement:
    """Return what is found where a call of exit k takes `seconds[k]`, and the machine draws 10 + k x 10 watts for it.

    `left_out` is a final exit that the network has and that was not measured.
    """
    exits = sorted({*seconds, *([left_out] if left_out else [])})
    wiring = {"supervise": exits}
    config = experiment(**({"model": EXPERIMENT["model"] | {"exits": exits}, "wiring": wiring} | sections))
    counts = counts_of(tuple(exits))
    measured = Measured(
        exits=bench.measure(seconds, plan=plan),
        counts={number: counts[number] for number in seconds},
        meter=bench.meter,
    )
    return compose_measurement(
        measured, config, source="tiny.yaml", name="tiny", config_hash="00c0ffee" * 8, trained=False
    )
