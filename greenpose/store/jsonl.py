"""Append-only logs, one JSON object a line: what a run writes as it goes and a killed run keeps."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from greenpose.errors import writing
from greenpose.schema import from_json


def append_line(path: Path, entry: Mapping[str, Any]) -> None:
    """Append one object to a log."""
    with writing(path), path.open("a", encoding="utf-8") as log:
        log.write(json.dumps(entry, ensure_ascii=False) + "\n")


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a log, none where there is no log; a line that is torn, or no sound JSON, is passed over."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as log:
        for line in log:
            try:
                entry = from_json(line)
            except ValueError:
                continue
            if isinstance(entry, dict):
                yield entry
