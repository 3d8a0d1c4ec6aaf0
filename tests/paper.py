"""`docs/paper.md` as tables, so that tests can hold it to the code and to the paper's figures."""

import re
from functools import reduce
from pathlib import Path
from typing import Any

PAGE = (Path(__file__).parent.parent / "docs" / "paper.md").read_text(encoding="utf-8")
CONFIGURATION = re.compile(r"`([234]_stage_coco_\S+\.yaml)`")


def lookup(data: dict[str, Any], key: str) -> Any:
    """Return the value at a dotted key."""
    return reduce(lambda section, part: section[part], key.split("."), data)


def tables(heading: str) -> list[list[list[str]]]:
    """Return the cells of every table below a heading of the page, row by row, without the tables' own heads."""
    (text,) = [part for part in re.split(r"^## ", PAGE, flags=re.MULTILINE) if part.startswith(f"{heading}\n")]
    blocks = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    return [
        [[cell.strip() for cell in row.strip("|").split("|")] for row in block.splitlines()[2:]] for block in blocks
    ]


def entry_of() -> dict[str, str]:
    """Return our entry for each official configuration, as the page has them side by side."""
    found = {}
    for table in tables("Experiments"):
        for row in table:
            line = " | ".join(row)
            if match := CONFIGURATION.search(line):
                found[match[1]] = line[match.end() :].split("`")[1]
    return found
