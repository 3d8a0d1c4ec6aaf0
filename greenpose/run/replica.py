"""A process that trains along with the one that records: `python -m greenpose.run.replica FOLDER RANK PORT`.

Its leader starts it (`greenpose.training.distributed`). It reads the same configuration, takes the same steps, and
writes, measures and says nothing.
"""

import os
import sys
import threading
import time
from pathlib import Path

from greenpose.data.splits import load_splits
from greenpose.run.setup import build_network, build_objective, seed_everything
from greenpose.store import RunFolder
from greenpose.training import Files, fit
from greenpose.training.distributed import following, place

LOOK_SECONDS = 1.0


def follow(folder: RunFolder, rank: int, port: int) -> None:
    """Train the run of a folder, as the leader does, until it ends."""
    config = folder.experiment()
    process = config.process
    mine = process.model_copy(update={"device": place(process.device, rank)})
    config = config.model_copy(update={"process": mine})
    with following(rank, process.replicas, process.device, port):
        seed_everything(config)
        net, _ = build_network(config)
        fit(
            net,
            build_objective(config),
            load_splits(config.data, only=("train",), whole=config.train.augment is not None),
            recipe=config.train,
            seed=config.seed,
            files=Files(checkpoint=folder.checkpoint, best=folder.best),
        )


def _end_with(parent: int) -> None:
    """End this process as soon as its parent has: it would wait for a killed one till its patience ends."""
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    follow(RunFolder(Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3]))
