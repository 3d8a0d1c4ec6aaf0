import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import greenpose
from greenpose.check import Selection
from greenpose.check.against import Options, check_against, compare_sides, paired_names
from greenpose.check.output.machine_readable import to_json
from greenpose.check.paired import Rule
from greenpose.check.revisions import Side, Sides
from greenpose.errors import GreenPoseError
from greenpose.metering import is_pinned
from tests.check.fakes import HELLO, fake_python, noted

HERE = Path(greenpose.__file__).parents[1]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "e.yaml"
    path.write_text("carbon: {country: ITA}\nmodel: {exits: [2, 3]}\nwiring: {supervise: [2, 3]}\n")
    return path


def sides(folder, *, base=None, head=None, **details):
    """Two sides played by fake interpreters: what each is told."""
    pythons = {name: fake_python(folder, name, **(told or {})) for name, told in (("base", base), ("head", head))}
    base_side, head_side = (
        Side(name=name, python=str(python), root=None, tree=None) for name, python in pythons.items()
    )
    return Sides(base=base_side, head=head_side, against="there", repository=None, **details)


def outcomes(verdict):
    return {finding.where: finding.outcome for finding in verdict.findings}


def test_equal_sides_are_fine_exit_by_exit_what_differs_is_noted_and_the_raw_pairs_are_kept(file, tmp_path):
    told = {"hello": {"torch": "2.12"}}
    verdict = compare_sides(file, sides(tmp_path, base=told, notes=("of the sides",)), Options())
    assert verdict.notes[0] == "of the sides"
    assert "torch 2.12 there, 2.13 here" in verdict.notes
    assert outcomes(verdict) == {"exit2": "ok", "exit3": "ok"}
    assert (verdict.subject, verdict.against, verdict.outcome) == (str(file), "there", "ok")
    assert verdict.findings[0].base == pytest.approx(0.01 / HELLO["batch"])
    (trial,) = json.loads(to_json(verdict, "e"))["samples"]["paired"]["e"]["attempts"]
    assert len(trial["turns"]["head"]["exit3"]["cpu_s"]) == 10


def test_a_costlier_head_is_regressed_after_three_pairs_of_processes(file, tmp_path):
    verdict = compare_sides(file, sides(tmp_path, head={"seconds": 0.0111}), Options())
    assert outcomes(verdict) == {"exit2": "regressed", "exit3": "regressed"}
    exit2 = verdict.findings[0]
    assert (exit2.ratio.value, exit2.head / exit2.base) == pytest.approx((1.11, 1.11))
    assert len(noted(tmp_path, "base")) == len(noted(tmp_path, "head")) == 3


def test_only_what_is_selected_is_run_and_judged(file, tmp_path):
    verdict = compare_sides(file, sides(tmp_path), Options(only=Selection(("exit3.cpu_s_per_image",)), wall=True))
    assert [finding.name for finding in verdict.findings] == ["exit3.cpu_s_per_image"]
    assert noted(tmp_path, "base")[0]["request"]["exits"] == [3]


def test_both_processes_are_pinned_and_share_a_core_a_file_and_exits(file, tmp_path):
    compare_sides(file, sides(tmp_path), Options(exits=(3,)))
    (base,), (head,) = noted(tmp_path, "base"), noted(tmp_path, "head")
    assert base["request"] == head["request"]
    assert base["request"] | {"core": None} == {"file": str(file), "only": ["e"], "exits": [3], "core": None}
    for started in (base, head):
        assert is_pinned(started["environment"])
        assert started["script"][0] == "-P"
        assert Path(started["script"][1]).name == "paired_worker.py"


@pytest.mark.parametrize("key", ["input_size", "batch", "device"])
def test_sides_that_do_not_agree_on_what_is_run_are_incomparable(file, tmp_path, key):
    other = {"input_size": [96, 96], "batch": 4, "device": "cuda"}[key]
    verdict = compare_sides(file, sides(tmp_path, base={"hello": {key: other}}), Options())
    assert outcomes(verdict) == {"exit2": "incomparable", "exit3": "incomparable"}
    assert "there and" in verdict.findings[0].says
    assert verdict.changed
    assert verdict.findings[0].ratio is None


def test_a_base_without_such_a_network_is_incomparable_and_a_head_without_one_is_an_error(file, tmp_path):
    refuses = {"error": "e.yaml: does not hold e as one network"}
    verdict = compare_sides(file, sides(tmp_path, base=refuses), Options())
    assert outcomes(verdict) == {"exit2": "incomparable", "exit3": "incomparable"}
    assert "does not hold e" in verdict.findings[0].says
    with pytest.raises(GreenPoseError, match="does not hold e as one network"):
        compare_sides(file, sides(tmp_path, head=refuses), Options())


