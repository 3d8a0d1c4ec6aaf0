"""Running the command line as a user does: in a process of its own, away from the repository."""

import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from tests.network import GUARD, Offline
from tests.torture import nursery


class Done(NamedTuple):
    """What a command left."""

    code: int
    out: str
    err: str
    processes: list[str]
    """The command of every Python process that took part."""

    @property
    def json(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


def greenpose(*arguments: object, cwd: Path, cache: Path | None = None, cold: bool = False, **environment: str) -> Done:
    """Run `greenpose ARGUMENTS` in `cwd` and return what it left; a try to reach the network fails the test.

    It, and every worker that it starts, is a process of its own, forked from one that has loaded everything and trained
    once. A cold one starts as a user's does: for tests that look at how that goes.
    """
    with tempfile.TemporaryDirectory() as folder:
        offline = Offline(Path(folder) / "notes")
        settings = {"GREENPOSE_CACHE": str(cache or cwd / "cache"), "NO_COLOR": "1"}
        told = {**os.environ, **offline.environment, **settings, **environment}
        words = list(map(str, arguments))
        if not cold:
            out, err = Path(folder) / "out", Path(folder) / "err"
            process = forked(words, cwd=cwd, out=out, err=err, environment=told)
            process.join(600)
            assert process.exitcode is not None, f"still at work after 600 s: {err.read_text()}"
            done = Done(process.exitcode, out.read_text(), err.read_text(), offline.processes)
        else:
            command = [sys.executable, "-m", "greenpose", *words]
            ended = subprocess.run(command, cwd=cwd, env=told, capture_output=True, text=True, check=False, timeout=600)
            done = Done(ended.returncode, ended.stdout, ended.stderr, offline.processes)
        assert not offline.tries, offline.tries
        return done


def forked(
    words: list[str],
    *,
    cwd: Path,
    out: Path,
    err: Path,
    environment: Mapping[str, str],
    act: Callable[[list[str]], int] | None = None,
) -> BaseProcess:
    """Start a warm command, or what else is done with its words; its streams are files.

    It is kept from the network where its environment says so.
    """
    path = os.environ.get("PYTHONPATH")
    context = nursery.nursery()
    forkserver.ensure_running()
    if path is None:
        del os.environ["PYTHONPATH"]  # only where processes come from is started with it
    else:
        os.environ["PYTHONPATH"] = path
    streams = (os.devnull, str(out), str(err))
    process = context.Process(target=_be, args=(words, str(cwd), streams, dict(environment), act or _command))
    process.start()
    return process


def _be(
    words: list[str],
    cwd: str,
    streams: tuple[str, str, str],
    environment: dict[str, str],
    act: Callable[[list[str]], int],
) -> None:
    os.setsid()
    for number, file in enumerate(streams):
        os.dup2(os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    if "GREENPOSE_TEST_NOTES" in environment:
        runpy.run_path(str(GUARD / "sitecustomize.py"))
    subprocess.Popen = nursery.Forking  # type: ignore[misc]
    code = act(words)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _command(words: list[str]) -> int:
    return nursery.be(words, None)
