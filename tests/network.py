"""Running Python processes that the network is refused to, and seeing which of them tried."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

GUARD = Path(__file__).parent / "offline"
"""Folder of the module that Python imports at its start."""


class Offline(NamedTuple):
    """Processes that are kept from the network, and what they noted."""

    notes: Path
    """File that every one of them writes to."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What to start them with; their children inherit it."""
        path = os.pathsep.join([str(GUARD), *filter(None, [os.environ.get("PYTHONPATH")])])
        return {"PYTHONPATH": path, "GREENPOSE_TEST_NOTES": str(self.notes)}

    @property
    def tries(self) -> list[dict[str, Any]]:
        """Every try to reach the network: what, whereto, from which lines of code."""
        return [note for note in self._read() if "tried" in note]

    @property
    def processes(self) -> list[str]:
        """The command of every process that was kept from it."""
        return [" ".join(note["began"]) for note in self._read() if "began" in note]

    def _read(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.notes.read_text(encoding="utf-8").splitlines()]
