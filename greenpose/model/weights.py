"""Weights from files: the official HRNet pose release, the paper's checkpoints, and our own."""

import pickle
import re
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from greenpose.errors import ModelError

FINAL_HEAD = "heads.4."
_COUNTER = ".num_batches_tracked"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What became of every entry of the file and of the network."""

    matched: tuple[str, ...]
    """Entries that were loaded, by the network's names."""
    missing: tuple[str, ...]
    """Entries of the network that the file lacks; they keep what they had."""
    unexpected: tuple[str, ...]
    """Entries of the file that the network has no place for, by the file's names."""
    mismatched: tuple[Mismatch, ...]
    """Entries whose shapes differ, such as a head for 17 joints; the network keeps what it had."""

    @property
    def complete(self) -> bool:
        """Whether the network was filled entirely; entries of the file that found no place do not matter."""
        return not self.missing and not self.mismatched


def load_weights(net: nn.Module, source: str | Path | Mapping[str, Any]) -> LoadReport:
    """Return what matched after copying it into `net`, in place.

    Understood are the official release (`final_layer` is exit 4's head), the paper's checkpoints
    (`intermediate_layers.{k-1}` is exit k's), our own names, a `module.` prefix, and all of these under `state_dict`.
    Files are read without running anything in them: safetensors, or torch's weights-only format.

    Raises:
        ModelError: a file that is absent, damaged, unsafe or holds no weight of this network.
    """
    where = "the state dict" if isinstance(source, Mapping) else str(source)
    content = source if isinstance(source, Mapping) else _read(Path(source))
    entries = _entries(content, where)
    mine = net.state_dict()
    renamed = _renamed(entries)
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
    )


def _read(path: Path) -> Any:
    """Return the content of a weights file, executing nothing."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            # torch doubts old pickle protocols aloud; what it cannot read is said below.
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError([f"{path}: cannot be read ({error.strerror or error})"]) from error
    except pickle.UnpicklingError as error:
        raise ModelError(
            [f"{path}: not loaded, since it is damaged or holds more than tensors; save its state dict alone"]
        ) from error
    except _DAMAGE as error:
        raise ModelError([f"{path}: is damaged or no weights file; safetensors or torch's format is needed"]) from error


def _entries(content: Any, where: str) -> dict[str, Tensor]:
    """Return the tensors by name, from under `state_dict` and without `module.` prefixes."""
    inner = content.get("state_dict", content) if isinstance(content, Mapping) else content
    if not isinstance(inner, Mapping):
        raise ModelError([f"{where}: holds {type(inner).__name__}, not tensors by name (a state dict)"])
    tensors = {str(name): tensor for name, tensor in inner.items() if isinstance(tensor, Tensor)}
    if not tensors:
        raise ModelError([f"{where}: holds no tensors by name; it has {_some(inner)}"])
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def _renamed(entries: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the network's name for every entry of a file.

    The paper's files hold a fourth intermediate head beside `final_layer`; it is never trained, so `final_layer` wins.
    """
    names = {}
    for original in entries:
        name = re.sub(r"^final_layer\.", FINAL_HEAD, original)
        name = re.sub(r"^intermediate_layers\.(\d+)\.", lambda match: f"heads.{int(match[1]) + 1}.", name)
        dead = original.startswith("intermediate_layers.3.") and "final_layer.weight" in entries
        names[original] = original if dead else name
    return names


def _some(names: Mapping[Any, Any]) -> str:
    shown = [str(name) for name in list(names)[:_SHOWN]]
    return (", ".join(shown) + (", ..." if len(names) > _SHOWN else "")) or "nothing"
