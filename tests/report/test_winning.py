"""Break-even: the lines cross where the record says, or do not cross at all."""

import pytest

from greenpose.record import Interval
from greenpose.report.figures.break_even import added_kwh, crossings, images_needed
from greenpose.report.study import study
from tests.report.exits import basis
from tests.report.records import record


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
    assert images_needed(point).low == 0


def test_the_runs_own_interval_is_kept():
    run = with_break_even(100.0, interval=(80.0, 130.0))
    (found,) = crossings(study([run]))
    assert Interval(low=found.images.low, high=found.images.high) == Interval(low=80, high=130)
