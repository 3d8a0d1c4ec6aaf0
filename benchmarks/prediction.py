"""How often predictions hold the truth: `python -m benchmarks.prediction`, eight minutes on a quiet machine.

Twenty-four small trainings of about ten seconds, of different widths, batches, sizes, exits, wirings, numbers of epochs
and of validations, go through the command line as a user's would: `greenpose estimate` before each grid of four, then
`greenpose run`. Of each run, time and energy of training are held against three predictions: the estimate before it,
the forecast after two epochs, and the one at half time; those of the whole run against the estimate alone.

Promised: 95 % intervals hold the truth in 90 % of the runs or more. How wide they are is printed too: an interval that
holds everything says nothing. Beside neighbours they are wider, since neighbours leave and others come.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks import conclude
from greenpose.metering import read_windows, this_machine
from greenpose.metering.cost_prediction import Neighbours
from greenpose.record import Record
from greenpose.store import RunFolder, collect, read_lines

PROMISED = 0.90
QUIET_SHARE = 0.05
"""Part of the CPUs that others may use on a machine that counts as quiet."""
WIRINGS: dict[str, dict[str, Any]] = {
    "HRNet2": {"model.exits": [2]},
    "HRNet3-OKD": {"model.exits": [2, 3], "wiring.teach": ["3->2"]},
    "HRNet4": {"model.exits": [4]},
    "HRNet4-OKD-DS": {"model.exits": [3, 4], "wiring.teach": ["4->3"], "wiring.supervise": [3, 4]},
    "HRNet4-MSOKD": {"model.exits": [2, 3, 4], "wiring.teach": ["4->2", "4->3"]},
}


@dataclass(frozen=True, slots=True)
class Family:
    """A grid of four runs on the same data."""

    width: int
    batch: int
    side: int
    patients: int
    every: int
    """Epochs between validations."""
    epochs: dict[str, int]
    """Epochs of each run."""

    def grid(self, name: str) -> dict[str, Any]:
        """Return the grid that a file would hold."""
        base = {
            "data": {
                "input_size": [self.side, self.side],
                "synthetic": {
                    "size": [160, 120],
                    "patients": {"train": self.patients, "val": 8, "test": 8},
                    "frames": {"train": 8, "val": 6, "test": 6},
                },
            },
            "model": {"width": self.width, "stem_width": self.width, "modules": [1, 1, 1], "blocks": 1},
            "loss": {"kd_weight": 100},
            "train": {"batch": self.batch, "lr": 2e-3, "patience": 99, "validate_every": self.every},
            "measure": {"batch": 4, "min_window_seconds": 0.1, "max_blocks": 6, "max_seconds": 3, "step_blocks": 3},
            "carbon": {"country": "ITA"},
        }
        experiments = {wiring: {**WIRINGS[wiring], "train.epochs": number} for wiring, number in self.epochs.items()}
        return {"name": name, "base": base, "experiments": experiments}


TO_DS, TO_MS = ("HRNet2", "HRNet3-OKD", "HRNet4", "HRNet4-OKD-DS"), ("HRNet2", "HRNet3-OKD", "HRNet4", "HRNet4-MSOKD")
FAMILIES = tuple(
    Family(width, batch, side, patients, every, dict(zip(runs, epochs, strict=True)))
    for width, batch, side, patients, every, runs, epochs in (
        (4, 8, 64, 100, 1, TO_DS, (20, 14, 11, 9)),
        (8, 16, 64, 60, 2, TO_MS, (40, 30, 24, 18)),
        (16, 16, 64, 100, 2, TO_DS, (20, 14, 9, 8)),
        (8, 32, 96, 100, 3, TO_MS, (18, 12, 10, 8)),
        (12, 4, 64, 60, 4, TO_DS, (22, 13, 8, 7)),
        (8, 8, 96, 40, 5, TO_MS, (30, 20, 15, 12)),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One prediction held against what came."""

    stage: str
    """When it was made, and of what."""
    unit: str
    """What it is of: `s` or `Wh`."""
    low: float
    value: float
    high: float
    truth: float
    quiet: bool
    """Whether nobody else was at work, neither when it was made nor afterwards."""
    run: str
    """The run."""

    @property
    def is_held(self) -> bool:
        """Return whether the truth lies inside."""
        return self.low <= self.truth <= self.high

    @property
    def half_width(self) -> float:
        """Return half the interval over the prediction."""
        return (self.high - self.low) / 2 / self.value


def greenpose(*arguments: object, cwd: Path) -> str:
    """Return what a command prints."""
    command = [sys.executable, "-m", "greenpose", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.PIPE, text=True).stdout


def trials_of(family: Family, name: str, folder: Path, *, seconds: float) -> Iterator[Trial]:
    """Estimate a family's runs, run them, and yield every prediction with its truth."""
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(family.grid(name)))
    estimated = json.loads(
        greenpose("estimate", f"{name}.yaml", "--grid", "--seconds", seconds, "--json", "-q", cwd=folder)
    )
    greenpose("run", "--grid", f"{name}.yaml", "--no-report", "-q", cwd=folder)
    before = {run["name"]: run for run in estimated["runs"]}
    calm = estimated["calibration"]["foreign_cpu_share"] < QUIET_SHARE
    for record in collect([folder / "runs" / name]):
        assert isinstance(record, Record)
        run = RunFolder(folder / "runs" / name / record.name)
        busy = neighbours(run)
        print(_line(record, before[record.name], estimated["calibration"]["foreign_cpu_share"], busy), flush=True)
        yield from _before(record, before[record.name], quiet=calm and busy < QUIET_SHARE)
        yield from _during(record, run, quiet=busy < QUIET_SHARE)


