import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from greenpose.check.environments import KEPT_SECONDS, Wanted, environment_for, interpreter, with_pip
from greenpose.errors import CheckError
from greenpose.files import locked


def wanting(*dependencies, constraints=""):
    return Wanted(dependencies=dependencies, constraints=constraints)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GREENPOSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "environments"


class Installer:
    """Makes empty environments and counts them; one that is `broken` fails when it is half done."""

    def __init__(self):
        self.made, self.broken = [], False

    def __call__(self, folder, wants):
        (folder / "bin").mkdir(parents=True)
        if self.broken:
            raise CheckError(["pip install says: no network"])
        (folder / "bin/python").symlink_to(sys.executable)
        self.made.append(wants)


def test_an_environment_is_made_once_for_what_is_wanted():
    install = Installer()
    first = environment_for(wanting("torch==2.12"), install=install)
    assert environment_for(wanting("torch==2.12"), install=install) == first
    assert environment_for(wanting("torch==2.13"), install=install) != first
    assert environment_for(wanting("torch==2.12", constraints="numpy==2.1"), install=install) != first
    assert len(install.made) == 3


def test_one_that_was_not_finished_leaves_nothing_and_is_made_anew(cache):
    install = Installer()
    install.broken = True
    with pytest.raises(CheckError, match="no network"):
        environment_for(wanting("torch"), install=install)
    assert [each for folder in cache.iterdir() for each in folder.iterdir()] == []
    install.broken = False
    assert environment_for(wanting("torch"), install=install).is_dir()


def test_one_whose_python_is_gone_is_made_anew():
    install = Installer()
    environment = environment_for(wanting("torch"), install=install)
    (environment / "bin/python").unlink()
    (environment / "bin/python").symlink_to("/nowhere/python")
    environment_for(wanting("torch"), install=install)
    assert interpreter(environment)
    assert len(install.made) == 2


def test_one_that_nobody_used_for_long_goes_when_another_is_made(cache):
    install = Installer()
    old, used = (environment_for(wanting(name), install=install) for name in ("old", "used"))
    for folder in (old, used):
        before = time.time() - KEPT_SECONDS - 1
        os.utime(folder.parent, (before, before))
    environment_for(wanting("used"), install=install)
    new = environment_for(wanting("new"), install=install)
    assert {folder.name for folder in cache.iterdir()} == {used.parent.name, new.parent.name}


def test_one_that_another_process_is_about_to_use_stays(cache):
    install = Installer()
    old = environment_for(wanting("old"), install=install).parent
    before = time.time() - KEPT_SECONDS - 1
    os.utime(old, (before, before))
    with locked(cache / f".{old.name}.lock"):
        environment_for(wanting("new"), install=install)
    assert old.is_dir()


@pytest.fixture
def wheel(tmp_path) -> Path:
    """A package `demo` that holds one number."""
    file = tmp_path / "demo-1.2-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("demo.py", "number = 7\n")
        archive.writestr("demo-1.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.2\n")
        archive.writestr("demo-1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("demo-1.2.dist-info/RECORD", "")
    return file


@pytest.mark.slow
def test_pip_installs_what_is_wanted_within_the_pins_and_else_says_why_not(wheel, tmp_path, monkeypatch):
    # What lies on PYTHONPATH or in PIP_TARGET must neither pass for installed nor get what is.
    (tmp_path / "lie" / "demo-1.2.dist-info").mkdir(parents=True)
    (tmp_path / "lie" / "demo-1.2.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: demo\nVersion: 1.2\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lie"))
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "elsewhere"))
    wants = wanting(f"demo @ {wheel.as_uri()}", constraints="demo==1.2")
    environment = environment_for(wants, install=with_pip)
    program = [interpreter(environment), "-c", "import demo, sys; print(demo.number, sys.prefix)"]
    said = subprocess.run(program, capture_output=True, text=True, check=True).stdout.split()
    assert said == ["7", str(environment)]
    with pytest.raises(CheckError, match=r"pip install says: .*conflict"):
        with_pip(environment, wanting(f"demo @ {wheel.as_uri()}", constraints="demo==1.1"))


def test_an_environment_is_a_folder_or_an_interpreter_and_anything_else_is_refused(tmp_path):
    assert interpreter(Path(sys.executable)) == sys.executable
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(CheckError, match=f"--against-env {path}: no Python there"):
            interpreter(path)
