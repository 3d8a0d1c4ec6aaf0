"""The plugin as a user's project has it: tests of their own, run by a pytest of their own."""

import json
import os
import subprocess
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from greenpose.check import Filed, Selection, accept, compare
from greenpose.metrics import COUNTED
from greenpose.pytest_plugin import _worse
from tests.check.candidates import counts, profiled
from tests.pages import blocks_of
from tests.torture.nursery import forked

PROJECT = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4, again=False):
        super().__init__()
        self.conv, self.again = nn.Conv2d(3, width, 3, padding=1), again
    def forward(self, x):
        return self.conv(x).relu() if not self.again else self.conv(x).relu() + self.conv(x)

def image(size=8):
    return torch.zeros(1, 3, size, size)

def test_accept(footprint):
    footprint.check(Net(), image(), name="exit3")
    footprint.check(nn.Sequential(Net(), nn.Dropout(0.5)).eval(), image(), name="with dropout")

class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.line = nn.Linear(5, 4)
    def forward(self, image, row):
        return image.mean((2, 3, 4)) @ self.line(row).reshape(4, 1)

def test_accept_inputs(footprint):
    video, row = torch.zeros(1, 4, 2, 8, 8), torch.zeros(1, 5)
    footprint.check(Pair(), (video, row), name="in order")
    footprint.check(Pair(), {"row": row, "image": video}, name="by name")
    layer = nn.TransformerEncoderLayer(64, 4, 64, batch_first=True).eval()
    footprint.check(layer, torch.zeros(1, 32, 64), name="sequence")

def test_spectrum(footprint):
    class Spectrum(nn.Module):
        def forward(self, x):
            return torch.fft.rfft(x).abs()
    footprint.check(Spectrum(), torch.zeros(1, 8), name="spectrum")

def test_same(footprint):
    footprint.check(Net(), image(), name="exit3")

def test_never_accepted(footprint):
    footprint.check(Net(), image(), name="exit4")

def test_wider(footprint):
    footprint.check(Net(width=5), image(), name="exit3")

def test_twice(footprint):
    footprint.check(Net(again=True), image(), name="exit3")

def test_forgotten_eval(footprint):
    footprint.check(nn.Sequential(Net(), nn.Dropout(0.5)), image(), name="with dropout")

def test_cheaper(footprint):
    footprint.check(Net(width=3), image(), name="exit3")

def test_larger_image(footprint):
    footprint.check(Net(), image(16), name="exit3")

def test_larger_image_and_wider(footprint):
    footprint.check(Net(width=5), image(16), name="exit3")

def test_one_name_for_two(footprint):
    footprint.check(Net(), image(), name="exit3")
    footprint.check(Net(), image(), name="exit3")
"""


def run(folder: Path, *arguments: str) -> dict[str, str]:
    """Run the project's tests; return each one's complaint, empty where it passed."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--junitxml", "out.xml", *arguments]
    subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=300)
    return _outcomes(folder)


def again(folder: Path, *arguments: str) -> dict[str, str]:
    """Do the same in a pytest that is forked from a process which has loaded torch already."""
    process = started(folder, "--junitxml", "out.xml", *arguments)
    process.join(300)
    assert process.exitcode is not None
    return _outcomes(folder)


def started(folder: Path, *arguments: str) -> BaseProcess:
    """Return a forked pytest at work in a folder."""
    words, out = ["-p", "no:cacheprovider", *arguments], folder / "said"
    return forked(words, cwd=folder, out=out, err=out, environment=os.environ, act=be_pytest)


def be_pytest(words: list[str]) -> int:
    """Be pytest."""
    return pytest.main(words)


def _outcomes(folder: Path) -> dict[str, str]:
    cases = ET.parse(folder / "out.xml").iter("testcase")  # noqa: S314  # written by our own pytest
    return {case.attrib["name"].removeprefix("test_"): _complaint(case) for case in cases}


def _complaint(case: ET.Element) -> str:
    failure = case.find("failure")
    return "" if failure is None else failure.attrib["message"]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A project whose footprints were accepted."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_net.py").write_text(PROJECT)
    accepting = run(
        folder, *(f"test_net.py::test_{name}" for name in ("accept", "accept_inputs")), "--footprint-update"
    )
    assert {name: said for name, said in accepting.items() if said} == {}
    return folder


@pytest.fixture(scope="module")
def outcomes(project) -> dict[str, str]:
    return again(project)


def accepted(project):
    return json.loads((project / "footprint.json").read_text())


def test_what_is_accepted_is_counted_right(project):
    counts = accepted(project)["footprints"]["exit3"]
    assert counts["macs"] == 8 * 8 * 4 * 3 * 3 * 3
    assert counts["params"] == 4 * 3 * 3 * 3 + 4
    assert counts["operations"] == {"convolution": 1, "relu": 1}
    assert counts["input"] == "1x3x8x8"


def test_inputs_in_order_by_name_and_of_any_dimensions_are_counted(project):
    footprints = accepted(project)["footprints"]
    assert footprints["in order"]["macs"] == footprints["by name"]["macs"] == 5 * 4 + 4
    assert footprints["in order"]["input"] == "(1x4x2x8x8, 1x5)"
    assert footprints["by name"]["input"] == "{image: 1x4x2x8x8, row: 1x5}"
    assert footprints["sequence"]["macs"] == 655_360 + 2 * 32 * 64 * 64


