"""The same on GPUs, where norms take their statistics over all parts."""

import sys

import numpy as np
import torch

from greenpose.training.distributed import current_team, following, place
from tests.training.member import batch, gradients, network


def synchronised(count):
    """Return the gradients in training mode of a batch that the team divides."""
    team = current_team()
    device = place("cuda", team.rank)
    share = team.share(np.arange(count))
    net = team.wrapped(network().double().train().to(device))
    return gradients(net, *(part[share.indices].to(device) for part in batch(count)), factor=team.weight(share))


if __name__ == "__main__":
    rank, size, port = map(int, sys.argv[1:4])
    with following(rank, size, "cuda", port):
        torch.save({name: grad.cpu() for name, grad in synchronised(5).items()}, sys.argv[4])
