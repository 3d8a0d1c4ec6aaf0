"""Settings of one experiment: data, network, who teaches whom, how it is trained, measured and accounted for.

Defaults are what the paper's training really did, wherever the paper says or its code shows it (Cacciatore et al. 2025,
section 3 and the official configurations).
"""

import re
from math import isclose
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from greenpose.config.accounting import CarbonConfig, MeasureConfig
from greenpose.config.data import DataConfig, Seed
from greenpose.config.green import with_green_recipe
from greenpose.config.learning import LossConfig, ModelConfig, TrainConfig, WiringConfig, paper_weight
from greenpose.schema import NO_TRUTH, Document

NEAR = 0.05
"""How far a weight of distillation may lie from the paper's before somebody is told."""
NAME = r"^[A-Za-z0-9][A-Za-z0-9._+-]*$"
DEVICE = r"^(cpu|cuda(:\d{1,4})?)$"


def _named(name: str) -> str:
    if not re.match(NAME, name) or name.endswith("\n"):
        better = re.sub(r"[^A-Za-z0-9._+-]+", "_", name).strip("_.+-") or "mine"
        raise ValueError(
            f"{name!r} cannot name a folder: take letters, digits, . _ + and -, a letter or digit first, e.g. {better}"
        )
    return name


def _known_device(device: str) -> str:
    if not re.match(DEVICE, device) or device.endswith("\n"):
        raise ValueError(f"{device!r} is no device; write cpu, cuda or cuda:N")
    return device


Name = Annotated[
    str, StringConstraints(max_length=80), AfterValidator(_named), Field(json_schema_extra={"pattern": NAME})
]
"""A name that is also a folder's: letters, digits, `.`, `_`, `+`, `-`."""


class ProcessConfig(Document):
    """The process that trains and measures."""

    device: Annotated[str, AfterValidator(_known_device), Field(json_schema_extra={"pattern": DEVICE})] = "cpu"
    """`cpu`, `cuda` or `cuda:N`."""
    threads: Annotated[int, Field(ge=1, le=1024), NO_TRUTH] = 1
    """Threads of torch and OpenMP; one is the most repeatable."""
    replicas: Annotated[int, Field(ge=1, le=1024), NO_TRUTH] = 1
    """Processes that train together on this machine, each with a part of every batch and, from `device` on, a GPU of
    its own; `torchrun` sets it. Test and inference are the first one's alone."""


class Experiment(Document):
    """One run's complete description."""

    name: Name
    """Name of the experiment."""
    seed: Seed = 1
    """Seed of initial weights, of the order of batches, and of what is mirrored."""
    data: DataConfig = DataConfig()
    """Images, joints, crops."""
    model: ModelConfig = ModelConfig()
    """The network."""
    wiring: WiringConfig = WiringConfig()
    """Teachers, students, supervision."""
    loss: LossConfig = LossConfig()
    """Loss weights and conventions."""
    train: TrainConfig = TrainConfig()
    """The recipe."""
    measure: MeasureConfig = MeasureConfig()
    """Metering of inference."""
    carbon: CarbonConfig
    """Place and building."""
    process: ProcessConfig = ProcessConfig()
    """Device and threads."""

    @model_validator(mode="before")
    @classmethod
    def _green(cls, given: Any) -> Any:
        return with_green_recipe(given)

    @model_validator(mode="after")
    def _wiring_fits_network(self) -> "Experiment":
        exits = sorted(self.model.exits)
        have = "this network has exits " + ", ".join(map(str, exits))
        for index, edge in enumerate(self.wiring.edges):
            for exit_ in edge:
                if exit_ not in exits:
                    raise ValueError(f"wiring.teach[{index}]: exit {exit_} does not exist; {have}")
        for index, exit_ in enumerate(self.supervised):
            if exit_ not in exits:
                raise ValueError(f"wiring.supervise[{index}]: exit {exit_} does not exist; {have}")
        return self

    @model_validator(mode="after")
    def _weight_of_distillation(self) -> "Experiment":
        if self.loss.kd_weight == "auto":
            if self.wiring.teach and self.loss.normalise == "keypoints":
                raise ValueError(
                    "loss.kd_weight: auto follows the size of heatmaps, which normalise: keypoints leaves out; write a"
                    " number: 2000 x keypoints / 3072 is as strong as the paper's"
                )
            weight = paper_weight(self.data.heatmap_size)
            self.__dict__["loss"] = self.loss.model_copy(update={"kd_weight": weight})
        return self

    @model_validator(mode="after")
    def _every_exit_learns(self) -> "Experiment":
        exits, loss = sorted(self.model.exits), self.loss
        weights = {exit_: "teacher_weight" if exit_ == exits[-1] else "ds_weight" for exit_ in exits}
        learning = {exit_ for exit_ in self.supervised if getattr(loss, weights[exit_])}
        for _ in exits:  # a chain of teachers is no longer
            learning |= {student for teacher, student in self.wiring.edges if teacher in learning and loss.kd_weight}
        for exit_ in exits:
            if exit_ not in learning:
                naught = {weights[exit_]} if exit_ in self.supervised else set()
                naught |= {"kd_weight"} if exit_ in {student for _, student in self.wiring.edges} else set()
                zeros = [f"loss.{name}" for name in sorted(naught) if not getattr(loss, name)]
                why = f", since {' and '.join(zeros)} {'is' if len(zeros) == 1 else 'are'} 0" if zeros else ""
                have = "this network has exits " + ", ".join(map(str, exits))
                raise ValueError(
                    f"wiring: exit {exit_} learns nothing{why}; supervise it or let an exit teach it ({have})"
                )
        if self.train.grow and not loss.teacher_weight:
            raise ValueError(
                "train.grow: an exit that is the last one for a while learns nothing, since loss.teacher_weight is 0"
            )
        return self

    @model_validator(mode="after")
    def _grows_towards_the_last_exit(self) -> "Experiment":
        *shallow, final = sorted(self.model.exits)
        for exit_ in self.train.grow:
            if exit_ not in shallow:
                have = ", ".join(map(str, shallow)) or "none"
                raise ValueError(f"train.grow: exit {exit_} is not one before the last, {final}; those are: {have}")
        parts = [self.train.grow[exit_] for exit_ in sorted(self.train.grow)]
        if parts != sorted(set(parts)):
            raise ValueError(f"train.grow: parts must rise from exit to exit, e.g. {{2: 0.3, 3: 0.5}}, not {parts}")
        return self

    @model_validator(mode="after")
    def _an_image_each(self) -> "Experiment":
        if self.train.batch < self.process.replicas:
            raise ValueError(
                f"process.replicas: a batch of {self.train.batch} has no image for each of {self.process.replicas}"
                " processes; enlarge train.batch, or take fewer"
            )
        return self

    @property
    def doubts(self) -> list[str]:
        """Return what is allowed and hardly meant, each as a sentence that begins with its setting."""
        width, height = self.data.heatmap_size
        balanced, weight = paper_weight((width, height)), self.loss.kd_weight
        if not self.wiring.teach or self.loss.normalise != "pixels" or balanced == paper_weight((48, 64)):
            return []
        if isclose(float(weight), balanced, rel_tol=NEAR):
            return []
        return [
            f"loss.kd_weight is {weight:g} on heatmaps of {width}x{height}, where {balanced:.3g} weighs as much as the"
            " paper's 2000 on 48x64; auto gives that"
        ]

    @property
    def supervised(self) -> tuple[int, ...]:
        """Return the exits that see labels."""
        return self.wiring.supervise if self.wiring.supervise is not None else (max(self.model.exits),)
