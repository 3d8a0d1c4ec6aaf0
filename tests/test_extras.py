"""What is installed without an extra is enough to read, check and meter; what lacks says which extra brings it."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from greenpose.cli.console import EXTRAS, faults_in

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WANTED = {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
BLOCKER = """
import json, os, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
BLOCKED = frozenset(json.loads(os.environ["BLOCKED"]))
sys.meta_path.insert(0, Blocker())
"""


def names(extra: str) -> set[str]:
    """The packages that an extra brings by name; those of the plain installation for none."""
    return {canonicalize_name(Requirement(line).name) for line in WANTED[extra]}


def installed_with(wanted: Iterable[str]) -> set[str]:
    """Those packages and all that they want themselves, by what is installed here."""
    found: set[str] = set()
    waiting = list(wanted)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name not in found:
            found.add(name)
            needed = map(Requirement, requires(name) or ())
            waiting += [one.name for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    """Run a program where only some packages seem to be installed."""
    place = tmp_path_factory.mktemp("blocker")
    (place / "sitecustomize.py").write_text(BLOCKER)
    modules = {
        name: set(map(canonicalize_name, owners))
        for name, owners in packages_distributions().items()
        if not {"greenpose", "coverage"} & set(owners)
    }

    def run(extras: tuple[str, ...], *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        kept = installed_with(set().union(*map(names, ("", *extras))))
        blocked = json.dumps([name for name, owners in modules.items() if not owners & kept])
        told = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{place}:{ROOT}", "BLOCKED": blocked, "NO_COLOR": "1"}
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=cwd, env=told, capture_output=True, text=True, check=False, timeout=300)

    return run


def test_what_is_blocked_is_what_is_not_asked_for():
    plain = installed_with(names(""))
    assert {"numpy", "pillow", "jinja2", "pydantic-core"} <= plain
    assert not plain & {"torch", "opencv-python-headless", "codecarbon", "pandas", "pycocotools", "thop", "ptflops"}


EACH = """
import os, sys
from greenpose.cli.app import main
codes = {}
for name, words in COMMANDS.items():
    if not os.fork():
        for number, stream in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{name}.{stream}", os.O_WRONLY | os.O_CREAT), number)
        sys.argv = ["greenpose", *words]
        main()
    codes[name] = os.waitstatus_to_exitcode(os.wait()[1])
print(codes, flush=True)
"""
"""Does each command in a process of its own, forked from one that has loaded the command line."""
METER = """
import greenpose
with greenpose.meter(country="ITA") as meter:
    with meter.window("sum", items=3):
        sum(range(10**6))
print(meter)
"""


def test_records_are_read_checked_and_reported_and_code_is_metered_without_an_extra(without, tmp_path):
    record = str(next((ROOT / "reports/quick").glob("HRNet4-OKD-DS*/record.json")))
    commands = {
        "page": ["report", record, "-o", "page.html"],
        "check": ["check", record, "--baseline", "b.json", "--update", "--reason", "first"],
        "doctor": ["doctor", "--json"],
        "meter": ["meter", "--country", "ITA", "--", "echo", "said"],
    }
    done = without((), "-c", f"COMMANDS = {commands!r}\n{EACH}\n{METER}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    out, err = ({name: (tmp_path / f"{name}.{stream}").read_text() for name in commands} for stream in ("out", "err"))
    assert (tmp_path / "page.html").stat().st_size > 10_000, err["page"]
    assert err["check"] == ""
    assert "no cross-check: " in out["doctor"]
    assert "none is used without cv2" in out["doctor"]
    assert out["meter"] == "said\n", err["meter"]
    assert done.stdout.splitlines()[0] == str(dict.fromkeys(commands, 0)), err
    assert "CO2eq" in done.stdout


@pytest.mark.parametrize(
    ("command", "lacks", "extra"),
    [
        ("run quick --grid --out runs", "cv2", "train"),
        ("profile", "torch", "train"),
    ],
)
def test_what_lacks_says_which_extra_brings_it(without, tmp_path, command, lacks, extra):
    done = without((), "-m", "greenpose", *command.split(), cwd=tmp_path)
    says = f"error: {lacks}, which this needs, is not installed: pip install 'greenpose[{extra}]' brings it\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", says)
    assert list(tmp_path.iterdir()) == []


def test_labels_that_need_another_extra_say_which_and_nothing_is_written(without, tmp_path):
    (tmp_path / "mice").mkdir()
    (tmp_path / "mice/labels.slp").write_bytes(b"any")
    done = without(("train",), "-m", "greenpose", "init", "mice", "--out", "out", cwd=tmp_path)
    says = "error: sleap_io, which this needs, is not installed: pip install 'greenpose[init]' brings it"
    assert (done.returncode, done.stdout, done.stderr.splitlines()) == (2, "", [says])
    assert [each.name for each in tmp_path.iterdir()] == ["mice"]


def test_a_cluster_without_its_extra_is_told_which_brings_it(without, tmp_path):
    asked = ("run", "--grid", "quick", "--launcher", "slurm", "--time", "10")
    done = without(("train",), "-m", "greenpose", *asked, cwd=tmp_path)
    says = "error: submitit, which this needs, is not installed: pip install 'greenpose[slurm]' brings it\n"
    assert (done.returncode, done.stderr) == (2, says)


ROOMS = """
import importlib, pkgutil, greenpose
for each in pkgutil.walk_packages(greenpose.__path__, "greenpose."):
    if not each.name.startswith(("greenpose.__main__", "greenpose.pytest_plugin")):
        importlib.import_module(each.name)
