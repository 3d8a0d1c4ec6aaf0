""""""

from importlib.metadata import version

import pytest

from greenpose.check.environments import (
    Wanted,
    as_here,
    changed_dependencies,
    needed_by,
    not_as_wanted,
    wanted,
    with_package,
)


def changed(base, head):
    return [*changed_dependencies(wanted(base), wanted(head)).values()]


def wants(folder, pyproject, **files):
    folder.mkdir()
    (folder / "pyproject.toml").write_text(pyproject)
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def test_dependencies_are_compared_by_what_a_run_needs_and_not_by_what_developers_use(tmp_path):
    project = (
        '[project]\ndependencies = ["torch>=2.6", "numpy>=2"]\n[project.optional-dependencies]\ndev = ["ruff>=0.9"]\n'
    )
    base = wants(tmp_path / "a", project, constraints="torch==2.12.0\nruff==0.9.1\nsympy==1.13\n# a remark\n")
    developers = "ruff==0.10\nsympy==1.13\nTorch == 2.12.0\nhypothesis==7\n"
    same = wants(tmp_path / "b", project.replace("0.9", "0.10"), constraints=developers)
    newer = wants(tmp_path / "c", project, constraints="torch==2.13.0\nruff==0.9.1\nsympy==1.14\n")
    assert changed(base, base) == []
    assert changed(base, newer) == ["sympy==1.13 → sympy==1.14", "torch==2.12.0 → torch==2.13.0"]
    assert changed(base, same) == []


def test_a_range_that_changes_counts_and_without_a_list_of_dependencies_every_pin_does(tmp_path):
    base = wants(tmp_path / "a", '[project]\ndependencies = ["torch>=2.6"]\n')
    head = wants(tmp_path / "b", '[project]\ndependencies = ["torch>=2.7"]\n')
    assert changed(base, head) == ["torch>=2.6 → torch>=2.7"]
    old, new = wants(tmp_path / "c", "", requirements="anything==1\n"), wants(tmp_path / "d", "", requirements="")
    assert changed(old, new) == ["anything==1 → no anything"]


def test_trees_without_any_list_of_dependencies_want_the_same(tmp_path):
    assert changed(tmp_path, tmp_path) == []


def test_what_is_to_be_installed_is_taken_as_written_and_a_pin_of_the_constraints_holds_first(tmp_path):
    constraints = "Torch == 2.12.0  # a remark\n\n-e .\n"
    tree = wants(
        tmp_path / "a",
        "[project]\ndependencies = [\"tomli>=2; python_version < '3.11' and os_name == 'posix'\"]\n",
        constraints=constraints,
        requirements="torch==2.11\nnumpy==2.1\n",
    )
    found = wanted(tree)
    assert found.dependencies == ("tomli>=2; python_version < '3.11' and os_name == 'posix'",)
    assert found.constraints == constraints
    assert found.pins == {"torch": "torch==2.12.0", "numpy": "numpy==2.1"}


@pytest.mark.parametrize(
    ("line", "pins"),
    [
        ("foo==1 \\\n    --hash=sha256:ab", {"foo": "foo==1"}),
        ("foo==1 --hash=sha256:ab", {"foo": "foo==1"}),
        ("--extra-index-url https://example.org\n-r more.txt", {}),
        (
            "git+https://example.org/foo#subdirectory=a",
            {"git+https://example.org/foo#subdirectory=a": "git+https://example.org/foo#subdirectory=a"},
        ),
        (
            "foo==1; python_version<'3.12'\nfoo==2; python_version>='3.12'",
            {"foo": "foo==1;python_version<'3.12' | foo==2;python_version>='3.12'"},
        ),
        ("a__b==1", {"a-b": "a-b==1"}),
    ],
)
def test_lists_of_requirements_are_read_as_far_as_a_change_of_them_is_seen(line, pins):
    assert Wanted(dependencies=(), requirements=line).pins == pins


def test_what_both_leave_open_alike_is_as_installed_here_and_the_rest_as_the_base_says():
    base = Wanted(dependencies=("numpy>=2", "torch>=2.6", "PyYAML<6", "no-such"), constraints="torch==2.12")
    head = Wanted(dependencies=("numpy>=2", "torch>=2.6", "PyYAML>=6", "no-such"), constraints="torch==2.13")
    assert as_here(base, head).constraints.splitlines() == ["torch==2.12", f"numpy=={version('numpy')}"]
    assert as_here(base, head).dependencies == base.dependencies
    left_open = Wanted(dependencies=("torch>=2.6",))
    assert as_here(left_open, left_open).constraints == f"torch=={version('torch').partition('+')[0]}"


def test_with_a_package_its_own_needs_come_in_its_place():
    both = with_package(Wanted(dependencies=("pandas>=2.2", "greenpose>=0.1")), "greenpose")
    assert both.dependencies[0] == "pandas>=2.2"
    assert any(line.startswith("torch") for line in both.dependencies)
    assert not any(line.startswith("greenpose") for line in both.dependencies)


def test_what_is_installed_otherwise_than_pinned_is_named():
    here = version("numpy")
    assert not_as_wanted(Wanted(dependencies=(), constraints=f"numpy=={here}"), ["numpy", "pandas"]) == []
    assert not_as_wanted(Wanted(dependencies=(), constraints="numpy==1.0"), ["pandas"]) == []
    (fault,) = not_as_wanted(Wanted(dependencies=(), constraints="NumPy == 1.0"), ["numpy"])
    assert fault == f"numpy 1.0 is wanted here, {here} is installed"


def test_what_a_package_needs_leaves_its_extras_out():
    needed = needed_by("greenpose")
    assert any(line.startswith("torch") for line in needed)
    assert not [line for line in needed if line.startswith("ruff")]
    assert needed_by("no-such-package") == []
