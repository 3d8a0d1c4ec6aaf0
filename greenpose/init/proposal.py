"""The experiment proposed for a data set: input from its boxes, batch from memory, epochs from a calibration."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from greenpose.config import Experiment, expand
from greenpose.config.grid import Cell, grid_of_one
from greenpose.config.profile import Profile
from greenpose.data.crops import PADDING
from greenpose.data.instances import Instance
from greenpose.errors import ConfigError
from greenpose.schema import parsed

if TYPE_CHECKING:
    from greenpose.run.estimate import GridEstimate, RunEstimate

SIDES = (64, 96, 128, 160, 192, 224, 256)
"""Sides of an input that is proposed; 256 is the longer one of the paper's."""
MIXED = 0.2
"""Part of the boxes that are upright, and that are not, from which on a square fits them best; assumed."""
NETWORKS: Mapping[str, tuple[Mapping[str, Any], float]] = {
    "HRNet-W32": ({"exits": [3, 4], "width": 32}, 7.5e-4),
    "HRNet-W16 of one block a branch": (
        {"exits": [3, 4], "width": 16, "stem_width": 16, "modules": [1, 3, 2], "blocks": 1},
        2.0e-3,
    ),
}
"""Networks that are proposed, the paper's first, with the learning rates of the paper and of the quick grid."""
BATCHES = (32, 16, 8, 4, 2)
"""Images a step, the paper's first."""
LEAST_BATCH = 4
"""Fewer images than this make a poor step: the norms' means are of one step's images."""
LEAST_STEPS = 4
"""Steps that an epoch is to have, where there are so few images."""
MEMORY = 0.5
"""Part of the memory that is free which training may take."""
STATES = 4
"""Copies of the weights that training holds: they, their gradients, and Adam's two moments; float32."""
FULL_NETWORK = 500
"""Training images from which on the paper's network is tried: fewer teach a smaller one as well; assumed."""
STEPS = 2000
"""Steps that are wanted of a small data set; assumed."""
EPOCHS = (60, 210)
"""Least and most epochs that are wanted: the paper's, and those of HRNet on COCO (Sun et al. 2019)."""
FEWER = (1.0, 0.75, 0.5, 0.35, 0.25, 0.15, 0.1, 0.05)
"""Parts of them that are tried where all take too long."""
ENOUGH = 0.5
"""Part of the wanted epochs that the larger network must get before it is proposed."""
MILESTONES = (0.5, 0.83)
"""Parts of the epochs after which the learning rate falls: the paper's 30 and 50 of 60."""
VALIDATIONS = 30
"""Validations of a training, about: each costs a pass over the validation images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What an experiment is proposed for, beside the labels."""

    hours: float
    """Longest training that is proposed."""
    seconds: float
    """Time for trial steps."""
    device: str
    """`cpu` or `cuda`."""
    country: str | None
    """Code of the electricity grid; None where nobody has said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """An experiment, why it is so, and what it will take."""

    experiment: Experiment
    """With a stand-in for the carbon intensity where no country is known."""
    reasons: Mapping[str, str]
    """Why, by dotted key."""
    forecast: "GridEstimate"
    """Of this one run."""


def propose_input(instances: Sequence[Instance]) -> tuple[tuple[int, int], str]:
    """Return the width and height of the network's input that fit the boxes, and why.

    The longer side is the least that loses no pixel of the median crop, at most 256; the other one follows the boxes'
    median shape. Subjects that lie this way and that get a square.
    """
    sides = np.array([instance.box[2:] for instance in instances if not instance.crowd])
    width, height = np.median(sides, axis=0)
    upright, aspect, lying = np.quantile(sides[:, 0] / sides[:, 1], (MIXED, 0.5, 1 - MIXED)).tolist()
    mixed = upright < 1 < lying
    aspect = 1.0 if mixed else aspect
    longer = next((side for side in SIDES if side >= PADDING * max(width, height)), SIDES[-1])
    other = min(SIDES, key=lambda side: abs(math.log(side / (longer * min(aspect, 1 / aspect)))))
    size = (longer, other) if aspect > 1 else (other, longer)
    shape = "they lie this way and that, so that it is a square" if mixed else "it has their usual shape"
    why = f"Half of the boxes are below {width:.0f} x {height:.0f} pixels, a crop is {PADDING} times as large"
    return size, f"{why}; {shape}. Sides are multiples of 32, the longer one at most {SIDES[-1]}."


def memory_free(device: str) -> int:
    """Return the bytes that are free on a device."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def propose_batch(experiment: Experiment, *, free: int, images: int) -> tuple[int, str] | None:
    """Return how many images a step should have, and why; None where not even two fit into memory."""
    from greenpose.counting import architecture_of
    from greenpose.counting.counts import activation_bytes, blank_network, num_params, num_tiles, smallest_image

    net = blank_network(architecture_of(experiment))
    each = activation_bytes(net, smallest_image()) * num_tiles(experiment.data.input_size)
    states = STATES * 4 * num_params(net)
    few = max(LEAST_BATCH, images // LEAST_STEPS)
    fitting = [batch for batch in BATCHES if states + batch * each <= MEMORY * free]
    if not fitting:
        return None
    batch = next((batch for batch in fitting if batch <= few), fitting[-1])
    need = (states + batch * each) / 1e9
    why = f"A step keeps {each / 1e6:.0f} MB an image; {batch} take about {need:.2g} GB of {free / 1e9:.2g} GB free"
    fewer = f"; more would leave too few steps in an epoch of {images} images." if batch < fitting[0] else "."
    return batch, why + fewer


def propose(
    data: Mapping[str, Any], profile: Profile, *, name: str, counts: Mapping[str, int], given: Circumstances, tell: Any
) -> Proposal:
    """Return the experiment for data as they lie there, after trial steps of the networks that fit into memory.

    Raises:
        ConfigError: no network fits into memory.
    """
    from greenpose.run.estimate import estimate

    free, images = memory_free(given.device), counts["train"]
    reasons: dict[str, dict[str, str]] = {}
    cells: dict[str, list[Cell]] = {}
    for network in NETWORKS if images >= FULL_NETWORK else list(NETWORKS)[-1:]:
        batch = propose_batch(_experiment(data, profile, name, network, 1, 2, given), free=free, images=images)
        if batch is None:
            continue
        reasons[network] = {"train.batch": batch[1]}
        wanted = wanted_epochs(images, batch[0])
        ladder = dict.fromkeys(max(1, round(wanted * part)) for part in FEWER)
        tried = [_experiment(data, profile, name, network, epochs, batch[0], given) for epochs in ladder]
        cells[network] = [expand(grid_of_one(one), where="init")[0] for one in tried]
    if not cells:
        raise ConfigError(
            [f"{free / 1e9:.2g} GB of memory are free, in which no network that is proposed can be trained"]
        )
    found = estimate([cell for its in cells.values() for cell in its], seconds=given.seconds, on_progress=tell)
    runs = iter(found.runs)
    by_network = {network: [next(runs) for _ in its] for network, its in cells.items()}
    network, run = _chosen(by_network, given.hours * 3600)
    if not run.is_measured:
        found = estimate([run.cell], seconds=given.seconds, on_progress=tell)
        run = found.runs[0]
    forecast = replace(found, runs=(run,), training=run.training, whole=run.whole, setups=1, measured=1)
    why = reasons[network] | _reasons(by_network[network][0], run, given)
    why["model"] = f"{network}, read after stages 3 and 4{_why_not_larger(network, by_network, images, given)}."
    return Proposal(experiment=run.cell.config, reasons=why, forecast=forecast)


def wanted_epochs(images: int, batch: int) -> int:
    """Return the epochs that make the steps wanted, at least the paper's."""
    least, most = EPOCHS
    return min(most, max(least, math.ceil(STEPS / math.ceil(images / batch))))


def _experiment(
    data: Mapping[str, Any], profile: Profile, name: str, network: str, epochs: int, batch: int, given: Circumstances
) -> Experiment:
    model, lr = NETWORKS[network]
    every = max(1, round(epochs / VALIDATIONS))
    settings = {
        "name": name,
        "data": {"source": "coco", "profile": profile, **data},
        "model": model,
        "wiring": {"teach": ["4->3"], "supervise": [3, 4]},
        "train": {
            "epochs": epochs,
            "batch": batch,
            "lr": lr,
            "milestones": sorted({max(1, round(epochs * part)) for part in MILESTONES}),
            "validate_every": every,
            "patience": math.ceil(epochs / every),
        },
        "measure": {"max_seconds": 20},
        "carbon": {"country": given.country} if given.country else {"intensity_g_per_kwh": 1.0, "label": "not known"},
        "process": {"device": given.device},
    }
    return parsed(Experiment, settings, where="init", error=ConfigError)


def _chosen(runs: Mapping[str, Sequence["RunEstimate"]], limit: float) -> tuple[str, "RunEstimate"]:
    """Return the first network that gets enough epochs within a time, and its longest training there; or the last."""
    for network, its in runs.items():
        wanted = its[0].cell.config.train.epochs
        within = [run for run in its if run.training["seconds"].known <= limit]
        if within and within[0].cell.config.train.epochs >= ENOUGH * wanted:
            return network, within[0]
    network = list(runs)[-1]
    its = runs[network]
    return network, next((run for run in its if run.training["seconds"].known <= limit), its[-1])


def _why_not_larger(network: str, tried: Collection[str], images: int, given: Circumstances) -> str:
    """Return why the paper's network is not proposed; nothing where it is."""
    larger = next(iter(NETWORKS))
    if network == larger:
        return ""
    if images < FULL_NETWORK:
        return f": {images} images teach it as well as the paper's {larger}, which is tried from {FULL_NETWORK} on"
    if larger not in tried:
        return f": training the paper's {larger} does not fit into memory"
    return f": the paper's {larger} would get less than half of its epochs in {given.hours:g} h (--hours)"


def _reasons(longest: "RunEstimate", run: "RunEstimate", given: Circumstances) -> dict[str, str]:
    hours, wanted = f"{given.hours:g} h (--hours)", longest.cell.config.train.epochs
    epochs = run.cell.config.train.epochs
    fewer = f"; {wanted} were wanted, for {STEPS} steps or the paper's epochs" if epochs < wanted else ""
    minutes = run.training["seconds"].known / 60
    kept = f"at most {hours}" if minutes <= 60 * given.hours else f"the fewest that are proposed: {hours} are too few"
    return {
        "wiring": "Both exits see the labels, and 4 teaches 3: the paper's HRNet4-OKD-DS.",
        "train.epochs": f"By trial steps here and now they take about {minutes:.2g} min, {kept}{fewer}.",
        "train.patience": "Never stopped early, as the rate falls late; fewer may end a training before that.",
        "measure": "Seconds in which the inference of both exits is metered.",
        "process.device": "One thread is the most repeatable; more are faster: process.threads.",
    }
