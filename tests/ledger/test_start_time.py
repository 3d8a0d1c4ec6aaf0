"""When to start is held against every start tried one by one; what it saves, against the same figures by hand."""

import itertools
import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.start_time import FIRST, a_year_of_starts, as_csv, done, made_up_year
from greenpose.errors import GreenPoseError
from greenpose.ledger.start_time import Range, Workload, choose
from greenpose.metering.carbon.hourly_intensity import HOUR, HOURLY_ERROR, Hours, read_hours
from tests.pages import ROOT

ROUNDING = 1e-5
"""In g/kWh: starts are told apart to six decimals."""


def grid(values, first=FIRST):
    return Hours(name="h.csv", digest="0" * 12, scope="", first=first, values=tuple(values))


YEAR = grid(made_up_year())


def work(hours, runs=1, *, low=None, high=None, kwh=None):
    return Workload(runs=runs, seconds=Range(*(3600 * end for end in (low or hours, hours, high or hours))), kwh=kwh)


def length_of(choice, seconds):
    return seconds / len(choice.starts)


def mean(hours, choice, seconds):
    """The grid during all blocks of a choice, each as long as the others."""
    each = length_of(choice, seconds)
    return sum(hours.over(start, each).mid for start in choice.starts) / len(choice.starts)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 8500), st.integers(1, 40), st.integers(0, 60))
def test_it_is_the_best_of_all_whole_hours_where_work_takes_whole_hours(hour, length, slack):
    now = FIRST + hour * HOUR
    choice = choose(YEAR, work(length), now, deadline=now + (length + slack) * HOUR)
    tried = [YEAR.over(now + wait * HOUR, length * 3600).mid for wait in range(slack + 1)]
    assert mean(YEAR, choice, length * 3600) == pytest.approx(min(tried), abs=ROUNDING)
    assert choice.starts[0] == now + min(wait for wait in range(slack + 1) if tried[wait] < min(tried) + 1e-9) * HOUR


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 8600), st.floats(0.05, 30), st.floats(0, 40))
def test_no_minute_until_the_deadline_is_better_whatever_the_work_takes(hour, length, slack):
    now = FIRST + timedelta(hours=hour)
    choice = choose(YEAR, work(length), now, deadline=now + timedelta(hours=length + slack))
    chosen = YEAR.over(choice.starts[0], length * 3600).mid
    minutes = [YEAR.over(now + timedelta(minutes=wait), length * 3600).mid for wait in range(int(slack * 60) + 1)]
    assert chosen <= min(minutes) + ROUNDING
    assert choice.expected.g_per_kwh.mid == pytest.approx(chosen)


@settings(max_examples=25, deadline=None)
@given(
    st.floats(0, 8600),
    st.floats(0.1, 12),
    st.integers(1, 9),
    st.floats(0, 30),
    st.floats(0, 0.6),
    st.floats(0, 1),
    st.none() | st.floats(50, 400),
)
def test_no_deadline_is_missed_whatever_within_its_interval_the_work_takes(
    hour, length, runs, slack, spread, where, below
):
    now = FIRST + timedelta(hours=hour)
    most, each = (1 + spread) * length, (1 - spread + 2 * spread * where) * length * 3600 / runs
    deadline = now + timedelta(hours=most + slack)
    _, ended = done(YEAR, now, deadline, length, runs, each, spread, below=below)
    assert (ended - deadline).total_seconds() < 1e-3


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 8600), st.integers(1, 5), st.integers(2, 4), st.integers(0, 6))
def test_runs_of_an_hour_take_the_cleanest_hours_of_all_and_longer_ones_never_worse_than_one_go(
    hour, length, runs, slack
):
    now = FIRST + hour * HOUR
    deadline = now + (length * runs + slack) * HOUR
    choice, whole = (
        choose(YEAR, work(length * runs, runs), now, deadline=deadline, pauses=pauses) for pauses in (True, False)
    )
    assert len(whole.starts) == 1
    every = itertools.combinations([now + wait * HOUR for wait in range(length * (runs - 1) + slack + 1)], runs)
    apart = (starts for starts in every if all(b - a >= length * HOUR for a, b in itertools.pairwise(starts)))
    least = min(sum(YEAR.over(start, length * 3600).mid for start in starts) / runs for starts in apart)
    chosen = mean(YEAR, choice, length * runs * 3600)
    assert chosen <= mean(YEAR, whole, length * runs * 3600) + ROUNDING
    assert chosen >= least - ROUNDING
    if length == 1:
        assert chosen == pytest.approx(least, abs=ROUNDING)
    assert all(b - a >= length * HOUR - timedelta(seconds=1) for a, b in itertools.pairwise(choice.starts))
    assert now <= choice.starts[0]
    assert choice.starts[-1] + length * HOUR <= deadline + timedelta(seconds=1)


