"""What metering takes from the job that it meters: `python -m benchmarks.overhead`, about four minutes; `--quick`, one.

Promised: 0.5 % of a small training job's wall time at most; a window costs 100 µs at most, and its fsyncs 0.2 %.

The default grid's last experiment is trained once, in one process, for more epochs than it would be. Of every two of
them one, drawn by lot, is metered as `greenpose run` meters it: a window, in the 1st, 2nd, 4th, 8th and so on with
codecarbon beside it, a part at each of a batch's four phases, every line in a log. The other is not metered at all.

1. Beside one another: the ratio of each pair's times, which noise blurs.
2. Counted: the CPU time spent inside the meter's own calls during the metered epochs, over all of theirs, and the wait
   for fsyncs. What codecarbon's thread takes of another CPU, and its start, once a process and outside windows, are
   shown apart.
3. The pieces: warm, many in a row, and cold, each after a convolution that left nothing of them in the CPU's caches.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from benchmarks.job import small_job, start_again_pinned
from benchmarks.verdict import conclude
from greenpose.data.splits import load_splits
from greenpose.metering import Estimate, Meter, estimate, meter
from greenpose.metering.log import SYNC_SECONDS, SYNC_SHARE
from greenpose.run.observer import crosschecked
from greenpose.run.setup import build_network, build_objective, seed_everything
from greenpose.training import Epoch, Files, fit, unmetered
from greenpose.training.window import Parted, Window
from greenpose.units import with_prefix

SHARE = 0.005
QUICK_SHARE, QUICK_PAIRS = 0.01, 4
"""What a quick look, as in CI, calls too much: twice what is promised, so that a busy machine raises no alarm."""
WINDOW_SECONDS = 100e-6
FSYNC_SHARE = 0.002
SETTINGS = (
    "train.patience=1000",
    "train.validate_every=1000",
)
SHOW_SECONDS = 0.5
"""A run shows its energy so far this often, which is a reading."""


@dataclass(slots=True)
class Times:
    """What the epochs took."""

    wall: dict[int, float] = field(default_factory=dict)
    """Seconds of each."""
    cpu: dict[int, float] = field(default_factory=dict)
    """CPU-seconds of each."""
    inside: dict[int, float] = field(default_factory=dict)
    """CPU-seconds inside the meter's calls, of each metered one."""

    def ratios(self, times: dict[int, float], metered: set[int]) -> Estimate:
        """Return the metered epoch over the other, pair by pair; the first pair warms up and is left out."""
        pairs = [(first, first + 1) for first in sorted(times) if first % 2 and first + 1 in times][1:]
        ordered = [(a, b) if a in metered else (b, a) for a, b in pairs]
        return estimate([times[with_meter] / times[without] for with_meter, without in ordered])


class Counted:
    """A window whose readings are timed themselves, in CPU time: being taken off a CPU is not their fault."""

    def __init__(self, window: AbstractContextManager[Parted], add: Callable[[float], None]) -> None:
        self._window, self._add = window, add
        self._parts: Parted | None = None

    def __enter__(self) -> "Counted":
        began = time.thread_time()
        self._parts = self._window.__enter__()
        self._add(time.thread_time() - began)
        return self

    def __exit__(self, *ending: object) -> None:
        began = time.thread_time()
        self._window.__exit__(*ending)  # type: ignore[arg-type]  # the three of a `with` statement
        self._add(time.thread_time() - began)

    def part(self, name: str) -> None:
        """Begin a part."""
        assert self._parts is not None
        began = time.thread_time()
        self._parts.part(name)
        self._add(time.thread_time() - began)


class Watcher:
    """Reads the energy so far twice a second, as a run does to show it."""

    def __init__(self, opened: Meter, times: Times, metered: set[int]) -> None:
        self._meter, self._times, self._metered = opened, times, metered
        self._shown = 0.0

    def trained(self, epoch: int, done: int, loss: float) -> None:
        """Look, if it is time and the epoch is metered."""
        del done, loss
        now = time.perf_counter()
        if epoch in self._metered and now - self._shown >= SHOW_SECONDS:
            self._shown, began = now, time.thread_time()
            _ = self._meter.total.energy
            self._times.inside[epoch] += time.thread_time() - began

    def enough(self) -> bool:
        """Go on."""
        return False

    def closed(self, epoch: Epoch) -> None:
        """Hear nothing."""


def windows(opened: Meter, times: Times, metered: set[int]) -> Window:
    """Return what opens an epoch's window: the meter's for the metered ones, and a clock around both."""

    @contextmanager
    def window(name: str, items: int) -> Iterator[Parted]:
        phase, _, number = name.partition("/epoch ")
        epoch = int(number)
        if phase != "train":
            with unmetered(name, items) as parts:
                yield parts
            return
        inner = unmetered(name, items)
        if epoch in metered:
            times.inside[epoch] = 0.0
            checked = crosschecked(len(times.inside))
            inner = Counted(opened.window(name, items=items, crosscheck=checked), _adder(times.inside, epoch))
        wall, cpu = time.perf_counter(), time.process_time()
        with inner as parts:
            yield parts
        times.wall[epoch], times.cpu[epoch] = time.perf_counter() - wall, time.process_time() - cpu

    return window


def _adder(sums: dict[int, float], epoch: int) -> Callable[[float], None]:
    def add(seconds: float) -> None:
        sums[epoch] += seconds

    return add


