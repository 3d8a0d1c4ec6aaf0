"""Running the command line as a user does: in a process of its own, away from the repository."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple


class Done(NamedTuple):
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


def greenpose(*arguments: object, cwd: Path, cache: Path | None = None, **environment: str) -> Done:
    """Run `greenpose ARGUMENTS` in `cwd` and return what it left."""
    done = subprocess.run(
        [sys.executable, "-m", "greenpose", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"GREENPOSE_CACHE": str(cache or cwd / "cache"), "NO_COLOR": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    return Done(done.returncode, done.stdout, done.stderr)
