"""A network of either kind, HRNet or one of one's own: the one place that builds it, and what is looked at beforehand.

A network of one's own is built, run and differentiated once before anything is trained: noise of the real size goes
through it twice in eval mode, through each exit's own network, and through a step of training less its update. All that
is found is told at once, as far as one fault does not hide another.
"""

import contextlib
import copy
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from greenpose.errors import ModelError
from greenpose.formatting import listed
from greenpose.model.architecture import Architecture
from greenpose.model.hrnet import HRNet, SubNetwork
from greenpose.model.own import OwnExitNetwork, OwnNetwork, OwnShape, theirs

Shape = Architecture | OwnShape
"""What builds a network: `exits`, `num_joints`, `at(exits)`, `only(exit)`, `keywords`."""
Network = HRNet | OwnNetwork
"""With `exits`, `depth`, heatmaps by exit, `read(images, exits)` and `truncate(exit)`."""
ExitNetwork = SubNetwork | OwnExitNetwork
"""What one exit needs: `exit`, and images to its heatmaps."""


def build(shape: Shape) -> Network:
    """Return the network of a shape, with first weights as its layers draw them.

    Raises:
        ModelError: a network of one's own cannot be built.
    """
    return shape.build() if isinstance(shape, OwnShape) else HRNet(**shape.keywords)


IMAGES = 2
"""Images that are looked at with: norms need more than one in training."""
ALIKE = 1e-4
"""Largest difference between an exit's own network and the whole one, over the largest heatmap value: rounding."""


def check_network(shape: OwnShape) -> OwnNetwork:
    """Return a network that can be trained: it gives the heatmaps that are wanted, the same each time, by exit.

    Raises:
        ModelError: with what is wrong with it.
    """
    with _aside():
        net = shape.build().eval()
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
        width, height = shape.input_size
        images = torch.rand(IMAGES, height, width, 3).permute(0, 3, 1, 2)
        with torch.inference_mode():
            first, second = net(images), net(images)
        faults = _size_faults(first, shape) or [
            *(_change_faults(first, second) or _cut_faults(net, images, first)),
            *_training_faults(net, images),
        ]
    if faults:
        raise ModelError([f"{shape.config.factory}: {fault}" for fault in faults])
    return net


@contextlib.contextmanager
def _aside() -> Iterator[None]:
    """Leave random numbers as they were, and refuse what would be refused in training: what cannot be repeated."""
    mode = torch.get_deterministic_debug_mode()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.set_deterministic_debug_mode("error")
        try:
            yield
        finally:
            torch.set_deterministic_debug_mode(mode)


def _size_faults(found: Mapping[int, Tensor], shape: OwnShape) -> list[str]:
    """Return what is wrong with the sizes of heatmaps, exits that have the same fault together."""
    ill: dict[str, list[str]] = {}
    for exit_, heatmaps in found.items():
        if fault := _size_fault(heatmaps, shape):
            ill.setdefault(fault, []).append(str(exit_))
    return [
        f"exit{'s' if len(exits) > 1 else ''} {listed(exits)} give{'' if len(exits) > 1 else 's'} {fault}"
        for fault, exits in ill.items()
    ]


def _size_fault(heatmaps: Tensor, shape: OwnShape) -> str | None:
    """Return what is wrong with the size of an exit's heatmaps, what was given first; None where nothing is."""
    wanted, have = shape.heatmap_shape, tuple(heatmaps.shape[1:])
    if heatmaps.ndim == 4 and len(heatmaps) == IMAGES and have == wanted:
        return None if heatmaps.is_floating_point() else f"heatmaps of {heatmaps.dtype}, not of floats"
    width, height = shape.input_size
    said = (
        f"{_sides(heatmaps.shape)} for {IMAGES} images of {width} x {height} px;"
        f" {_sides((IMAGES, *wanted))} (images, keypoints, height, width) is wanted"
    )
    if heatmaps.ndim != 4 or len(heatmaps) != IMAGES:
        return said
    if have[0] != wanted[0]:
        return f"{said}: the profile has {wanted[0]} keypoints"
    strides = {height / have[1], width / have[2]}
    if len(strides) == 1 and (stride := strides.pop()) in (1, 2, 4, 8, 16, 32):
        return f"{said}; where a pixel is to stand for {stride:g} of the image, say data.stride: {stride:g}"
    return f"{said}: a pixel for {shape.stride} of the image"


def _sides(shape: tuple[int, ...] | torch.Size) -> str:
    return " x ".join(map(str, shape))


def _change_faults(first: Mapping[int, Tensor], second: Mapping[int, Tensor]) -> list[str]:
    faults = [
        f"exit {exit_} gives numbers that are not finite for an image of noise"
        for exit_, heatmaps in first.items()
        if not heatmaps.isfinite().all()
    ]
    changed = [str(exit_) for exit_ in first if not torch.equal(first[exit_], second[exit_])]
    if changed and not faults:
        return [
            "called twice in eval mode with the same images, its network gives other numbers at exit"
            f" {listed(changed)}; what draws numbers, or keeps something, is to do so in training mode only"
        ]
    return faults


def _cut_faults(net: OwnNetwork, images: Tensor, whole: Mapping[int, Tensor]) -> list[str]:
    """Return which exits' own networks say something else than the whole one."""
    faults = []
    for exit_ in net.exits:
        sub = net.truncate(exit_)
        with torch.inference_mode():
            alone = sub(images)
        how = f"truncate({exit_})" if sub.is_cut else f"forward(images, exits=({exit_},))"
        if alone.shape != whole[exit_].shape:
            faults.append(f"{how} gives {_sides(alone.shape)}, and the whole network {_sides(whole[exit_].shape)}")
            continue
        gap, largest = float((alone - whole[exit_]).abs().max()), float(whole[exit_].abs().max())
        if gap > ALIKE * max(largest, 1e-12):
            faults.append(f"{how} gives other heatmaps than exit {exit_} of the whole network, by up to {gap:.2g}")
    return faults


def _training_faults(net: OwnNetwork, images: Tensor) -> list[str]:
    """Return which exits could not learn: no parameter moves them."""
    with theirs(net.architecture.config):
        training = copy.deepcopy(net).train()
    found = training(images)
    sizes = _size_faults(found, net.architecture)
    if sizes:
        return [f"in training mode, {fault}" for fault in sizes]
    idle = []
    for exit_, heatmaps in found.items():
        training.zero_grad(set_to_none=True)
        if heatmaps.requires_grad:
            with theirs(net.architecture.config):
                heatmaps.square().mean().backward(retain_graph=True)
        if all(parameter.grad is None for parameter in training.parameters()):
            idle.append(f"exit {exit_} cannot learn: no parameter of the network leads to it")
    return idle