def test_what_costs_as_accepted_or_less_passes(outcomes):
    assert {name for name, complaint in outcomes.items() if not complaint} == {
        "accept",
        "accept_inputs",
        "same",
        "cheaper",
    }


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("never_accepted", ["has no 'exit4' yet", "pytest --footprint-update"]),
        ("wider", ["params: rose from 112 parameters to 140 parameters (+25.0", "macs: rose", "footprint-update"]),
        ("twice", ["operations", "convolution 1 → 2"]),
        ("forgotten_eval", ["operations", "0 → 1"]),
        ("larger_image", ["macs: not comparable: the input was 1x3x8x8 and is 1x3x16x16"]),
        ("spectrum", ["cannot be counted", "no rule for what aten._fft_r2c computes", "not free"]),
        ("one_name_for_two", ["checked twice in this test"]),
    ],
)
def test_what_costs_more_or_otherwise_fails_in_words(outcomes, name, words):
    complaint = outcomes[name].replace("\u00a0", " ")
    assert all(word in complaint for word in words), complaint


def as_accepted(footprint):
    """Return what the plugin knows of exit 3 of a footprint."""
    numbers = {size.name: int(footprint.quantities[f"exit3.{size.name}"].value) for size in COUNTED}
    return numbers | {"operations": footprint.operations[3], "input": footprint.input, "torch": footprint.torch}


@pytest.mark.parametrize(
    ("settings", "fails"),
    [
        ({}, False),
        ({"model": {"width": 32}, "exit3": {"macs": 90_000_000_000, "params": 45_000_000}}, True),
        ({"model": {"width": 8}, "exit3": {"macs": 400_000_000}}, False),
        ({"model": {"modules": [1, 2, 1]}, "exit3": {"macs": 6_000_000_001}}, True),
        ({"data": {"input_size": [96, 96]}}, True),
        ({"torch": "2.14.0", "exit3": {"peak_bytes": 9, "operations": {"add": 900}}}, False),
        ({"torch": "2.14.0", "exit3": {"params": 3_000_001}}, True),
        ({"exit3": {"operations": counts(3)["operations"] | {"_to_copy": 1}}}, True),
    ],
)
def test_the_plugin_and_a_lenient_gate_say_the_same_of_the_same_change(settings, fails):
    first = {"reason": "first", "at": "2026-11-25T08:00:00+00:00", "commit": None, "version": "0.1.0"}
    before, after = profiled(3), profiled(3, **settings)
    filed = Filed(name="b", baseline=accept(None, [before], only=Selection(), **first), lines={})
    findings = compare([after], filed, only=Selection()).findings
    assert any(finding.fails or finding.changed for finding in findings) is fails
    assert bool(_worse(as_accepted(before), as_accepted(after))) is fails


def test_another_torch_leaves_out_what_belongs_to_its_version(project):
    document = accepted(project)
    document["footprints"]["exit3"] |= {"torch": "1.0", "operations": {}, "peak_bytes": 1}
    changed = project / "other_torch.json"
    changed.write_text(json.dumps(document))
    assert again(project, "test_net.py::test_same", "-o", f"footprint_file={changed.name}") == {"same": ""}


def test_processes_beside_each_other_lose_nothing_of_what_they_accept(tmp_path):
    names = [f"exit{number}" for number in range(24)]
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for half in (0, 1):
        (tmp_path / f"test_{half}.py").write_text(
            "import pytest\nfrom torch import nn, zeros\n"
            f"@pytest.mark.parametrize('name', {names[half::2]})\n"
            "def test_one(footprint, name):\n    footprint.check(nn.Identity(), zeros(1, 3, 8, 8), name=name)\n"
        )
    beside = [started(tmp_path, f"test_{half}.py", "--footprint-update") for half in (0, 1)]
    for process in beside:
        process.join(300)
    assert [process.exitcode for process in beside] == [0, 0]
    assert sorted(accepted(tmp_path)["footprints"]) == sorted(names)


def test_the_test_that_the_readme_shows_counts_a_network(tmp_path):
    (block,) = [block for block in blocks_of("README.md", "python") if "footprint" in block.text]
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_shown.py").write_text(f"import torch\nnet = torch.nn.Conv2d(3, 4, 1)\n\n{block.text}")
    assert again(tmp_path, "--footprint-update") == {"footprint": ""}
    (values,) = accepted(tmp_path)["footprints"].values()
    assert 4 * 3 * 256 * 192 in values.values()


def test_other_images_and_a_wider_network_fail_by_what_is_comparable_too(outcomes):
    assert "params" not in outcomes["larger_image"]
    assert "params: rose" in outcomes["larger_image_and_wider"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not a file of footprints"),
        ("[" * 100_000, "not a file of footprints"),
        ('{"schema": "x"}', "schema is 'x'"),
        ('\ufeff{"schema": "x", "schema": "y"}', "line 1, column 17: schema is given twice"),
        ('{"schema": "greenpose.footprint/1", "footprints": {"exit3": 5}}', "'exit3': is 5, no footprint"),
        ('{"schema": "greenpose.footprint/1", "footprints": 5}', "not a file of footprints"),
        (
            '{"schema": "greenpose.footprint/1", "footprints": {"exit3": {"params": "1", "torch": 2}}}',
            "no whole number, or no text, under params, macs, activation_bytes, peak_bytes, operations, input, torch",
        ),
    ],
)
def test_a_damaged_file_fails_in_words(project, text, words):
    (project / "damaged.json").write_text(text)
    assert words in again(project, "test_net.py::test_same", "-o", "footprint_file=damaged.json")["same"]
