"""An environment for a revision that wants other packages than are installed here: made once, kept in the cache."""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from greenpose.cache import cache_folder
from greenpose.check.dependencies import Wanted
from greenpose.errors import CheckError
from greenpose.lock import locked

INTERPRETERS = ("bin/python", "Scripts/python.exe")
FINISHED = "finished.json"
"""What lies beside an environment when it is whole: what was installed."""
KEPT_SECONDS = 30 * 24 * 3600
"""An environment that nobody used for so long is removed when the next one is made: torch takes a gigabyte."""
ELSEWHERE = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_CONSTRAINT", "PIP_REQUIREMENT")
"""Settings of pip that would install something else, or somewhere else."""

Install = Callable[[Path, Wanted], None]
"""Makes an environment in a folder."""


def interpreter(environment: Path) -> str:
    """Return the interpreter of an environment: of a virtual environment's folder, or the file itself.

    Raises:
        CheckError: if there is none.
    """
    found = _interpreter(environment)
    if found is None:
        raise CheckError(
            [f"--against-env {environment}: no Python there; give a virtual environment or its bin/python"]
        )
    return found


def environment_for(wants: Wanted, *, install: Install) -> Path:
    """Return the folder of an environment with what is wanted; it is made where there is none in the cache.

    Raises:
        CheckError: if it cannot be made.
    """
    made_by = {"python": sys.version, "base": sys.base_prefix, "machine": platform.machine()}
    text = json.dumps({**made_by, **asdict(wants)}, indent=1)
    folder = cache_folder() / "environments" / hashlib.sha256(text.encode()).hexdigest()[:16]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(_lock_of(folder)):
        folder.mkdir(exist_ok=True)
        os.utime(folder)  # used now
        if not (folder / FINISHED).exists() or _interpreter(folder / "env") is None:
            _remove_unused(folder.parent)
            _make(folder, wants, install)
            (folder / FINISHED).write_text(text, encoding="utf-8")
    return folder / "env"


def with_pip(folder: Path, wants: Wanted) -> None:
    """Make a virtual environment and install what is wanted there.

    Raises:
        CheckError: with what pip or venv said last.
    """
    # -I: neither PYTHONPATH nor the working folder may pass for what is installed there.
    _run([sys.executable, "-I", "-m", "venv", str(folder)])
    python = _interpreter(folder)
    if python is None:
        raise CheckError([f"{folder}: python -m venv left no interpreter there; look at this Python's installation"])
    options = ["--quiet", "--no-input", "--disable-pip-version-check"]
    for name, text in {"constraint": wants.constraints, "requirement": wants.requirements}.items():
        file = folder / f"{name}s.txt"
        file.write_text(text, encoding="utf-8")
        options += [f"--{name}", str(file)] if text else []
    _run([python, "-I", "-m", "pip", "install", *options, *wants.dependencies])


def _interpreter(environment: Path) -> str | None:
    places = [environment, *(environment / place for place in INTERPRETERS)]
    return next((str(place.absolute()) for place in places if place.is_file() and os.access(place, os.X_OK)), None)


def _make(folder: Path, wants: Wanted, install: Install) -> None:
    """Make an environment, and leave nothing of it where that fails; what a killed process left goes first."""
    shutil.rmtree(folder / "env", ignore_errors=True)
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, folder / "env", ignore_errors=True)
        install(folder / "env", wants)
        undo.pop_all()


def _run(command: Sequence[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env=environment,
    )
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        said = next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "nothing")
        raise CheckError([f"{' '.join(command[3:5])} says: {said.removeprefix('ERROR: ')}"])


def _remove_unused(folder: Path) -> None:
    """Remove environments that were not used for long, each under its lock: none that another process begins to use."""
    for each in filter(_is_unused, list(folder.iterdir())):
        with locked(_lock_of(each), wait=False) as mine:
            if mine and _is_unused(each):
                shutil.rmtree(each, ignore_errors=True)


def _is_unused(environment: Path) -> bool:
    return environment.is_dir() and time.time() - environment.stat().st_mtime > KEPT_SECONDS


def _lock_of(environment: Path) -> Path:
    """Return an environment's lock, which lies beside it, since it is removed with all that it holds."""
    return environment.with_name(f".{environment.name}.lock")
