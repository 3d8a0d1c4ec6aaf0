"""`torchrun -m greenpose run ...`: how many processes it starts is how many train together.

It starts the same command so many times. The first of them does all the work, and starts a process for each other one
itself, as its children: only so does its meter see what they cost. The others have nothing to do.
"""

import os
from collections.abc import Mapping

from greenpose.errors import GreenPoseError


def is_spare(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether torchrun started this process, and another one for the work."""
    return int(environ.get("RANK", "0")) > 0


def replicas(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return torchrun's number of processes as a `--set` option; none where torchrun started nothing.

    Raises:
        GreenPoseError: they are on several machines.
    """
    size, here = (int(environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if size != here:
        raise GreenPoseError(
            f"torchrun: {size} processes on several machines; GreenPose meters one: use --nnodes 1 --nproc-per-node N"
        )
    return [f"process.replicas={size}"] if size > 1 else []
