"""Another revision of a git repository, checked out beside the working tree for as long as it is needed."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from greenpose.errors import CheckError
from greenpose.git import ask_git

READ = ("*.py", "*.yaml", "*.yml", "pyproject.toml")
"""Files that can change what a run does."""


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


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = ask_git(folder, *arguments)
    if done is None:
        raise CheckError(["--against: needs git, which is not installed"])
    return done


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "nothing"
