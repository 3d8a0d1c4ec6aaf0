import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import greenpose
from greenpose.check import Selection
from greenpose.check.output.machine_readable import to_json
from greenpose.check.paired.against import Options, check_against, compare_sides, paired_names
from greenpose.check.paired.revisions import Side, Sides
from greenpose.check.paired.rule import Rule
from greenpose.check.paired.work import DATA, TRAIN
from greenpose.errors import CheckError, DataError, GreenPoseError
from greenpose.metering import is_pinned
from tests.fakes.sides import HELLO, fake_python, noted

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


STEP = {
    "exits": ["train"],
    "batch": 2,
    "counts": {"forward_macs": 1000, "backward_macs": 2000, "peak_bytes": 500, "saved_bytes": 400},
    "calls": {"convolution": 5, "_fused_adam_": 1},
}


def trained(file, folder, *, base=None, head=None, **hello):
    """The verdict on a step that both sides tell of, the one with what `base` says, the other with what `head` says."""
    told = {"base": {"hello": STEP | (base or {})}, "head": {"hello": STEP | (head or {})}}
    return compare_sides(file, sides(folder, **told), Options(works=(TRAIN,), **hello))


def test_a_training_s_step_is_counted_and_timed_as_one_piece_of_work(file, tmp_path):
    verdict = trained(file, tmp_path)
    assert {one.name: (one.way, one.outcome) for one in verdict.findings} == {
        "train.cpu_s_per_image": ("paired", "ok"),
        "train.forward_macs": ("exact", "ok"),
        "train.backward_macs": ("exact", "ok"),
        "train.peak_bytes": ("exact", "ok"),
        "train.saved_bytes": ("exact", "ok"),
        "train.operations": ("exact", "ok"),
    }
    assert verdict.findings[0].base == pytest.approx(0.01 / 2)
    asked = noted(tmp_path, "base")[0]["request"]
    assert (asked["work"], asked["only"]) == ("train", ["e"])
    assert asked["images"] == 2  # of the paper's size and width
    assert "train: counts are those of a step of 2 images, not the 32 of the file, so that turns are short" in str(
        verdict.notes
    )
    assert set(verdict.samples["paired"]) == {"e/train"}


def test_each_thing_that_a_step_does_more_often_is_a_regression_and_needs_no_time_to_be_seen(file, tmp_path):
    calls = {"convolution": 5, "_foreach_mul_": 3}
    more = {"counts": STEP["counts"] | {"backward_macs": 2001, "saved_bytes": 399}, "calls": calls}
    found = {one.metric: one for one in trained(file, tmp_path, head=more).findings}
    assert {metric: one.outcome for metric, one in found.items() if one.outcome != "ok"} == {
        "backward_macs": "regressed",
        "saved_bytes": "improved",
        "operations": "regressed",
    }
    assert "_foreach_mul_ 0 → 3" in found["operations"].says
    assert "--update" not in found["backward_macs"].advised  # there is no file to accept it in


def test_what_belongs_to_another_torch_is_not_compared_and_arithmetic_is(file, tmp_path):
    found = {one.metric: one.outcome for one in trained(file, tmp_path, base={"torch": "2.12.1"}).findings}
    assert {metric for metric, outcome in found.items() if outcome == "incomparable"} == {
        "peak_bytes",
        "saved_bytes",
        "operations",
    }


def test_a_revision_that_cannot_train_so_is_told_in_words(file, tmp_path):
    two = sides(tmp_path, base={"lacks": "train: its code cannot run that: ModuleNotFoundError"}, head={"hello": STEP})
    with pytest.raises(CheckError, match="base: train: its code cannot run that"):
        compare_sides(file, two, Options(works=(TRAIN,)))


def test_every_training_of_a_grid_is_one_by_itself_and_only_what_is_selected_is_started(tmp_path):
    file = tmp_path / "grid.yaml"
    file.write_text(
        "name: g\nbase: {carbon: {country: ITA}, model: {exits: [3]}}\n"
        "experiments: {A: {}, B: {train.batch: 8}, C: {seed: 2}}\n"
    )
    assert [name for name in paired_names(file, works=(TRAIN,)) if name.endswith("operations")] == [
        "A/train.operations",
        "B/train.operations",
    ]
    verdict = trained(file, tmp_path, only=Selection(("B/train.forward_macs",)))
    assert [one.name for one in verdict.findings] == ["B/train.forward_macs"]
    assert [one["request"]["only"] for one in noted(tmp_path, "base")] == [["B"]]


def test_steps_on_a_gpu_are_refused(tmp_path):
    file = tmp_path / "e.yaml"
    file.write_text("carbon: {country: ITA}\nprocess: {device: cuda}\n")
    with pytest.raises(CheckError, match="trains on cuda; training steps are compared on cpu only"):
        paired_names(file, works=(TRAIN,))


def test_of_images_way_both_sides_are_given_the_same_few_and_speed_is_told(file, tmp_path):
    hello = {"exits": ["data"], "batch": 20, "counts": {"images_decoded": 10, "bytes_read": 5000}}
    twice = hello | {"counts": {"images_decoded": 20, "bytes_read": 5000}}
    two = sides(tmp_path, base={"hello": hello}, head={"hello": twice})
    verdict = compare_sides(file, two, Options(works=(DATA,)))
    assert {one.name: one.outcome for one in verdict.findings} == {
        "data.cpu_s_per_crop": "ok",
        "data.images_decoded": "regressed",
        "data.bytes_read": "ok",
    }
    assert "data: 2e+03 crops a second of CPU there, 2e+03 here" in verdict.notes
    assert any("synthetic" in setting for setting in noted(tmp_path, "head")[0]["request"]["settings"])


def test_without_its_data_the_way_of_images_is_refused(tmp_path):
    file = tmp_path / "e.yaml"
    file.write_text("carbon: {country: ITA}\ndata: {source: coco, root: nowhere}\n")
    with pytest.raises(DataError, match="nowhere: no such folder"):
        compare_sides(file, sides(tmp_path), Options(works=(DATA,)))


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


@pytest.mark.slow
def test_a_step_of_the_same_code_counts_the_same_in_real_processes_and_a_wider_network_has_regressed(
    tmp_path, monkeypatch
):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY % 4)
    commit(tmp_path)
    monkeypatch.chdir(tmp_path)
    options = Options(against="HEAD", works=(TRAIN,), rule=Rule(batch=10, max_pairs=10))
    assert {one.outcome for one in check_against(file, options).findings if one.way == "exact"} == {"ok"}
    file.write_text(TINY % 64)
    found = {one.metric: one.outcome for one in check_against(file, options).findings}
    assert {found[metric] for metric in ("forward_macs", "backward_macs", "peak_bytes", "cpu_s_per_image")} == {
        "regressed"
    }
    assert found["operations"] == "ok"
