"""Sides that cost what they are told to: as an object, and as a process behind a fake interpreter."""

import json
import math
import random
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from greenpose.check.paired.interleaved import Worker

HELLO = {
    "exits": [2, 3],
    "params": {"2": 100, "3": 200},
    "input_size": [64, 64],
    "batch": 8,
    "device": "cpu",
    "built_by": "fake",
    "greenpose": "0.1.0",
    "package": "/nowhere/greenpose",
    "python": "3.11",
    "torch": "2.13",
    "tick_s": 1e-9,
}

Law = Callable[[int, int], float]
"""Seconds of one call of an exit, the n-th time it is asked for."""


class ScriptedSide(Worker):
    """A side without a process; it notes in a shared log who was asked for what."""

    def __init__(
        self, name: str, law: Law, *, log: list[tuple[str, int, int]] | None = None, faults: int = 0, **hello: Any
    ) -> None:
        self.name = name
        self._hello = {**HELLO, **hello}
        self.faults = faults
        self._law = law
        self._log = [] if log is None else log
        self._asked: dict[int, int] = {}

    def run(self, exit_: int, calls: int) -> dict[str, Any]:
        self._log.append((self.name, exit_, calls))
        asked = self._asked[exit_] = self._asked.get(exit_, 0) + 1
        seconds = calls * self._law(exit_, asked)
        return {
            "calls": calls,
            "cpu_s": seconds,
            "seconds": 2 * seconds,
            "gpu_s": None,
            "faults": self.faults * calls,
            "switches": 1,
        }


def steady(**seconds: float) -> Law:
    """Cost of each exit, `exit2=0.001`, always the same."""
    return lambda exit_, _: seconds[f"exit{exit_}"]


def noisy(scale: float, spread: float, *, seed: int = 0, **seconds: float) -> Law:
    """The same times a scale, and up or down by a spread, the same way for the same seed."""

    def law(exit_: int, asked: int) -> float:
        return scale * seconds[f"exit{exit_}"] * math.exp(random.Random(f"{seed} {exit_} {asked}").gauss(0, spread))

    return law


FAKE = """#!{python}
import json, os, sys
request = json.loads(sys.argv[3])
told = json.loads({told!r})
with open({noted!r}, "a") as notes:
    notes.write(json.dumps({{"request": request, "script": sys.argv[1:3], "environment": dict(os.environ)}}) + "\\n")
if "dies" in told:
    sys.exit(told["dies"])
for answer in ("error", "lacks"):
    if answer in told:
        print(json.dumps({{answer: told[answer]}}))
        sys.exit()
hello = told["hello"]
if "work" not in request:
    hello["exits"] = [exit_ for exit_ in hello["exits"] if exit_ in request["exits"]]
print(json.dumps(hello), flush=True)
for line in sys.stdin:
    command = json.loads(line)
    if "dies_later" in told:
        sys.exit(told["dies_later"])
    cpu_s = command["calls"] * told["seconds"]
    print(json.dumps({{"calls": command["calls"], "cpu_s": cpu_s, "seconds": cpu_s, "gpu_s": None,
                       "faults": 0, "switches": 0}}), flush=True)
"""


def fake_python(folder: Path, name: str, *, seconds: float = 0.01, **told: Any) -> Path:
    """An executable that stands for a side's interpreter and plays the side that it would start."""
    file = folder / name
    hello = {**HELLO, **told.pop("hello", {})}
    script = FAKE.format(
        python=sys.executable,
        told=json.dumps({"seconds": seconds, "hello": hello, **told}),
        noted=str(folder / f"{name}.jsonl"),
    )
    file.write_text(script)
    file.chmod(0o755)
    return file


def noted(folder: Path, name: str) -> list[Mapping[str, Any]]:
    """What a fake interpreter was started with, each time."""
    lines = (folder / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]
