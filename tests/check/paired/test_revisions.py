""""""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import greenpose
from greenpose.check.paired.revisions import Side, checked_out, find_revision, two_sides
from greenpose.errors import CheckError
from greenpose.formatting import plural
from greenpose.subject import read_networks

EXPERIMENT = "carbon: {country: ITA}\n"
TORCH = version("torch").partition("+")[0]


def git(folder, *arguments):
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """A repository with a package, an experiment and two commits; the second is tagged."""
    top = tmp_path / "repository"
    (top / "greenpose").mkdir(parents=True)
    git(tmp_path, "init", "-q", "-b", "main", str(top))
    for number in (1, 2):
        (top / "greenpose/__init__.py").write_text(f"__version__ = '{number}'\n")
        (top / "e.yaml").write_text(EXPERIMENT + f"seed: {number}\n")
        git(top, "add", "-A")
        git(top, "commit", "-q", "-m", f"commit {number}")
    git(top, "tag", "v2")
    return top


def test_a_revision_is_found_by_branch_tag_distance_and_hash(repository):
    head, before = git(repository, "rev-parse", "HEAD"), git(repository, "rev-parse", "HEAD~1")
    assert find_revision(repository, "main").commit == head
    assert find_revision(repository / "greenpose", "v2").commit == head
    assert find_revision(repository, "HEAD~1").commit == before
    assert str(find_revision(repository, "HEAD~1")) == f"HEAD~1 ({before[:7]})"
    assert str(find_revision(repository, before)) == before[:7]


@pytest.mark.parametrize("ref", ["nowhere", "--help", "HEAD~99", ""])
def test_a_revision_that_there_is_not_is_refused_by_name(repository, ref):
    with pytest.raises(CheckError, match=f"--against {ref}: no such revision"):
        find_revision(repository, ref)


def test_a_shallow_clone_is_told_to_fetch(repository, tmp_path):
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", "shallow")
    with pytest.raises(CheckError, match="fetch-depth: 0"):
        find_revision(tmp_path / "shallow", "HEAD~1")


def test_a_folder_in_no_repository_is_refused(tmp_path):
    with pytest.raises(CheckError, match="is in no git repository"):
        find_revision(tmp_path, "HEAD")


def test_a_checkout_holds_the_revision_and_leaves_nothing_behind(repository):
    revision = find_revision(repository, "HEAD~1")
    with checked_out(revision) as tree:
        assert (tree / "e.yaml").read_text().endswith("seed: 1\n")
        assert (repository / "e.yaml").read_text().endswith("seed: 2\n")
    assert not tree.parent.exists()
    assert len(git(repository, "worktree", "list").splitlines()) == 1
    assert git(repository, "status", "--porcelain") == ""


def test_a_checkout_is_taken_away_when_it_is_interrupted(repository):
    kept = None
    with pytest.raises(KeyboardInterrupt), checked_out(find_revision(repository, "HEAD")) as tree:  # noqa: PT012
        kept = tree
        raise KeyboardInterrupt
    assert kept is not None
    assert not kept.exists()
    assert len(git(repository, "worktree", "list").splitlines()) == 1


def test_a_checkout_runs_no_hook_of_the_user(repository):
    hook = repository / ".git/hooks/post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch called\n")
    hook.chmod(0o755)
    with checked_out(find_revision(repository, "HEAD")) as tree:
        assert not (tree / "called").exists()


def test_inside_a_hook_git_is_asked_about_the_folder_and_not_about_the_hook_s_repository(repository, monkeypatch):
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    with checked_out(find_revision(repository, "HEAD")) as tree:
        assert (tree / "e.yaml").exists()


def test_the_base_is_the_revision_s_code_and_file_and_the_head_the_working_tree_s(repository):
    with two_sides(repository, against="HEAD~1", environment=None) as sides:
        file = repository / "e.yaml"
        assert sides.base.file(file, sides.repository).read_text().endswith("seed: 1\n")
        assert sides.head.file(file, sides.repository) == file
        assert sides.base.root is not None
        assert (sides.base.root / "greenpose/__init__.py").read_text() == "__version__ = '1'\n"
        assert sides.head.root == repository
        assert {sides.base.python, sides.head.python} == {sys.executable}
        assert (sides.obstacle, sides.notes) == ("", ())


def test_a_file_that_the_revision_does_not_have_is_the_working_tree_s_on_both_sides(repository, tmp_path):
    (repository / "new.yaml").write_text(EXPERIMENT)
    elsewhere = tmp_path / "elsewhere.yaml"
    elsewhere.write_text(EXPERIMENT)
    with two_sides(repository, against="HEAD", environment=None) as sides:
        for file in (repository / "new.yaml", elsewhere):
            assert sides.base.file(file, sides.repository) == file


def test_uncommitted_changes_and_equal_commits_are_noted(repository):
    with two_sides(repository, against="HEAD", environment=None) as sides:
        assert sides.notes == ("both sides are the same commit",)
    (repository / "result.json").write_text("{}")
    with two_sides(repository, against="HEAD", environment=None) as sides:
        assert sides.notes == ("both sides are the same commit",)
    (repository / "e.yaml").write_text(EXPERIMENT)
    with two_sides(repository, against="HEAD", environment=None) as sides:
        assert sides.notes == (f"the head is the working tree, with {plural(1, 'file')} not as committed",)