DAY = grid([100.0 * (1 + hour // 6) for hour in range(24)])  # 100, 200, 300, 400 g/kWh, six hours each
NOON = FIRST + 12 * HOUR


def test_short_runs_are_held_back_several_together():
    choice = choose(DAY, work(1, 60), FIRST, deadline=FIRST + 9 * HOUR)
    assert (choice.size, len(choice.starts)) == (15, 4)


def test_a_threshold_alone_takes_the_first_hours_that_are_below_it_not_the_cleanest():
    falling = grid([400.0 - 10 * hour for hour in range(24)])
    choice = choose(falling, work(2, 2), FIRST, below=345)
    assert choice.starts == (FIRST + 6 * HOUR, FIRST + 7 * HOUR)
    assert choice.is_clean


def test_a_threshold_is_held_against_the_mean_while_a_run_takes():
    spike = grid([300.0] * 5 + [90.0] + [300.0] * 6 + [90.0] * 12)
    assert choose(spike, work(1), FIRST, below=100).starts == (FIRST + 5 * HOUR,)
    assert choose(spike, work(2), FIRST, below=100).starts == (FIRST + 12 * HOUR,)


def test_what_cannot_be_done_below_the_threshold_in_time_is_done_with_the_least_grams():
    choice = choose(DAY, work(3, 3), FIRST + 5 * HOUR, deadline=FIRST + 20 * HOUR, below=150)
    assert not choice.is_clean
    assert choice.starts == (FIRST + 5 * HOUR, FIRST + 6 * HOUR, FIRST + 7 * HOUR)


def test_a_threshold_that_is_never_met_is_refused_with_the_least_there_is():
    with pytest.raises(
        GreenPoseError,
        match=r"--start-below 90: the grid is never .* for 2.0 h, .* 100 g/kWh from 2027-01-02 00:00 UTC",
    ):
        choose(DAY, work(2), NOON, below=90)


def test_a_deadline_that_is_over_or_too_near_is_refused_with_how_long_it_takes():
    with pytest.raises(GreenPoseError, match=r"2027-01-01 12:00 UTC is over; give a time to come"):
        choose(DAY, work(2), NOON, deadline=NOON)
    with pytest.raises(GreenPoseError, match=r"is in 60 min, and what is to be done takes 2.0 h, at most 3.0 h"):
        choose(DAY, work(2, high=3), NOON, deadline=NOON + HOUR)


def test_a_deadline_within_the_interval_starts_at_once_and_says_so():
    choice = choose(DAY, work(2, 4, high=3), NOON, deadline=NOON + timedelta(hours=2.5))
    assert (choice.starts[0], choice.is_tight) == (NOON, True)
    assert not choose(DAY, work(2, 4, high=3), NOON, deadline=NOON + 3 * HOUR).is_tight


def test_what_is_saved_has_the_intervals_of_the_hours_and_of_what_the_work_takes():
    choice = choose(DAY, work(2), NOON, deadline=NOON + 24 * HOUR)
    assert choice.starts == (FIRST + 24 * HOUR,)  # beyond the file, as the file's mean for those hours is: 100
    expected = choice.expected
    assert (expected.g_per_kwh.mid, expected.at_once.mid, expected.saved.mid) == pytest.approx((100, 300, 200))
    assert (expected.guessed, expected.part.mid) == pytest.approx((1, 2 / 3))
    assert expected.at_once.low == pytest.approx(300 * (1 - HOURLY_ERROR))
    assert expected.saved.low == pytest.approx(200 - math.hypot(30, expected.g_per_kwh.high - 100))
    longer = choose(DAY, work(2, low=2, high=8), NOON, deadline=NOON + 34 * HOUR).expected
    assert longer.at_once.high == pytest.approx((6 * 300 + 2 * 400) / 8 * (1 + HOURLY_ERROR))


def test_runs_that_take_longer_push_those_behind_them():
    choice = choose(grid([100.0] * 2 + [300.0] * 22), work(2, 2, high=4), FIRST, deadline=FIRST + 4 * HOUR)
    assert choice.starts == (FIRST, FIRST + HOUR)
    assert choice.expected.g_per_kwh.high == pytest.approx((100 + 300) / 2 * (1 + HOURLY_ERROR))


def test_pauses_end_with_the_hours_also_where_the_work_comes_up_within_one():
    clean = grid([100.0 if hour in (3, 6) else 300.0 for hour in range(24)])
    choice = choose(clean, work(2, 2), FIRST + HOUR / 3, deadline=FIRST + 10 * HOUR)
    assert choice.starts == (FIRST + 3 * HOUR, FIRST + 6 * HOUR)


def test_hours_that_both_have_in_common_neither_save_nor_err():
    now = FIRST + 5.5 * HOUR
    choice = choose(grid([200.0] * 6 + [100.0] * 18), work(10), now, deadline=now + 11 * HOUR)
    assert choice.starts == (FIRST + 6 * HOUR,)
    assert choice.expected.saved == pytest.approx((5 - math.hypot(1, 0.5), 5, 5 + math.hypot(1, 0.5)))
    at_once = choose(DAY, work(1), FIRST, deadline=FIRST + 3 * HOUR)
    assert (at_once.starts, at_once.expected.saved) == ((FIRST,), (0, 0, 0))


def test_ends_of_a_product_are_the_widest():
    assert Range(-1, 2, 3).times(Range(10, 20, 40)) == (-40, 40, 120)
    assert Range(1, 2, 3).times(Range(10, 20, 40)) == (10, 40, 120)


def test_the_made_up_year_is_a_file_that_can_be_read_and_says_so(tmp_path):
    (tmp_path / "year.csv").write_text(as_csv(made_up_year()))
    hours = read_hours(tmp_path / "year.csv")
    assert (hours.values, hours.first, hours.doubt) == (YEAR.values, datetime(2027, 1, 1, tzinfo=UTC), None)
    assert (tmp_path / "year.csv").read_text().count("made up") == len(hours.values) == 8760


def test_days_that_repeat_beyond_the_file_are_counted_with_but_not_for_ever():
    half = grid([400.0 if hour % 24 < 22 else 100.0 for hour in range(48)])
    choice = choose(half, work(8, 8), FIRST, below=150)
    assert [(start - FIRST) / HOUR for start in choice.starts] == [22, 23, 46, 47, 70, 71, 94, 95]
    assert choice.expected.guessed == pytest.approx(0.5)
    with pytest.raises(
        GreenPoseError, match=r"the grid is too seldom below that for 60 min, as a run takes; 100 g/kWh"
    ):
        choose(half, work(70, 70), FIRST, below=150)
    far = choose(half, work(2), FIRST, deadline=FIRST + timedelta(days=50_000))
    assert far.starts == (FIRST + 22 * HOUR,)


def test_a_year_of_starts_saves_what_the_documentation_says_and_misses_no_deadline():
    outcomes = list(a_year_of_starts(YEAR, 3, 1, 24, 0.25))
    once, chosen = (sum(column) for column in list(zip(*outcomes, strict=True))[:2])
    rows = (ROOT / "docs/method.md").read_text().splitlines()
    (row,) = [row.split("|") for row in rows if row.startswith("| 3 h |")]
    assert row[3].strip() == f"{1 - chosen / once:.0%}".replace("%", " %")
    assert max(outcome.late for outcome in outcomes) < 1e-3
    sure = list(a_year_of_starts(YEAR, 3, 1, 24, 0.0))
    assert [outcome.chosen for outcome in sure] == pytest.approx([outcome.best_hour for outcome in sure], abs=ROUNDING)