"""


def test_every_room_is_imported_with_what_training_takes(without, tmp_path):
    done = without(("train",), "-W", "error::ImportWarning", "-c", ROOMS, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_part_of_what_is_installed_that_cannot_be_had_is_a_broken_installation():
    for error in (ModuleNotFoundError("No", name="torch.nn"), ImportError("No", name="torch")):
        assert faults_in(error, "run") == (f"{error.name} cannot be imported: No; install it again",)
    by_command = {name: faults_in(ModuleNotFoundError(name="cv2"), name)[0] for name in ("predict", "run")}
    assert [words.partition("'")[2] for words in by_command.values()] == [
        f"greenpose[{extra}]' brings it" for extra in ("predict", "train")
    ]


def test_the_command_line_knows_what_each_extra_brings():
    owners = packages_distributions()
    for extra, imported in EXTRAS.items():
        assert {canonicalize_name(owners[name][0]) for name in imported} == names(extra) - {"greenpose"}


def test_the_readme_names_what_each_extra_brings():
    lines = re.findall(
        r"^\| `greenpose(?:\[(\w+)\])?` \|[^|]*\| ([^|]+) \|", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    assert {extra: sorted(brings.split(", ")) for extra, brings in lines} == {
        extra: sorted(names(extra)) for extra in WANTED if extra not in ("dev", "browser", "docs")
    }


def brought(extra: str) -> set[str]:
    """All packages of an environment with an extra, less those that any new one has."""
    found = installed_with(names("") | names(extra)) | {"greenpose"}
    others = [one for line in WANTED[extra] if (one := Requirement(line)).name == "greenpose"]
    return found.union(*(brought(other) for one in others for other in one.extras)) - {"pip", "setuptools"}


def test_the_readme_counts_the_packages_that_each_extra_brings():
    counts = re.findall(
        r"^\| `greenpose(?:\[(\w+)\])?` \|[^|]*\|[^|]*\| (\d+) \|", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    assert {extra: int(count) for extra, count in counts} == {extra: len(brought(extra)) for extra, _ in counts}


def test_setup_installs_everything_at_pinned_versions():
    assert "'.[dev]'" in (ROOT / "Makefile").read_text()
    assert {"greenpose[deploy]"} <= set(WANTED["dev"])
    assert {"greenpose[train]"} <= set(WANTED["deploy"])
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()[1:]}
    pinned = set(map(canonicalize_name, pinned))
    apart = names("browser") | names("docs")  # which `make test-browser` and `make docs` bring
    assert apart <= pinned
    everything = set().union(*map(names, WANTED)) - {"greenpose"} - apart
    assert {name for name in installed_with(everything) if distribution(name)} <= pinned | {"pip", "setuptools"}