def test_a_repository_that_is_not_greenpose_s_runs_the_installed_one_on_both_sides(repository):
    git(repository, "rm", "-rq", "greenpose")
    git(repository, "commit", "-q", "-m", "only experiments")
    with two_sides(repository, against="HEAD", environment=None) as sides:
        assert sides.base.root is None
        assert sides.head.root is None
        assert "both sides run the installed one" in sides.notes[0]


@pytest.mark.parametrize(
    ("wants", "unmet"),
    [
        ({"requirements.txt": "torch==1.0  # old\n"}, f"torch==1.0, not {version('torch')}"),
        ({"constraints.txt": "no-such-thing >= 2 \\\n    --hash=sha256:ab\n"}, "no-such-thing>=2, not installed"),
        ({"pyproject.toml": '[project]\ndependencies = ["NumPy<1"]\n'}, f"NumPy<1, not {version('numpy')}"),
        (
            {"pyproject.toml": '[project]\ndependencies = ["numpy"]\n', "constraints.txt": "numpy==1.0\n"},
            f"numpy==1.0, not {version('numpy')}",
        ),
    ],
)
def test_a_base_that_wants_other_packages_is_not_compared_but_in_an_environment_of_its_own(repository, wants, unmet):
    for name, text in wants.items():
        (repository / name).write_text(text)
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "other packages")
    with two_sides(repository, against="HEAD", environment=None) as sides:
        assert f"({unmet})" in sides.obstacle
        assert "--against-env" in sides.obstacle
    with two_sides(repository, against="HEAD", environment=Path(sys.executable)) as sides:
        assert (sides.obstacle, sides.base.python) == ("", sys.executable)


@pytest.mark.parametrize(
    ("project", "constraints"),
    [
        ('dependencies = ["torch>=2.6"]', "ruff==0.0.1\n-e .\n# a remark\n"),  # developers' tools
        ("dependencies = [\"tomli>=2; python_version < '3'\"]", ""),
        ("", f"torch=={TORCH}\n-r more.txt\ngit+https://example.org/foo#subdirectory=a\n"),
        ("dependencies = [", ""),
    ],
)
def test_a_base_that_what_is_installed_satisfies_is_compared(repository, project, constraints):
    (repository / "pyproject.toml").write_text(f"[project]\n{project}\n")
    (repository / "constraints.txt").write_text(constraints)
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "the same packages")
    with two_sides(repository, against="HEAD", environment=None) as sides:
        assert sides.obstacle == ""


def test_another_environment_runs_what_it_has_installed(tmp_path):
    with two_sides(tmp_path, against=None, environment=Path(sys.prefix)) as sides:
        assert sides.base.root is None
        assert sides.head.root == Path(greenpose.__file__).parents[1]
        assert sides.against == sys.prefix
        assert sides.base.python == f"{sys.prefix}/bin/python"


def test_a_side_that_imports_other_code_than_it_was_to_is_refused(tmp_path):
    side = Side(name="base (main)", python=sys.executable, root=tmp_path, tree=None)
    side.refuse_other_code({"package": str(tmp_path / "greenpose")})
    with pytest.raises(CheckError, match="imports /elsewhere/greenpose instead of"):
        side.refuse_other_code({"package": "/elsewhere/greenpose"})


def grid(folder, text):
    file = folder / "grid.yaml"
    file.write_text("name: g\nbase: {carbon: {country: ITA}}\n" + text)
    return file


def test_experiments_that_share_a_network_are_one_with_all_their_exits(tmp_path):
    file = grid(
        tmp_path,
        "experiments: {A: {model.exits: [2]}, B: {model.exits: [3, 4], loss.kd_weight: 3, wiring.supervise: [3, 4]}}\n",
    )
    (network,) = read_networks(file, tmp_path)
    assert (network.label, network.only, network.exits) == ("A", ("A", "B"), (2, 3, 4))


def test_networks_that_cost_different_things_are_apart_axes_included(tmp_path):
    file = grid(tmp_path, "experiments: {A: {}, B: {model.width: 18}}\naxes: {model.blocks: [1, 2], seed: [1, 2]}\n")
    networks = read_networks(file, tmp_path)
    assert [network.label for network in networks] == [
        f"{name}-model.blocks={blocks}-seed=1" for blocks in (1, 2) for name in ("A", "B")
    ]
    assert all(len(network.only) == 2 for network in networks)


def test_only_the_exits_that_are_asked_for_are_compared_and_one_that_there_is_not_is_refused(tmp_path):
    file = grid(tmp_path, "experiments: {A: {model.exits: [2]}, B: {model.exits: [3], model.width: 18}}\n")
    assert [network.exits for network in read_networks(file, tmp_path, [3])] == [(3,)]
    with pytest.raises(CheckError, match=r"--exit 4: .* has exits 2, 3"):
        read_networks(file, tmp_path, [3, 4])


def test_the_environment_of_a_side_is_pinned_and_imports_its_own_code_first(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/somewhere/else")
    monkeypatch.setenv("GITHUB_TOKEN", "what only posts the verdict")
    side = Side(name="base", python=sys.executable, root=tmp_path, tree=None)
    environment = side.environment()
    assert environment["PYTHONPATH"] == str(tmp_path)
    assert environment["MALLOC_MMAP_MAX_"] == "0"
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["PATH"] == os.environ["PATH"]
    assert "GITHUB_TOKEN" not in environment
    installed = Side(name="base", python=sys.executable, root=None, tree=None)
    assert "PYTHONPATH" not in installed.environment()
