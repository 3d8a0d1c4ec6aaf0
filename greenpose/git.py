"""Asking git about the repository around a folder."""

import os
import subprocess
from pathlib import Path

KEPT = "GIT_CONFIG_"
"""A user's own settings, such as which owners' repositories are trusted."""
OF_HOOKS = "GIT_CONFIG_PARAMETERS"


def ask_git(folder: Path, *arguments: str, timeout_s: float | None = None) -> subprocess.CompletedProcess[str] | None:
    """Return what git answers in a folder; None if it is not installed or takes longer than `timeout_s`.

    A hook's variables (GIT_DIR, GIT_INDEX_FILE and others) name the repository that the hook runs for, wherever its
    children look: they are left out.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or (name.startswith(KEPT) and name != OF_HOOKS)
    }
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            errors="replace",
            env=environment,
            timeout=timeout_s,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def head_commit(folder: Path) -> str | None:
    """Return the hash of what is checked out in the repository around a folder; None outside one."""
    done = ask_git(folder, "rev-parse", "HEAD", timeout_s=10)
    return done.stdout.strip() if done is not None and done.returncode == 0 else None
