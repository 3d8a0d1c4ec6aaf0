from importlib.metadata import version

from greenpose.check.dependencies import Wanted, as_here, changed_dependencies, needed_by, wanted, with_package


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
    assert changed_dependencies(base, base) == []
    assert changed_dependencies(base, newer) == ["sympy==1.13 → sympy==1.14", "torch==2.12.0 → torch==2.13.0"]
    assert changed_dependencies(base, same) == []


def test_a_range_that_changes_counts_and_without_a_list_of_dependencies_every_pin_does(tmp_path):
    base = wants(tmp_path / "a", '[project]\ndependencies = ["torch>=2.6"]\n')
    head = wants(tmp_path / "b", '[project]\ndependencies = ["torch>=2.7"]\n')
    assert changed_dependencies(base, head) == ["torch>=2.6 → torch>=2.7"]
    old, new = wants(tmp_path / "c", "", requirements="anything==1\n"), wants(tmp_path / "d", "", requirements="")
    assert changed_dependencies(old, new) == ["anything==1 → no anything"]


def test_trees_without_any_list_of_dependencies_want_the_same(tmp_path):
    assert changed_dependencies(tmp_path, tmp_path) == []


def test_what_is_to_be_installed_is_taken_as_written_with_one_pin_of_each_package(tmp_path):
    tree = wants(
        tmp_path / "a",
        "[project]\ndependencies = [\"tomli>=2; python_version < '3.11' and os_name == 'posix'\"]\n",
        constraints="Torch == 2.12.0  # a remark\n\n-e .\n",
        requirements="torch==2.11\nnumpy==2.1\n",
    )
    assert wanted(tree) == Wanted(
        dependencies=("tomli>=2; python_version < '3.11' and os_name == 'posix'",),
        pins=("numpy==2.1", "Torch == 2.12.0"),
    )


def test_what_both_want_alike_and_nobody_pins_is_as_installed_here_and_the_rest_as_the_base_says():
    base = Wanted(dependencies=("numpy>=2", "torch>=2.6", "PyYAML<6", "no-such"), pins=("torch==2.12",))
    head = Wanted(dependencies=("numpy>=2", "torch>=2.6", "PyYAML>=6", "no-such"), pins=("torch==2.13",))
    assert as_here(base, head) == Wanted(
        dependencies=base.dependencies, pins=("torch==2.12", f"numpy=={version('numpy')}")
    )
    assert not [pin for pin in as_here(head, head).pins if "+" in pin]


def test_with_a_package_its_own_needs_come_to_what_a_list_of_pins_wants():
    both = with_package(Wanted(dependencies=(), pins=("pandas==2.2",)), "greenpose")
    assert both.dependencies[0] == "pandas==2.2"
    assert any(line.startswith("torch") for line in both.dependencies)
    assert both.pins == ("pandas==2.2",)


def test_what_a_package_needs_leaves_its_extras_out():
    needed = needed_by("greenpose")
    assert any(line.startswith("torch") for line in needed)
    assert not [line for line in needed if line.startswith("ruff")]
    assert needed_by("no-such-package") == []
