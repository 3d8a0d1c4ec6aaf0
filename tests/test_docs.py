"""What README and documentation tell people to type is accepted, and the tutorial works as it is typed."""

import re
import shlex
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
import yaml

from greenpose.check.budgets import BudgetFile
from greenpose.cli.app import app
from greenpose.config import Experiment, Grid, expand
from greenpose.config.profile import Profile
from tests.cli.running import greenpose

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LANGUAGES = {"sh", "yaml", "python", "json", "js", "text"}
CI_FILES = {True, "pages", "jobs", "footprint", "include", "extends"}
"""First keys of files of GitHub and GitLab, which tests/adoption reads; YAML reads `on` as true."""


class Block(NamedTuple):
    """One fenced block of a page."""

    page: Path
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text()
    found = re.finditer(r"^```(\w*)(?: title=\"([^\"]+)\")?\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [Block(page, text[: one.start()].count("\n") + 1, one[1], one[2] or "", one[3]) for one in found]


BLOCKS = [block for page in PAGES for block in blocks(page)]
COMMANDS = [
    pytest.param(line.split(" #")[0].strip(), id=f"{block.page.name}:{block.line + number}")
    for block in BLOCKS
    if block.language == "sh"
    for number, line in enumerate(block.text.splitlines(), start=1)
    if line.startswith("greenpose ")
]


def test_blocks_are_found_in_the_pages_that_have_them_and_say_their_language():
    assert {block.page.name for block in BLOCKS} >= {
        "README.md",
        "tutorial.md",
        "experiment.md",
        "gate.md",
        "deploy.md",
    }
    assert [str(block) for block in BLOCKS if block.language not in LANGUAGES] == []
    fences = sum(len(re.findall(r"^```", page.read_text(), flags=re.MULTILINE)) for page in PAGES)
    assert fences == 2 * len(BLOCKS)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_line_is_understood(line):
    """By the command line itself, options and values alike; nothing is run."""
    words = shlex.split(line)[1:]
    command: Any = typer.main.get_command(app)
    context = command.make_context("greenpose", words[:], resilient_parsing=True)
    while getattr(command, "commands", None):
        command, words = command.commands[words[0]], words[1:]
    command.make_context(command.name, words, parent=context)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "yaml"], ids=str)
def test_every_yaml_block_is_what_its_page_says(block):
    data = yaml.safe_load(block.text)
    if "experiments" in data:
        assert len(expand(Grid.model_validate(data), where=block.page.name)) > 1
    elif "carbon" in data:
        Experiment.model_validate({"name": Path(block.title).stem} | data)  # a file without one is called like itself
    elif "keypoints" in data:
        Profile.model_validate(data)
    elif "budgets" in data:
        BudgetFile.model_validate(data)
    else:
        assert isinstance(data, list) or CI_FILES & set(data), f"{block}: {list(data)}: no test knows what this is"


SMALLER = {
    "train: 125, val: 20, test: 30": "train: 6, val: 2, test: 2",
    "epochs: 8": "epochs: 2",
    "[5, 7]": "[1]",
    "seconds: 12": "seconds: 1, max_blocks: 2, step_blocks: 2",
}


OWN_SMALLER = {
    "train: 125, val: 20, test: 60": "train: 3, val: 2, test: 2",
    "train: 8, val: 5, test: 4": "train: 4, val: 2, test: 2",
    "epochs: 12": "epochs: 1",
    "[8, 11]": "[1]",
    "seconds: 12": "seconds: 1, max_blocks: 2, step_blocks: 2",
}


@pytest.mark.parametrize("smaller", [OWN_SMALLER, pytest.param({}, marks=pytest.mark.slow)], ids=["small", "as-typed"])
def test_the_page_on_networks_of_ones_own_works_as_it_is_typed(smaller, tmp_path):
    _typed_page("own_network.md", smaller, tmp_path)
    assert (tmp_path / "reports/own.html").stat().st_size > 50_000
    assert len(list(tmp_path.glob("runs/own/own-*/exported/*.pt2"))) == 1


@pytest.mark.parametrize("smaller", [SMALLER, pytest.param({}, marks=pytest.mark.slow)], ids=["small", "as-typed"])
def test_the_tutorial_works_as_it_is_typed(smaller, tmp_path):
    _typed_page("tutorial.md", smaller, tmp_path)
    assert (tmp_path / "reports/mine.html").stat().st_size > 50_000
    assert len(list((tmp_path / "poses/overlays").iterdir())) == 5


def _typed_page(name: str, smaller: dict[str, str], folder: Path) -> None:
    """Do what a page says: write its titled files, with fewer images and epochs where `smaller` says so, and type."""
    texts = [block for block in blocks(ROOT / "docs" / name) if block.title]
    assert [whole for whole in smaller if not any(whole in block.text for block in texts)] == []
    for block in blocks(ROOT / "docs" / name):
        if block.title:
            text = block.text
            for whole, part in smaller.items():
                text = text.replace(whole, part)
            (folder / block.title).write_text(text)
        elif block.language == "sh":
            for line in block.text.splitlines():
                if not (smaller and " estimate " in line):  # it trains for as long, however small the set
                    shorter = " --max-seconds 1" if smaller and " measure " in line else ""
                    _typed(line + shorter, folder)


def test_the_example_of_the_page_on_profiles_works_as_it_is_typed(tmp_path):
    """But for the length of the run, and the folder of somebody else's images at the top."""
    (lines,) = [block.text.splitlines() for block in blocks(ROOT / "docs/profile.md") if "data synth" in block.text]
    shorter = {
        "init": " --seconds 1",
        "run": " --set train.epochs=1 --set measure.max_blocks=1 --set measure.step_blocks=1",
    }
    for line in lines:
        _typed(line + shorter.get(line.split()[1], ""), tmp_path)
    assert list((tmp_path / "runs").rglob("record.json"))


def _typed(line: str, folder: Path) -> None:
    """Run a line of a shell block, in words of its own, and hold it to the code that its comment says, or 0."""
    typed, _, comment = line.partition(" #")
    words = shlex.split(typed)
    if words[0] == "sed":
        _, change, source, _, target = words
        before, after = change.split("/")[1:3]
        text = (folder / source).read_text()
        assert before in text
        (folder / target).write_text(text.replace(before, after))
        return
    named = [str(path) for word in words[1:] if "*" in word for path in folder.glob(word)]
    done = greenpose(*[named[0] if "*" in word else word for word in words[1:]], cwd=folder)
    code = int(found[1]) if (found := re.search(r"code (\d)", comment)) else 0
    assert done.code == code, done.out + done.err
