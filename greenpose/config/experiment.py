"""One experiment: the data, the network, who teaches whom, how it is trained, measured and accounted for.

Defaults are what the paper's training really did, wherever the paper says or its code shows it (Cacciatore et al. 2025,
section 3 and the official configurations).
"""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from greenpose.config.accounting import CarbonConfig, MeasureConfig
from greenpose.config.data import DataConfig, Seed
from greenpose.config.green import with_green_recipe
from greenpose.config.learning import LossConfig, ModelConfig, TrainConfig, WiringConfig
from greenpose.schema import NO_TRUTH, Document

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
        taught = {student for _, student in self.wiring.edges}
        idle = [exit_ for exit_ in exits if exit_ not in taught and exit_ not in self.supervised]
        if idle:
            raise ValueError(f"wiring: exit {idle[0]} learns nothing; supervise it or let an exit teach it ({have})")
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
    def supervised(self) -> tuple[int, ...]:
        """Return the exits that see labels."""
        return self.wiring.supervise if self.wiring.supervise is not None else (max(self.model.exits),)
