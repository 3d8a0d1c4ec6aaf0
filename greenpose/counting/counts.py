"""The counts of each exit: parameters, MACs, peak memory of the smallest network that has it; of a training step."""

import contextlib
import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._pytree import tree_leaves, tree_map

from greenpose.config import Experiment, HRNetConfig, OwnNetworkConfig
from greenpose.counting.counters import (
    FORMULAE,
    Census,
    CountingError,
    Tally,
    conv_flops,
    operations,
    run_counters,
    tally,
)
from greenpose.counting.macs import count_macs
from greenpose.data import load_profile
from greenpose.metrics import moved_by
from greenpose.model import (
    SIZE_MULTIPLE,
    Architecture,
    ExitNetwork,
    HRNet,
    Network,
    OwnExitNetwork,
    OwnNetwork,
    OwnShape,
    PoseNetwork,
    Shape,
    build,
    check_input_size,
)
from greenpose.model.own import CUT

_REFUSALS = (RuntimeError, ValueError, TypeError, IndexError, AssertionError)
"""What a network raises that cannot be run on a batch."""


def activation_bytes(net: nn.Module, *inputs: Any, **named: Any) -> int:
    """Return what a training step keeps for the backward pass, per image.

    Each storage counts once, however many tensors share it. What does not grow with the batch (weights, the norms'
    statistics) is not included: the figure is the difference that one more image makes. Where the inputs are no batch
    of one (tensors whose first side is 1), or the network takes no larger batch, it is what these very inputs make it
    keep, less its weights and statistics.

    Raises:
        CountingError: the network cannot be run in training mode.
    """
    training = copy.deepcopy(net).train()  # a copy, since training moves the norms' statistics
    if _is_batch_of_one((inputs, named)):
        with suppress(*_REFUSALS):
            fewer, more = (_saved_bytes(training, *_repeated((inputs, named), times)) for times in (2, 3))
            return more - fewer
    try:
        return _saved_bytes(training, inputs, named)
    except _REFUSALS as error:
        raise CountingError(
            f"activation_bytes: the network cannot be run in training mode on this input ({type(error).__name__}:"
            f" {error}); give a batch of one that it can be trained with"
        ) from error


def _tensors(inputs: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor)]


def _is_batch_of_one(inputs: Any) -> bool:
    return any(tensor.ndim > 0 and tensor.shape[0] == 1 for tensor in _tensors(inputs))


def _repeated(inputs: Any, times: int) -> Any:
    """Return inputs with every tensor that is a batch of one repeated."""

    def batch(leaf: Any) -> Any:
        alone = isinstance(leaf, Tensor) and leaf.ndim > 0 and leaf.shape[0] == 1
        return leaf.expand(times, *leaf.shape[1:]).contiguous() if alone else leaf

    return tree_map(batch, inputs)


