"""A network filled with the recipe's numbers, whatever its exits."""

import re
from typing import TypeVar

import torch

from greenpose.model import PoseNetwork
from tests.recipe import model_entry

NetworkT = TypeVar("NetworkT", bound=PoseNetwork)


def reference_name(name: str) -> str:
    """Return the paper's name of one of our state-dict entries."""
    name = name.replace("heads.4.", "final_layer.")
    return re.sub(r"^heads\.(\d)", lambda match: f"intermediate_layers.{int(match[1]) - 1}", name)


def fill(net: NetworkT, salt: str = "") -> NetworkT:
    """Return `net`, its entries replaced by the numbers that the recipe gives to the paper's names."""
    entries = {
        name: torch.from_numpy(model_entry(reference_name(name), tuple(entry.shape), salt))
        for name, entry in net.state_dict().items()
    }
    net.load_state_dict(entries)
    return net
