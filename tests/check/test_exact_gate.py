from dataclasses import replace

import pytest

from greenpose.check import Filed, Selection, accept, compare, dumps, read_baseline
from greenpose.metrics import CONVENTIONS
from tests.check.candidates import profiled, ran

EVERYTHING = Selection()
ACCEPTANCE = {"reason": "first", "at": "2026-11-25T08:00:00+00:00", "commit": None, "version": "0.1.0"}


@pytest.fixture
def filed(tmp_path):
    """Return a function that makes a baseline of footprints and reads it back from its file."""

    def made(*footprints) -> Filed:
        path = tmp_path / "greenpose-baseline.json"
        path.write_text(dumps(accept(None, footprints, only=EVERYTHING, **ACCEPTANCE)))
        return read_baseline(path)

    return made


def found(footprint, filed, only=EVERYTHING):
    return {finding.name: finding for finding in compare([footprint], filed, only=only).findings}


def outcomes(*arguments, **options):
    return {name: finding.outcome for name, finding in found(*arguments, **options).items()}


def test_every_count_of_every_exit_is_compared_and_what_was_accepted_is_ok(filed):
    names = {f"exit{k}.{m}" for k in (3, 4) for m in ("params", "macs", "activation_bytes", "peak_bytes", "operations")}
    assert outcomes(profiled(), filed(profiled())) == dict.fromkeys(names, "ok")
    assert outcomes(ran(), filed(ran())) == dict.fromkeys(names | {"exit3.ap", "exit4.ap"}, "ok")


@pytest.mark.parametrize("metric", ["params", "macs", "activation_bytes", "peak_bytes"])
@pytest.mark.parametrize(("more", "outcome"), [(1, "regressed"), (-1, "improved")])
def test_a_single_one_more_or_less_is_found_and_nothing_else(filed, metric, more, outcome):
    base = profiled()
    value = int(base.quantities[f"exit4.{metric}"].value)
    seen = outcomes(profiled(exit4={metric: value + more}), filed(base))
    assert seen.pop(f"exit4.{metric}") == outcome
    assert set(seen.values()) == {"ok"}


def test_a_finding_shows_both_sides_and_stands_at_its_line(filed, tmp_path):
    base = filed(profiled())
    seen = found(profiled(exit3={"macs": 6_600_000_000}), base)["exit3.macs"]
    assert (seen.base, seen.head, seen.unit) == (6e9, 6.6e9, "MACs")
    assert "+10.0\u00a0%" in seen.says
    line = (tmp_path / "greenpose-baseline.json").read_text().splitlines()[seen.line - 1]
    assert '"exit3.macs": 6000000000' in line


def test_one_more_in_ten_thousand_million_is_still_seen_in_words(filed):
    seen = found(profiled(exit4={"macs": 8_000_000_001}), filed(profiled()))["exit4.macs"]
    assert "8.000000000\u00a0GMACs to 8.000000001\u00a0GMACs" in seen.says


@pytest.mark.parametrize(
    ("calls", "outcome", "says"),
    [
        ({"add": 9, "convolution": 31, "relu_": 21}, "regressed", "convolution 30 → 31"),
        ({"add": 9, "convolution": 30, "relu_": 21, "_to_copy": 2}, "regressed", "_to_copy 0 → 2"),
        ({"add": 9, "convolution": 30, "relu": 21}, "regressed", "relu 0 → 21 and relu_ 21 → 0"),
        ({"add": 9, "convolution": 30}, "improved", "relu_ 21 → 0"),
    ],
)
def test_operators_are_compared_one_by_one_and_their_difference_shown(filed, calls, outcome, says):
    seen = found(profiled(exit3={"operations": calls}), filed(profiled()))["exit3.operations"]
    assert seen.outcome == outcome
    assert says in seen.says
    assert (seen.base, seen.head) == (60, sum(calls.values()))


def test_the_line_of_operators_is_that_of_the_first_that_differs(filed, tmp_path):
    calls = {"add": 9, "convolution": 31, "relu_": 21}
    seen = found(profiled(exit3={"operations": calls}), filed(profiled()))["exit3.operations"]
    line = (tmp_path / "greenpose-baseline.json").read_text().splitlines()[seen.line - 1]
    assert "exit3.operations.convolution" in line