def _saved_bytes(net: nn.Module, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> int:
    """Return the bytes of all storages that the backward pass needs, without the network's own."""
    own = {entry.untyped_storage()._cdata for entry in [*net.parameters(), *net.buffers()]}  # noqa: SLF001 - as below
    sizes: dict[int, int] = {}
    alive: list[Tensor] = []  # or an address could be used twice

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:  # noqa: SLF001 - as below
            sizes[storage._cdata] = storage.nbytes()  # noqa: SLF001 - the only identity that meta storages have
        alive.append(tensor)
        return tensor

    with torch.enable_grad(), saved_tensors_hooks(keep, lambda tensor: tensor):
        net(*inputs, **named)
    return sum(sizes.values())


INPUT_SIZE = (192, 256)
"""Width and height of the paper's images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitCount:
    """The cost of one exit, for one image."""

    exit: int
    """The exit."""
    sizes: Mapping[str, int]
    """What the catalogue counts of the smallest network with this exit, by name (`greenpose.metrics.COUNTED`)."""
    macs_by_counter: Mapping[str, int]
    """Multiply-accumulates as each counter has them; see `FORMULAE`."""
    operations: Mapping[str, int]
    """Calls of each of torch's operators during inference, by name."""
    census: Census
    """What the counters' figures are made of."""
    what: str = CUT
    """What was counted and is measured: the exit's own network, or more of it where one's own cannot be cut."""

    @property
    def params(self) -> int:
        """Parameters of the smallest network with this exit."""
        return self.sizes["params"]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of its convolutions: the headline figure."""
        return self.sizes["macs"]


def sizes_of(
    net: nn.Module, inputs: Sequence[Any], named: Mapping[str, Any], *, macs: int, seen: Tally
) -> dict[str, int]:
    """Return the sizes of any network that the catalogue counts, by name: a size is added here and there."""
    return {
        "params": num_params(net),
        "macs": macs,
        "activation_bytes": activation_bytes(net, *inputs, **named),
        "peak_bytes": seen.peak_bytes,
    }


def count_network(net: nn.Module, *inputs: Any, **named: Any) -> tuple[dict[str, int], Mapping[str, int]]:
    """Return the sizes of any network on one image, by name, and its calls of torch's operators.

    Raises:
        CountingError: something in it cannot be counted.
    """
    seen = tally(copy.deepcopy(net).eval(), *inputs, **named)
    sizes = sizes_of(net, inputs, named, macs=count_macs(net, *inputs, **named), seen=seen)
    return sizes, operations(net, *inputs, **named)


def count(
    subject: PoseNetwork | OwnNetwork | Shape | Experiment,
    input_size: tuple[int, int] | None = None,
    *,
    by_counters: bool = False,
) -> dict[int, ExitCount]:
    """Return what each exit of a network, shape or experiment costs, by exit; the subject is only looked at.

    The counters' MACs are computed by `FORMULAE`; `by_counters` has every counter count instead, which takes longer.
    `input_size` is (width, height), by default the experiment's, else the paper's 192 x 256. Everything is counted on
    the smallest image and multiplied by the area, which is exact: the network is convolutional, and its sizes are
    multiples of 32. A network of one's own is counted at its full size, by torch's counter and our rules.

    Raises:
        ModelError: an input side is no multiple of 32.
        CountingError: a counter failed.
        ConfigError: the experiment's profile is unknown.
    """
    own_size = subject.data.input_size if isinstance(subject, Experiment) else INPUT_SIZE
    architecture = architecture_of(subject)
    if isinstance(architecture, OwnShape):
        return _count_own(replace(architecture, input_size=input_size or architecture.input_size))
    tiles = num_tiles(input_size or own_size)
    with one_thread():
        return {
            number: _count_exit(architecture.only(number), tiles, by_counters=by_counters)
            for number in architecture.exits
        }


def architecture_of(subject: PoseNetwork | OwnNetwork | Shape | Experiment) -> Shape:
    """Return the shape of a network, or of the network that an experiment asks for.

    Raises:
        ConfigError: the experiment's profile, which says how many keypoints there are, is unknown.
    """
    if isinstance(subject, Architecture | OwnShape):
        return subject
    if isinstance(subject, PoseNetwork | OwnNetwork):
        return subject.architecture
    model, data = subject.model, subject.data
    num_joints = load_profile(data.profile).num_keypoints
    if isinstance(model, OwnNetworkConfig):
        return OwnShape.of(model, num_joints=num_joints, input_size=data.input_size, stride=data.stride)
    return Architecture(num_joints=num_joints, **model.model_dump(include=set(HRNetConfig.model_fields)))


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


@overload
def blank_network(architecture: Architecture) -> HRNet: ...
@overload
def blank_network(architecture: Shape) -> Network: ...
def blank_network(architecture: Shape) -> Network:
    """Return a network in eval mode whose numbers do not matter: of zeros, or as the function of one's own makes it.

    No random number is drawn from torch's stream.
    """
    if isinstance(architecture, OwnShape):
        with torch.random.fork_rng(devices=[]):
            return build(architecture).eval()
    with torch.device("meta"):
        net = build(architecture)
    zeros = {name: torch.zeros(entry.shape, dtype=entry.dtype) for name, entry in net.state_dict().items()}
    net.load_state_dict(zeros, assign=True)
    return net.eval()


def _count_own(shape: OwnShape) -> dict[int, ExitCount]:
    """Return what each exit of a network of one's own costs: its own network, as it is run, on an image of its size."""
    width, height = shape.input_size
    image = torch.zeros(1, 3, height, width)
    with one_thread():
        net = blank_network(shape)
        return {number: _count_sub(number, net.truncate(number), image) for number in shape.exits}


def _count_sub(number: int, sub: ExitNetwork, image: Tensor) -> ExitCount:
    seen, macs = tally(sub, image), count_macs(sub, image)
    return ExitCount(
        exit=number,
        sizes=sizes_of(sub, (image,), {}, macs=macs, seen=seen),
        macs_by_counter={"torch": macs},
        operations=seen.operations,
        census=seen.census,
        what=sub.what if isinstance(sub, OwnExitNetwork) else CUT,
    )


def num_params(net: nn.Module) -> int:
    """Return the number of parameters; quantised modules keep theirs where torch does not list them."""
    listed = {id(entry) for entry in (*net.parameters(), *net.buffers())}
    kept = [leaf for leaf in tree_leaves(net.state_dict(keep_vars=True)) if isinstance(leaf, Tensor) and leaf.ndim]
    packed = (leaf.numel() for leaf in kept if id(leaf) not in listed)
    return sum(parameter.numel() for parameter in net.parameters()) + sum(packed)


def _count_exit(architecture: Architecture, tiles: int, *, by_counters: bool) -> ExitCount:
    net, image = blank_network(architecture), smallest_image()
    seen = tally(net, image)
    macs = {name: formula.macs(seen.census) for name, formula in FORMULAE.items()}
    if by_counters:
        macs = run_counters(net, image)
    sizes = sizes_of(net, (image,), {}, macs=macs["torch"], seen=seen)
    return ExitCount(
        exit=architecture.exits[-1],
        sizes={name: size * (tiles if moved_by(name, "input") else 1) for name, size in sizes.items()},
        macs_by_counter={name: count * tiles for name, count in macs.items()},
        operations=seen.operations,
        census=seen.census * tiles,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFlops:
    """Floating-point operations of the convolutions in a training step, for one image; two per multiply-accumulate."""

    forward: int
    """From the image to every exit."""
    backward: int
    """From the exits with a loss to every parameter that learns from them."""

    @property
    def total(self) -> int:
        """Both together."""
        return self.forward + self.backward


def count_training_step(
    net: PoseNetwork | OwnNetwork | Shape,
    input_size: tuple[int, int] = INPUT_SIZE,
    *,
    learning: Collection[int] | None = None,
) -> StepFlops:
    """Return the operations of a training step of the whole network by torch's counter.

    `learning` are the exits that a loss reaches, all by default. Losses and the optimizer are not counted.

    Raises:
        ModelError: an input side is no multiple of 32.
    """
    architecture = architecture_of(net)
    is_own = isinstance(architecture, OwnShape)  # whose size is not known to be without effect: it is counted as it is
    tiles = 1 if is_own else num_tiles(input_size)
    with one_thread():
        image = torch.zeros(1, 3, *reversed(input_size)) if is_own else smallest_image()
        blank = blank_network(architecture)
        outputs = {}
        forward = conv_flops(lambda: outputs.update(blank(image)))
        loss = sum(outputs[number].sum() for number in learning or architecture.exits)
        backward = conv_flops(loss.backward)
    return StepFlops(forward=forward * tiles, backward=backward * tiles)
