from contextlib import contextmanager
from dataclasses import replace

import pytest

from greenpose.check.against import finding_of
from greenpose.check.interleaved import Duel
from greenpose.check.paired import FAULTS_PER_CALL, Quantity, Rule, attempt, contest
from tests.check.fakes import ScriptedSide, noisy

COSTS = {"exit2": 0.05, "exit3": 0.06}
EXIT2, EXIT3 = Quantity(2, "cpu_s"), Quantity(3, "cpu_s")
RULE = Rule()


def meeting(change, *, spread=0.01, base_faults=0, jump=1.0):
    """A duel of a base and a head that costs `change` times as much; exit 3 costs both `jump` times more at times."""

    def at_times(law):
        return lambda exit_, asked: (jump if exit_ == 3 and asked % 4 in (2, 3) else 1.0) * law(exit_, asked)

    base = ScriptedSide("base", at_times(noisy(1.0, spread, seed=1, **COSTS)), faults=base_faults)
    head = ScriptedSide("head", at_times(noisy(change, spread, seed=2, **COSTS)))
    duel = Duel(base, head, exits=(2, 3))
    duel.prepare()
    assert (duel.rounds, duel.calls) == (1, {2: 1, 3: 1})  # so that a pair is one call of each exit
    return duel


def contest_of(*changes, **details):
    """The attempts of a contest in which the pairs of processes differ by these changes, one after another."""
    later = iter(changes[1:])

    @contextmanager
    def again():
        yield meeting(next(later), **details)

    return contest(meeting(changes[0], **details), again, ["cpu_s"], rule=RULE)


def outcome(quantity, attempts):
    return finding_of(quantity, attempts, rule=RULE, batch=8, restarts=2)


def test_equal_sides_take_one_pair_of_processes_and_ten_pairs_of_turns():
    attempts = contest_of(1.0)
    assert len(attempts) == 1
    finding = outcome(EXIT3, attempts)
    assert (finding.outcome, finding.pairs, finding.name) == ("ok", 10, "exit3.cpu_s_per_image")
    assert finding.base == pytest.approx(0.06 / 8, rel=0.02)
    assert finding.ratio.low < 1 < finding.ratio.high


def test_a_regression_is_one_that_every_restart_shows_again():
    attempts = contest_of(1.2, 1.15, 1.25)
    assert len(attempts) == 3
    finding = outcome(EXIT2, attempts)
    assert finding.outcome == "regressed"
    assert finding.ratio.value == pytest.approx(1.15, rel=0.01)
    assert "in each of 3 pairs of processes" in finding.says


def test_a_regression_that_a_restart_does_not_show_is_none():
    attempts = contest_of(1.2, 1.0)
    assert len(attempts) == 2
    finding = outcome(EXIT2, attempts)
    assert finding.outcome == "ok"
    assert "in one pair of processes, but not in a fresh one" in finding.says


def test_processes_that_contradict_each_other_leave_the_question_open():
    assert outcome(EXIT2, contest_of(1.2, 0.8)).outcome == "inconclusive"


def test_an_improvement_that_a_restart_refutes_is_not_fine_by_that_alone():
    finding = outcome(EXIT2, contest_of(0.8, 1.045, spread=0.001))
    assert finding.outcome == "inconclusive"  # +4.5 % is surely no improvement, and surely above +3 %


def test_an_improvement_needs_the_restarts_too():
    assert outcome(EXIT2, contest_of(0.8, 0.82, 0.8)).outcome == "improved"
    assert outcome(EXIT2, contest_of(0.8, 1.0)).outcome == "ok"


def test_one_exit_is_confirmed_without_the_others_being_asked_again():
    def costlier_exit3(exit_, asked):
        return noisy(1.2 if exit_ == 3 else 1.0, 0.01, seed=2, **COSTS)(exit_, asked)

    def fresh():
        base = ScriptedSide("base", noisy(1.0, 0.01, seed=1, **COSTS))
        duel = Duel(base, ScriptedSide("head", costlier_exit3), exits=(2, 3))
        duel.prepare()
        return duel

    @contextmanager
    def again():
        yield fresh()

    attempts = contest(fresh(), again, ["cpu_s"], rule=RULE)
    assert [outcome(one, attempts).outcome for one in (EXIT2, EXIT3)] == ["ok", "regressed"]


def test_an_exit_in_which_the_sides_differ_from_themselves_cannot_be_judged():
    attempts = contest_of(1.0, jump=1.2)
    assert len(attempts) == 1
    assert outcome(EXIT2, attempts).outcome == "ok"
    finding = outcome(EXIT3, attempts)
    assert finding.outcome == "inconclusive"
    assert "differs from itself" in finding.says
    assert "page faults a call" in finding.says


def test_a_base_whose_allocator_is_not_pinned_cannot_be_lost_against():
    attempts = contest_of(1.5, base_faults=FAULTS_PER_CALL + 1)
    assert len(attempts) == 1
    assert outcome(EXIT2, attempts).outcome == "inconclusive"
    assert outcome(EXIT2, contest_of(1.0, base_faults=FAULTS_PER_CALL + 1)).outcome == "ok"


def test_what_stays_open_says_how_many_pairs_would_tell():
    attempts = contest_of(1.045, spread=0.3)
    finding = outcome(EXIT2, attempts)
    assert (finding.outcome, finding.pairs) == ("inconclusive", 60)
    assert "--max-pairs" in finding.says


def test_an_attempt_stops_at_the_cap_even_if_that_is_no_whole_batch():
    duel = meeting(1.045, spread=0.3)
    attempt(duel, [EXIT2], rule=replace(RULE, max_pairs=25))
    assert len(duel.pairs) == 25


def test_more_quantities_share_the_error():
    alone = attempt(meeting(1.0), [EXIT2], rule=RULE).judgements[EXIT2].ratio
    shared = attempt(meeting(1.0), [EXIT2, EXIT3], rule=RULE).judgements[EXIT2].ratio
    assert shared.low < alone.low
    assert alone.high < shared.high


def test_whoever_listens_hears_of_every_look_and_of_restarts():
    heard = []

    @contextmanager
    def again():
        yield meeting(1.2)

    contest(meeting(1.2), again, ["cpu_s"], rule=RULE, heard=heard.append)
    assert heard[0] == "10 pairs, 0 of 2 open"
    assert "fresh processes have to show it again (1 of 2)" in heard[1]
