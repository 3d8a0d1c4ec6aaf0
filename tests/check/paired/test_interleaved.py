""""""

import math
import os
import re
import subprocess
import sys
from itertools import pairwise

import pytest

from greenpose.check.paired.interleaved import (
    MIN_PAIR_S,
    MIN_WINDOW_S,
    PERIODS_PER_WINDOW,
    WARM_UP_CALLS,
    Interleaved,
    RefusalError,
    Worker,
)
from greenpose.errors import GreenPoseError, MeteringError
from tests.fakes.meters import TickingSource, provenance
from tests.fakes.sides import ScriptedSide, fake_python, noisy, noted, steady

COSTS = {"exit2": 0.001, "exit3": 0.003}


def turns_of(base, head, **details):
    turns = Interleaved(base, head, exits=(2, 3), **details)
    turns.prepare()
    return turns


def test_differences_are_logarithms_of_head_over_base_pair_by_pair():
    turns = turns_of(ScriptedSide("base", steady(**COSTS)), ScriptedSide("head", steady(exit2=0.0011, exit3=0.003)))
    turns.run_pairs(4)
    assert turns.differences(2, "cpu_s") == pytest.approx([math.log(1.1)] * 4)
    assert turns.differences(3, "cpu_s") == pytest.approx([0.0] * 4)
    assert turns.differences(2, "seconds") == pytest.approx([math.log(1.1)] * 4)
    assert turns.differences(2, "joules") == []


def test_each_exit_runs_once_a_round_in_changing_order_and_every_window_follows_one_of_the_other_side():
    log = []
    turns = turns_of(*(ScriptedSide(name, steady(**COSTS), log=log) for name in ("base", "head")))
    log.clear()
    turns.run_pairs(10)
    assert all(before != after for before, after in pairwise(name for name, _, _ in log))
    timed = [(name, exit_) for name, exit_, calls in log if calls == turns.calls[exit_]]
    rounds = [timed[place : place + 4] for place in range(0, len(timed), 4)]
    assert len(rounds) == 10 * turns.rounds
    assert all(sorted(one) == [("base", 2), ("base", 3), ("head", 2), ("head", 3)] for one in rounds)
    assert all(before[0][0] != after[0][0] for before, after in pairwise(rounds))
    assert {one[0][1] for one in rounds} == {2, 3}


@pytest.mark.parametrize("cost", [1e-5, 0.0004, 0.003, 0.011, 0.5])
def test_windows_and_pairs_are_long_enough_and_alike_on_both_sides(cost):
    base = ScriptedSide("base", steady(exit2=cost / 4, exit3=cost))
    head = ScriptedSide("head", steady(exit2=cost / 8, exit3=cost))
    turns = turns_of(base, head)
    turns.run_pairs(1)
    for pair in turns.windows():
        assert pair[0].calls == pair[1].calls
        assert all(window.cpu_s / turns.rounds >= MIN_WINDOW_S * (1 - 1e-9) for window in pair)
        assert all(window.cpu_s >= MIN_PAIR_S * (1 - 1e-9) for window in pair)


def test_a_call_that_is_long_enough_for_a_pair_is_made_once():
    turns = turns_of(ScriptedSide("b", steady(exit2=0.05, exit3=0.5)), ScriptedSide("h", steady(exit2=0.05, exit3=0.5)))
    assert (turns.rounds, turns.calls) == (1, {2: 1, 3: 1})


def test_a_coarse_cpu_clock_makes_windows_longer():
    sides = [ScriptedSide(name, steady(**COSTS), tick_s=0.01) for name in ("base", "head")]
    turns = turns_of(*sides)
    turns.run_pairs(1)
    assert all(window.cpu_s / turns.rounds >= 50 * 0.01 * (1 - 1e-9) for pair in turns.windows() for window in pair)


def test_warm_up_is_not_among_the_pairs():
    def slow_at_first(exit_, asked):
        return COSTS[f"exit{exit_}"] * (10 if asked <= 2 else 1)

    log = []
    turns = turns_of(ScriptedSide("base", slow_at_first, log=log), ScriptedSide("head", steady(**COSTS)))
    assert sum(calls for _, exit_, calls in log if exit_ == 3) > WARM_UP_CALLS
    turns.run_pairs(3)
    assert len(turns.pairs) == 3
    assert turns.differences(3, "cpu_s") == pytest.approx([0.0] * 3)


def test_a_call_that_takes_long_is_warmed_up_with_few():
    log = []
    turns_of(
        ScriptedSide("base", steady(exit2=2.0, exit3=9.0), log=log), ScriptedSide("head", steady(exit2=2, exit3=9))
    )
    assert sum(calls for _, exit_, calls in log if exit_ == 3) <= 5


def test_forgotten_pairs_are_gone():
    turns = turns_of(*(ScriptedSide(name, noisy(1, 0.1, **COSTS)) for name in ("base", "head")))
    turns.run_pairs(3)
    before = turns.differences(2, "cpu_s")
    turns.reset()
    turns.run_pairs(2)
    assert len(turns.pairs) == 2
    assert turns.differences(2, "cpu_s") != before[:2]


