"""The tables about teaching, against the records that they are made from."""

import pytest

from greenpose.record import Interval
from greenpose.report.figures.ablations import MatchedRuns
from greenpose.report.figures.break_even import (
    added_kwh,
    break_even_table,
    crossings,
    forecast_table,
    grid_saving,
    images_needed,
    parts_table,
    teaching_table,
)
from greenpose.report.figures.training import allocation_table
from greenpose.report.study import study
from greenpose.tables import NOT_MEASURED
from tests.report.exits import basis
from tests.report.records import OTHER_HOST, config, record


def cell(table, row, head, section=0):
    heads = [column.head for column in table.columns]
    return table.sections[section].rows[row].cells[heads.index(head)]


def alone(exit_, seed=1, kwh=1.0, **changes):
    made = record(f"HRNet{exit_}", seed=seed, exits=(exit_,), train_energy_kwh=kwh, **changes)
    made.config["wiring"] = {"teach": [], "supervise": [exit_]}
    return made


def joint(seed=1, kwh=1.0, **changes):
    return record("HRNet4-OKD-DS", seed=seed, exits=(3, 4), train_energy_kwh=kwh, **changes)


def saving(*runs):
    found = study(runs)
    return grid_saving(MatchedRuns(found), next(group for group in found.groups if len(group.exits) > 1))


def test_what_a_step_adds_is_its_ratio_less_one_in_percent():
    step = joint().training_step
    basis = step.basis["overhead"].model_copy(update={"type_a": Interval(low=1.2, high=1.3)})
    step = step.model_copy(update={"overhead": 1.25, "basis": step.basis | {"overhead": basis}})
    both = cell(teaching_table(study([joint(training_step=step)])), 0, "Both add")
    assert (both.value, both.interval) == ("25", "±5")


def test_supervision_that_a_run_lacks_is_not_measured_and_says_so():
    missing = cell(teaching_table(study([joint()])), 0, "Deep supervision adds")
    assert (missing.value, missing.missing) == (NOT_MEASURED, "the run has none")


def test_stand_alone_trainings_on_the_page_are_held_against_the_joint_one_seed_by_seed():
    runs = [alone(3, seed, kwh) for seed, kwh in ((1, 0.6), (2, 0.9))]
    runs += [alone(4, seed, 1.0) for seed in (1, 2)] + [joint(1, 1.0), joint(2, 1.25)]
    found = saving(*runs)
    assert found.value == pytest.approx((1.6 / 1.0 + 1.9 / 1.25) / 2)
    assert found.type_a == pytest.approx((1.52, 1.6))


@pytest.mark.parametrize(
    "other",
    [
        alone(3, seed=2),
        alone(3, host=OTHER_HOST),
        alone(3, config=config("HRNet3", 1, (3,), ()) | {"train": {"epochs": 10}}),
        joint(2),
    ],
    ids=["another seed", "another machine", "another recipe", "no stand-alone training"],
)
def test_a_training_that_does_not_stand_beside_the_joint_one_saves_nothing(other):
    assert saving(alone(4), joint(), other).missing.startswith("the page holds no stand-alone")


def test_break_even_stands_for_every_exit_but_the_final_one():
    table = break_even_table(study([joint(), alone(4)]))
    assert [row.head for row in table.sections[0].rows] == ["HRNet4-OKD-DS exit 3"]
    assert cell(table, 0, "Won back after").value == "∼\u202f60\u202f000"


def test_pages_without_several_exits_have_neither_table():
    found = study([alone(4)])
    assert teaching_table(found) is None
    assert break_even_table(found) is None


def test_the_shares_of_the_parts_of_training_are_of_their_sum():
    run = joint()
    table = parts_table(study([run]))
    whole = sum(part.energy_kwh for part in run.train_parts)
    forward = next(part for part in run.train_parts if part.name == "forward")
    assert cell(table, 0, "Forward").interval == f"{100 * forward.energy_kwh / whole:.0f}\u00a0%"


def test_a_forecast_stands_beside_what_the_training_came_to():
    forecast = joint().forecast.model_copy(update={"energy_kwh": 0.4})
    table = forecast_table(study([joint(kwh=0.5, forecast=forecast)]))
    assert cell(table, 0, "Expected").value.startswith("∼\u202f400")
    assert table.sections[0].rows[0].cells[2].value == "125"


def test_every_other_rule_has_a_column_of_shares():
    table = allocation_table(study([joint()]))
    assert [column.head for column in table.columns][3:] == ["By MACs", "All to deepest"]
    assert [row.cells[-1].value for row in table.sections[0].rows] == ["0", "100"]


def with_break_even(value, *, share=0.7, interval=None, missing=None):
    """Return a run whose exit 3 costs `share` of the final exit and is won back after `value` images."""
    run = record("HRNet4-OKD")
    entry = run.exit(3)
    kind = "estimated" if value is not None else "not_covered"
    bases = {
        "break_even_images": basis("images", kind, "extra / saved", a=interval, missing=missing),
        "relative_to_final.energy_j_per_image": basis("fraction", "measured", "blocks"),
    }
    ratios = entry.relative_to_final | {"energy_j_per_image": share}
    update = {"break_even_images": value, "relative_to_final": ratios, "basis": entry.basis | bases}
    return run.model_copy(update={"exits": [entry.model_copy(update=update), run.exit(4)]})


def test_both_lines_meet_at_the_number_of_images():
    (found,) = crossings(study([with_break_even(50_000.0)]))
    assert found.added + 50_000 * found.image == pytest.approx(50_000 * found.final_image)
    assert found.verdict == "won back after ∼50\u202f000\u00a0images"
    assert not found.never


def test_an_exit_that_saves_nothing_is_never_won_back():
    run = with_break_even(None, share=1.02, missing="an image costs no less at this exit")
    (found,) = crossings(study([run]))
    assert found.never
    assert found.verdict == "never won back: an image costs no less at exit 3"
    assert found.added == pytest.approx(1000 * added_kwh(run))
    assert all(found.added + n * found.image > n * found.final_image for n in (0, 1e3, 1e9))


def test_an_exit_whose_teaching_cost_nothing_is_won_from_the_first_image():
    (found,) = crossings(study([with_break_even(0.0)]))
    assert found.added == 0
    assert found.verdict.startswith("won from the first image")


def test_what_teaching_added_is_the_overheads_part_of_the_training_steps():
    run = record("HRNet4-OKD")
    taught = sum(part.energy_kwh for part in run.train_parts if part.name in {"forward", "backward", "step"})
    assert added_kwh(run) == pytest.approx(taught - taught / run.training_step.overhead)
    assert added_kwh(run.model_copy(update={"training_step": None})) is None


def test_an_exit_whose_energy_is_unknown_is_not_drawn():
    assert crossings(study([record("HRNet4-OKD", metered=False)])) == []
    assert crossings(study([with_break_even(None, missing="could not be read")])) == []


def test_no_interval_reaches_below_no_image():
    runs = [
        with_break_even(value).model_copy(update={"seed": seed, "name": str(seed)})
        for seed, value in ((1, 10.0), (2, 500.0), (3, 4000.0))
    ]
    point = next(point for point in study(runs).points if point.exit == 3)
    assert images_needed(point).type_a.low == 0


def test_the_runs_own_interval_is_kept():
    run = with_break_even(100.0, interval=(80.0, 130.0))
    (found,) = crossings(study([run]))
    assert found.images.type_a == (80, 130)
