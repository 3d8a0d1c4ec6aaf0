"""Peak memory: the most that a fresh process holds which loads one network or model file and runs one batch.

It is run by its path, so that a process that runs a model file without torch loads no torch.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

STATUS = Path("/proc/self/status")
HOW = "high-water mark of a fresh process that loads it and runs a batch of {}, interpreter and GreenPose included"
"""What the number is, with the batch."""
SECONDS = 300
"""Beyond which a process is given up."""


def of_artefact(path: Path, *, batch: int, threads: int) -> int | None:
    """Return the bytes of a process that runs a batch of noise through a model file; None where it fails."""
    return _asked({"artefact": str(path), "batch": batch, "threads": threads})


def of_exit(run: Path, exit_: int, *, batch: int, threads: int) -> int | None:
    """Return the bytes of a process that does so with the trained network of a run's exit, in torch."""
    return _asked({"run": str(run), "exit": exit_, "batch": batch, "threads": threads})


def _asked(request: dict[str, Any]) -> int | None:
    """Return the answer of a process of its own, which has this one's environment."""
    command = [sys.executable, str(Path(__file__)), json.dumps(request)]
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = dict(os.environ) | {"PYTHONPATH": os.pathsep.join(paths)}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False, cwd=Path.cwd()
        )
        return int(done.stdout.split()[-1]) if done.returncode == 0 else None
    except (subprocess.TimeoutExpired, ValueError, IndexError):
        return None


def high_water() -> int:
    """Return the most bytes that this process has held so far.

    `ru_maxrss` would count what the process that started this one had held: Linux hands it on. Source: proc(5), VmHWM.
    """
    if STATUS.exists():
        for line in STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Do what the request says, and print what this process held at most."""
    request = json.loads(sys.argv[1])
    run = _artefact(request) if "artefact" in request else _exit(request)
    run()
    sys.stdout.write(f"{high_water()}\n")


def _artefact(request: dict[str, Any]) -> Callable[[], object]:
    from greenpose.artefact import open_model, read_artefact

    artefact = read_artefact(Path(request["artefact"]))[0]
    width, height = artefact.card.framing.input_size
    model = open_model(artefact, threads=request["threads"])
    images = np.zeros((request["batch"], 3, height, width), dtype=np.float32)
    return lambda: model(images)


def _exit(request: dict[str, Any]) -> Callable[[], object]:
    import torch

    from greenpose.run.measure import trained_networks
    from greenpose.run.setup import build_network
    from greenpose.store import RunFolder

    torch.set_num_threads(request["threads"])
    folder = RunFolder(Path(request["run"]))
    config = folder.experiment()
    width, height = config.data.input_size
    net = build_network(config)[0]
    sub = trained_networks(net, folder, [request["exit"]])[request["exit"]]
    del net
    images = torch.zeros((request["batch"], 3, height, width))

    def run() -> object:
        with torch.inference_mode():
            return sub(images)

    return run


if __name__ == "__main__":
    main()
