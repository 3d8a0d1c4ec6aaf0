"""Exits as shares of the final one, before they are drawn."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenpose.report.drawing import spread
from greenpose.report.figures.exits import draw, slopes
from greenpose.report.study import study
from tests.report.html_tree import read
from tests.report.records import record


def lines(run):
    (chart,) = slopes(study([run]))
    return chart.lines


def test_a_line_holds_the_shares_of_the_final_exit_which_is_a_hundred():
    run = record("HRNet4-COKD", ap={2: 0.475, 3: 0.9, 4: 0.95})
    found = lines(run)
    assert list(found) == ["AP", "Energy", "Latency", "MACs", "Params"]
    assert found["AP"][0].value == pytest.approx(50)
    assert found["MACs"][1].value == pytest.approx(100 * run.exit(3).macs / run.exit(4).macs)
    assert found["Energy"][0].value == pytest.approx(100 * run.exit(2).relative_to_final["energy_j_per_image"])
    assert [shares[-1].value for shares in found.values()] == [100] * 5


def test_a_line_is_named_with_the_share_it_begins_at_and_marked_where_joules_are_modelled():
    (chart,) = slopes(study([record("HRNet4-OKD", ap={3: 0.9, 4: 0.95})]))
    texts = [each.text for each in read(draw(chart).svg).all("text")]
    assert "MACs 61\u00a0%" in texts
    assert any(text.startswith("Energy ≈7") for text in texts)


def test_what_is_not_known_at_every_exit_is_left_out_and_named():
    (chart,) = slopes(study([record("HRNet4-OKD", evaluated=False, metered=False)]))
    assert list(chart.lines) == ["MACs", "Params"]
    assert chart.left_out == ("AP", "Energy", "Latency")
    assert "AP" not in chart.description


def test_experiments_with_one_exit_have_no_slopes():
    assert slopes(study([record("HRNet3")])) == []


PLACES = st.lists(st.floats(0, 100), min_size=1, max_size=8)


@given(PLACES, st.floats(0.5, 10))
def test_spread_labels_keep_their_order_and_their_distance(places, gap):
    moved = spread(places, gap)
    order = sorted(range(len(places)), key=lambda index: places[index])
    steps = [moved[later] - moved[earlier] for earlier, later in itertools.pairwise(order)]
    assert all(step >= gap - 1e-9 for step in steps)
    assert sum(moved) == pytest.approx(sum(places))


def test_labels_that_do_not_touch_stay_where_they_are():
    assert spread([10.0, 30.0, 20.0], 5) == [10.0, 30.0, 20.0]