@pytest.mark.parametrize(
    ("model", "line"),
    [
        ({"width": 32}, "width 16 → 32"),
        ({"modules": [1, 2, 1]}, "modules 1/4/3 → 1/2/1"),
        ({"width": 18, "blocks": 5}, "blocks 4 → 5 and width 16 → 18"),
    ],
)
@pytest.mark.parametrize(("factor", "outcome"), [(15, "regressed"), (0.5, "improved")])
def test_a_network_of_another_shape_is_compared_exit_by_exit_and_one_line_says_what_changed(
    filed, model, line, factor, outcome
):
    costs = {number: {"macs": int(factor * 2e9 * number), "params": int(factor * 1e6 * number)} for number in (3, 4)}
    candidate = profiled(model=model, exit3=costs[3], exit4=costs[4])
    compared = compare([candidate], filed(profiled()), only=EVERYTHING)
    seen = {finding.name: finding for finding in compared.findings}
    for number in (3, 4):
        macs = seen[f"exit{number}.macs"]
        assert (macs.outcome, macs.base, macs.head) == (outcome, 2e9 * number, factor * 2e9 * number)
        assert seen[f"exit{number}.params"].outcome == outcome
        assert seen[f"exit{number}.operations"].outcome == "ok"
    assert [note for note in compared.notes if line in note] == [
        f"HRNet4: the configuration is not the baseline's: {line}"
    ]


def test_on_other_images_only_what_their_size_moves_is_incomparable_and_the_rest_still_regresses(filed):
    candidate = profiled(data={"input_size": [96, 64]}, exit3={"params": 3_000_001})
    compared = compare([candidate], filed(profiled()), only=EVERYTHING)
    for seen in compared.findings:
        moved = seen.metric in ("macs", "activation_bytes", "peak_bytes")
        rest = "regressed" if seen.name == "exit3.params" else "ok"
        assert seen.outcome == ("incomparable" if moved else rest), seen
        assert seen.changed == moved
        assert (seen.head is None) == moved
        assert not moved or "images are 64x64 in the baseline and 96x64 here" in seen.says
    assert compared.notes == ("HRNet4: the configuration is not the baseline's: input 64x64 → 96x64",)


def test_with_other_keypoints_only_the_operators_are_comparable(filed):
    other = replace(profiled(), network=profiled().network.replace("joints 12", "joints 17"))
    seen = found(other, filed(profiled()))
    assert {one.metric for one in seen.values() if one.outcome == "ok"} == {"operations"}
    assert "12 keypoints in the baseline and 17 here" in seen["exit3.macs"].says
    assert all(one.changed == (one.outcome == "incomparable") for one in seen.values())


def test_what_no_exit_costs_may_differ(filed):
    base = profiled(model={"init": "default"})
    other = profiled(model={"init": "torch", "weights": "w.pth", "partial": True})
    for there in (base, replace(base, network=f"{base.network}, partial False")):
        compared = compare([other], filed(there), only=EVERYTHING)
        assert {finding.outcome for finding in compared.findings} == {"ok"}
        assert compared.notes == ()


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"torch": "2.14.0"}, {f"exit{k}.{metric}" for k in (3, 4) for metric in ("peak_bytes", "operations")}),
        ({"torch": "2.13.9"}, set()),
        ({"conventions": {"macs": "by hand"}}, {"exit3.macs", "exit4.macs"}),
        ({"counted": {3: {"peak_bytes": None, "operations": {}}}}, {"exit3.peak_bytes", "exit3.operations"}),
    ],
)
def test_what_differs_around_the_candidate_is_incomparable_and_not_the_candidates_doing(filed, settings, names):
    candidate, base = profiled(), filed(profiled())
    if "torch" in settings:
        candidate = profiled(torch=settings["torch"])
    elif "counted" in settings:  # a record from before something was counted
        candidate, base = ran(**settings), filed(ran())
    else:
        conventions = base.baseline.conventions | settings["conventions"]
        base = replace(base, baseline=base.baseline.model_copy(update={"conventions": conventions}))
    unlike = {name: one for name, one in found(candidate, base).items() if one.outcome == "incomparable"}
    assert unlike.keys() == names
    assert not any(one.changed for one in unlike.values())


def test_an_exit_that_is_gone_is_incomparable_and_a_new_one_is_noted(filed):
    seen = found(profiled(4), filed(profiled(3, 4)))
    assert (seen["exit3.macs"].outcome, seen["exit3.macs"].changed) == ("incomparable", True)
    assert "only exits 4" in seen["exit3.macs"].says
    assert seen["exit4.macs"].outcome == "ok"
    compared = compare([profiled(3, 4)], filed(profiled(4)), only=EVERYTHING)
    assert {finding.where for finding in compared.findings} == {"exit4"}
    assert "exit3.activation_bytes" in compared.notes[0]


@pytest.mark.parametrize(
    ("ap", "half", "outcome"),
    [
        (0.90, 0.012, "ok"),
        (0.885, 0.012, "ok"),  # below the baseline, above the floor of 0.88
        (0.875, 0.012, "inconclusive"),  # its interval reaches the floor
        (0.85, 0.012, "regressed"),  # all of its interval lies below the floor
        (0.95, 0.012, "improved"),
        (0.91, 0.012, "ok"),  # better, but perhaps by chance
        (0.70, None, "inconclusive"),  # nobody knows how sure it is
    ],
)
def test_accuracy_regresses_only_where_all_of_its_interval_is_below_the_floor(filed, ap, half, outcome):
    seen = outcomes(ran(ap={3: ap}, half=half), filed(ran(ap={3: 0.9})))
    assert seen["exit3.ap"] == outcome


