"""Running the command line as a user does: in a process of its own, away from the repository."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from tests.network import Offline


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


def greenpose(*arguments: object, cwd: Path, cache: Path | None = None, **environment: str) -> Done:
    """Run `greenpose ARGUMENTS` in `cwd` and return what it left; a try to reach the network fails the test."""
    with tempfile.TemporaryDirectory() as folder:
        offline = Offline(Path(folder) / "notes")
        settings = {"GREENPOSE_CACHE": str(cache or cwd / "cache"), "NO_COLOR": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "greenpose", *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, **offline.environment, **settings, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert not offline.tries, offline.tries
        return Done(done.returncode, done.stdout, done.stderr, offline.processes)