def neighbours(run: RunFolder) -> float:
    """Return the part of the CPUs that others used while a run trained."""
    windows = [window for window in read_windows(run.windows) if window.name.startswith("train/")]
    return Neighbours.during([window for window in windows if window.parent is None], cpus=1.0).busy


def _before(record: Record, estimated: dict[str, Any], *, quiet: bool) -> Iterator[Trial]:
    """Yield what was said before a run."""
    whole = {
        "seconds": sum(phase.seconds for phase in record.phases),
        "energy_kwh": sum(phase.energy_kwh for phase in record.phases),
    }
    training = {"seconds": record.train_seconds, "energy_kwh": record.train_energy_kwh}
    for which, truths in (("training", training), ("whole", whole)):
        for field, truth in truths.items():
            amount = estimated[which][field]
            ends = (amount["type_a"][0], amount["value"], amount["type_a"][1])
            stage = f"before, {'training' if which == 'training' else 'whole run'}"
            yield _trial(stage, field, ends, truth, quiet=quiet, run=record.name)


def _during(record: Record, run: RunFolder, *, quiet: bool) -> Iterator[Trial]:
    """Yield what was said after two epochs, as the record keeps it, and at half time."""
    assert record.forecast is not None
    truths = {"seconds": record.train_seconds, "energy_kwh": record.train_energy_kwh}
    epochs = {line["epoch"]: line for line in read_lines(run.epochs)}
    half = epochs[record.epochs // 2]
    for field, truth in truths.items():
        kept = record.forecast.quantity(field)
        assert kept.value is not None
        assert kept.type_a is not None
        ends = (kept.type_a.low, kept.value, kept.type_a.high)
        yield _trial("after 2 epochs", field, ends, truth, quiet=quiet, run=record.name)
        yield _trial("at half time", field, half[f"forecast_{field}"], truth, quiet=quiet, run=record.name)


def _trial(stage: str, field: str, ends: Sequence[float], truth: float, *, quiet: bool, run: str) -> Trial:
    factor, unit = (1.0, "s") if field == "seconds" else (1e3, "Wh")
    low, value, high = (end * factor for end in ends)
    return Trial(stage=stage, unit=unit, low=low, value=value, high=high, truth=truth * factor, quiet=quiet, run=run)


def _line(record: Record, estimated: dict[str, Any], before: float, during: float) -> str:
    amount = estimated["training"]["seconds"]
    low, high = amount["type_a"]
    said = f"estimated {amount['value']:.1f} s [{low:.1f}, {high:.1f}], took {record.train_seconds:.1f} s"
    return f"  {record.name:<24} {said}; others kept {before:.0%} of the CPUs busy before, {during:.0%} meanwhile"


def main() -> int:
    """Run, print, and return 0 if the promise is kept."""
    parser = argparse.ArgumentParser(description="How often predictions of a training's cost hold the truth.")
    parser.add_argument("--families", type=int, default=len(FAMILIES), help="grids of four runs, at most 6")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each estimate's calibration")
    parser.add_argument("--keep", type=Path, help="folder in which everything is left")
    arguments = parser.parse_args()
    machine = this_machine()
    print(f"{machine.cpu}, {machine.vcpus} CPUs")
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        trials = [
            trial
            for number, family in enumerate(FAMILIES[: arguments.families], start=1)
            for trial in trials_of(family, f"family{number}", folder, seconds=arguments.seconds)
        ]
    return conclude(_report(trials))


def _report(trials: Sequence[Trial]) -> list[str]:
    """Print how often each kind of prediction held the truth, and return those that broke the promise."""
    print(f"\n{'':<26}held the truth    half width    off by    on a quiet machine")
    faults = []
    for stage, unit in dict.fromkeys((trial.stage, trial.unit) for trial in trials):
        some = [trial for trial in trials if (trial.stage, trial.unit) == (stage, unit)]
        quiet = [trial for trial in some if trial.quiet]
        off = statistics.median(abs(trial.truth / trial.value - 1) for trial in some)
        print(f"{stage:<22}{unit:<4}{_held(some)}   ±{_half(some)}    {off:5.1%}    {_held(quiet)}, ±{_half(quiet)}")
        missed = [f"{trial.run} {trial.truth / trial.value:.2f}" for trial in some if not trial.is_held]
        if len(missed) > (1 - PROMISED) * len(some):
            faults.append(f"{stage}, {unit}: {_held(some)} (truth over prediction: {', '.join(missed)})")
    return faults


def _held(trials: Sequence[Trial]) -> str:
    held = sum(trial.is_held for trial in trials)
    return f"{held} of {len(trials)} ({held / len(trials):.0%})" if trials else "none"


def _half(trials: Sequence[Trial]) -> str:
    """Return the median half width."""
    return f"{statistics.median(trial.half_width for trial in trials):.0%}" if trials else "-"


if __name__ == "__main__":
    sys.exit(main())
