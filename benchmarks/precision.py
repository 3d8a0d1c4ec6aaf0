"""What training in bfloat16 does to accuracy: `python -m benchmarks.precision RUNS`, of `experiments/precision.yaml`.

Runs are taken in pairs of a seed: AP of each exit on the test split in bfloat16 less in float32, with the interval over
the same resampled patients, and the mean over seeds with Student's t, of one seed the interval over patients. Both nets
are judged in float32, as runs are. `train.precision: auto` may be the default where no lower end is below -0.5 points.
"""

import argparse
import statistics
import sys
from collections import defaultdict
from pathlib import Path

from benchmarks import conclude
from greenpose.data.splits import load_splits
from greenpose.intervals import t_interval
from greenpose.run.measure import trained_networks
from greenpose.run.setup import build_network
from greenpose.store import RunFolder, read_record
from greenpose.training import ExitPredictions
from greenpose.training.evaluate import oks, oks_change, predict, resampled

ALLOWED = -0.5
"""Points of AP."""
SEEDS = 3


def _found(folder: RunFolder) -> tuple[dict[int, ExitPredictions], float]:
    """Return what every exit of a run says about the test split, and the CPU-seconds of its training."""
    config = folder.experiment()
    samples = load_splits(config.data, only=["test"])["test"]
    subs = trained_networks(build_network(config)[0], folder, config.model.exits)
    found = {exit_: predict(sub, samples, batch=64)[exit_] for exit_, sub in subs.items()}
    return found, read_record(folder.record).train_cpu_seconds


def main() -> int:
    """Print every difference, and return 0 if bfloat16 may be chosen without asking."""
    parser = argparse.ArgumentParser(description="What training in bfloat16 does to accuracy.")
    parser.add_argument("folder", type=Path, help="of the runs of experiments/precision.yaml")
    records = parser.parse_args().folder.glob("*/record.json")
    folders = {path.parent.name.rpartition("-")[0]: RunFolder(path.parent) for path in records}
    pairs = {name: name.replace("float32", "bf16") for name in sorted(folders) if name.startswith("float32")}
    gains: dict[str, list[tuple[float, tuple[float, float]]]] = defaultdict(list)
    for name, other in pairs.items():
        if other not in folders:
            continue
        (was, before), (now, after) = _found(folders[name]), _found(folders[other])
        samples = load_splits(folders[name].experiment().data, only=["test"])["test"]
        unit, groups = resampled(samples, samples)
        print(f"{name}: training takes {after / before:.2f} times the CPU time in bf16")
        for exit_ in was:
            gain = 100 * (oks(samples, now[exit_])["ap"] - oks(samples, was[exit_])["ap"])
            low, high = (100 * end for end in oks_change(samples, was[exit_], now[exit_], groups)["ap"])
            gains[f"{name.rpartition('-')[0]}, exit {exit_}"].append((gain, (low, high)))
            print(f"  exit {exit_}: {gain:+.2f} points [{low:+.2f}, {high:+.2f}] over {len({*groups.values()})} {unit}")
    faults = []
    for name, each in gains.items():
        values = [gain for gain, _ in each]
        low, high = t_interval(values) if len(values) > 2 else each[0][1]
        over = f"{len(values)} seeds" if len(values) > 2 else "the patients of one pair"
        print(f"{name}: {statistics.fmean(values):+.2f} points [{low:+.2f}, {high:+.2f}] over {over}")
        faults += [f"{name}: may lose {-low:.2f} points, {-ALLOWED:g} are allowed"] if low < ALLOWED else []
    if not any(len(each) >= SEEDS for each in gains.values()):
        faults.append(f"{SEEDS} seeds of one profile are asked for")
    return conclude(faults)


if __name__ == "__main__":
    sys.exit(main())
