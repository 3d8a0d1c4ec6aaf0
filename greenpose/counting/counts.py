"""The counts of each exit: parameters, MACs, peak memory of the smallest network that has it; of a training step."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from greenpose.config import Experiment
from greenpose.counting.census import Census, census
from greenpose.counting.counters import run_counters
from greenpose.counting.memory import activation_bytes, peak_bytes
from greenpose.counting.operations import operations
from greenpose.data import load_profile
from greenpose.model import SIZE_MULTIPLE, Architecture, HRNet, PoseNetwork, check_input_size

INPUT_SIZE = (192, 256)
"""Width and height of the paper's images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitCount:
    """The cost of one exit, for one image."""

    exit: int
    """The exit."""
    params: int
    """Parameters of the smallest network with this exit."""
    macs: int
    """Multiply-accumulates of its convolutions: the headline figure."""
    macs_by_counter: Mapping[str, int]
    """Multiply-accumulates as each counter has them; see `FORMULAE`."""
    activation_bytes: int
    """What training keeps for the backward pass."""
    peak_bytes: int
    """The most that is alive at once during inference, without weights."""
    operations: Mapping[str, int]
    """Calls of each of torch's operators during inference, by name."""
    census: Census
    """What the counters' figures are made of."""


def count(
    subject: PoseNetwork | Architecture | Experiment, input_size: tuple[int, int] | None = None
) -> dict[int, ExitCount]:
    """Return what each exit of a network, shape or experiment costs, by exit; the subject is only looked at.

    `input_size` is (width, height), by default the experiment's, else the paper's 192 x 256. Everything is counted on
    the smallest image and multiplied by the area, which is exact: the network is convolutional, and its sizes are
    multiples of 32.

    Raises:
        ModelError: an input side is no multiple of 32.
        CountingError: a counter failed.
        ConfigError: the experiment's profile is unknown.
    """
    own_size = subject.data.input_size if isinstance(subject, Experiment) else INPUT_SIZE
    architecture = architecture_of(subject)
    tiles = num_tiles(input_size or own_size)
    with one_thread():
        return {number: _count_exit(architecture.only(number), tiles) for number in architecture.exits}


def architecture_of(subject: PoseNetwork | Architecture | Experiment) -> Architecture:
    """Return the shape of a network, or of the network that an experiment asks for.

    Raises:
        ConfigError: the experiment's profile, which says how many keypoints there are, is unknown.
    """
    if isinstance(subject, Architecture):
        return subject
    if isinstance(subject, PoseNetwork):
        return subject.architecture
    return Architecture(
        width=subject.model.width,
        num_joints=load_profile(subject.data.profile).num_keypoints,
        exits=tuple(sorted(subject.model.exits)),
        stem_width=subject.model.stem_width,
        modules=subject.model.modules,
        blocks=subject.model.blocks,
    )


def num_tiles(input_size: tuple[int, int]) -> int:
    """Return how many smallest images have the area of one of (width, height).

    Raises:
        ModelError: a side is no multiple of 32.
    """
    width, height = input_size
    check_input_size(width, height)
    return (width // SIZE_MULTIPLE) * (height // SIZE_MULTIPLE)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: on the smallest images, threads cost more than they bring."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def smallest_image() -> Tensor:
    """Return a batch of one image of the smallest size."""
    return torch.zeros(1, 3, SIZE_MULTIPLE, SIZE_MULTIPLE)


def blank_network(architecture: Architecture) -> HRNet:
    """Return a network of zeros in eval mode; no random number is drawn."""
    with torch.device("meta"):
        net = HRNet(**asdict(architecture))
    net = net.to_empty(device="cpu").eval()
    with torch.no_grad():
        for entry in net.state_dict().values():
            entry.zero_()
    return net


def num_params(net: nn.Module) -> int:
    """Return the number of parameters; quantised modules keep theirs where torch does not list them."""
    listed = {id(entry) for entry in (*net.parameters(), *net.buffers())}
    kept = [leaf for leaf in tree_leaves(net.state_dict(keep_vars=True)) if isinstance(leaf, Tensor) and leaf.ndim]
    packed = (leaf.numel() for leaf in kept if id(leaf) not in listed)
    return sum(parameter.numel() for parameter in net.parameters()) + sum(packed)


def _count_exit(architecture: Architecture, tiles: int) -> ExitCount:
    net, image = blank_network(architecture), smallest_image()
    macs_by_counter = {name: macs * tiles for name, macs in run_counters(net, image).items()}
    return ExitCount(
        exit=architecture.exits[-1],
        params=num_params(net),
        macs=macs_by_counter["torch"],
        macs_by_counter=macs_by_counter,
        activation_bytes=activation_bytes(net, image) * tiles,
        peak_bytes=peak_bytes(net, image) * tiles,
        operations=operations(net, image),
        census=census(net, image) * tiles,
    )
