"""Another revision of a git repository, checked out beside the working tree for as long as it is needed."""

import os
import re
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

from greenpose.errors import CheckError

PINS = ("constraints.txt", "requirements.txt")
"""Files that say which versions are installed."""
READ = ("*.py", "*.yaml", "*.yml", "pyproject.toml")
"""Files that can change what a run does."""
OF_HOOKS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")
REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?P<rest>.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A revision of a repository."""

    repository: Path
    """Top folder of the working tree that it was asked for in."""
    ref: str
    """As the user named it."""
    commit: str
    """Its full hash."""

    def __str__(self) -> str:
        """Return `main (1a2b3c4)`."""
        short = self.commit[:7]
        return short if self.commit.startswith(self.ref) else f"{self.ref} ({short})"


def find_revision(folder: Path, ref: str) -> Revision:
    """Return the commit that `ref` names in the repository around a folder.

    Raises:
        CheckError: if there is no repository, no such revision, or no git.
    """
    top = _git(folder, "rev-parse", "--show-toplevel")
    if top.returncode != 0:
        lost = "not a git repository" in top.stderr
        why = "is in no git repository" if lost else f"cannot be asked for it; git says: {_last(top.stderr)}"
        raise CheckError([f"--against {ref}: {folder} {why}"])
    repository = Path(top.stdout.strip())
    found = _git(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    if found.returncode != 0:
        shallow = _git(repository, "rev-parse", "--is-shallow-repository").stdout.strip() == "true"
        remedy = "the clone is shallow: fetch it first (in a workflow, fetch-depth: 0)" if shallow else "see git log"
        raise CheckError([f"--against {ref}: no such revision in {repository}; {remedy}"])
    return Revision(repository=repository, ref=ref, commit=found.stdout.strip())


@contextmanager
def checked_out(revision: Revision) -> Iterator[Path]:
    """Check a revision out into a temporary folder, and take it away again, whatever happens.

    Raises:
        CheckError: if git cannot.
    """
    folder = Path(tempfile.mkdtemp(prefix="greenpose-"))
    tree = folder / revision.commit[:12]
    try:
        # Hooks are the user's and expect to run in the user's working tree.
        made = _git(
            revision.repository,
            "-c",
            "core.hooksPath=/dev/null",
            "worktree",
            "add",
            "--detach",
            f"{tree}",
            revision.commit,
        )
        if made.returncode != 0:
            raise CheckError([f"--against {revision.ref}: cannot be checked out: {_last(made.stderr)}"])
        yield tree
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _git(revision.repository, "worktree", "prune")


def uncommitted(repository: Path) -> int:
    """Return how many files that a run may read differ from the last commit, new ones included."""
    return len(_git(repository, "status", "--porcelain", "--untracked-files=all", "--", *READ).stdout.splitlines())


def head_of(repository: Path) -> str:
    """Return the hash of the last commit."""
    return _git(repository, "rev-parse", "HEAD").stdout.strip()


def changed_dependencies(base: Path, head: Path) -> list[str]:
    """Return what two trees want to be installed differently, one line each: `torch==2.12 → torch==2.13`.

    Of a project with dependencies only these count, with what they need themselves as it is installed here: pins of
    what developers use change nothing that a run does.
    """
    before, after = _wanted(base), _wanted(head)
    names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    return [f"{before.get(name, f'no {name}')} → {after.get(name, f'no {name}')}" for name in names]


def _wanted(tree: Path) -> dict[str, str]:
    """Return every requirement by the name of its package; a pin stands before a range."""
    dependencies = _by_name(_project(tree / "pyproject.toml").get("dependencies", []))
    pinned = _by_name(line for file in reversed(PINS) for line in _lines(tree / file))
    needed = _with_their_own(dependencies)
    return dependencies | {name: line for name, line in pinned.items() if name in needed or not dependencies}


def _with_their_own(names: Iterable[str]) -> set[str]:
    """Return packages and what they need, and so on, as far as they are installed here."""
    found, waiting = set[str](), list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _by_name(line for line in _requirements(name) if "extra ==" not in line)
    return found


def _requirements(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:
        return []


def _project(file: Path) -> dict[str, Any]:
    try:
        project: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
    except (OSError, tomllib.TOMLDecodeError):
        return {}
    return project


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines() if file.is_file() else []


def _by_name(requirements: Iterable[str]) -> dict[str, str]:
    """Return requirements without remarks and spaces by the names of their packages, as packaging compares these."""
    found = {}
    for requirement in requirements:
        match = REQUIREMENT.match(requirement.partition("#")[0].replace(" ", ""))
        if match:
            name = re.sub(r"[-_.]+", "-", match["name"]).lower()  # PEP 503
            found[name] = name + match["rest"]
    return found


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # In a hook, git tells its children where the repository is; we ask about the one around a folder.
    environment = {name: value for name, value in os.environ.items() if name not in OF_HOOKS}
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            errors="replace",
            env=environment,
        )
    except FileNotFoundError:
        raise CheckError(["--against: needs git, which is not installed"]) from None


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "nothing"
