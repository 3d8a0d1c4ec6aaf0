"""Documentation that is run: the Python blocks of a page, in one process, as somebody would type them."""

import json
import re
import subprocess
import sys
from pathlib import Path

RUNNER = """
import json, sys
namespace = {"__name__": "__main__"}
for line, where, code in json.load(sys.stdin):
    exec(compile("\\n" * line + code, where, "exec"), namespace)
"""


def python_blocks(page: Path) -> list[tuple[int, str]]:
    """The Python blocks of a page, each with its line."""
    text = page.read_text()
    found = re.finditer(r"^```python(?: [^\n]*)?\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [(text[: one.start()].count("\n") + 1, one[1]) for one in found]


def run_blocks(page: Path, folder: Path, *, before: str = "", timeout_s: float = 300) -> str:
    """Run all Python blocks of a page in one process that works in `folder`, and return what they print.

    `before` is run first: what the page takes for granted. An error names the page and the line.
    """
    blocks = [(line, str(page), code) for line, code in python_blocks(page)]
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps([(0, "before", before), *blocks]),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
