"""What training leaves on disk: the state to go on from, and each exit's best weights."""

import os
import pickle
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from greenpose.errors import GreenPoseError


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a training state in one step; a crash leaves the old one or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    torch.save(state, temporary)
    temporary.replace(path)


def load_state(path: Path) -> dict[str, Any] | None:
    """Return the training state that was saved last, or None where there is none.

    Raises:
        GreenPoseError: if the file cannot be read.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise GreenPoseError(
            f"{path}: cannot be read ({type(error).__name__}); remove it, or start anew with --fresh"
        ) from None
    return state


def save_best(path: Path, weights: dict[str, Tensor]) -> None:
    """Write an exit's weights in one step, as safetensors."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    safetensors.torch.save_file({name: tensor.detach().contiguous() for name, tensor in weights.items()}, temporary)
    temporary.replace(path)
