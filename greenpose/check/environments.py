"""Virtual environments of checkouts: what one wants to be installed, and in what two of them differ."""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from greenpose.errors import CheckError
from greenpose.files import cache_folder, locked

CONSTRAINTS, REQUIREMENTS = "constraints.txt", "requirements.txt"
"""Files that say which versions are installed."""
REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?P<rest>.*)")
REMARK = re.compile(r"(^|\s)(#.*|--hash\S*|\\$)")
"""What does not say which version is wanted: remarks, hashes, and the ends of lines that go on."""
PINNED = re.compile(r"[^=;]*==\s*(?P<version>[^\s;,*]+)\s*(;.*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a checkout wants to be installed, as its files say it; pip is who reads them."""

    dependencies: tuple[str, ...]
    """Requirements of the project, e.g. `torch>=2.6`; none where it names none."""
    constraints: str = ""
    """Text of its constraints."""
    requirements: str = ""
    """Text of its list of requirements."""

    @property
    def pins(self) -> dict[str, str]:
        """Return the lines of both lists by the names of their packages; constraints hold first."""
        return _by_name(self.requirements.splitlines()) | _by_name(self.constraints.splitlines())


def wanted(tree: Path) -> Wanted:
    """Return what a checkout wants to be installed."""
    return Wanted(
        dependencies=tuple(_project(tree / "pyproject.toml").get("dependencies", [])),
        constraints=_text(tree / CONSTRAINTS),
        requirements=_text(tree / REQUIREMENTS),
    )


def with_package(one: Wanted, package: str) -> Wanted:
    """Return what is wanted, and what an installed package needs instead of that package."""
    others = [line for line in one.dependencies if package not in _by_name([line])]
    return replace(one, dependencies=(*others, *needed_by(package)))


def as_here(base: Wanted, head: Wanted) -> Wanted:
    """Return what the base wants, with dependencies that both leave open alike as they are installed here.

    Else the newest of them would be installed, and the two would differ in more than the revisions say. What these
    need themselves is pip's choice.
    """
    left_open, here, pinned = _by_name(base.dependencies), _by_name(head.dependencies), base.pins
    alike = [name for name, line in left_open.items() if here.get(name) == line and name not in pinned]
    pins = [f"{name}=={installed}" for name in alike if (installed := installed_version(name))]
    return replace(base, constraints="\n".join([base.constraints, *pins]).strip("\n"))


def not_as_wanted(head: Wanted, names: Iterable[str]) -> list[str]:
    """Return which of some packages are pinned to another version than is installed here, one line each."""
    faults = []
    for name in names:
        match = PINNED.fullmatch(head.pins.get(name, ""))
        installed = installed_version(name)
        if match and installed and match["version"].partition("+")[0] != installed:
            faults.append(f"{name} {match['version']} is wanted here, {installed} is installed")
    return faults


def installed_version(name: str) -> str | None:
    """Return the version of an installed package without its local part, which `==` leaves open; None without it."""
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:
        return None


def needed_by(package: str) -> list[str]:
    """Return what an installed package requires, without its extras; nothing where it is not installed."""
    try:
        lines = requires(package) or []
    except PackageNotFoundError:
        return []
    return [line for line in lines if "extra ==" not in line]


def changed_dependencies(base: Wanted, head: Wanted) -> dict[str, str]:
    """Return by package what is wanted differently: `torch==2.12 → torch==2.13`.

    Of a project with dependencies only these count, with what they need themselves as it is installed here: pins of
    what developers use change nothing that a run does.
    """
    before, after = _that_matter(base), _that_matter(head)
    names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    return {name: f"{before.get(name, f'no {name}')} → {after.get(name, f'no {name}')}" for name in names}


def _that_matter(one: Wanted) -> dict[str, str]:
    """Return every requirement of a run by the name of its package; a pin stands before a range."""
    dependencies = _by_name(one.dependencies)
    needed = _with_their_own(dependencies)
    return dependencies | {name: line for name, line in one.pins.items() if name in needed or not dependencies}


def _with_their_own(names: Iterable[str]) -> set[str]:
    """Return packages and what they need, and so on, as far as they are installed here."""
    found, waiting = set[str](), list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _by_name(needed_by(name))
    return found


def _by_name(requirements: Iterable[str]) -> dict[str, str]:
    """Return requirements by the names of their packages, as packaging compares these (PEP 503), without spaces.

    Several lines on one package, as for several versions of Python, stand together; what has no name, as an address,
    stands for itself.
    """
    found: dict[str, str] = {}
    for requirement in requirements:
        line = REMARK.sub("", requirement).replace(" ", "").strip()
        match = REQUIREMENT.fullmatch(line)
        if match:
            name = re.sub(r"[-_.]+", "-", match["name"]).lower()
            name, line = (line, line) if match["rest"].startswith(("+", ":")) else (name, name + match["rest"])
            found[name] = f"{found[name]} | {line}" if name in found and found[name] != line else line
    return found


def _project(file: Path) -> dict[str, Any]:
    try:
        project: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
    except (OSError, tomllib.TOMLDecodeError):
        return {}
    return project


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.is_file() else ""


INTERPRETERS = ("bin/python", "Scripts/python.exe")
FINISHED = "finished.json"
"""What lies beside an environment when it is whole: what was installed."""
KEPT_SECONDS = 30 * 24 * 3600
"""An environment that nobody used for so long is removed when the next one is made: torch takes a gigabyte."""
ELSEWHERE = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_CONSTRAINT", "PIP_REQUIREMENT")
"""Settings of pip that would install something else, or somewhere else."""

Install = Callable[[Path, Wanted], None]
"""Makes an environment in a folder."""


def interpreter(environment: Path) -> str:
    """Return the interpreter of an environment: of a virtual environment's folder, or the file itself.

    Raises:
        CheckError: if there is none.
    """
    found = _interpreter(environment)
    if found is None:
        raise CheckError(
            [f"--against-env {environment}: no Python there; give a virtual environment or its bin/python"]
        )
    return found


def environment_for(wants: Wanted, *, install: Install) -> Path:
    """Return the folder of an environment with what is wanted; it is made where there is none in the cache.

    Raises:
        CheckError: if it cannot be made.
    """
    made_by = {"python": sys.version, "base": sys.base_prefix, "machine": platform.machine()}
    text = json.dumps({**made_by, **asdict(wants)}, indent=1)
    folder = cache_folder() / "environments" / hashlib.sha256(text.encode()).hexdigest()[:16]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(_lock_of(folder)):
        folder.mkdir(exist_ok=True)
        os.utime(folder)  # used now
        if not (folder / FINISHED).exists() or _interpreter(folder / "env") is None:
            _remove_unused(folder.parent)
            _make(folder, wants, install)
            (folder / FINISHED).write_text(text, encoding="utf-8")
    return folder / "env"


def with_pip(folder: Path, wants: Wanted) -> None:
    """Make a virtual environment and install what is wanted there.

    Raises:
        CheckError: with what pip or venv said last.
    """
    # -I: neither PYTHONPATH nor the working folder may pass for what is installed there.
    _run([sys.executable, "-I", "-m", "venv", str(folder)])
    python = _interpreter(folder)
    if python is None:
        raise CheckError([f"{folder}: python -m venv left no interpreter there; look at this Python's installation"])
    options = ["--quiet", "--no-input", "--disable-pip-version-check"]
    for name, text in {"constraint": wants.constraints, "requirement": wants.requirements}.items():
        file = folder / f"{name}s.txt"
        file.write_text(text, encoding="utf-8")
        options += [f"--{name}", str(file)] if text else []
    _run([python, "-I", "-m", "pip", "install", *options, *wants.dependencies])


def _interpreter(environment: Path) -> str | None:
    places = [environment, *(environment / place for place in INTERPRETERS)]
    return next((str(place.absolute()) for place in places if place.is_file() and os.access(place, os.X_OK)), None)


def _make(folder: Path, wants: Wanted, install: Install) -> None:
    """Make an environment, and leave nothing of it where that fails; what a killed process left goes first."""
    shutil.rmtree(folder / "env", ignore_errors=True)
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, folder / "env", ignore_errors=True)
        install(folder / "env", wants)
        undo.pop_all()


def _run(command: Sequence[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env=environment,
    )
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        said = next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "nothing")
        raise CheckError([f"{' '.join(command[3:5])} says: {said.removeprefix('ERROR: ')}"])


def _remove_unused(folder: Path) -> None:
    """Remove environments that were not used for long, each under its lock: none that another process begins to use."""
    for each in filter(_is_unused, list(folder.iterdir())):
        with locked(_lock_of(each), wait=False) as mine:
            if mine and _is_unused(each):
                shutil.rmtree(each, ignore_errors=True)


def _is_unused(environment: Path) -> bool:
    return environment.is_dir() and time.time() - environment.stat().st_mtime > KEPT_SECONDS


def _lock_of(environment: Path) -> Path:
    """Return an environment's lock, which lies beside it, since it is removed with all that it holds."""
    return environment.with_name(f".{environment.name}.lock")
