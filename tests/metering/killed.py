"""Forks a metered run over and over and kills each at a random moment; prints what each had said to be closed.

Run as a script, `killed.py FOLDER [SEED]`: forking is safe here, where nothing has started a thread. The first line of
JSON holds the seed of the moments, then there is one for each victim: the log's path and the names of the windows whose
`with` block had ended when the kill came.

Every other victim writes like a full pipe would take it, a few bytes at a time, so that most kills fall into the middle
of a line. Every fifth is killed from its birth on, while it may not have a log yet; the others once they have one.
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
BIRTH_SECONDS = 0.03
LIFE_SECONDS = 0.15
WRITE = os.write


def dribble(file: int, line: bytes) -> int:
    """Write some of a line, as the system may."""
    time.sleep(1e-4)
    return WRITE(file, line[: random.randrange(1, 64)])


def run(log: Path, speak: int) -> None:
    """Meter windows, nested ones and parts without end; say each as soon as it is closed."""
    with greenpose.metering.meter(log=log) as meter:
        for number in range(10**9):
            with meter.window(f"outer {number}") as outer:
                outer.part("forward")
                with meter.window(f"inner {number}"):
                    sum(range(random.randrange(3000)))
                WRITE(speak, f"inner {number}\n".encode())
                outer.part("backward")
            WRITE(speak, f"outer {number}\n".encode())


def wait(log: Path, moments: random.Random, *, newborn: bool) -> None:
    """Let a victim live for a while."""
    while not newborn and not (log.exists() and log.stat().st_size):
        time.sleep(0.001)
    time.sleep(moments.uniform(0.0, BIRTH_SECONDS if newborn else LIFE_SECONDS))


def main(folder: Path, seed: int) -> None:
    """Kill one victim after the other."""
    sys.stdout.write(json.dumps({"seed": seed}) + "\n")
    moments = random.Random(seed)
    for number in range(VICTIMS):
        log = folder / f"{number}.jsonl"
        listen, speak = os.pipe()
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            os.close(listen)
            os.write = dribble if number % 2 else WRITE
            run(log, speak)
        os.close(speak)
        wait(log, moments, newborn=number % 5 == 0)
        os.kill(child, signal.SIGKILL)
        said = b""
        while chunk := os.read(listen, 1 << 16):
            said += chunk
        os.close(listen)
        os.waitpid(child, 0)
        closed = said.decode().split("\n")[:-1]
        sys.stdout.write(json.dumps({"log": str(log), "closed": closed}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else int.from_bytes(os.urandom(4), "big"))