def train(folder: Path, opened: Meter, *, pairs: int, seed: int) -> tuple[Times, set[int]]:
    """Train with one epoch of each pair metered; return the times and which epochs were."""
    config = small_job(*SETTINGS, f"train.epochs={2 * pairs + 2}", "train.milestones=[]")
    seed_everything(config)
    net, _ = build_network(config)
    chosen = random.Random(seed)
    metered = {first + chosen.randrange(2) for first in range(1, 2 * pairs + 2, 2)}
    times = Times()
    fit(
        net,
        build_objective(config),
        load_splits(config.data),
        recipe=config.train,
        seed=config.seed,
        files=Files(checkpoint=folder / "checkpoint.pt", best=lambda exit_: folder / f"best-{exit_}.safetensors"),
        window=windows(opened, times, metered),
        ledger=Watcher(opened, times, metered),
    )
    return times, metered


def main() -> int:
    """Measure, print, and return 0 if the promise is kept."""
    parser = argparse.ArgumentParser(description="What metering takes from the job that it meters.")
    parser.add_argument("--pairs", type=int, default=20, help="pairs of epochs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="only count, in few epochs, and allow twice the promise")
    arguments = parser.parse_args()
    start_again_pinned("benchmarks.overhead")
    with tempfile.TemporaryDirectory() as name, meter(country="ITA", log=Path(name) / "windows.jsonl") as opened:
        print(f"once a process, outside windows: codecarbon's start, {with_prefix(_start(opened), 's')}")
        pairs = QUICK_PAIRS if arguments.quick else arguments.pairs
        times, metered = train(Path(name), opened, pairs=pairs, seed=arguments.seed)
        if arguments.quick:
            return conclude(_counted(times, metered, opened, most=QUICK_SHARE))
        faults = [*_beside(times, metered), *_counted(times, metered, opened, most=SHARE), *_pieces(opened)]
    return conclude(faults)


def _start(opened: Meter) -> float:
    began = time.perf_counter()
    with opened.window("start", crosscheck=True):
        pass
    return time.perf_counter() - began


def _beside(times: Times, metered: set[int]) -> list[str]:
    faults = []
    for name, series in (("wall", times.wall), ("CPU", times.cpu)):
        ratio = times.ratios(series, metered)
        assert ratio.type_a is not None
        low, high = ratio.type_a
        print(
            f"1. {name} time, metered / not: {ratio.value:.4f} [{low:.4f}, {high:.4f}], {ratio.blocks} pairs of"
            f" {statistics.median(series.values()):.2f} s"
        )
        if low > 1 + SHARE:
            faults.append(f"{name} time rises by {low - 1:.2%} at least, promised {SHARE:.1%}")
    return faults


def _counted(times: Times, metered: set[int], opened: Meter, *, most: float) -> list[str]:
    inside = sum(times.inside.values())
    spent = sum(times.cpu[epoch] for epoch in metered)
    stretches = sum(window.stretches for window in opened.windows)
    waited = min(_fsync(opened) / SYNC_SECONDS, SYNC_SHARE)
    print(
        f"2. counted: {with_prefix(inside, 's')} of CPU time in {len(metered)} windows and {stretches} stretches of"
        f" parts, of {spent:.1f} s: {inside / spent:.3%}; waiting for fsyncs: {waited:.3%}"
    )
    print(f"2. codecarbon's thread: {_background(opened):.3%} of one CPU, beside the job")
    share = inside / spent + waited
    faults = [f"metering takes {share:.2%}, allowed {most:.1%}"] if share > most else []
    return faults + ([f"fsyncs take {waited:.2%}, promised {FSYNC_SHARE:.1%}"] if waited > FSYNC_SHARE else [])


def _fsync(opened: Meter) -> float:
    """Return the median seconds that putting a window on disk takes."""
    times = []
    for _ in range(20):
        with opened.window("synced"):
            pass
        began = time.perf_counter()
        opened.flush()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _background(opened: Meter, seconds: float = 4.0) -> float:
    """Return what codecarbon's thread takes of a CPU, beside a window in which nothing is done."""
    with opened.window("nothing", crosscheck=True) as window:
        time.sleep(seconds)
    return window.result.cpu_seconds / window.result.seconds


def _pieces(opened: Meter) -> list[str]:
    def empty() -> None:
        with opened.window("empty"):
            pass

    window = batched(empty, calls=100)
    _show("window", window, cold(empty))
    with opened.window("parts") as parts:
        _show("part", batched(lambda: parts.part("a"), calls=200), cold(lambda: parts.part("a")))
    _show("energy so far", batched(lambda: opened.total, calls=100), cold(lambda: opened.total))
    took = statistics.median(window)
    return [f"a window costs {with_prefix(took, 's')}, promised 100 µs"] if took > WINDOW_SECONDS else []


def batched(action: Callable[[], object], *, calls: int, batches: int = 40) -> list[float]:
    """Return the seconds of a call, one mean for each batch of calls, quickest batch first."""
    means = []
    for _ in range(batches):
        began = time.perf_counter()
        for _ in range(calls):
            action()
        means.append((time.perf_counter() - began) / calls)
    return sorted(means)


def cold(action: Callable[[], object], *, calls: int = 60) -> list[float]:
    """Return the seconds of single calls, each after a convolution, quickest first."""
    images, kernel = torch.randn(16, 32, 64, 64), torch.randn(32, 32, 3, 3)
    times = []
    for _ in range(calls):
        torch.nn.functional.conv2d(images, kernel, padding=1)
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return sorted(times)


def _show(name: str, warm: list[float], cold: list[float]) -> None:
    figures = (statistics.median(warm), warm[0], statistics.median(cold))
    median, best, after = (with_prefix(seconds, "s") for seconds in figures)
    print(f"3. {name}: warm {median}, best batch {best}; cold {after}")


if __name__ == "__main__":
    sys.exit(main())
