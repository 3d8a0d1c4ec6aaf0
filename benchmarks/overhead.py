"""What metering takes from the job that it meters: `python -m benchmarks.overhead`, about five minutes; `--quick`, one.

Promised: 0.5 % of a small training job's wall time at most; a window costs 100 µs at most, and its fsyncs 0.2 %, of
which there is at most one a second and one at the job's end.

The job is the default grid's last experiment, with the epochs that it has there. It is trained over and over in one
process, as one long training. Of every two epochs one, drawn by lot, is metered, as `greenpose run` meters the job's
1st, 2nd and so on: a window, with codecarbon beside the same ones, a part at each of a batch's four phases, every line
in a log that is put on disk once a second and when the job's last epoch is over. The other is not metered at all.

1. Counted, job by job: the CPU time spent inside the meter's own calls, what codecarbon's thread takes while it runs,
   and the seconds waited for real fsyncs, all over the metered epochs' own. Nothing beside them can blur this; it is
   what the promise is judged by, with the upper end of its interval over the jobs. (The log's second goes on in epochs
   that are not metered: a disk slower than 1 ms, which is waited for less often, is counted up to twice.) A quick look
   judges how many fsyncs there are, not how long they take, which depends on who else uses the disk.
2. Beside one another: the ratio of each pair's times, which would also see what metering does to the job indirectly.
   Noise blurs it: where its interval lies neither below the promise nor above it, it is called undecided.
3. The pieces: warm, many in a row, and cold, each after a convolution that left nothing of them in the CPU's caches.

codecarbon's start, once a process and outside windows, is in none of these and shown apart.
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

from benchmarks import conclude
from benchmarks.job import small_job, start_again_pinned
from greenpose.data.splits import load_splits
from greenpose.formatting import with_prefix
from greenpose.metering import Meter, meter
from greenpose.quantity import Quantity, median
from greenpose.run.callbacks import crosschecked
from greenpose.run.setup import build_network, build_objective, seed_everything
from greenpose.training import Epoch, Files, fit, unmetered
from greenpose.training.step import Parted, Window

SHARE = 0.005
FSYNC_SHARE = 0.002
QUICK = 2.0
"""A quick look, as in CI, calls this many times what is promised too much, so that a busy machine raises no alarm."""
WINDOW_SECONDS = 100e-6
JOB_EPOCHS = small_job().train.epochs
"""Epochs of the job whose overhead is promised."""
SETTINGS = (
    "train.patience=1000",
    "train.validate_every=1000",
)
SHOW_SECONDS = 0.5
"""A run shows its energy so far this often, which is a reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Which epochs of the long training are metered, and as which ones of the job."""

    jobs: int
    """How often the job is trained."""
    metered: dict[int, int]
    """Epochs of the long training that are metered, each with the job's epoch, from 1, that it stands for."""
    epochs: int
    """Epochs of the long training; the first two warm up and count for nothing."""

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Return the metered epoch and the other of each pair; none where every epoch is metered."""
        both = [(first, first + 1) for first in range(3, self.epochs + 1, 2)]
        ordered = [(a, b) if a in self.metered else (b, a) for a, b in both]
        return [(a, b) for a, b in ordered if b not in self.metered]


def layout(jobs: int, *, paired: bool, seed: int) -> Layout:
    """Return a training of so many jobs, every epoch beside one that is not metered if `paired`."""
    chosen, count = random.Random(seed), jobs * JOB_EPOCHS
    places = [3 + 2 * number + chosen.randrange(2) if paired else 3 + number for number in range(count)]
    metered = {place: 1 + number % JOB_EPOCHS for number, place in enumerate(places)}
    return Layout(jobs=jobs, metered=metered, epochs=2 + (2 * count if paired else count))


@dataclass(slots=True)
class Times:
    """What the epochs took."""

    wall: dict[int, float] = field(default_factory=dict)
    """Seconds of each."""
    cpu: dict[int, float] = field(default_factory=dict)
    """CPU-seconds of each."""
    inside: dict[int, float] = field(default_factory=dict)
    """CPU-seconds inside the meter's calls, of each metered one."""
    waited: dict[int, float] = field(default_factory=dict)
    """Seconds waited for the disk, of each metered one."""
    fsyncs: dict[int, int] = field(default_factory=dict)
    """How often each metered one put the log on disk, but for the job's end."""

    def ratios(self, times: dict[int, float], plan: Layout) -> Quantity:
        """Return the metered epoch over the other, pair by pair."""
        return median([times[metered] / times[other] for metered, other in plan.pairs])

    def per_job(self, parts: dict[int, float], whole: dict[int, float], plan: Layout) -> list[float]:
        """Return the metered epochs' part of the whole, job by job."""
        epochs = sorted(plan.metered)
        jobs = [epochs[start : start + JOB_EPOCHS] for start in range(0, len(epochs), JOB_EPOCHS)]
        return [sum(parts[epoch] for epoch in job) / sum(whole[epoch] for epoch in job) for job in jobs]


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

    def __init__(self, opened: Meter, times: Times, plan: Layout) -> None:
        self._meter, self._times, self._plan = opened, times, plan
        self._shown = 0.0

    def trained(self, epoch: int, done: int, loss: float) -> None:
        """Look, if it is time and the epoch is metered."""
        del done, loss
        now = time.perf_counter()
        if epoch in self._plan.metered and now - self._shown >= SHOW_SECONDS:
            self._shown, began = now, time.thread_time()
            _ = self._meter.total.energy
            self._times.inside[epoch] += time.thread_time() - began

    def enough(self) -> bool:
        """Go on."""
        return False

    def ended(self, epoch: Epoch) -> None:
        """Hear nothing."""

    def closed(self, epoch: Epoch) -> None:
        """Hear nothing."""

    def chose(self, what: str) -> None:
        """Hear nothing."""


