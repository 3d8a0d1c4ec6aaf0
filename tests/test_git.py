import os
import subprocess
from pathlib import Path

import pytest

from greenpose.git import ask_git, head_commit

NAMED = ["-c", "user.name=A", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]


@pytest.fixture
def ours(tmp_path, monkeypatch):
    """A repository of ours and another one, for which a hook of git's is running."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    for name in ("ours", "theirs"):
        subprocess.run(["git", "init", "-q", tmp_path / name], check=True)
        (tmp_path / name / "file").write_text(name)
        for command in (["add", "file"], [*NAMED, "commit", "-qm", name]):
            subprocess.run(["git", "-C", tmp_path / name, *command], check=True)
    commit = rev_parse(tmp_path / "ours")
    assert commit != rev_parse(tmp_path / "theirs")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "theirs/.git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "theirs/.git/index"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "theirs"))
    return tmp_path / "ours", commit


def rev_parse(folder):
    done = subprocess.run(["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_commit_is_that_of_the_folder_also_in_a_hook_of_another_repository(ours):
    folder, commit = ours
    assert rev_parse(folder) != commit, "the hook's variables are not heard at all"
    assert head_commit(folder) == commit


def test_a_record_names_the_commit_of_greenposes_own_code_also_in_a_hook_of_another_repository(ours, monkeypatch):
    import greenpose
    from greenpose.run.record_run import git_state

    inside = git_state()
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):
        monkeypatch.delenv(name)
    assert inside == git_state()
    tracked = ask_git(Path(greenpose.__file__).parent, "ls-files", "--error-unmatch", "__init__.py")
    assert ("commit" in inside) == (tracked.returncode == 0)


def test_a_users_own_settings_of_git_are_heard(ours, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "greenpose.test")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "heard")
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'greenpose.test'='by a hook'")
    assert ask_git(ours[0], "config", "greenpose.test").stdout.strip() == "heard"


def test_outside_a_repository_or_without_git_there_is_no_commit(tmp_path, monkeypatch):
    assert head_commit(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ask_git(tmp_path, "--version") is None
    assert head_commit(tmp_path) is None
