"""How runs are put together."""

import random
from string import ascii_uppercase

import pytest

from greenpose.metrics import AP, LATENCY
from greenpose.report.conclusions.caveats import caveats
from greenpose.report.header import place
from greenpose.report.labels import host_name, natural
from greenpose.report.study import Point, study
from tests.report.records import OTHER_HOST, failure, paper_grid, record


def test_runs_that_differ_in_their_seed_are_one_group():
    found = study(paper_grid((1, 2), ("HRNet3", "HRNet4-OKD")))
    assert [group.label for group in found.groups] == ["HRNet3", "HRNet4-OKD"]
    assert [[run.seed for run in group.runs] for group in found.groups] == [[1, 2], [1, 2]]
    assert found.repeated


def test_another_axis_makes_another_group_and_names_it():
    runs = [record("HRNet3", axes={"seed": 1, "model.width": width}) for width in (16, 32)]
    assert [group.label for group in study(runs).groups] == ["HRNet3 width=16", "HRNet3 width=32"]


def test_an_edited_experiment_is_not_averaged_with_its_former_self():
    former = record("HRNet3")
    edited = record("HRNet3", seed=2, config=former.config | {"train": {"lr": 1}})
    labels = {group.label for group in study([former, edited]).groups}
    assert len(labels) == 2


def test_runs_that_differ_in_a_setting_are_named_by_the_setting():
    runs = [
        record("HRNet3", config=record("HRNet3").config | {"train": {"lr": lr, "epochs": 60}}) for lr in (0.1, 0.01)
    ]
    assert {group.label for group in study(runs).groups} == {"HRNet3 (train.lr=0.1)", "HRNet3 (train.lr=0.01)"}
    other = runs[0].model_copy(update={"config": runs[0].config | {"kd": 1}})
    labels = [group.label for group in study([*runs, other]).groups]
    assert "HRNet3 (train.lr=0.1, kd=1)" in labels
    assert "HRNet3 (train.lr=0.1, kd=not set)" in labels


def test_runs_that_differ_in_very_many_settings_are_named_by_their_hashes():
    runs = [record("HRNet3", seed=n, config={str(key): n for key in range(9)}) for n in (1, 2)]
    assert {group.label for group in study(runs).groups} == {f"HRNet3 ({run.config_hash[:8]})" for run in runs}


def test_settings_beyond_twenty_six_have_two_letters():
    runs = [record("HRNet3", host=OTHER_HOST | {"fingerprint": f"{n:03}"}) for n in range(60)]
    found = study(runs)
    names = [*ascii_uppercase, *(first + last for first in "AB" for last in ascii_uppercase)][:60]
    assert list(found.settings) == names
    assert {group.label for group in found.groups} == {f"HRNet3 (setting {name})" for name in names}


@pytest.mark.parametrize(
    ("country", "said"),
    [("ITA", "annual mean"), ("custom", "the user’s own figure"), ("hourly", "the mean of the hours of training")],
)
def test_a_grid_is_called_what_it_is(country, said):
    run = record()
    words = place(run.model_copy(update={"carbon": run.carbon.model_copy(update={"country": country})}))
    assert f"gCO2eq/kWh, {said} (" in words
    assert ("annual" in words) is (country == "ITA")


def test_the_order_given_does_not_matter():
    runs = [*paper_grid((1, 2)), failure(), failure(seed=2)]
    expected = study(runs)
    for seed in range(5):
        shuffled = random.Random(seed).sample(runs, len(runs))
        assert study(shuffled) == expected


def test_two_machines_are_two_settings_with_letters():
    found = study([record("HRNet3"), record("HRNet4", host=OTHER_HOST)])
    assert not found.comparable
    assert list(found.settings) == ["A", "B"]
    assert sorted(group.label[-11:] for group in found.groups) == ["(setting A)", "(setting B)"]
    assert study([record("HRNet3"), record("HRNet4")]).comparable


def test_other_threads_are_another_setting():
    other = record("HRNet4")
    other = other.model_copy(update={"process": other.process | {"torch_threads": 2}})
    assert not study([record("HRNet3"), other]).comparable


def test_a_point_is_the_mean_over_its_runs():
    found = study([record("HRNet3", seed=1, ap={3: 0.9}), record("HRNet3", seed=2, ap={3: 0.8})])
    estimate = Point(group=found.groups[0], exit=3).figure(AP)
    assert (estimate.value, *estimate.type_a) == (85.0, 80.0, 90.0)


def test_figures_come_in_display_units():
    run = record("HRNet3")
    assert study([run]).points[0].figure(LATENCY).value == 1000 * run.exit(3).latency_s


def test_numbers_in_names_sort_as_numbers():
    assert sorted(["HRNet10", "HRNet2", "HRNet2-OKD"], key=natural) == ["HRNet2", "HRNet2-OKD", "HRNet10"]


def test_a_machine_is_told_by_what_matters():
    assert host_name(record()) == "AMD EPYC 7B13, 2 logical CPUs, 8.3 GB memory, Debian GNU/Linux 12 (bookworm)"
    assert host_name(record(host={"fingerprint": "x"})) == "a machine that the record does not describe"


def test_a_country_s_code_is_called_one():
    assert place(record("HRNet3")).startswith("ITA (country code), 331 [281–381] gCO2eq/kWh")
    own = record("HRNet3").carbon.model_copy(update={"country": "custom"})
    assert place(record("HRNet3").model_copy(update={"carbon": own})).startswith("custom, 331")


def test_seeds_on_other_labels_are_not_averaged_and_are_named_by_their_labels():
    first = record("HRNet3")
    digests = {"train": "a" * 64, "val": "b" * 64, "test": "c" * 64}
    runs = [
        record("HRNet3", seed=seed, dataset=first.dataset | {"annotations_sha256": digests | {"train": train * 64}})
        for seed, train in enumerate("aad", start=1)
    ]
    groups = {group.label: [run.seed for run in group.runs] for group in study(runs).groups}
    assert groups == {
        "HRNet3 (annotations aaaaaa/bbbbbb/cccccc)": [1, 2],
        "HRNet3 (annotations dddddd/bbbbbb/cccccc)": [3],
    }


def test_runs_that_were_tested_on_other_labels_carry_a_caveat():
    first = record("HRNet3")
    runs = [record("HRNet3", dataset=first.dataset | {"annotations_sha256": {"test": digest}}) for digest in "ab"]
    says = "runs were tested on 2 different annotation files, so their AP does not compare"
    assert says in caveats(study(runs))
    assert not any("annotation files" in clause for found in ([runs[0]], [first]) for clause in caveats(study(found)))
