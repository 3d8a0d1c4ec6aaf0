"""Running the command line as a user does: in a process of its own, away from the repository."""

import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from tests.network import Offline
from tests.torture.nursery import COMMAND, ended, forked

Act = Callable[[Sequence[str]], int]
"""From the words of a command to the code that it ends with."""


class Done(NamedTuple):
    """What a command left."""

    code: int
    out: str
    err: str
    processes: Sequence[str] = ()
    """The command of every Python process that took part, where it was asked for."""

    @property
    def json(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


def greenpose(
    *arguments: object,
    cwd: Path,
    cache: Path | None = None,
    cold: bool = False,
    act: Act = COMMAND,
    encoding: str = "utf-8",
    **environment: str,
) -> Done:
    """Run `greenpose ARGUMENTS` in `cwd` and return what it left; a try to reach the network fails the test.

    It, and every worker that it starts, is a process of its own, forked from one that has loaded everything and trained
    once; `act` is what that does with the words. A cold one starts as a user's does: for tests that look at how
    that goes.
    """
    with tempfile.TemporaryDirectory() as folder:
        offline = Offline(Path(folder) / "notes")
        settings = {"GREENPOSE_CACHE": str(cache or cwd / "cache"), "NO_COLOR": "1"}
        told = {**os.environ, **offline.environment, **settings, **environment}
        words = list(map(str, arguments))
        if cold:
            command = [sys.executable, "-m", "greenpose", *words]
            ended = subprocess.run(command, cwd=cwd, env=told, capture_output=True, text=True, check=False, timeout=600)
            done = Done(ended.returncode, ended.stdout, ended.stderr, offline.processes)
        else:
            out, err = Path(folder) / "out", Path(folder) / "err"
            process = forked(words, cwd=cwd, out=out, err=err, environment=told, act=act)
            process.join(600)
            assert process.exitcode is not None, f"still at work after 600 s: {err.read_text()}"
            done = Done(process.exitcode, *(each.read_text(encoding) for each in (out, err)), offline.processes)
        assert not offline.tries, offline.tries
        return done


def begun(*arguments: object, cwd: Path, **environment: str) -> BaseProcess:
    """Begin `greenpose ARGUMENTS` in a warm process and leave it at work; it writes to its files `out` and `err`."""
    out, err = (cwd.with_name(f"{cwd.name}-{stream}") for stream in ("out", "err"))
    told = {**os.environ, "GREENPOSE_CACHE": str(cwd / "cache"), "NO_COLOR": "1", **environment}
    process = forked(list(map(str, arguments)), cwd=cwd, out=out, err=err, environment=told)
    process.out, process.err = out, err
    return process


def as_python(words: Sequence[str]) -> int:
    """Be Python with a file and its words, where torch and all else is loaded."""
    sys.argv = list(words)
    return ended(lambda: runpy.run_path(words[0], run_name="__main__"))
