"""Documentation that is run: Python blocks of a page in one process, lines of shell blocks as somebody types them."""

import itertools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.cli.running import as_python, greenpose

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SEARCHED = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
"""Where a line's programs are looked for: an environment that is active."""


class Block(NamedTuple):
    """One fenced block of a page."""

    page: Path
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path, language: str = "") -> list[Block]:
    """The fenced blocks of a page, in order, those of lists too; all of them, or those in a language."""
    text = page.read_text()
    found = re.finditer(r"^( *)```(\w*)(?: title=\"([^\"]+)\")?\n(.*?)^\1```$", text, flags=re.MULTILINE | re.DOTALL)
    return [
        Block(page, text[: one.start()].count("\n") + 1, one[2], one[3] or "", re.sub(f"(?m)^{one[1]}", "", one[4]))
        for one in found
        if language in ("", one[2])
    ]


def blocks_of(name: str, language: str) -> list[Block]:
    """The blocks in a language of the page of that name; the test that asks for them is the one that holds them."""
    (page,) = [page for page in PAGES if page.name == name]
    return blocks(page, language)


def run_blocks(page: Path, folder: Path) -> str:
    """Run all Python blocks of a page in one process that works in `folder`, and return what they print.

    An error names the page and the line.
    """
    lines = [""] * len(page.read_text().splitlines())
    for block in blocks(page, "python"):
        code = block.text.splitlines()
        lines[block.line : block.line + len(code)] = code
    file = folder / "python" / page.name
    file.parent.mkdir()
    file.write_text("\n".join(lines))
    done = greenpose(file, cwd=folder, act=as_python)
    assert done.code == 0, done.err
    return done.out


def type_page(page: Path, folder: Path, shorter: Mapping[str, str], skipped: Collection[str] = ()) -> dict[str, str]:
    """Do what a page says, in order: write its titled files, type its shell lines. Return what each line printed.

    A command of GreenPose also gets the words that `shorter` has for its first ones, so that it takes less time.
    A line with a piece that is `skipped` is not typed. Every other one has to end with the code that its
    comment says, or 0; what is measured may also leave a check unable to tell.
    """
    said, faults = {}, []
    for block in blocks(page):
        if block.title:
            (folder / block.title).write_text(block.text)
        for line in block.text.splitlines() if block.language == "sh" else ():
            if any(piece in line for piece in skipped):
                continue
            code, said[line] = type_line(line, folder, shorter)
            told = re.search(r"#.*code (\d)", line)
            unsure = bool(re.search("--against|--budgets|--self-test", line)) and code == 3
            if code != int(told[1] if told else 0) and not unsure:
                faults.append(f"{block}: {line}\ncode {code}: {said[line][-1000:]}")
    assert faults == [], "\n\n".join(faults)
    return said


def type_line(line: str, folder: Path, shorter: Mapping[str, str]) -> tuple[int, str]:
    """Type a shell line in a folder; return its code and what it printed.

    GreenPose is forked from a process that is warm. What pip would bring is here already: an environment is given it.
    `make` is asked for the commands of GreenPose that it would type. All else is the shell's.
    """
    said = ""
    for part in re.split(r"\s+&&\s+", re.sub(r"\s+#.*", "", line)):
        program, *words = shlex.split(part)
        code, printed = 0, ""
        if Path(program).name == "greenpose":
            named = [sorted(map(str, folder.glob(word))) or [word] if "*" in word else [word] for word in words]
            more = " ".join(few for first, few in shorter.items() if f"{shlex.join(words)} ".startswith(f"{first} "))
            done = greenpose(*itertools.chain(*named), *shlex.split(more), cwd=folder, PATH=SEARCHED)
            code, printed = done.code, done.out + done.err
        elif program == "make":
            _, recipe = shell(f"make -n {shlex.join(words)} | grep -o 'bin/greenpose .*'", folder)
            code, printed = type_line(" && ".join(recipe.splitlines()), folder, shorter)
        elif Path(program).name == "pip":
            (site,) = (folder / program).parents[1].glob("lib/python*/site-packages")
            (site / "here.pth").write_text("\n".join(filter(None, sys.path)))
        else:
            code, printed = shell(part, folder)
        said += printed
        if code:
            return code, said
    return 0, said


def shell(line: str, folder: Path) -> tuple[int, str]:
    """Have the shell do a line, or a script, in a folder; return its code and what it printed."""
    environment = {**os.environ, "PATH": SEARCHED}
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr
