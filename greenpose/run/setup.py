"""From a configuration to the things a run works with: device, network, objective, meter; and what surrounds them."""

import os
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import cv2
import torch

import greenpose
from greenpose.config import Experiment, ModelConfig, OwnNetworkConfig
from greenpose.counting import architecture_of
from greenpose.errors import GreenPoseError, ModelError
from greenpose.files import ask_git, commit_of
from greenpose.losses import Objective
from greenpose.metering import Meter, carbon_of, meter, process_settings, software_versions, this_machine
from greenpose.model import LoadReport, Network, build, initialise, load_weights
from greenpose.model.own import package_version
from greenpose.run.measure_bf16 import why_float32

FILLED = 0.9
"""Least part of the tensors before the heads that pretrained weights are to fill."""
NetworkT = TypeVar("NetworkT", bound=torch.nn.Module)


def require_device(device: str, replicas: int = 1) -> None:
    """Refuse a device that is not there, or too few from it on for all processes that train together.

    Raises:
        GreenPoseError: if torch sees no such device.
    """
    wanted = gpus_of(device, replicas)
    if wanted:
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if wanted[-1] >= count:
            what = device if replicas == 1 else f"{device} with {replicas} replicas"
            raise GreenPoseError(f"{what}: torch sees {count} CUDA devices here; choose cpu, or look at the driver")


def two_passes(config: Experiment) -> list[str]:
    """Return why what computes each image once does not take a run that was tested otherwise; empty for others."""
    if not config.test.flip:
        return []
    return [
        "test.flip: the run was tested with mirrored images, and this computes each image once, for which its accuracy"
        " and costs do not hold; run it with --set test.flip=false, which takes over its training, and take that run"
    ]


def seed_everything(config: Experiment) -> None:
    """Make the run repeatable: seeds, threads, deterministic algorithms."""
    torch.set_num_threads(config.process.threads)
    cv2.setNumThreads(config.process.threads)
    torch.manual_seed(config.seed)
    # What torch.use_deterministic_algorithms does, less its compiler, which takes two seconds to load.
    torch.set_deterministic_debug_mode("error" if config.process.device == "cpu" else "default")


def build_network(config: Experiment) -> tuple[Network, LoadReport | None]:
    """Return the network on its device, and what was loaded into it where weights are given.

    Raises:
        ModelError: if the weights cannot be read, or fill too little of the network; or one's own cannot be built.
    """
    net = build(architecture_of(config))
    if isinstance(config.model, ModelConfig):
        initialise(net, config.model.init)
    report = fill(net, config.model)
    return channels_last(net.to(config.process.device)), report


def fill(net: Network, model: ModelConfig | OwnNetworkConfig) -> LoadReport | None:
    """Return what was loaded into a network in place; None where no weights are given.

    Raises:
        ModelError: if the weights cannot be read, or fill too little of the network.
    """
    if model.weights is None:
        return None
    report = load_weights(net, model.weights)
    filled, whole = report.trunk
    if filled < FILLED * whole and not model.partial:
        where, shape = "", f"of {getattr(model, 'factory', '')}"
        if isinstance(model, ModelConfig):
            where, shape = " before the heads", f"(model.width {model.width}, model.modules {list(model.modules)})"
        said = (
            f"{model.weights}: fills {filled} of the {whole} tensors{where} ({filled / whole:.0%}), and the"
            f" others would stay random ({report}); give weights of this shape {shape}, or say that it is meant:"
            " model.partial=true"
        )
        raise ModelError([said])
    return report


def channels_last(net: NetworkT) -> NetworkT:
    """Return the network with the layout that convolutions on CPUs and tensor cores are fastest with."""
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # torch's stubs lack it


def build_objective(config: Experiment) -> Objective:
    """Return the loss that the wiring describes."""
    return Objective(config.wired, config.loss)


def build_meter(config: Experiment, log: Path | None = None, *, replicas: int = 1) -> Meter:
    """Return the meter of a configuration's device and place, which appends every window to the log if there is one.

    The GPUs of all `replicas` count, also while only the first one is at work.
    """
    device = config.process.device
    return meter(
        country=config.carbon.country,
        carbon=carbon_of(**config.carbon.model_dump()),
        log=log,
        synchronize=partial(torch.cuda.synchronize, device) if device.startswith("cuda") else None,
        workers=num_workers(),
        gpus=gpus_of(device, replicas),
    )


def surroundings(config: Experiment) -> dict[str, Any]:
    """Return machine, process, software and commit of this process, as documents have them."""
    process = process_settings(torch_threads=torch.get_num_threads(), workers=num_workers())
    if config.measure.precision == "auto" and (why := why_float32(config)):
        process["measure_precision"] = f"float32: {why}"
    return {
        "host": this_machine().as_dict(),
        "process": process | {"device": config.process.device},
        "software": software_versions() | _package(config),
        "git": git_state(),
    }


def _package(config: Experiment) -> dict[str, str]:
    return package_version(config.model) if isinstance(config.model, OwnNetworkConfig) else {}


def git_state() -> dict[str, Any]:
    """Return the commit and dirty flag of the code, where it is tracked in a git checkout; else nothing."""
    here = Path(greenpose.__file__).parent
    # An installed package may lie inside somebody else's repository: their commit would say nothing of our code.
    tracked = ask_git(here, "ls-files", "--error-unmatch", "__init__.py", timeout_s=10)
    return commit_of(here) if tracked is not None and tracked.returncode == 0 else {}


def gpus_of(device: str, replicas: int = 1) -> tuple[int, ...]:
    """Return the GPUs that a run uses, as CUDA numbers them; none for `cpu`: it does not pay for those beside it."""
    kind, _, index = device.partition(":")
    first = int(index or 0)
    return tuple(range(first, first + replicas)) if kind == "cuda" else ()


def num_workers() -> int:
    """Return how many runs share the machine with this one, itself included, as the grid told it."""
    return max(1, int(os.environ.get("GREENPOSE_WORKERS", "1")))
