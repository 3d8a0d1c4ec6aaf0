"""What the page's script needs to know: which names belong together, and what its suppositions are computed from."""

import base64
import hashlib
import json
import re
from typing import Any

from greenpose.report.scale import is_large
from greenpose.report.scenario import scenario_data
from greenpose.report.study import Study


def view_data(study: Study) -> str:
    """Return experiments with their exits and runs, and the scenario, as JSON safe inside a script element."""
    runs_are_told = not is_large(study)
    data: dict[str, Any] = {
        "experiments": [
            [group.label, list(group.exits), [run.name for run in group.runs if runs_are_told]]
            for group in study.groups
        ],
        "scenario": scenario_data(study),
    }
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


def compact(script: str) -> str:
    """Return a script without what is for readers only: comments on lines of their own, indentation, air at arrows."""
    lines = (line.strip().replace(" => ", "=>") for line in script.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def compact_style(style: str) -> str:
    """Return a style sheet without the blanks that mean nothing; strings stay as they are."""
    return re.sub(r'("[^"]*")|\s*([{};,])\s*|(:)\s+', lambda found: "".join(filter(None, found.groups())), style)


def digest(script: str) -> str:
    """Return what names the script in the page's content security policy, so that no other one runs."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
