"""The two sides of a paired check: a revision checked out beside the working tree, and the process that runs it."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from greenpose.check.paired.interleaved import Worker
from greenpose.check.verdict import few
from greenpose.errors import CheckError
from greenpose.files import ask_git, git_environment
from greenpose.formatting import plural
from greenpose.metering import pinned_environment

READ = ("*.py", "*.yaml", "*.yml", "pyproject.toml")
"""Files that can change what a run does."""
EVERY_FILE = ("--porcelain", "--untracked-files=all")


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


def find_revision(folder: Path, ref: str, *, option: str = "--against") -> Revision:
    """Return the commit that `ref` names in the repository around a folder; `option` is where the user named it.

    Raises:
        CheckError: if there is no repository, no such revision, or no git.
    """
    top = _git(option, folder, "rev-parse", "--show-toplevel")
    if top.returncode != 0:
        lost = "not a git repository" in top.stderr
        why = "is in no git repository" if lost else f"cannot be asked for it; git says: {last_line(top.stderr)}"
        raise CheckError([f"{option} {ref}: {folder} {why}"])
    repository = Path(top.stdout.strip())
    found = _git(option, repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    if found.returncode != 0:
        shallow = _git(option, repository, "rev-parse", "--is-shallow-repository").stdout.strip() == "true"
        remedy = "the clone is shallow: fetch it first (in a workflow, fetch-depth: 0)" if shallow else "see git log"
        raise CheckError([f"{option} {ref}: no such revision in {repository}; {remedy}"])
    return Revision(repository=repository, ref=ref, commit=found.stdout.strip())


KEEPER = """
import shutil, subprocess, sys, time
sys.stdin.read()
for _ in range(20):
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    subprocess.run(["git", "-C", sys.argv[2], "worktree", "prune"], capture_output=True)
    time.sleep(0.25)
"""
"""Waits until the process that started it is gone, and takes its checkout away; what it had started may end later."""


@contextmanager
def checked_out(revision: Revision) -> Iterator[Path]:
    """Check a revision out into a temporary folder, and take it away again, whatever happens: also if we are killed.

    Raises:
        CheckError: if git cannot.
    """
    folder = Path(tempfile.mkdtemp(prefix="greenpose-"))
    tree = folder / revision.commit[:12]
    keeper = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", KEEPER, f"{folder}", f"{revision.repository}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=git_environment(),
        start_new_session=True,  # Ctrl-C on the terminal ends us first
    )
    try:
        # Hooks are the user's and expect to run in the user's working tree.
        add = ("-c", "core.hooksPath=/dev/null", "worktree", "add", "--detach")
        made = _git("checkout", revision.repository, *add, f"{tree}", revision.commit)
        if made.returncode != 0:
            raise CheckError([f"{revision.ref}: cannot be checked out: {last_line(made.stderr)}"])
        yield tree
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _git("checkout", revision.repository, "worktree", "prune")
        keeper.kill()
        keeper.communicate()


def git_says(option: str, folder: Path, *arguments: str) -> str:
    """Return what git prints; nothing where it finds nothing."""
    return _git(option, folder, *arguments).stdout


def _git(option: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = ask_git(folder, *arguments)
    if done is None:
        raise CheckError([f"{option}: needs git, which is not installed"])
    return done


def last_line(text: str) -> str:
    """Return the last line of what a process said that is not blank."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "nothing"


PACKAGE = Path("greenpose/__init__.py")
INTERPRETERS = ("bin/python", "Scripts/python.exe")
PINS = ("requirements.txt", "constraints.txt")
"""Files that say which versions are to be installed."""
REMARK = re.compile(r"(^|\s)(#.*|--hash\S*|\\$)")
"""What does not say which version is wanted: remarks, hashes, and the ends of lines that go on."""


