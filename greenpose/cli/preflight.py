"""What can be refused before anything is trained: unknown places, unreadable data, weights that are not there."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from greenpose.config import DataConfig, Experiment, ProcessConfig
from greenpose.errors import FaultsError, GreenPoseError

if TYPE_CHECKING:
    from greenpose.grid import Planned

CHECKED = ("carbon", "data", "model", "process", "train")
"""Sections of an experiment that are looked at; experiments that agree in them need one look."""


def faults_of(config: Experiment, *, images: bool = True) -> list[str]:
    """Return every fault that would stop the experiment later, each with the setting that it belongs to.

    Without `images`, for work that needs none, only the profile of the data is looked at.
    """
    checks: dict[str, Callable[[], object]] = {
        f"carbon.{_grid(config)}": lambda: _place(config),
        "data": lambda: _data(config.data) if images else _profile(config.data),
        "model.weights": lambda: _weights(config),
        "process.device": lambda: _device(config.process),
        "train.mirror": lambda: _mirror(config),
        "train.precision": lambda: _precision(config),
    }
    faults: list[str] = []
    for setting, check in checks.items():
        try:
            check()
        except FaultsError as error:
            faults += [f"{setting}: {fault}" for fault in error.faults]
        except GreenPoseError as error:
            faults.append(f"{setting}: {error}")
    return faults


def relabelled(planned: Sequence["Planned"]) -> list[str]:
    """Return which runs, finished or begun, have learnt from other annotations than those that lie there now."""
    from greenpose.data.splits import annotations_sha256, check_annotations

    faults: list[str] = []
    for one in planned:
        if one.cell.config.data.source == "synthetic" or one.damage or not one.folder.config.exists():
            continue
        before = one.folder.read_cell().get("annotations_sha256", {})
        try:
            check_annotations(before, annotations_sha256(one.cell.config.data), where=str(one.folder.path))
        except FaultsError as error:
            faults += error.faults
    return faults


def _grid(config: Experiment) -> str:
    """Return the setting that says where the electricity comes from."""
    return "hourly" if config.carbon.hourly is not None else "country"


def _place(config: Experiment) -> None:
    from greenpose.metering import carbon_of

    carbon_of(**config.carbon.model_dump())


def _data(config: DataConfig) -> None:
    from greenpose.data import load_profile
    from greenpose.data.splits import check_joints, inspect_splits

    check_joints(config, load_profile(config.profile))
    if config.source == "coco":
        inspect_splits(config)


def _profile(config: DataConfig) -> None:
    from greenpose.data import load_profile

    load_profile(config.profile)


def _weights(config: Experiment) -> None:
    path = config.model.weights
    if path is None:
        return
    if not Path(path).is_file():
        raise GreenPoseError(f"{path}: no such file; give pretrained weights, or null to start from random ones")
    from greenpose.counting import architecture_of
    from greenpose.counting.counts import blank_network
    from greenpose.run.setup import fill

    fill(blank_network(architecture_of(config)), config.model)


def _device(process: ProcessConfig) -> None:
    if process.device.startswith("cuda"):
        from greenpose.run import require_device

        require_device(process.device, process.replicas)


def _mirror(config: Experiment) -> None:
    from greenpose.data import load_profile
    from greenpose.data.crops import other_sides

    if config.train.mirror:
        other_sides(load_profile(config.data.profile))


def _precision(config: Experiment) -> None:
    if config.train.precision != "float32":
        from greenpose.training.step import require_precision

        require_precision(config.train.precision, config.process.device)
