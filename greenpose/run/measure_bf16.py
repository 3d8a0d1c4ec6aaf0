"""Exits in bfloat16, where they will run in it: they take turns with those in float32, and are judged beside them."""

from collections.abc import Mapping

from greenpose.config import Experiment, OwnNetworkConfig
from greenpose.data import Samples
from greenpose.errors import GreenPoseError
from greenpose.ledger.costs import SHARE, cost_quantities
from greenpose.metering import CarbonAccounting, ExitMeasurement
from greenpose.model import ExitNetwork, InBfloat16
from greenpose.quantity import Kind, Quantity
from greenpose.record import ExitInBf16, basis_of, with_bases
from greenpose.training import ExitPredictions, ExitScores, judge
from greenpose.training.evaluate import oks_change, predict, resampled
from greenpose.training.precision import lacks_units

COSTS = ("latency_s", "cpu_s_per_image", "energy_j_per_image", "co2eq_g_per_1000_images")
"""What a record says of an image in bfloat16."""
BESIDE = "relative_to_float32."
"""What the names of numbers over those in float32 begin with."""
JudgedInBf16 = tuple[ExitScores, tuple[float, float]]
"""Accuracy of an exit in bfloat16, and the interval of what it gains in AP over float32, paired over patients."""


def why_float32(config: Experiment) -> str:
    """Return in words why exits cannot be measured in bfloat16 here; empty where they can."""
    if isinstance(config.model, OwnNetworkConfig):
        return "nobody here knows whether the layers of a network of one's own bear rounded weights"
    return lacks_units(config.process.device)


def require_measurable(config: Experiment) -> None:
    """Refuse an experiment whose exits are to be measured in bfloat16, and cannot be.

    Raises:
        GreenPoseError: saying why.
    """
    if config.measure.precision == "bf16" and (why := why_float32(config)):
        raise GreenPoseError(f"bf16: {why}; choose float32, or auto")


def in_bf16(subs: Mapping[int, ExitNetwork], config: Experiment) -> dict[int, InBfloat16]:
    """Return the exits that are measured in bfloat16 too: all, or none where float32 is asked for or all there is."""
    if config.measure.precision == "float32" or why_float32(config):
        return {}
    return {exit_: InBfloat16(sub) for exit_, sub in subs.items()}


def judge_in_bf16(
    net: InBfloat16,
    sub: ExitNetwork,
    found: ExitPredictions,
    samples: Samples,
    boxes: Samples | None,
    config: Experiment,
) -> JudgedInBf16:
    """Return how accurate an exit is in bfloat16; `found` is what `sub`, the same in float32, says of the samples."""
    batch, flip = config.train.batch, config.test.flip
    scores, now = judge(net, samples, boxes, batch=batch, flip=flip)
    was, where = found, samples
    if boxes is not None:
        was, now = (predict(each, boxes, batch=batch, flip=flip)[sub.exit] for each in (sub, net))
        where = boxes
    return scores, oks_change(where, was, now, resampled(samples, where)[1])["ap"]


def entry_in_bf16(
    measured: ExitMeasurement, *, kind: Kind, carbon: CarbonAccounting, accuracy: Mapping[str, Quantity]
) -> ExitInBf16:
    """Return what a record says of an exit in bfloat16; ratios of `measured` are to the same exit in float32."""
    costs = cost_quantities(measured, kind=kind, carbon=carbon, what="truncated network in bfloat16")
    shares = {name.removeprefix(SHARE): each for name, each in costs.items() if name.startswith(SHARE)}
    fields = with_bases({**accuracy, **{name: costs[name] for name in COSTS}})
    return ExitInBf16(
        relative_to_float32={name: each.known for name, each in shares.items()},
        **fields | {"basis": fields["basis"] | {BESIDE + name: basis_of(each) for name, each in shares.items()}},
    )
