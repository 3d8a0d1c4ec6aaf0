"""Checkpoints: the state to go on from, and each exit's best weights."""

import io
import pickle
from pathlib import Path
from struct import error as struct_error
from typing import Any
from zipfile import BadZipFile

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from greenpose.errors import GreenPoseError
from greenpose.files import write_parts

EPOCH = "epoch"
"""Where the header of a file of weights says which epoch they are of."""
DAMAGE = (
    *(RuntimeError, EOFError, ValueError, LookupError, AttributeError, TypeError, AssertionError, ArithmeticError),
    *(pickle.UnpicklingError, struct_error, BadZipFile, MemoryError, safetensors.SafetensorError),
)
"""What readers raise, one time or another, for a damaged file."""


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a training state in one step; a crash, also of the machine, leaves the old one or the new one."""
    buffer = io.BytesIO()  # an interrupt while torch writes to a file itself becomes an error of torch's
    torch.save(state, buffer)
    write_parts(path, [buffer.getbuffer()])


def load_state(path: Path) -> dict[str, Any] | None:
    """Return the training state that was saved last, or None where there is none.

    Raises:
        GreenPoseError: if the file cannot be read.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise GreenPoseError(f"{path}: cannot be read ({error.strerror or error})") from None
    except DAMAGE as error:
        raise damaged(path, f"{type(error).__name__} while reading") from None
    if not isinstance(state, dict):
        raise damaged(path, f"holds {type(state).__name__}, not a training's state")
    return state


def damaged(path: Path, what: str) -> GreenPoseError:
    """Return the error that says what is wrong with a checkpoint and what to do about it."""
    return GreenPoseError(
        f"{path}: cannot be read, since it is damaged ({what}); remove it to train from the first epoch, or use --fresh"
    )


def save_best(path: Path, weights: dict[str, Tensor], *, epoch: int | None = None) -> None:
    """Write an exit's weights in one step, as safetensors, with the epoch that they are of in the file's header."""
    told = None if epoch is None else {EPOCH: str(epoch)}  # of several entries safetensors does not keep the order
    tensors = {name: tensor.detach().contiguous() for name, tensor in weights.items()}
    write_parts(path, [safetensors.torch.save(tensors, metadata=told)])


def waiting(path: Path) -> Path:
    """Return where better weights lie until the checkpoint knows of them: a kill in between changes neither."""
    return path.with_name(f".{path.name}.next")


def settle(path: Path, epoch: int | None) -> None:
    """Let the weights that wait take their place if they are those of the epoch that the checkpoint calls best."""
    better = waiting(path)
    if not better.exists():
        return
    if epoch is not None and _epoch_of(better) == str(epoch):
        better.replace(path)
    else:
        better.unlink()


def _epoch_of(path: Path) -> str | None:
    """Return the epoch in the header of a file of weights; None where there is none."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get(EPOCH)
    except (OSError, *DAMAGE):
        return None