def windows(opened: Meter, times: Times, plan: Layout) -> Window:
    """Return what opens an epoch's window: the meter's for the metered ones, and a clock around all."""

    @contextmanager
    def window(name: str, items: int) -> Iterator[Parted]:
        phase, _, number = name.partition("/epoch ")
        if phase != "train":
            with unmetered(name, items) as parts:
                yield parts
            return
        epoch = int(number)
        stands_for = plan.metered.get(epoch)
        inner = unmetered(name, items)
        if stands_for is not None:
            times.inside[epoch] = 0.0
            asked = opened.window(name, items=items, crosscheck=crosschecked(stands_for))
            inner = Counted(asked, _adder(times.inside, epoch))
        waited, fsyncs = opened.waited_s, opened.fsyncs
        wall, cpu = time.perf_counter(), time.process_time()
        with inner as parts:
            yield parts
        times.fsyncs[epoch] = opened.fsyncs - fsyncs
        if stands_for == JOB_EPOCHS:
            opened.flush()
        times.wall[epoch], times.cpu[epoch] = time.perf_counter() - wall, time.process_time() - cpu
        times.waited[epoch] = opened.waited_s - waited

    return window


def _adder(sums: dict[int, float], epoch: int) -> Callable[[float], None]:
    def add(seconds: float) -> None:
        sums[epoch] += seconds

    return add


def train(folder: Path, opened: Meter, plan: Layout) -> Times:
    """Train; return what the epochs took."""
    config = small_job(*SETTINGS, f"train.epochs={plan.epochs}", "train.milestones=[]")
    seed_everything(config)
    net, _ = build_network(config)
    times = Times()
    fit(
        net,
        build_objective(config),
        load_splits(config.data),
        recipe=config.train,
        seed=config.seed,
        files=Files(checkpoint=folder / "checkpoint.pt", best=lambda exit_: folder / f"best-{exit_}.safetensors"),
        window=windows(opened, times, plan),
        ledger=Watcher(opened, times, plan),
    )
    return times


def main() -> int:
    """Measure, print, and return 0 if the promise is kept."""
    parser = argparse.ArgumentParser(description="What metering takes from the job that it meters.")
    parser.add_argument("--jobs", type=int, default=3, help="how often the job is trained")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="only count, in one job, and allow twice the promise")
    arguments = parser.parse_args()
    start_again_pinned("benchmarks.overhead")
    plan = layout(1 if arguments.quick else arguments.jobs, paired=not arguments.quick, seed=arguments.seed)
    with tempfile.TemporaryDirectory() as name, meter(country="ITA", log=Path(name) / "windows.jsonl") as opened:
        print(f"once a process, outside windows: codecarbon's start, {with_prefix(_start(opened), 's')}")
        times = train(Path(name), opened, plan)
        faults = counted(times, plan, thread=_background(opened), quick=arguments.quick)
        if not arguments.quick:
            faults += [*_beside(times, plan), *_pieces(opened)]
    return conclude(faults)