LEFT_OUT = ("PYTHONPATH", "PYTHONHOME", "GITHUB_TOKEN", "GITLAB_TOKEN")
"""Variables that a side does not get: where other code would come from, and what only posts its verdict."""
ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}
"""A training's own thread would have memory of its own from glibc, which takes no heed of what pins the allocator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Code and environment of one side."""

    name: str
    """What to call it: `base` or `head`, and what it is."""
    python: str
    """Its interpreter."""
    root: Path | None
    """Folder of the package `greenpose` to import; None for the one that is installed there."""
    tree: Path | None
    """Checkout that experiment files are read from; None for the working tree."""

    def file(self, file: Path, repository: Path | None) -> Path:
        """Return this side's version of an experiment file: its own where it has one, else the working tree's."""
        if self.tree is None or repository is None or not file.resolve().is_relative_to(repository.resolve()):
            return file
        own = self.tree / file.resolve().relative_to(repository.resolve())
        return own if own.is_file() else file

    def worker(self, request: Mapping[str, Any]) -> Worker:
        """Return its process, not yet started, for a request as `run/paired_worker` takes it."""
        script = str(files("greenpose") / "run" / "paired_worker.py")
        # -P: the script's own folder must not be on the import path, where GreenPose's modules would pass for others.
        return Worker(self.name, [self.python, "-P", script, json.dumps(dict(request))], self.environment())

    def refuse_other_code(self, hello: Mapping[str, Any]) -> None:
        """Refuse a process that imported another package than it was to.

        Raises:
            CheckError: saying what was imported instead.
        """
        wanted = None if self.root is None else (self.root / PACKAGE.parent).resolve()
        if wanted is not None and Path(hello["package"]).resolve() != wanted:
            raise CheckError([f"{self.name}: imports {hello['package']} instead of {wanted}; look at the environment"])

    def environment(self) -> dict[str, str]:
        """Return this process's environment with allocator and threads pinned, and this side's code first."""
        mine = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
        code = {} if self.root is None else {"PYTHONPATH": str(self.root)}
        return {**mine, **pinned_environment(), **ONE_ARENA, **code}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Both sides, and what is to be known of them."""

    base: Side
    """What the candidate is held against."""
    head: Side
    """The candidate."""
    against: str
    """The base in words."""
    repository: Path | None
    """Top folder of the working tree; None where no revision is involved."""
    notes: tuple[str, ...] = ()
    """What else to know."""
    obstacle: str = ""
    """Why the two must not be compared; empty where they may."""


@contextmanager
def two_sides(
    folder: Path,
    *,
    against: str | None,
    environment: Path | None,
) -> Iterator[Sides]:
    """Build both sides: a revision, another environment, or a revision in another environment, and what is here.

    Args:
        folder: anywhere in the repository.
        against: the revision; None for what is installed in `environment`.
        environment: a virtual environment, or its interpreter; without one, a revision that wants other packages
            than are installed here is not compared.

    Raises:
        CheckError: if there is no such revision or environment.
    """
    python = sys.executable if environment is None else interpreter(environment)
    if against is None:
        yield _environments(python, environment)
        return
    revision = find_revision(folder, against)
    with checked_out(revision) as tree:
        sides, faults = _revisions(revision, tree, python), unmet(tree) if environment is None else []
        remedy = "make an environment for it and give it by --against-env (docs/gate.md)"
        yield replace(sides, obstacle=f"the base wants other packages ({few(faults)}); {remedy}") if faults else sides


def this_side(name: str) -> Side:
    """Return the code that runs here, in this environment."""
    return Side(name=name, python=sys.executable, root=Path(str(files("greenpose"))).parent, tree=None)


def interpreter(environment: Path) -> str:
    """Return the interpreter of an environment: of a virtual environment's folder, or the file itself.

    Raises:
        CheckError: if there is none.
    """
    places = [environment, *(environment / place for place in INTERPRETERS)]
    found = next((place for place in places if place.is_file() and os.access(place, os.X_OK)), None)
    if found is None:
        raise CheckError(
            [f"--against-env {environment}: no Python there; give a virtual environment or its bin/python"]
        )
    return str(found.absolute())


def unmet(tree: Path) -> list[str]:
    """Return what a checkout wants of its runs and is installed otherwise here: `torch==2.12, not 2.13.0`.

    Of a project with dependencies only these count, with those of an extra `train`: pins of what developers use change
    nothing that a run does.
    """
    try:
        project = tomllib.loads(_text(tree / "pyproject.toml")).get("project", {})
    except tomllib.TOMLDecodeError:
        project = {}
    extra = project.get("optional-dependencies", {}).get("train", [])
    needed = list(_requirements([*project.get("dependencies", []), *extra]))
    names = {canonicalize_name(one.name) for one in needed}
    pins = [one for file in PINS for one in _requirements(_text(tree / file).splitlines())]
    wanted = [*needed, *(one for one in pins if not names or canonicalize_name(one.name) in names)]
    faults = [f"{one}, not {_installed(one.name) or 'installed'}" for one in wanted if not _is_met(one)]
    return list(dict.fromkeys(faults))


def _requirements(lines: Iterable[str]) -> Iterator[Requirement]:
    """Yield the requirements among lines; options, addresses and remarks are none."""
    for line in lines:
        with suppress(InvalidRequirement):
            yield Requirement(REMARK.sub("", line))


def _is_met(one: Requirement) -> bool:
    installed = _installed(one.name)
    if one.marker is not None and not one.marker.evaluate():
        return True
    return installed is not None and one.specifier.contains(installed, prereleases=True)


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def _environments(python: str, environment: Path | None) -> Sides:
    """Return what another environment has installed, and what runs here."""
    return Sides(
        base=Side(name=f"base ({environment})", python=python, root=None, tree=None),
        head=this_side("head (this environment)"),
        against=str(environment),
        repository=None,
    )


def _revisions(revision: Revision, tree: Path, python: str) -> Sides:
    """Return a revision and the working tree; where the repository is not GreenPose's, both run the installed one."""
    repository = revision.repository
    roots = [top if (top / PACKAGE).is_file() else None for top in (tree, repository)]
    notes = []
    if roots == [None, None]:
        notes.append("this repository holds no package greenpose: both sides run the installed one")
    elif None in roots:
        holder = "base" if roots[0] is None else "head"
        notes.append(f"the {holder} holds no package greenpose and runs the installed one")
    files_changed = len(_git("--against", repository, "status", *EVERY_FILE, "--", *READ).stdout.splitlines())
    if files_changed:
        notes.append(f"the head is the working tree, with {plural(files_changed, 'file')} not as committed")
    elif _git("--against", repository, "rev-parse", "HEAD").stdout.strip() == revision.commit:
        notes.append("both sides are the same commit")
    return Sides(
        base=Side(name=f"base ({revision})", python=python, root=roots[0], tree=tree),
        head=Side(name="head (working tree)", python=sys.executable, root=roots[1], tree=None),
        against=str(revision),
        repository=repository,
        notes=tuple(notes),
    )
