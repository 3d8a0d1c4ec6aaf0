"""A range of commits, halved: by a package in the repository that counts what it is told, and by GreenPose itself."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import greenpose
from greenpose.check import Selection
from greenpose.check.bisect import bisect
from greenpose.errors import CheckError
from greenpose.metrics import CONVENTIONS
from tests.check.paired.test_revisions import EXPERIMENT, git

MAIN = f"""
import json, os, sys
from pathlib import Path
from greenpose.cost import VALUES
with open(os.environ["COUNTED"], "a") as log:
    log.write(Path.cwd().name + "\\n")
out = Path(sys.argv[sys.argv.index("--baseline") + 1])
context = {{"input": "64x64", "network": "width 8", "torch": "2.13"}}
said = {{"schema": "greenpose.baseline/1", "reason": "r", "accepted_at": "2026-01-01T00:00:00+00:00", "greenpose": "0"}}
counts = {{"conventions": {CONVENTIONS!r}, "experiments": {{"e": context}}, "values": VALUES}}
out.write_text(json.dumps(said | counts))
"""


class Repository:
    """A line of commits, each of which counts what it is told."""

    def __init__(self, folder: Path):
        self.top = folder / "repository"
        (self.top / "greenpose").mkdir(parents=True)
        git(folder, "init", "-q", "-b", "main", str(self.top))
        (self.top / "greenpose/__init__.py").write_text("")
        (self.top / "greenpose/__main__.py").write_text(MAIN)
        (self.top / "e.yaml").write_text(EXPERIMENT)
        self.number = 0
        self.log = folder / "counted"

    def commit(self, text: str | None = None, **values: int) -> str:
        """Add a commit: these values of exit 3, other code, or with neither only words."""
        self.number += 1
        (self.top / "README.md").write_text(f"edition {self.number}")
        if values or text is not None:
            costs = {f"exit3.{name.replace('__', '.')}": value for name, value in values.items()}
            (self.top / "greenpose/cost.py").write_text(f"# {self.number}\n{text or f'VALUES = {costs!r}'}\n")
        git(self.top, "add", "-A")
        git(self.top, "commit", "-q", "-m", f"commit {self.number}")
        return git(self.top, "rev-parse", "HEAD")

    def counted(self) -> list[str]:
        """Return which revisions were counted, each as often as it was."""
        return self.log.read_text().splitlines()

    def find(self, span: str, *only: str):
        self.log.unlink(missing_ok=True)
        return bisect(self.top / "e.yaml", span, only=Selection(only))


@pytest.fixture
def repository(tmp_path, monkeypatch):
    made = Repository(tmp_path)
    monkeypatch.setenv("COUNTED", str(made.log))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "tmp").mkdir()
    monkeypatch.chdir(made.top)
    return made


@pytest.mark.parametrize(("commits", "place"), [(1, 0), (2, 1), (8, 0), (11, 6)])
def test_the_commit_is_named_in_as_many_checks_as_halving_takes_and_nothing_is_left(repository, commits, place):
    good = repository.commit(macs=100, params=7)
    made = [repository.commit(macs=100 + (k >= place), params=7) for k in range(commits)]
    before = git(repository.top, "status", "--porcelain=2", "--branch")
    found = repository.find(f"{good}..main")
    assert found.commit == made[place]
    assert found.says.endswith(f"commit {place + 2}")
    counted = repository.counted()
    assert found.checks == len(counted) - 1 <= math.ceil(math.log2(commits)) + 1
    assert len(counted) == len(set(counted))
    assert (found.commits, found.later, found.skipped) == (commits, (), ())
    (worse,) = found.verdict.of("regressed")
    assert (worse.name, worse.base, worse.head) == ("exit3.macs", 100, 101)
    assert git(repository.top, "status", "--porcelain=2", "--branch") == before
    assert len(git(repository.top, "worktree", "list").splitlines()) == 1
    assert list(Path(os.environ["TMPDIR"]).iterdir()) == []


def test_commits_that_change_no_code_are_not_counted(repository):
    good = repository.commit(macs=100)
    for _ in range(9):
        repository.commit()
    culprit = repository.commit(macs=200)
    for _ in range(9):
        repository.commit()
    found = repository.find(f"{good}..HEAD")
    assert (found.commit, found.commits, found.checks) == (culprit, 1, 1)


def test_the_first_of_several_is_named_the_others_are_told_and_found_by_name(repository):
    good = repository.commit(macs=1, params=1, peak_bytes=1)
    repository.commit(macs=1, params=1, peak_bytes=9)  # for a while only
    first = repository.commit(macs=2, params=1, peak_bytes=1)
    second = repository.commit(macs=2, params=3, peak_bytes=1)
    repository.commit(macs=2, params=3, peak_bytes=0)
    found = repository.find(f"{good}..HEAD")
    assert (found.commit, found.later) == (first, ("exit3.params",))
    assert repository.find(f"{good}..HEAD", "*.params").commit == second


def test_an_operator_that_is_called_more_often_is_found(repository):
    good = repository.commit(macs=1, operations__add=3)
    culprit = repository.commit(macs=1, operations__add=4)
    repository.commit(macs=1, operations__add=4)
    found = repository.find(f"{good}..HEAD")
    assert (found.commit, [one.name for one in found.verdict.of("regressed")]) == (culprit, ["exit3.operations"])


def test_where_nothing_was_raised_that_is_the_answer_after_one_check(repository):
    good = repository.commit(macs=2)
    for _ in range(4):
        repository.commit(macs=1)
    found = repository.find(f"{good}..HEAD")
    assert (found.commit, found.verdict.outcome, found.checks) == ("", "improved", 1)


def test_a_revision_that_cannot_be_counted_is_passed_over_and_told_where_it_may_be_the_one(repository):
    good = repository.commit(macs=1)
    repository.commit(macs=1)
    broken = repository.commit(text="raise RuntimeError('broken here')")
    culprit = repository.commit(macs=2)
    repository.commit(macs=2)
    found = repository.find(f"{good}..HEAD")
    assert found.commit == culprit
    (skipped,) = found.skipped
    assert skipped.startswith(broken[:10])
    assert "cannot be counted: RuntimeError: broken here" in skipped
    other = git(repository.top, "rev-parse", "HEAD~4")
    git(repository.top, "reset", "-q", "--hard", broken)
    with pytest.raises(CheckError, match="cannot be counted: RuntimeError"):
        repository.find(f"{other}..HEAD")


def test_a_merge_is_halved_into_the_branch_that_it_brought(repository):
    good = repository.commit(macs=1, params=1)
    git(repository.top, "checkout", "-q", "-b", "branch")
    made = []
    for k in range(5):
        (repository.top / f"side{k}.py").write_text("")
        if k == 3:
            costlier = MAIN.replace("VALUES}", "{**VALUES, 'exit3.macs': 5}}")
            (repository.top / "greenpose/__main__.py").write_text(costlier)
        made.append(repository.commit())
    git(repository.top, "checkout", "-q", "main")
    for k in range(4):
        (repository.top / f"main{k}.py").write_text("")
        git(repository.top, "add", "-A")
        git(repository.top, "commit", "-q", "-m", f"main {k}")
    git(repository.top, "merge", "-q", "-m", "merge", "-X", "ours", "branch")
    found = repository.find(f"{good}..HEAD")
    assert (found.commit, found.commits) == (made[3], 10)
    assert found.checks <= 1 + 5  # along branches halves are not always even


@pytest.mark.parametrize(
    ("span", "says"),
    [
        ("main", "write GOOD..BAD"),
        ("HEAD~1...main", "write GOOD..BAD"),
        ("nowhere..main", "--bisect nowhere: no such revision"),
        ("--all..main", "--bisect --all: no such revision"),
        ("main..HEAD~1", r"is not an ancestor of HEAD~1 .*they part at"),
        ("HEAD..main", "no commit there changes"),
    ],
)
def test_a_range_that_is_none_is_refused_in_words(repository, span, says):
    repository.commit(macs=1)
    repository.commit(macs=1)
    with pytest.raises(CheckError, match=says):
        repository.find(span)


def test_a_name_that_selects_nothing_and_a_run_are_refused(repository):
    good = repository.commit(macs=1)
    repository.commit(macs=2)
    with pytest.raises(CheckError, match="matches no quantity here"):
        repository.find(f"{good}..HEAD", "exit4.macs")
    with pytest.raises(CheckError, match="is no experiment or grid file"):
        bisect(repository.top, f"{good}..HEAD", only=Selection())


def test_a_killed_bisection_leaves_no_checkout_no_process_and_the_work_tree_as_it_was(repository, tmp_path):
    good = repository.commit(macs=1)
    repository.commit(text="import time; time.sleep(600)")
    process = subprocess.Popen(
        [sys.executable, "-m", "greenpose", "check", "e.yaml", "--bisect", f"{good}..HEAD"],
        env={**os.environ, "PYTHONPATH": str(Path(greenpose.__file__).parents[1]), "PYTHONSAFEPATH": "1"},
        stderr=subprocess.PIPE,
    )
    folder = Path(os.environ["TMPDIR"])

    def checkouts():
        return [place.name for place in folder.glob("greenpose-*/*")]

    wait_for(lambda: len(found := checkouts()) == 1 and found[0] != good[:12] and counting(folder))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_for(lambda: list(folder.iterdir()) == [] and not counting(folder))
    wait_for(lambda: len(git(repository.top, "worktree", "list").splitlines()) == 1)
    assert git(repository.top, "status", "--porcelain") == ""


def counting(folder):
    """Return the processes that count in a checkout below a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cwd"):
        try:
            where = str(entry.readlink())
        except OSError:
            continue
        if where.startswith(str(folder)):
            found.append(entry.parent.name)
    return found


def wait_for(condition, seconds=300.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


@pytest.mark.slow
def test_greenpose_counts_itself_at_each_revision_of_somebody_s_experiments(repository):
    shutil.rmtree(repository.top / "greenpose")
    made = []
    for width in (8, 8, 16):
        (repository.top / "e.yaml").write_text(f"{EXPERIMENT}# {len(made)}\nmodel: {{width: {width}, blocks: 1}}\n")
        made.append(repository.commit())
    done = subprocess.run(
        [sys.executable, "-m", "greenpose", "check", "e.yaml", "--json", "--bisect", f"{made[0]}..HEAD"],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert document["bisect"]["commit"] == made[2]
    assert document["outcome"] == "regressed"