def _start(opened: Meter) -> float:
    began = time.perf_counter()
    with opened.window("start", crosscheck=True):
        pass
    return time.perf_counter() - began


def counted(times: Times, plan: Layout, *, thread: float, quick: bool) -> list[str]:
    """Return what metering took too much of, and print what it took of each job.

    `thread` is what codecarbon's takes of a CPU while it runs.
    """
    checked = {epoch: crosschecked(number) * times.wall[epoch] for epoch, number in plan.metered.items()}
    calls = times.per_job(times.inside, times.cpu, plan)
    waits = times.per_job(times.waited, times.wall, plan)
    threads = [thread * share for share in times.per_job(checked, times.wall, plan)]
    shares = [sum(job) for job in zip(calls, threads, *([] if quick else [waits]), strict=True)]
    fsyncs, seconds = sum(times.fsyncs.values()), sum(times.wall[epoch] for epoch in plan.metered)
    print(
        f"1. counted in {plan.jobs} x {JOB_EPOCHS} epochs, {sum(map(bool, checked.values()))} of them cross-checked:"
        f" calls {_spread(calls)} of CPU time, codecarbon's thread {_spread(threads)} of a CPU;"
        f" {'these' if quick else 'with fsyncs'} together {_spread(shares)};"
        f" fsyncs {_spread(waits)} of wall time, {fsyncs} in {seconds:.1f} s"
    )
    faults = []
    if _upper(shares) > (QUICK if quick else 1.0) * SHARE:
        faults.append(f"metering takes {_spread(shares)}, promised {SHARE:.1%}")
    if not quick and _upper(waits) > FSYNC_SHARE:
        faults.append(f"fsyncs take {_spread(waits)}, promised {FSYNC_SHARE:.1%}")
    if quick and fsyncs > 1 + seconds:
        faults.append(f"{fsyncs} fsyncs in {seconds:.1f} s, promised one a second")
    return faults


def _upper(shares: list[float]) -> float:
    """Return the upper end of the interval over jobs; of one job its share."""
    found = median(shares)
    return found.known if found.type_a is None else found.type_a.high


def _spread(shares: list[float]) -> str:
    found = median(shares)
    ends = "" if found.type_a is None else f" [{found.type_a.low:.3%}, {found.type_a.high:.3%}]"
    return f"{found.value:.3%}{ends}"


def _beside(times: Times, plan: Layout) -> list[str]:
    faults = []
    for name, series in (("wall", times.wall), ("CPU", times.cpu)):
        ratio = times.ratios(series, plan)
        assert ratio.type_a is not None
        low, high = ratio.type_a
        says = "within the promise" if high <= 1 + SHARE else "beyond the promise" if low > 1 + SHARE else "undecided"
        print(
            f"2. {name} time, metered / not: {ratio.value:.4f} [{low:.4f}, {high:.4f}], {ratio.repeats} pairs of"
            f" {statistics.median(series.values()):.2f} s: {says}"
        )
        if low > 1 + SHARE:
            faults.append(f"{name} time rises by {low - 1:.2%} at least, promised {SHARE:.1%}")
    return faults


def _background(opened: Meter, seconds: float = 4.0) -> float:
    """Return what codecarbon's thread takes of a CPU: what a window with it takes more than one without, idle both."""
    taken = []
    for crosscheck in (True, False):
        with opened.window("nothing", crosscheck=crosscheck) as window:
            time.sleep(seconds)
        taken.append(window.result.cpu_seconds / window.result.seconds)
    return max(0.0, taken[0] - taken[1])


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
    middle, best, after = (with_prefix(seconds, "s") for seconds in figures)
    print(f"3. {name}: warm {middle}, best batch {best}; cold {after}")


if __name__ == "__main__":
    sys.exit(main())
