"""Several processes on one machine that train one network: each takes a part of every batch, all take the same step.

The first one leads: it alone meters, validates and writes. The others are its children, so that their CPU time is in
its windows, and there once.

Gradients are averaged over the images of the whole batch, whatever each process's part: with fixed normalisation they
are those of one process with the whole batch, but for rounding. Batch normalisation in training sees more than one
image: on GPUs its statistics are taken over all parts (`SyncBatchNorm`), and the same holds; on CPUs torch has no such
layer, every part is normalised by its own statistics, and the running ones are those of the leader.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import torch
from jaxtyping import Int
from torch import distributed, nn
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # public, but not listed
from torch.nn.parallel import DistributedDataParallel

from greenpose.errors import GreenPoseError

HOST = "127.0.0.1"
PATIENCE = timedelta(minutes=30)
"""How long the others wait for the leader, which validates in between, before they take it for dead."""
GRACE_SECONDS = 60.0
"""How long the others may take to end after the leader."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shard:
    """A process's part of a batch."""

    indices: Int[np.ndarray, " part"]
    """The samples; one that is another's where the batch is too small for all."""
    num: int
    """How many of them count: all, or none of the borrowed one."""
    total: int
    """Samples of the whole batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessGroup:
    """The processes that train together, as one of them sees it."""

    rank: int = 0
    """Number of this one; 0 leads."""
    size: int = 1
    """How many there are."""

    @property
    def leads(self) -> bool:
        """Return whether this process meters, validates and writes."""
        return self.rank == 0

    def shard(self, batch: Int[np.ndarray, " batch"]) -> Shard:
        """Return this process's part of a batch; the parts cover it once and differ by one sample at most."""
        mine = np.array_split(batch, self.size)[self.rank]
        return Shard(indices=mine if len(mine) else batch[:1], num=len(mine), total=len(batch))

    def weight(self, shard: Shard) -> float:
        """Return the factor of the part's mean loss that makes the mean of all processes' gradients the batch's."""
        return shard.num * self.size / shard.total

    def wrapped(self, net: nn.Module, *, whole: bool = True) -> nn.Module:
        """Return the network as it is to be trained: every backward pass averages gradients over the group.

        On GPUs its norms are replaced in place by ones that take their statistics over all parts. Where not every step
        is `whole`, parameters may be left out of one.
        """
        if self.size == 1:
            return net
        if next(net.parameters()).is_cuda:
            net = nn.SyncBatchNorm.convert_sync_batchnorm(net)  # type: ignore[no-untyped-call]
        return DistributedDataParallel(net, gradient_as_bucket_view=True, find_unused_parameters=not whole)

    def agreed(self, value: bool, device: torch.device) -> bool:
        """Return the leader's value, in every process."""
        if self.size == 1:
            return value
        told = torch.tensor([int(value)], device=device)
        distributed.broadcast(told, src=0)
        return bool(told.item())

    def summed(self, values: Mapping[str, float], device: torch.device) -> dict[str, float]:
        """Return the sums over all processes."""
        if self.size == 1:
            return dict(values)
        total = torch.tensor(list(values.values()), dtype=torch.float64, device=device)
        distributed.all_reduce(total)
        return dict(zip(values, total.tolist(), strict=True))


def current_group() -> ProcessGroup:
    """Return the group that this process has joined; one of its own where it has joined none."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return ProcessGroup()
    return ProcessGroup(rank=distributed.get_rank(), size=distributed.get_world_size())


def place(device: str, rank: int) -> str:
    """Return the device of a process: GPUs are counted on from the first one's, a CPU is shared."""
    kind, _, index = device.partition(":")
    return f"cuda:{int(index or 0) + rank}" if kind == "cuda" else device


@contextmanager
def leading(size: int, device: str, command: Callable[[int, int], Sequence[str]]) -> Iterator[None]:
    """Lead a process group in the block: the others are started with `command(rank, port)`, and are gone when it ends.

    Raises:
        GreenPoseError: one of them ended before it had joined.
    """
    if size == 1:
        yield
        return
    store = TCPStore(HOST, 0, is_master=True, wait_for_workers=False, timeout=PATIENCE)
    others = [subprocess.Popen(command(rank, store.port), stdin=subprocess.DEVNULL) for rank in range(1, size)]
    try:
        _await(others, store)
        with _group(store, rank=0, size=size, device=device):
            yield
        _part(others)
    finally:
        _end(others)


@contextmanager
def following(rank: int, size: int, device: str, port: int) -> Iterator[None]:
    """Belong to a process group in the block, under its leader."""
    store = TCPStore(HOST, port, is_master=False, timeout=PATIENCE)
    store.set(f"here/{rank}", "yes")
    with _group(store, rank=rank, size=size, device=device):
        yield


@contextmanager
def _group(store: TCPStore, *, rank: int, size: int, device: str) -> Iterator[None]:
    where = place(device, rank)
    cuda = where.startswith("cuda")
    if cuda:
        torch.cuda.set_device(where)
    elif sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # a host name that leads nowhere would be tried otherwise
    distributed.init_process_group(
        "nccl" if cuda else "gloo", store=store, rank=rank, world_size=size, timeout=PATIENCE
    )
    try:
        yield
    finally:
        distributed.destroy_process_group()


def _await(others: Sequence[subprocess.Popen[bytes]], store: TCPStore) -> None:
    """Wait until all have joined: a group that is short of one would wait for it till its patience ends."""
    while not store.check([f"here/{rank}" for rank in range(1, len(others) + 1)]):
        dead = [f"{rank} (exit code {one.poll()})" for rank, one in enumerate(others, 1) if one.poll() is not None]
        if dead:
            raise GreenPoseError(f"process.replicas: process {', '.join(dead)} ended before it could train; see log")
        time.sleep(0.05)


def _part(others: Sequence[subprocess.Popen[bytes]]) -> None:
    """Let all of them end by themselves."""
    for other in others:
        with suppress(subprocess.TimeoutExpired):
            other.wait(timeout=GRACE_SECONDS)


def _end(others: Sequence[subprocess.Popen[bytes]]) -> None:
    for other in others:
        if other.poll() is None:
            other.kill()
        other.wait()
