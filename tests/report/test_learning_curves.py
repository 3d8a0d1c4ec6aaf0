"""Energy until an exit is as accurate as the paper's recipe makes it."""

import pytest

from greenpose.record import Validation
from greenpose.report.figures.learning_curves import holds, learning_curves, targets, targets_table
from greenpose.report.study import study
from tests.report.records import record

PAPER = (0.2, 0.5, 0.6)
"""Validation AP of exit 4 after epochs 1, 2, 3."""


def trained(aps, *, seed=1, kwh=1.0, **train):
    """Return a run whose exits 3 and 4 had these AP after equally dear epochs."""
    run = record("HRNet4-OKD", seed=seed)
    validations = [
        Validation(epoch=n, energy_kwh=n * kwh, cpu_seconds=10 * n, seconds=5 * n, ap={3: ap / 2, 4: ap})
        for n, ap in enumerate(aps, start=1)
    ]
    config = run.config | {"train": run.config["train"] | train}
    return run.model_copy(update={"validations": validations, "config": config})


def final(found):
    return {each.point.group.runs[0].config["train"].get("recipe"): each for each in found if each.point.exit == 4}


def green(*courses, kwh=0.5):
    return [trained(aps, seed=seed, kwh=kwh, recipe="other", epochs=3) for seed, aps in enumerate(courses, start=1)]


@pytest.mark.parametrize(
    ("aps", "epoch"),
    [
        ((0.1, 0.5, 0.6), 2),
        ((0.5, 0.4, 0.6, 0.7), 3),  # reached, lost, reached for good
        ((0.1, 0.2, 0.5), 3),  # nothing speaks against the last
        ((0.1, 0.6, 0.2), None),
        ((0.1, 0.2), None),
    ],
)
def test_a_level_is_held_when_the_next_validation_shows_it_too(aps, epoch):
    found = holds(trained(aps).validations, 4, 0.5)
    assert (found and found.epoch) == epoch


def test_the_level_is_what_the_least_successful_seed_of_the_papers_recipe_ends_with():
    """Seeds end at .6 and .5: the level is .5, which the first holds after 2 epochs of 1 kWh, the second after 3."""
    runs = [trained(PAPER, seed=1), trained((0.1, 0.4, 0.5), seed=2)]
    found = final(targets(study([*runs, *green((0.5, 0.55, 0.6), (0.1, 0.5, 0.5))])))
    assert found[None].level.value == found["other"].level.value == pytest.approx(50)
    assert found[None].energy.value == pytest.approx(2.5)
    assert found[None].share.missing == "it is the paper’s recipe itself"
    assert found["other"].energy.value == pytest.approx((0.5 + 1.0) / 2)
    assert found["other"].cpu_seconds.value == pytest.approx(15)
    assert found["other"].share.value == pytest.approx(30)


def test_each_exit_has_a_level_of_its_own():
    found = targets(study([trained(PAPER)]))
    assert {each.point.exit: each.level.value for each in found} == pytest.approx({3: 30, 4: 60})


def test_runs_that_do_not_reach_the_level_are_told():
    page = targets_table(study([trained(PAPER), *green((0.5, 0.6, 0.7), (0.1, 0.1, 0.2))]))
    (head,) = [row.head for row in page.sections[0].rows if "did not reach" in row.head and "exit 4" in row.head]
    assert "1\N{NO-BREAK SPACE}run of 2 did not reach it" in head


def test_where_no_run_reaches_it_the_energy_is_missing_for_a_reason():
    found = final(targets(study([trained(PAPER), *green((0.1, 0.1, 0.2))])))
    assert found["other"].energy.missing == "no run held AP 60.0 %"


def test_another_network_is_no_reference():
    other = record("HRNet4-OKD-DS").model_copy(update={"validations": trained(PAPER).validations})
    found = final(targets(study([other, *green((0.1, 0.2, 0.3))])))
    assert found["other"].level.value == pytest.approx(30)


def test_records_that_do_not_tell_the_course_have_no_target():
    assert targets_table(study([record("HRNet4-OKD")])) is None


def test_a_network_under_two_recipes_is_drawn_run_by_run_for_every_exit():
    charts = learning_curves(study([trained(PAPER), *green((0.5, 0.6, 0.7), (0.4, 0.5, 0.6))]))
    assert [chart.label.rpartition(" ")[2] for chart in charts] == ["3", "4"]
    assert [len(charts[1].paper), len(charts[1].other)] == [1, 2]
    assert [y for _, y in charts[1].other[0]] == pytest.approx([50, 60, 70])
    assert learning_curves(study([trained(PAPER)])) == []


def test_the_share_of_the_paper_s_recipe_is_told_where_there_is_another_recipe_only():
    def heads(*runs):
        return [(column.head, column.unit) for column in targets_table(study(runs)).columns]

    share = ("Energy to it", "% of the paper’s recipe")
    assert share not in heads(trained(PAPER))
    assert share in heads(trained(PAPER), *green((0.5, 0.6, 0.7)))
