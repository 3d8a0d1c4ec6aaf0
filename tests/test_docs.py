"""Every block of README and documentation is held by a test, and every command in them is understood."""

import re
import shlex
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from greenpose.check.budgets import BudgetFile
from greenpose.cli.app import app
from greenpose.config import Experiment, Grid, expand
from greenpose.config.profile import Profile
from tests.pages import PAGES, ROOT, blocks, blocks_of

EVERY = {
    "sh": "test_typed.py types every page that has one",
    "yaml": "here, and test_typed.py those with a title",
    "python": "test_pages.py runs them, and test_typed.py writes those with a title",
}
"""Languages whose blocks are all held, those of a new page too, by whom."""
CI_FILES = {True, "pages", "jobs", "footprint", "include", "extends"}
"""First keys of files of GitHub and GitLab, which tests/adoption reads; YAML reads `on` as true."""
MANIFESTS = {"apiVersion", "num_nodes"}
"""Keys of files of Kubernetes and SkyPilot, whose lines tests/launch/test_manifests.py has done."""
BLOCKS = [block for page in PAGES for block in blocks(page)]
PROSE = {
    (page.name, " ".join(span.split()))
    for page in PAGES
    for span in re.findall(
        r"`([^`]+)`", re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    )
}
COMMANDS = [
    pytest.param(re.sub(r"\s+#.*", "", line), id=f"{block.page.name}:{block.line + number}")
    for block in BLOCKS
    if block.language == "sh"
    for number, line in enumerate(block.text.splitlines(), start=1)
    if re.match(r"\S*greenpose ", line)
]
COMMANDS += [pytest.param(span, id=f"{page}: {span}") for page, span in sorted(PROSE) if span.startswith("greenpose ")]


def test_every_fence_is_of_a_block_and_blocks_are_where_one_would_look_for_them():
    assert {block.page.name for block in BLOCKS} >= {"README.md", "tutorial.md", "experiment.md", "gate.md"}
    assert sum(page.read_text().count("```") for page in PAGES) == 2 * len(BLOCKS)


def test_every_block_is_held_by_a_test():
    """Those in other languages by a test that takes `blocks_of(PAGE, LANGUAGE)`."""
    texts = [path.read_text() for path in ROOT.glob("tests/**/test_*.py")]
    taken = {pair for text in texts for pair in re.findall(r'blocks_of\("(\S+)", "(\w+)"\)', text)}
    held = [block for pair in taken for block in blocks_of(*pair)]
    assert [str(block) for block in BLOCKS if block.language not in EVERY and block not in held] == []


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_line_is_understood(line):
    """By the command line itself, options and values alike; nothing is run."""
    words = shlex.split(line)[1:]
    command: Any = typer.main.get_command(app)
    context = command.make_context("greenpose", words[:], resilient_parsing=True)
    while getattr(command, "commands", None):
        command, words = command.commands[words[0]], words[1:]
    if words:  # prose names commands bare
        command.make_context(command.name, words, parent=context)


def test_what_prose_tells_to_make_or_to_run_is_there():
    made = {word for _, span in PROSE if re.match("make [a-z]", span) for word in re.findall(r" ([a-z-]+)", span)}
    assert made <= set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    modules = {span.split()[2] for _, span in PROSE if span.startswith("python -m ")}
    assert [name for name in modules if not find_spec(name)] == []


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
        assert isinstance(data, list) or (CI_FILES | MANIFESTS) & set(data), (
            f"{block}: {list(data)}: no test knows what this is"
        )


def test_the_part_of_a_baseline_on_the_page_on_the_gate_is_from_ours():
    (block,) = blocks_of("gate.md", "json")
    ours = (ROOT / ".ci/baseline.json").read_text().splitlines()
    head, values = block.text.splitlines()[:3], block.text.splitlines()[3:]
    assert len(values) == 3
    assert set(values) <= set(ours)
    assert {line.partition(":")[0] for line in head} - {line.partition(":")[0] for line in ours} == {" ..."}


def test_the_drawing_of_rooms_has_them_in_the_order_in_which_they_import():
    """The contract of import-linter is the order; it is written from the top, too."""
    said, drawing = blocks_of("architecture.md", "text")
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    layers = [layer.split(" | ") for layer in contract["layers"]]
    place = {room: number for number, layer in enumerate(layers) for room in layer}
    drawn = [room for room in re.findall(r"(?:^|  )(\w+)", drawing.text, flags=re.MULTILINE) if room in place]
    assert set(drawn) == set(place)
    rows = [place[room] for room in dict.fromkeys(drawn)]  # a file of a room further down may have a room's name
    assert rows == sorted(rows)
    assert set(re.findall(r"\w+", said.text)) <= set(place)
