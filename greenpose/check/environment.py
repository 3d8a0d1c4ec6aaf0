"""An environment for a revision that wants other packages than are installed here: made once, kept in the cache."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from greenpose.cache import cache_folder
from greenpose.check.dependencies import Wanted
from greenpose.errors import CheckError
from greenpose.store.claim import locked

INTERPRETERS = ("bin/python", "Scripts/python.exe")
FINISHED = "finished.json"
"""What an environment holds when it is whole: what was installed."""
KEPT_SECONDS = 30 * 24 * 3600
"""An environment that nobody used for so long is removed when the next one is made: torch takes a gigabyte."""

Install = Callable[[Path, Wanted], None]
"""Makes an environment in a folder."""


def interpreter(environment: Path) -> str:
    """Return the interpreter of an environment: of a virtual environment's folder, or the file itself.

    Raises:
        CheckError: if there is none.
    """
    places = [environment, *(environment / place for place in INTERPRETERS)]
    for place in places:
        if place.is_file() and os.access(place, os.X_OK):
            return str(place.absolute())
    raise CheckError([f"--against-env {environment}: no Python there; give a virtual environment or its bin/python"])


def environment_for(wants: Wanted, *, install: Install | None = None) -> Path:
    """Return the folder of an environment with what is wanted; it is made where there is none in the cache.

    Raises:
        CheckError: if it cannot be made.
    """
    text = json.dumps({"python": sys.version, **asdict(wants)}, indent=1)
    folder = cache_folder() / "environments" / hashlib.sha256(text.encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        if not (folder / FINISHED).exists():
            _remove_unused(folder.parent)
            shutil.rmtree(folder / "env", ignore_errors=True)  # what an interrupted process left
            (install or with_pip)(folder / "env", wants)
        (folder / FINISHED).write_text(text, encoding="utf-8")
    return folder / "env"


def with_pip(folder: Path, wants: Wanted) -> None:
    """Make a virtual environment and install what is wanted there.

    Raises:
        CheckError: with what pip or venv said last.
    """
    _run([sys.executable, "-m", "venv", str(folder)])
    pins = folder / "constraints.txt"
    pins.write_text("\n".join(wants.pins) + "\n", encoding="utf-8")
    pip = [interpreter(folder), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--constraint", str(pins), *(wants.dependencies or wants.pins)])


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        said = next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "nothing")
        raise CheckError([f"{' '.join(command[1:4])} says: {said.removeprefix('ERROR: ')}"])


def _remove_unused(folder: Path) -> None:
    """Remove environments that were not used for long."""
    for finished in folder.glob(f"*/{FINISHED}"):
        if time.time() - finished.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(finished.parent, ignore_errors=True)
