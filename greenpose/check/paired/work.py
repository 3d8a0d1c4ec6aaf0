"""The work of a turn: exits in inference, a training's step, the way of images to batches; what is counted."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from greenpose.check.footprint import minor
from greenpose.check.paired.interleaved import Clock, Piece, named
from greenpose.check.verdict import CheckFinding, Outcome, of_calls, of_counts
from greenpose.config import Experiment, ModelConfig
from greenpose.errors import CheckError
from greenpose.metrics import OPERATIONS
from greenpose.subject import Network, data_of, read_networks, shape_of, training_of

WorkName = Literal["exits", "train", "data"]
ENOUGH = 2**27
"""Pixels times the square of the network's width that make a step of a training long enough: 128 of the quick grid's
images, 2 of W32's at 256 x 192."""
USUAL_WIDTH = 32
"""Channels that a network of one's own is taken for; nobody here knows its size without building it."""
FEWEST_IMAGES = 2
"""Batch normalisation in training needs more than one value a channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One kind of work."""

    name: WorkName
    """What a side's process is asked for."""
    alike: Callable[[Experiment], str]
    """Tells which runs do the same work."""
    each: str
    """What its costs are of."""
    counts: Mapping[str, str] = field(default_factory=dict)
    """What is counted of it, with units; calls of operators besides."""

    def metric(self, clock: Clock) -> tuple[str, str]:
        """Return what a clock reads, by the names and units of records."""
        return {
            "cpu_s": (f"cpu_s_per_{self.each}", "s"),
            "gpu_s": (f"gpu_s_per_{self.each}", "s"),
            "joules": (f"energy_j_per_{self.each}", "J"),
            "seconds": ("latency_s", "s"),
        }[clock]

    def names(self, label: str, piece: Piece) -> list[str]:
        """Return the names of all that can be said of a piece: `exit3.cpu_s_per_image`, `train.forward_macs`, ..."""
        timed = [self.metric(clock)[0] for clock in ("cpu_s", "gpu_s", "joules", "seconds")]
        counted = [*self.counts, OPERATIONS] if self is TRAIN else [*self.counts]
        return [f"{label}{named(piece)}.{metric}" for metric in (*timed, *counted)]

    def networks(self, candidate: Path, folder: Path, exits: Sequence[int]) -> list[tuple[Network, str]]:
        """Return what is run, each with what stands before the names of its quantities: nothing where it is alone.

        Raises:
            CheckError: if there is no such exit, or the work cannot be done in turns.
            GreenPoseError: if the candidate cannot be read.
        """
        networks = read_networks(candidate, folder, exits if self is EXITS else (), alike=self.alike)
        devices = {network.config.process.device for network in networks} - {"cpu"}
        if self is TRAIN and devices:
            raise CheckError(
                [f"--train: {candidate} trains on {min(devices)}; training steps are compared on cpu only"]
            )
        several = len(networks) > 1
        return [(network, f"{network.label}/" if several else "") for network in networks]

    def pieces(self, network: Network) -> tuple[Piece, ...]:
        """Return what of a network is run by itself."""
        return network.exits if self is EXITS else (self.name,)

    @contextmanager
    def asked(self, network: Network) -> Iterator[tuple[Network, dict[str, Any]]]:
        """Yield what both sides are asked for, and what is added to the request.

        Raises:
            GreenPoseError: if there are no data to be read.
        """
        if self is EXITS:
            yield network, {}
        elif self is TRAIN:
            yield _first_run(network), {"work": "train", "images": most_images(network.config)}
        else:
            from greenpose.data.excerpt import excerpt

            with excerpt(network.config.data) as settings:
                yield _first_run(network), {"work": "data", "settings": settings}


EXITS = Work(name="exits", alike=shape_of, each="image")
TRAIN = Work(
    name="train",
    alike=training_of,
    each="image",
    counts={"forward_macs": "MACs", "backward_macs": "MACs", "peak_bytes": "bytes", "saved_bytes": "bytes"},
)
DATA = Work(name="data", alike=data_of, each="crop", counts={"images_decoded": "images", "bytes_read": "bytes"})
OF_TORCH = frozenset({"peak_bytes", "saved_bytes", OPERATIONS})
"""What is not compared where the minor versions of torch differ."""


def most_images(config: Experiment) -> int:
    """Return how many images a step has at most on both sides, so that a turn is short; the candidate's width tells."""
    width, height = config.data.input_size
    channels = config.model.width if isinstance(config.model, ModelConfig) else USUAL_WIDTH
    return max(FEWEST_IMAGES, ENOUGH // (width * height * channels**2))


def said_of(work: Work, network: Network, label: str, findings: Sequence[CheckFinding], batch: int) -> Iterator[str]:
    """Yield how much was done in a call, and of data how fast."""
    if work is TRAIN:
        usual = network.config.train.batch
        how = "as in the file" if batch == usual else f"not the {usual} of the file, so that turns are short"
        yield f"{label}train: counts are those of a step of {batch} images, {how}; images are noise"
    if work is DATA:
        yield f"{label}data: counts are those of {batch} crops: a few images read, and the batches of two epochs"
        speeds = [(one.base, one.head) for one in findings if one.metric == "cpu_s_per_crop"]
        yield from (
            f"{label}data: {1 / a:.3g} crops a second of CPU there, {1 / b:.3g} here" for a, b in speeds if a and b
        )


def counted_findings(
    work: Work, label: str, base: Mapping[str, Any], head: Mapping[str, Any]
) -> Iterator[CheckFinding]:
    """Yield what follows from what two sides say that they counted."""
    there, here = (side.get("counts", {}) for side in (base, head))
    for metric in work.counts:
        finding = CheckFinding(
            where=f"{label}{work.name}", metric=metric, way="exact", outcome="ok", says="", unit=_unit(work, metric)
        )
        if metric not in there or metric not in here:
            continue  # not every system tells
        outcome, says = of_counts(there[metric], here[metric], finding.unit, there="there")
        found = replace(finding, outcome=outcome, says=says, base=there[metric], head=here[metric])
        yield _of_one_torch(found, base, head)
    if "calls" in base and "calls" in head:
        calls: Outcome
        calls, says = of_calls(base["calls"], head["calls"], there="there")
        totals = [sum(side["calls"].values()) for side in (base, head)]
        yield _of_one_torch(
            CheckFinding(
                where=f"{label}{work.name}",
                metric=OPERATIONS,
                way="exact",
                outcome=calls,
                says=says,
                unit="calls",
                base=totals[0],
                head=totals[1],
            ),
            base,
            head,
        )


def _unit(work: Work, metric: str) -> str:
    return "B" if work.counts[metric] == "bytes" else work.counts[metric]


def _of_one_torch(finding: CheckFinding, base: Mapping[str, Any], head: Mapping[str, Any]) -> CheckFinding:
    """Return a finding, incomparable where it belongs to a torch that only one side has."""
    there, here = (minor(side["torch"]) for side in (base, head))
    if finding.metric not in OF_TORCH or there == here:
        return finding
    says = f"not compared: it belongs to torch {there} there and {here} here"
    return replace(finding, outcome="incomparable", says=says, head=None)


def _first_run(network: Network) -> Network:
    """Return the network with one of its runs: all do the same work."""
    return replace(network, only=network.only[:1])
