"""Weights from files: the official HRNet pose release, the paper's, our own; norms folded in, weights rounded."""

import copy
import pickle
import re
import struct
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from greenpose.errors import ModelError
from greenpose.model.network import ExitNetwork
from greenpose.model.own import OwnNetwork

FINAL_HEAD = "heads.4."
_COUNTER = ".num_batches_tracked"
_WRAPPERS = ("state_dict", "model", "model_state_dict", "net")
"""Keys under which checkpoints keep the weights beside epoch and optimizer; `net` is ours. The official checkpoints
have a `model` too, but it is the network's name: what holds no tensors is passed over."""
_TALLIES = ("total_ops", "total_params")
"""Buffers that the counter thop leaves in every module of a network that it has counted; they are no weights."""
_NUMPY_SCALAR = np.float64(0).__reduce__()[0]
_HARMLESS: list[Any] = [
    *((_NUMPY_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *(np.dtype, type(np.dtype(np.float64)), type(np.dtype(np.float32))),
]
"""What checkpoints hold beside tensors and can do no harm: the official code saves its AP as a number of numpy's."""
_SHOWN = 5
_DAMAGE = (
    *(SafetensorError, RuntimeError, EOFError, ValueError, LookupError, AttributeError, TypeError),
    *(struct.error, AssertionError),  # old-format files: cut numbers, storages that are not there
)
"""What the readers raise, one time or another, for a damaged file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """An entry that both sides have, in different shapes; it was not loaded."""

    name: str
    """The network's name of it."""
    in_file: tuple[int, ...]
    """Shape in the file."""
    in_network: tuple[int, ...]
    """Shape in the network."""

    @property
    def head(self) -> str:
        """The exit whose head it belongs to, where that is for another number of joints; else ""."""
        match = re.match(r"heads\.(\d+)\.", self.name)
        return match[1] if match and self.in_file[:1] != self.in_network[:1] else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What became of every entry of the file and of the network; as text, one line that says so."""

    matched: tuple[str, ...]
    """Entries that were loaded, by the network's names."""
    missing: tuple[str, ...]
    """Entries of the network that the file lacks; they keep what they had."""
    unexpected: tuple[str, ...]
    """Entries of the file that the network has no place for, by the file's names."""
    mismatched: tuple[Mismatch, ...]
    """Entries whose shapes differ, such as a head for 17 joints; the network keeps what it had."""
    tallies: tuple[str, ...] = ()
    """Entries of the file that are no weights but counts of operations, which thop leaves behind; ignored."""

    @property
    def complete(self) -> bool:
        """Whether the network was filled entirely; entries of the file that found no place do not matter."""
        return not self.missing and not self.mismatched

    @property
    def trunk(self) -> tuple[int, int]:
        """How many tensors of the network before its heads were filled, and how many there are."""
        filled = sum(_is_trunk(name) for name in self.matched)
        left = (*self.missing, *(each.name for each in self.mismatched))
        return filled, filled + sum(map(_is_trunk, left))

    def __str__(self) -> str:
        whole = len(self.matched) + len(self.missing) + len(self.mismatched)
        heads = {m.head: (m.in_file[0], m.in_network[0]) for m in self.mismatched if m.head}
        others = [f"{m.name} {_shape(m.in_file)} for {_shape(m.in_network)}" for m in self.mismatched if not m.head]
        kinds = {
            "of another shape": others,
            "missing in the file": self.missing,
            "of the file unused": self.unexpected,
        }
        parts = [
            f"{len(self.matched)} of {whole} entries of the network loaded",
            *(f"head of exit {k} left as it was ({a} joints in the file, {b} here)" for k, (a, b) in heads.items()),
            *(f"{len(names)} {what} ({_some(names)})" for what, names in kinds.items() if names),
            *([f"{len(self.tallies)} counts of operations by thop ignored"] if self.tallies else []),
        ]
        return "; ".join(parts)


def load_weights(net: nn.Module, source: str | Path | Mapping[str, Any]) -> LoadReport:
    """Return what matched after copying it into `net`, in place.

    Understood are the official release (`final_layer` is exit 4's head), the paper's checkpoints
    (`intermediate_layers.{k-1}` is exit k's), our own names, a `module.` prefix, and all of these inside a checkpoint
    under `state_dict`, `model`, `model_state_dict` or `net`. Heads for another number of joints are left as they were.
    Files are read without running anything in them: safetensors, or torch's weights-only format.

    Raises:
        ModelError: a file that is absent, damaged, unsafe or holds no weight of this network.
    """
    where = "the state dict" if isinstance(source, Mapping) else str(source)
    content = source if isinstance(source, Mapping) else _read(Path(source))
    entries = _entries(content, where)
    mine = net.state_dict()
    renamed = _renamed([name for name in entries if not _is_tally(name)], known=mine)
    known = {name: (original, entries[original]) for original, name in renamed.items() if name in mine}
    if not known:
        raise ModelError([f"{where}: no entry belongs to this network; it starts with {_some(entries)}"])
    fitting = {name: tensor for name, (_, tensor) in known.items() if tensor.shape == mine[name].shape}
    net.load_state_dict(fitting, strict=False)
    return LoadReport(
        matched=tuple(fitting),
        missing=tuple(name for name in mine if name not in known and not name.endswith(_COUNTER)),
        unexpected=tuple(original for original, name in renamed.items() if name not in mine),
        mismatched=tuple(
            Mismatch(name=name, in_file=tuple(tensor.shape), in_network=tuple(mine[name].shape))
            for name, (_, tensor) in known.items()
            if name not in fitting
        ),
        tallies=tuple(name for name in entries if _is_tally(name)),
    )


def _read(path: Path) -> Any:
    """Return the content of a weights file, executing nothing."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            # torch doubts old pickle protocols aloud; what it cannot read is said below.
            warnings.simplefilter("ignore", UserWarning)
            with torch.serialization.safe_globals(_HARMLESS):
                return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError([f"{path}: cannot be read ({error.strerror or error})"]) from error
    except pickle.UnpicklingError as error:
        raise ModelError([f"{path}: {_refusal(str(error))}; save its state dict alone"]) from error
    except _DAMAGE as error:
        raise ModelError([f"{path}: is damaged or no weights file; safetensors or torch's format is needed"]) from error


def _refusal(message: str) -> str:
    """Return why a pickle was not read: what it wanted to run, where the reader could name it."""
    wanted = re.search(r"GLOBAL (\S+)", message)
    if wanted:
        return f"not loaded, since it holds more than tensors: reading it would run {wanted[1]}, which may do anything"
    return "not loaded, since it is damaged or holds more than tensors"


def _entries(content: Any, where: str) -> dict[str, Tensor]:
    """Return the tensors by name, from inside a checkpoint and without `module.` prefixes."""
    if not isinstance(content, Mapping):
        raise ModelError([f"{where}: holds {type(content).__name__}, not tensors by name (a state dict)"])
    inside = (content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping))
    tensors = next((found for inner in (*inside, content) if (found := _tensors(inner))), None)
    if tensors is None:
        raise ModelError([f"{where}: holds no tensors by name; it has {_some(content)}"])
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def _tensors(content: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {str(name): tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}


def _is_trunk(name: str) -> bool:
    return not name.startswith("heads.") and not name.endswith(_COUNTER)


def _is_tally(name: str) -> bool:
    return name.rpartition(".")[2] in _TALLIES


def _renamed(entries: Sequence[str], *, known: Collection[str]) -> dict[str, str]:
    """Return the network's name for every entry of a file; a name that the network knows stays.

    The paper's files hold a fourth intermediate head beside `final_layer`; it is never trained, so `final_layer` wins.
    """
    names = {}
    for original in entries:
        name = re.sub(r"^final_layer\.", FINAL_HEAD, original)
        name = re.sub(r"^intermediate_layers\.(\d+)\.", lambda match: f"heads.{int(match[1]) + 1}.", name)
        dead = original.startswith("intermediate_layers.3.") and "final_layer.weight" in entries
        names[original] = original if dead or original in known else name
    return names


def _some(names: Iterable[Any]) -> str:
    every = [str(name) for name in names]
    return (", ".join(every[:_SHOWN]) + (", ..." if len(every) > _SHOWN else "")) or "nothing"


def _shape(sides: tuple[int, ...]) -> str:
    return "x".join(map(str, sides)) or "a number"


ModuleT = TypeVar("ModuleT", bound=nn.Module)


def fold_batchnorm(net: ModuleT) -> ModuleT:
    """Return a copy for inference whose norms have become part of the convolutions; `net` stays as it is.

    In eval mode a norm scales and shifts each channel by constants, which the weights and a bias of the convolution
    before it can take up. Outputs stay the same but for rounding, compute (MACs) stays the same, and a pass over every
    feature map is saved. The copy is in eval mode and of the same class; it cannot be trained any further, nor cut.

    In HRNet every norm is declared right behind its convolution; others than those are left alone, and so are networks
    of one's own, of which nobody here knows what a norm follows.
    """
    folded = copy.deepcopy(net).eval()
    if isinstance(net, OwnNetwork):
        return folded
    for module in folded.modules():
        for (_, conv), (name, norm) in pairwise(list(module.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                fused = fuse_conv_bn_eval(conv, norm)
                conv.weight, conv.bias = fused.weight, fused.bias
                setattr(module, name, nn.Identity().eval())
    return folded


class InBfloat16(nn.Module):
    """An exit's network that computes in bfloat16 between float32 images and float32 heatmaps."""

    def __init__(self, net: ExitNetwork) -> None:
        """Take a copy of the network: its weights are rounded."""
        super().__init__()
        self.net = copy.deepcopy(net).to(torch.bfloat16).eval()
        self.exit = self.depth = net.exit

    def forward(self, images: Tensor) -> Tensor:
        """Return the heatmaps."""
        heatmaps: Tensor = self.net(images.to(torch.bfloat16))
        return heatmaps.float()
