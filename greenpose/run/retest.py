"""A finished run judged anew: its exits' heatmaps decoded otherwise, on the same patients, and nothing trained."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from greenpose.config import Experiment
from greenpose.config.experiment import Decode
from greenpose.data.boxes import load_boxes
from greenpose.data.splits import annotations_sha256, check_annotations, load_splits
from greenpose.run.measure import trained_networks
from greenpose.run.setup import build_network, require_device, seed_everything
from greenpose.store import RunFolder
from greenpose.training.evaluate import oks, oks_change, predict_each, resampled

CUT_OTHERWISE = "udp"
"""Its crops are not those of the other decodings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retested:
    """One exit, judged by the decoding that its run was trained and tested with, and by another one."""

    exit: int
    """The exit."""
    before: float
    """AP as the run decodes, as a fraction."""
    after: float
    """AP as was asked for, likewise."""
    interval: tuple[float, float]
    """Of after less before: 95 %, paired over the same resampled groups; nan where there is a single one."""
    unit: str
    """What was resampled: `patients` or `images`."""
    groups: int
    """How many of them there are."""


def undecodable(config: Experiment, decode: Decode, *, source: str) -> str:
    """Return why a run cannot be judged anew by a decoding: it was already, or other crops were; empty if it can."""
    have = config.data.decode
    if have == decode:
        return f"--decode {decode}: {source} is decoded so already; its record says what that is worth"
    if CUT_OTHERWISE in (have, decode):
        return (
            f"--decode {decode}: {source} was trained with data.decode={have}, and crops of {CUT_OTHERWISE} are cut"
            f" otherwise; only quarter and dark share theirs: train anew with --set data.decode={decode}"
        )
    return ""


def retest(config: Experiment, folder: RunFolder, exits: Sequence[int], decode: Decode) -> list[Retested]:
    """Return what each exit of a finished run is worth by its own decoding and by another one of the same heatmaps.

    Its record stays as it is. AP is judged in detected boxes where the run's was.

    Raises:
        GreenPoseError: weights or data cannot be read, or are not those of the run.
    """
    require_device(config.process.device)
    seed_everything(config)
    check_annotations(
        folder.read_cell().get("annotations_sha256", {}), annotations_sha256(config.data), where=str(folder.path)
    )
    samples = load_splits(config.data, only=["test"])["test"]
    detected = load_boxes(config.data, samples)
    boxes = samples if detected is None else detected.samples
    unit, groups = resampled(samples, boxes)
    framings = [boxes.framing, replace(boxes.framing, decode=decode)]
    judged = []
    for exit_, net in trained_networks(build_network(config)[0], folder, exits).items():
        before, after = (found[exit_] for found in predict_each(net, boxes, framings, batch=config.train.batch))
        judged.append(
            Retested(
                exit=exit_,
                before=oks(boxes, before)["ap"],
                after=oks(boxes, after)["ap"],
                interval=oks_change(boxes, before, after, groups)["ap"],
                unit=unit,
                groups=len({*groups.values()}),
            )
        )
    return judged
