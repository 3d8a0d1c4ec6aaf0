import json
import math
from contextlib import contextmanager
from dataclasses import replace

import pytest

from greenpose.check.paired.against import Options, compare_sides
from greenpose.check.paired.interleaved import Interleaved
from greenpose.check.paired.selftest import SelfTest, larger_input, measure, recall, remember, upper_bound
from greenpose.metering import this_machine
from tests.check.paired.test_against import file, sides  # noqa: F401 - a fixture
from tests.fakes.meters import TickingClock
from tests.fakes.sides import ScriptedSide, noisy

COSTS = {"exit2": 0.05, "exit3": 0.06}
ABOUT = {"subject": "e, 64x64", "pixels": 1.25}


def turns(change, spread, seed):
    base = ScriptedSide("base", noisy(1.0, spread, seed=2 * seed, **COSTS))
    head = ScriptedSide("head", noisy(change, spread, seed=2 * seed + 1, **COSTS))
    made = Interleaved(base, head, exits=(2, 3))
    made.prepare()
    return made


def result_of(*, spread=0.01, luck=1.0, heavier=1.2, seconds=100.0, took=30.0):
    """A self-test on a machine whose times scatter; `luck` is what equal processes differ by."""
    clock = TickingClock()
    seeds = iter(range(100, 200))

    @contextmanager
    def meet():
        yield turns(luck, spread, next(seeds)), turns(heavier, spread, next(seeds))
        clock.advance(took)

    return measure(meet, seconds=seconds, about=ABOUT, progress=lambda _: None, clock=clock)


def test_a_quiet_machine_raises_no_alarm_and_finds_changes_just_above_the_limit():
    result = result_of()
    assert result.alarms == 0
    assert result.comparisons == 3 * 2 * 4  # three meetings, two exits, forty pairs in tens
    assert result.smallest_change == pytest.approx(0.05, abs=0.01)
    assert result.heavier == pytest.approx([0.2] * 6, rel=0.1)
    assert result.heavier_found == 6
    assert result.fine


def test_an_unstable_machine_finds_only_larger_changes():
    quiet, unstable = result_of(), result_of(spread=0.05)
    assert unstable.smallest_change > quiet.smallest_change


def test_a_machine_that_finds_nothing_says_so():
    result = result_of(spread=0.8)
    assert result.smallest_change is None
    assert not result.fine
    assert "no change up to +30 %" in str(result)


def test_processes_that_differ_by_luck_are_counted_as_alarms():
    result = result_of(luck=1.1)
    assert result.alarms == result.comparisons
    assert result.bound == 1
    assert not result.fine


def test_it_stops_before_a_meeting_that_no_longer_fits_but_meets_twice_in_any_case():
    assert result_of(seconds=100, took=30).meetings == 3
    assert result_of(seconds=1, took=30).meetings == 2


@pytest.mark.parametrize("trials", [1, 10, 59, 400])
def test_the_bound_of_no_event_is_the_rate_that_would_show_none_one_time_in_twenty(trials):
    assert upper_bound(0, trials) == pytest.approx(1 - 0.05 ** (1 / trials))


# Source of the two figures: one-sided 95 % Clopper-Pearson limits, the Beta(k + 1, n - k) quantile at 0.95.
@pytest.mark.parametrize(("events", "trials", "bound"), [(1, 10, 0.3942), (3, 100, 0.0757)])
def test_the_bound_is_clopper_and_pearson_s(events, trials, bound):
    assert upper_bound(events, trials) == pytest.approx(bound, abs=5e-5)
    tail = sum(math.comb(trials, k) * bound**k * (1 - bound) ** (trials - k) for k in range(events + 1))
    assert tail == pytest.approx(0.05, abs=1e-3)


def test_without_trials_nothing_is_excluded():
    assert upper_bound(0, 0) == 1
    assert upper_bound(5, 5) == 1


@pytest.mark.parametrize(
    ("size", "larger", "pixels"),
    [((256, 64), (288, 64), 1.125), ((192, 256), (192, 288), 1.125), ((64, 64), (96, 64), 1.5)],
)
def test_the_larger_input_is_one_tile_longer_on_the_side_where_that_adds_least(size, larger, pixels):
    assert larger_input(size) == (larger, pixels)


def test_a_result_is_kept_for_this_machine_and_quoted_in_later_verdicts(tmp_path, monkeypatch, file):  # noqa: F811
    monkeypatch.setenv("GREENPOSE_CACHE", str(tmp_path / "cache"))
    assert recall() is None
    result = result_of()
    assert result.machine == this_machine().fingerprint
    kept = remember(result)
    assert kept.is_relative_to(tmp_path / "cache")
    assert recall() == result
    assert str(result) in compare_sides(file, sides(tmp_path), Options()).notes
    remember(replace(result, machine="another"))
    assert recall() == result


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"heavier": [], "of": "another version"})])
def test_a_result_that_cannot_be_read_is_as_good_as_none(tmp_path, monkeypatch, text):
    monkeypatch.setenv("GREENPOSE_CACHE", str(tmp_path))
    remember(result_of()).write_text(text)
    assert recall() is None


def test_the_line_for_verdicts_says_counts_bound_and_smallest_change():
    result = SelfTest(
        comparisons=60, alarms=0, meetings=5, smallest_change=0.055, cpu_s=1.0, machine="m", date="2026-11-25",
        seconds=60.0, **ABOUT,
    )  # fmt: skip
    for part in ("0 false alarms in 60 comparisons", "below 4.9 %", "found in 95 % of checks: +5.5"):
        assert part in str(result)