def test_accuracy_that_did_not_change_is_not_shown_as_changed_by_the_file_s_rounding(filed):
    run = ran(ap={3: 0.477873})
    seen = found(run, filed(run))["exit3.ap"]
    assert seen.base == seen.head == 0.4779


def test_accuracy_on_other_data_is_incomparable(filed):
    base = filed(ran())
    contexts = {"HRNet4-OKD": base.baseline.experiments["HRNet4-OKD"].model_copy(update={"data": "coco babypose 0"})}
    other = Filed(name="b", baseline=base.baseline.model_copy(update={"experiments": contexts}), lines=base.lines)
    seen = outcomes(ran(), other)
    assert {name for name, outcome in seen.items() if outcome != "ok"} == {"exit3.ap", "exit4.ap"}


def test_the_accuracy_floor_is_left_out_of_what_was_only_profiled_and_noted(filed):
    run = ran("HRNet4")
    same = profiled(4, model={"width": 32, "stem_width": 64}, data={"input_size": [192, 256]})
    compared = compare([same], filed(run), only=EVERYTHING)
    assert "exit4.ap" not in {finding.name for finding in compared.findings}
    assert any("exit4.ap" in note and "takes a run" in note for note in compared.notes)


def test_a_grid_has_the_experiment_before_each_name_and_each_is_compared_with_its_own(filed):
    base = filed(profiled(4), profiled(3, experiment="HRNet3"))
    assert {finding.name for finding in compare([profiled(4)], base, only=EVERYTHING).findings} == {
        f"HRNet4/exit4.{metric}" for metric in ("params", "macs", "activation_bytes", "peak_bytes", "operations")
    }
    seen = outcomes(profiled(3, experiment="HRNet3", exit3={"macs": 1}), base)
    assert seen["HRNet3/exit3.macs"] == "improved"


def test_an_experiment_that_a_grid_has_lost_is_noted_and_what_a_single_run_does_not_repeat_is_not(filed):
    base = filed(profiled(4), profiled(3, experiment="b"), profiled(3, experiment="c"))
    assert compare([profiled(4)], base, only=EVERYTHING).notes == ()
    (note,) = compare([profiled(4), profiled(3, experiment="b")], base, only=EVERYTHING).notes
    assert note.startswith("c: in ")


def test_a_record_without_its_settings_is_incomparable_and_no_crash(filed):
    bare = ran(config={}, dataset={})
    assert set(outcomes(bare, filed(ran())).values()) == {"incomparable"}


def test_an_experiment_that_the_baseline_does_not_know_is_incomparable(filed):
    (seen,) = found(profiled(experiment="HRNet5"), filed(profiled())).values()
    assert (seen.name, seen.outcome, seen.changed) == ("HRNet5.experiment", "incomparable", True)
    assert "HRNet4" in seen.says


def test_a_run_is_found_under_its_grids_label_or_its_experiment(filed):
    run = ran(axes={"seed": 1, "model.modules": [1, 4, 3]})
    for label in ("HRNet4-OKD-model.modules=1x4x3", "HRNet4-OKD"):
        base = filed(profiled(labels=(label,)), profiled(experiment="other"))
        assert {one.where for one in compare([run], base, only=EVERYTHING).findings} == {
            f"{label}/exit3",
            f"{label}/exit4",
        }


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("exit3.macs", {"exit3.macs"}),
        ("*.macs", {"exit3.macs", "exit4.macs"}),
        ("exit4", {f"exit4.{m}" for m in ("params", "macs", "activation_bytes", "peak_bytes", "operations")}),
        ("exit3.operations", {"exit3.operations"}),
        ("exit3.operations.add", {"exit3.operations"}),
    ],
)
def test_only_what_is_selected_is_compared(filed, pattern, names):
    assert outcomes(profiled(), filed(profiled()), only=Selection((pattern,))).keys() == names


def test_a_single_operator_can_be_selected_without_the_others_counting(filed):
    calls = {"add": 9, "convolution": 31, "relu_": 21}
    only = Selection(("exit3.operations.add",))
    assert outcomes(profiled(exit3={"operations": calls}), filed(profiled()), only=only) == {"exit3.operations": "ok"}


def test_conventions_are_what_baselines_in_use_have_been_written_with():
    """A changed text makes every baseline incomparable: change it together with what is counted, never alone."""
    assert CONVENTIONS == {
        "activation_bytes": "storages saved for backward, per image",
        "ap": "COCO OKS AP .50:.05:.95, one detection per annotated box",
        "file_bytes": "bytes of the model file on disk, weights included",
        "macs": "convolutions of the minimal sub-network by torch's counter, 1 MAC = 2 FLOPs, one image",
        "operations": "calls that reach torch's dispatcher in inference",
        "params": "parameters of the minimal sub-network",
        "peak_bytes": "storages alive at once in inference of one image, without weights",
    }
