"""The same on GPUs, where norms take their statistics over all parts."""

import sys

import numpy as np
import torch

from greenpose.training.distributed import current_group, following, place
from tests.training.member import batch, gradients, network


def synchronised(count):
    """Return the gradients in training mode of a batch that the group divides."""
    group = current_group()
    device = place("cuda", group.rank)
    shard = group.shard(np.arange(count))
    net = group.wrapped(network().double().train().to(device))
    return gradients(net, *(part[shard.indices].to(device) for part in batch(count)), factor=group.weight(shard))


if __name__ == "__main__":
    rank, size, port = map(int, sys.argv[1:4])
    with following(rank, size, "cuda", port):
        torch.save({name: grad.cpu() for name, grad in synchronised(5).items()}, sys.argv[4])