class Spending:
    """A clock of energy that goes on by what the side that was last asked draws."""

    def __init__(self):
        self.joules = 0.0

    def side(self, name, watts):
        def law(exit_, asked):
            self.joules += watts * 0.01
            return 0.01

        return ScriptedSide(name, law)

    def __call__(self):
        return self.joules


def test_counters_are_read_around_each_window_and_tell_the_sides_apart():
    spending = Spending()
    turns = turns_of(
        spending.side("base", 10.0), spending.side("head", 12.0), counters=[TickingSource(spending, watts=1.0)]
    )
    turns.run_pairs(3)
    assert turns.differences(3, "joules") == pytest.approx([math.log(1.2)] * 3)
    assert turns.differences(3, "cpu_s") == pytest.approx([0.0] * 3)


def test_windows_last_many_updates_of_a_slow_counter():
    slow = TickingSource(lambda: 0.0, update_period_s=0.1)
    turns = turns_of(ScriptedSide("base", steady(**COSTS)), ScriptedSide("head", steady(**COSTS)), counters=[slow])
    turns.run_pairs(1)
    for pair in turns.windows():
        assert all(window.seconds / turns.rounds >= PERIODS_PER_WINDOW * 0.1 * (1 - 1e-9) for window in pair)


def test_a_counter_that_fails_leaves_the_pairs_without_joules():
    class Broken(TickingSource):
        def read(self):
            raise MeteringError("gone")

    broken = Broken(lambda: 0.0)
    assert broken.provenance == provenance()
    turns = turns_of(ScriptedSide("base", steady(**COSTS)), ScriptedSide("head", steady(**COSTS)), counters=[broken])
    turns.run_pairs(2)
    assert turns.differences(2, "joules") == []
    assert len(turns.differences(2, "cpu_s")) == 2


def test_raw_pairs_are_plain_lists_for_each_side_and_exit():
    turns = turns_of(ScriptedSide("base", steady(**COSTS)), ScriptedSide("head", steady(**COSTS)))
    turns.run_pairs(3)
    data = turns.as_dict()
    assert data["base"]["exit3"]["calls"] == [turns.rounds * turns.calls[3]] * 3
    assert data["head"]["exit2"]["joules"] == [None] * 3
    assert set(data) == {"base", "head"}


# What follows starts processes.


def start(folder, name="python", **told):
    python = fake_python(folder, name, **told)
    return Worker("head (working tree)", [str(python), "-P", "paired_worker.py", '{"exits": [2, 3]}'], dict(os.environ))


def test_a_side_says_what_it_is_and_runs_what_it_is_asked_to(tmp_path):
    with start(tmp_path, seconds=0.25) as worker:
        assert worker.hello["exits"] == [2, 3]
        assert worker.run(3, 4)["cpu_s"] == 1.0
    assert len(noted(tmp_path, "python")) == 1


def test_a_side_that_has_not_got_what_it_is_asked_for_says_so_under_its_name(tmp_path):
    with start(tmp_path, error="quick.yaml: does not hold HRNet9") as worker, pytest.raises(
        RefusalError, match=r"head \(working tree\): quick.yaml: does not hold HRNet9"
    ):  # fmt: skip
        _ = worker.hello


@pytest.mark.parametrize("when", ["dies", "dies_later"])
def test_a_side_that_ends_is_reported_with_its_last_words(tmp_path, when):
    with start(tmp_path, **{when: "no module named torch"}) as worker, pytest.raises(
        GreenPoseError, match=r"head \(working tree\): its process ended with code 1: no module named torch"
    ):  # fmt: skip
        worker.run(3, 1)


@pytest.mark.parametrize("said", ["downloading...", "[1]", "7"])
def test_a_side_that_says_something_else_is_told_with_what_it_said(said):
    with Worker("head", [sys.executable, "-c", f"print({said!r})"], dict(os.environ)) as worker, pytest.raises(
        GreenPoseError, match=re.escape(f"head: its process answered {said!r}; look at what else prints there")
    ):  # fmt: skip
        worker.run(3, 1)


def test_answers_are_told_apart_without_assertions_too(tmp_path):
    python = fake_python(tmp_path, "python", seconds=0.25)
    code = (
        "import os, sys; from greenpose.check.paired.interleaved import Worker\n"
        f"with Worker('head', [{str(python)!r}, '-P', 'side.py', '{{\"exits\": [3]}}'], dict(os.environ)) as worker:\n"
        "    print(worker.run(3, 4)['cpu_s'])"
    )
    done = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["1.0"], done.stderr


def test_no_process_outlives_its_block(tmp_path):
    with start(tmp_path) as worker:
        pid = worker.pid
        assert worker.hello
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_process_that_never_answered_is_ended_too(tmp_path):
    hanging = Worker("base", [sys.executable, "-c", "import time; time.sleep(600)"], dict(os.environ))
    with hanging as worker:
        pid = worker.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
