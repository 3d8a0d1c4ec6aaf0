"""What the README tells people to type exists and is accepted."""

import re
import subprocess
from pathlib import Path

import yaml

from greenpose.config import Grid, expand
from tests.cli.running import greenpose

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_two_commands_stand_at_the_top_and_are_targets():
    top = README.split("\n## ")[0]
    targets = (ROOT / "Makefile").read_text()
    for target in ("demo", "test"):
        assert f"make {target}" in top
        assert f"\n{target}: setup" in targets


def test_the_longer_demo_gives_commands_options_that_they_know(tmp_path):
    """Line by line; `make` shows what it would do, the loop's lines as the shell gets them."""
    said = subprocess.run(["make", "-n", "demo-deploy"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    calls = re.findall(r"bin/greenpose (\w+) ([^;\n]*)", said.replace("\\\n", " "))
    assert [name for name, _ in calls] == ["run", "export", "measure", "report"]
    for name, words in calls:
        known = greenpose(name, "--help", cwd=tmp_path).out
        assert all(option in known for option in re.findall(r"--[a-z-]+", words)), name


def test_the_example_grid_is_valid_once_a_folder_is_named():
    blocks = re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)
    (text,) = [block for block in blocks if "experiments:" in block]
    cells = expand(Grid.model_validate(yaml.safe_load(text)), where="README")
    assert len(cells) == 6


def test_every_linked_file_is_there():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []
