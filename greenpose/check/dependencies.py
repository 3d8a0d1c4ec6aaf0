"""What a checkout wants to be installed, and in what two of them differ."""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

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
