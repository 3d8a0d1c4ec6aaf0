"""Forks a metered run over and over and kills each at a random moment; prints what each had said to be closed.

Run as a script: forking is safe here, where nothing has started a thread. One JSON line a victim: the log's path, the
names of the windows whose `with` block had ended when the kill came, and how many parts had been begun.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import greenpose.metering

VICTIMS = 30
LONGEST_SECONDS = 0.15


def run(log: Path, speak: int) -> None:
    """Meter windows, nested ones and parts without end; say each as soon as it is closed."""
    with greenpose.metering.meter(log=log) as meter:
        for number in range(10**9):
            with meter.window(f"outer {number}") as outer:
                outer.part("forward")
                with meter.window(f"inner {number}"):
                    sum(range(random.randrange(3000)))
                os.write(speak, f"inner {number}\n".encode())
                outer.part("backward")
            os.write(speak, f"outer {number}\n".encode())


def main(folder: Path) -> None:
    """Kill one victim after the other."""
    moments = random.Random(int.from_bytes(os.urandom(8), "big"))
    for number in range(VICTIMS):
        log = folder / f"{number}.jsonl"
        listen, speak = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(listen)
            run(log, speak)
        os.close(speak)
        while not (log.exists() and log.stat().st_size):
            time.sleep(0.001)
        time.sleep(moments.uniform(0.0, LONGEST_SECONDS))
        os.kill(child, signal.SIGKILL)
        said = b""
        while chunk := os.read(listen, 1 << 16):
            said += chunk
        os.close(listen)
        os.waitpid(child, 0)
        closed = said.decode().split("\n")[:-1]
        sys.stdout.write(json.dumps({"log": str(log), "closed": closed}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
