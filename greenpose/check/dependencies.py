"""What a checkout wants to be installed, and in what two of them differ."""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

PINS = ("constraints.txt", "requirements.txt")
"""Files that say which versions are installed."""
REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?P<rest>.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a checkout wants to be installed, as its files say it."""

    dependencies: tuple[str, ...]
    """Requirements of the project, e.g. `torch>=2.6`; none where it names none."""
    pins: tuple[str, ...]
    """Requirements in its files of versions, e.g. `torch==2.13.0`, developers' among them; one of each package."""


def wanted(tree: Path) -> Wanted:
    """Return what a checkout wants to be installed."""
    lines = [line.partition("#")[0].strip() for file in PINS for line in _lines(tree / file)]
    return Wanted(
        dependencies=tuple(_project(tree / "pyproject.toml").get("dependencies", [])),
        pins=tuple(_by_name(reversed(lines)).values()),
    )


def with_package(one: Wanted, package: str) -> Wanted:
    """Return what is wanted, and what an installed package needs."""
    return replace(one, dependencies=(*(one.dependencies or one.pins), *needed_by(package)))


def as_here(base: Wanted, head: Wanted) -> Wanted:
    """Return what the base wants, with what both want alike and the base does not pin pinned to what is installed here.

    Else the newest of it would be installed, and the two would differ in more than the revisions say.
    """
    open_, here = _by_name(base.dependencies), _by_name(head.dependencies)
    alike = [name for name, line in open_.items() if here.get(name) == line and name not in _by_name(base.pins)]
    return replace(base, pins=(*base.pins, *(pin for name in alike for pin in _pin_of(name))))


def needed_by(package: str) -> list[str]:
    """Return what an installed package requires, without its extras; nothing where it is not installed."""
    try:
        lines = requires(package) or []
    except PackageNotFoundError:
        return []
    return [line for line in lines if "extra ==" not in line]


def changed_dependencies(base: Path, head: Path) -> list[str]:
    """Return what two trees want to be installed differently, one line each: `torch==2.12 → torch==2.13`.

    Of a project with dependencies only these count, with what they need themselves as it is installed here: pins of
    what developers use change nothing that a run does.
    """
    before, after = _that_matter(wanted(base)), _that_matter(wanted(head))
    names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    return [f"{before.get(name, f'no {name}')} → {after.get(name, f'no {name}')}" for name in names]


def _that_matter(one: Wanted) -> dict[str, str]:
    """Return every requirement of a run by the name of its package; a pin stands before a range."""
    dependencies, pinned = _by_name(one.dependencies), _by_name(one.pins)
    needed = _with_their_own(dependencies)
    matter = dependencies | {name: line for name, line in pinned.items() if name in needed or not dependencies}
    return {name: name + line.replace(" ", "")[len(name) :] for name, line in matter.items()}


def _pin_of(name: str) -> list[str]:
    """Return the pin of an installed package, nothing where it is not installed; `2.13.0` admits `2.13.0+cpu` too."""
    try:
        return [f"{name}=={version(name).partition('+')[0]}"]
    except PackageNotFoundError:
        return []


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
    """Return requirements by the names of their packages, as packaging compares these (PEP 503); the last one holds."""
    matches = [match for match in map(REQUIREMENT.match, requirements) if match]
    return {re.sub(r"[-_.]+", "-", match["name"]).lower(): match[0] for match in matches}


def _project(file: Path) -> dict[str, Any]:
    try:
        project: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
    except (OSError, tomllib.TOMLDecodeError):
        return {}
    return project


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