def test_an_exit_that_only_one_side_has_is_incomparable_and_the_others_are_compared(file, tmp_path):
    verdict = compare_sides(file, sides(tmp_path, base={"hello": {"exits": [3]}}), Options())
    assert outcomes(verdict) == {"exit3": "ok", "exit2": "incomparable"}
    assert "base has no exit 2" in verdict.findings[1].says
    assert not verdict.changed
    lost = compare_sides(file, sides(tmp_path, head={"hello": {"exits": [3]}}), Options())
    assert (outcomes(lost)["exit2"], lost.changed) == ("incomparable", True)


def test_an_obstacle_is_said_and_nothing_is_started(file, tmp_path):
    verdict = compare_sides(file, sides(tmp_path, obstacle="the two want different packages"), Options())
    assert set(outcomes(verdict).values()) == {"incomparable"}
    assert "different packages" in verdict.findings[0].says
    assert not verdict.changed
    assert not (tmp_path / "base.jsonl").exists()


def test_a_side_that_imports_other_code_than_it_was_to_is_an_error(file, tmp_path):
    two = sides(tmp_path)
    elsewhere = replace(two, head=replace(two.head, root=tmp_path))
    with pytest.raises(GreenPoseError, match="imports /nowhere/greenpose instead of"):
        compare_sides(file, elsewhere, Options())


def test_wall_time_is_judged_where_asked_and_shares_the_error(file, tmp_path):
    verdict = compare_sides(file, sides(tmp_path), Options(wall=True, exits=(2,)))
    assert [finding.metric for finding in verdict.findings] == ["cpu_s_per_image", "latency_s"]


def test_several_networks_are_compared_one_after_another_as_far_as_they_are_selected(tmp_path):
    file = tmp_path / "grid.yaml"
    file.write_text(
        "name: g\nbase: {carbon: {country: ITA}, model: {exits: [3]}}\nexperiments: {A: {}, B: {model.width: 18}}\n"
    )
    heard = []
    verdict = compare_sides(file, sides(tmp_path), Options(progress=heard.append))
    assert outcomes(verdict) == {"A/exit3": "ok", "B/exit3": "ok"}
    assert heard == ["A/10 pairs, 0 of 1 open", "B/10 pairs, 0 of 1 open"]
    assert paired_names(file)[:2] == ["A/exit3.cpu_s_per_image", "A/exit3.gpu_s_per_image"]
    verdict = compare_sides(file, sides(tmp_path), Options(only=Selection(("B",))))
    assert outcomes(verdict) == {"B/exit3": "ok"}
    assert [one["request"]["only"] for one in noted(tmp_path, "base")] == [["A"], ["B"], ["B"]]


def test_another_rule_can_be_asked_for(file, tmp_path):
    rule = replace(Rule(), batch=3, max_pairs=6)
    verdict = compare_sides(file, sides(tmp_path), Options(rule=rule))
    assert outcomes(verdict) == {"exit2": "inconclusive", "exit3": "inconclusive"}  # six pairs cannot be that sure
    assert verdict.findings[0].pairs == 6


TINY = """
data: {input_size: [32, 32]}
model: {exits: [2, 3], width: %d, stem_width: 4, modules: [1, 1, 1], blocks: 1}
wiring: {supervise: [2, 3]}
measure: {batch: 1}
carbon: {country: ITA}
"""


def commit(folder):
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    for arguments in (["add", "-A"], ["commit", "-q", "-m", "one"]):
        subprocess.run(["git", *identity, *arguments], cwd=folder, check=True)


@pytest.mark.slow
def test_a_wider_network_is_regressed_against_the_last_commit_in_real_processes(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY % 4)
    commit(tmp_path)
    file.write_text(TINY % 64)
    monkeypatch.chdir(tmp_path)
    verdict = check_against(file, Options(against="HEAD"))
    assert outcomes(verdict) == {"exit2": "regressed", "exit3": "regressed"}
    assert "tiny.yaml is not the same there: what that costs is part of the comparison" in verdict.notes
    assert all(finding.head > finding.base > 0 for finding in verdict.findings)


@pytest.mark.slow
def test_another_environment_with_the_same_code_is_not_regressed(tmp_path, monkeypatch):
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY % 8)
    monkeypatch.chdir(tmp_path)
    verdict = check_against(file, Options(environment=Path(sys.prefix)))
    assert not verdict.of("regressed", "incomparable")
    hello = verdict.samples["paired"]["tiny"]["head"]
    assert Path(hello["package"]) == HERE / "greenpose"
