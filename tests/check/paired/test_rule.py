""""""

import itertools
import json
import math
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenpose.check.paired.against import finding_of
from greenpose.check.paired.interleaved import Interleaved
from greenpose.check.paired.rule import (
    FAULTS_PER_CALL,
    FAULTS_PER_S,
    PairedQuantity,
    Rule,
    aa_control,
    critical_rank,
    differs,
    ratio_of,
    run_trial,
    run_trials,
    sequential_test,
)
from greenpose.check.verdict import RatioSpan
from greenpose.errors import GreenPoseError
from tests.fakes.sides import ScriptedSide, noisy

RULE = Rule()
TURNS = Path(__file__).parents[2] / "golden" / "paired_turns.json"

# Wilcoxon's signed-rank sum: the largest value that is significant, two-sided at 5 % and 1 %.
# Source: McCornack (1965), Extended tables of the Wilcoxon matched pair signed rank statistic, JASA 60, 864-871.
TABLE = {
    8: (3, 0),
    9: (5, 1),
    10: (8, 3),
    12: (13, 7),
    15: (25, 15),
    20: (52, 37),
    25: (89, 68),
    30: (137, 109),
    40: (264, 220),
    50: (434, 373),
}


def signed_rank_sums(pairs):
    """Every value of the signed-rank sum, one for each of the equally likely signs."""
    return [
        sum(rank for rank, plus in enumerate(signs, 1) if plus) for signs in itertools.product((0, 1), repeat=pairs)
    ]


def wandering(random, *, pairs, change=0.0, spread=0.02, likeness=0.98, wander=0.2):
    """Logarithms of head over base on a machine whose speed wanders: much between pairs, little inside one."""
    level = np.zeros(2 * pairs)
    for turn in range(1, 2 * pairs):
        level[turn] = likeness * level[turn - 1] + wander * math.sqrt(1 - likeness**2) * random.standard_normal()
    turns = level + spread * random.standard_t(4, 2 * pairs)
    first, second = turns[::2], turns[1::2]
    turned = np.arange(pairs) % 2 == 1
    return list(np.where(turned, first - second, second - first) + change)


@pytest.mark.parametrize("pairs", range(1, 11))
@pytest.mark.parametrize("error", [0.25, 0.05, 0.01, 0.0033, 0.0005])
def test_the_critical_rank_is_that_of_all_signs_written_out(pairs, error):
    sums = signed_rank_sums(pairs)
    significant = [t for t in range(pairs * (pairs + 1) // 2 + 1) if sum(s <= t for s in sums) / len(sums) <= error]
    assert critical_rank(pairs, error) == len(significant)


@pytest.mark.parametrize("pairs", TABLE)
def test_the_critical_rank_is_that_of_the_published_tables(pairs):
    at_5, at_1 = TABLE[pairs]
    assert critical_rank(pairs, 0.025) == at_5 + 1
    assert critical_rank(pairs, 0.005) == at_1 + 1


def test_a_bound_is_where_the_signed_rank_test_stops_rejecting():
    sample = np.random.default_rng(3).standard_normal(9)
    error = 0.02
    sums = np.asarray(signed_rank_sums(9))

    def rejected_as_too_low(shift):
        moved = sample - shift
        ranks = np.argsort(np.argsort(np.abs(moved))) + 1
        return np.mean(sums >= ranks[moved > 0].sum()) <= error

    low = math.log(ratio_of(list(sample), error).low)
    assert rejected_as_too_low(low - 1e-9)
    assert not rejected_as_too_low(low + 1e-9)


@settings(deadline=None)
@given(st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=25))
def test_the_estimate_is_the_median_of_all_means_of_two_and_lies_in_its_interval(differences):
    walsh = [(a + b) / 2 for a, b in itertools.combinations_with_replacement(differences, 2)]
    ratio = ratio_of(differences, 0.01)
    assert math.log(ratio.value) == pytest.approx(float(np.median(walsh)), abs=1e-12)
    assert ratio.low <= ratio.value <= ratio.high


@settings(deadline=None)
@given(st.lists(st.floats(-0.5, 0.5), min_size=10, max_size=20))
def test_changing_sides_inverts_the_ratio_and_its_ends(differences):
    there, back = ratio_of(differences, 0.01), ratio_of([-one for one in differences], 0.01)
    assert (1 / back.high, 1 / back.value, 1 / back.low) == pytest.approx(tuple(there))


def test_bounds_hold_the_truth_as_often_as_they_promise():
    random = np.random.default_rng(0)
    spans = [ratio_of(list(0.05 * random.standard_t(3, 15)), 0.05) for _ in range(2000)]
    for missed in (sum(span.low > 1 for span in spans), sum(span.high < 1 for span in spans)):
        assert 0.03 < missed / 2000 < 0.065  # an exact test of whole ranks stays below its level, not far below


def test_too_few_pairs_for_the_level_leave_the_bounds_open():
    assert ratio_of([0.2] * 6, 0.01).low == 0
    assert ratio_of([0.2] * 7, 0.01).low == pytest.approx(math.exp(0.2))
    assert sequential_test([0.2] * 10, RULE, quantities=50).decision is None


@pytest.mark.parametrize(
    ("change", "decision"), [(0.2, "regressed"), (0.04, "regressed"), (0.02, "ok"), (0.0, "ok"), (-0.1, "improved")]
)
def test_without_noise_ten_pairs_decide_by_the_limits(change, decision):
    result = sequential_test([math.log1p(change)] * 60, RULE)
    assert (result.decision, result.pairs) == (decision, 10)
    assert result.ratio.value == pytest.approx(1 + change)


@pytest.mark.parametrize(
    ("change", "suspected", "decision"),
    [
        (0.045, None, "regressed"),
        (0.045, "regressed", "regressed"),
        (0.02, "regressed", "ok"),
        (-0.02, "improved", "ok"),
        (-0.045, "improved", "improved"),
        (0.3, "improved", "regressed"),
    ],
)
def test_a_suspected_change_is_confirmed_or_refuted_by_the_failing_limit_alone(change, suspected, decision):
    assert sequential_test([math.log1p(change)] * 10, RULE, suspected=suspected).decision == decision


def test_what_is_surely_below_the_passing_but_not_below_the_failing_limit_refutes_no_regression():
    between = RatioSpan(1.02, 1.035, 1.05)
    assert RULE.decide(between) == "ok"
    assert RULE.decide(between, "regressed") is None


def test_what_could_be_either_side_of_the_limits_stays_open_until_the_cap():
    noisy = list(math.log1p(0.045) + 0.2 * np.random.default_rng(0).standard_normal(60))
    result = sequential_test(noisy, RULE)
    assert (result.decision, result.pairs) == (None, 60)
    assert result.more is not None
    assert result.more % RULE.batch == 0


def test_more_pairs_never_change_a_decision():
    random = np.random.default_rng(5)
    for _ in range(50):
        differences = wandering(random, pairs=60, change=0.05)
        whole = sequential_test(differences, RULE)
        if whole.decision:
            assert sequential_test(differences[: whole.pairs], RULE) == whole
            assert sequential_test(differences[: whole.pairs - 1], RULE).decision is None


def test_equal_sides_on_a_wandering_machine_are_told_apart_in_fewer_than_one_of_300_comparisons():
    random = np.random.default_rng(1)
    decisions = [sequential_test(wandering(random, pairs=60), RULE, quantities=3).decision for _ in range(1000)]
    assert decisions.count("regressed") + decisions.count("improved") <= 3  # and fresh processes have to agree
    assert decisions.count("ok") > 950


def test_a_tenth_more_is_found_and_never_called_better():
    random = np.random.default_rng(2)
    differences = [wandering(random, pairs=60, change=math.log1p(0.1)) for _ in range(300)]
    decisions = [sequential_test(one, RULE, quantities=3).decision for one in differences]
    assert decisions.count("regressed") >= 0.95 * 300
    assert decisions.count("improved") == 0


def recorded(kind):
    """Each series of a busy machine's real turns, cut into comparisons one after another."""
    for processes in json.loads(TURNS.read_text())[kind]:
        for differences in processes:
            place = 0
            while place + RULE.batch <= len(differences):
                result = sequential_test(differences[place:], RULE, quantities=len(processes))
                yield result.decision
                place += result.pairs


def test_equal_sides_in_turns_recorded_on_a_busy_machine_raise_no_alarm():
    decisions = list(recorded("equal"))
    assert len(decisions) > 40
    assert set(decisions) <= {"ok", None}
    assert decisions.count(None) <= 9  # the last comparison of a series may run out of turns


def test_a_tenth_more_cpu_time_in_recorded_turns_is_found_every_time():
    decisions = list(recorded("an eighth more pixels"))
    assert len(decisions) > 30
    assert set(decisions) <= {"regressed", None}
    assert decisions.count(None) <= 9


def test_the_pairs_that_it_says_are_missing_mostly_suffice():
    random = np.random.default_rng(4)
    long = Rule(max_pairs=100_000)
    needed, promised = [], []
    for _ in range(60):
        noise = list(math.log1p(0.1) + 0.2 * random.standard_normal(3000))
        result = sequential_test(noise, RULE)
        if result.decision is None:
            assert result.more is not None
            promised.append(result.pairs + result.more)
            needed.append(sequential_test(noise, long).pairs)
    assert len(needed) > 20
    assert 0.5 < np.median(np.asarray(needed) / np.asarray(promised)) < 1.5


def test_a_side_beside_itself_shows_no_steady_drift_but_shows_a_jump_between_turns():
    drifting = [math.exp(0.05 * turn) for turn in range(40)]
    assert not differs(aa_control(drifting), RULE)
    jumping = [1.0, 1.2, 1.2, 1.0] * 10
    assert differs(aa_control(jumping), RULE)
    assert differs(aa_control([1 / cost for cost in jumping]), RULE)


def test_a_side_with_an_odd_number_of_turns_leaves_the_last_one_out():
    assert aa_control([1.0, math.e, 1.0, math.e, 7.0]) == pytest.approx([1.0, -1.0])


@pytest.mark.parametrize(
    "numbers", [{"fail_above": 0.06}, {"fail_above": 0.0}, {"error": 0.5}, {"max_pairs": 5}, {"batch": 0}]
)
def test_a_rule_that_decides_nothing_is_refused(numbers):
    with pytest.raises(GreenPoseError, match="needs"):
        Rule(**numbers)


COSTS = {"exit2": 0.05, "exit3": 0.06}
EXIT2, EXIT3 = PairedQuantity(2, "cpu_s"), PairedQuantity(3, "cpu_s")


def meeting(change, *, spread=0.01, base_faults=0, jump=1.0):
    """Turns of a base and a head that costs `change` times as much; exit 3 costs both `jump` times more at times."""

    def at_times(law):
        return lambda exit_, asked: (jump if exit_ == 3 and asked % 4 in (2, 3) else 1.0) * law(exit_, asked)

    base = ScriptedSide("base", at_times(noisy(1.0, spread, seed=1, **COSTS)), faults=base_faults)
    head = ScriptedSide("head", at_times(noisy(change, spread, seed=2, **COSTS)))
    turns = Interleaved(base, head, exits=(2, 3))
    turns.prepare()
    assert (turns.rounds, turns.calls) == (1, {2: 1, 3: 1})  # so that a pair is one call of each exit
    return turns


def trials_of(*changes, **details):
    """The trials in which the pairs of processes differ by these changes, one after another."""
    later = iter(changes[1:])

    @contextmanager
    def again():
        yield meeting(next(later), **details)

    return run_trials(meeting(changes[0], **details), again, ["cpu_s"], rule=RULE)


def outcome(quantity, trials):
    return finding_of(quantity, trials, rule=RULE, batch=8, restarts=2)


def test_equal_sides_take_one_pair_of_processes_and_ten_pairs_of_turns():
    trials = trials_of(1.0)
    assert len(trials) == 1
    finding = outcome(EXIT3, trials)
    assert (finding.outcome, finding.pairs, finding.name) == ("ok", 10, "exit3.cpu_s_per_image")
    assert finding.base == pytest.approx(0.06 / 8, rel=0.02)
    assert finding.ratio.low < 1 < finding.ratio.high


@pytest.mark.parametrize(
    ("changes", "details", "seen"),
    [
        ((1.2, 1.15, 1.25), {}, "regressed"),
        ((0.8, 0.82, 0.8), {}, "improved"),
        ((1.2, 1.0), {}, "ok"),
        ((0.8, 1.0), {}, "ok"),
        ((1.2, 0.8), {}, "inconclusive"),
        ((0.8, 1.045), {"spread": 0.001}, "inconclusive"),  # surely no improvement, and surely above +3 %
    ],
)
def test_a_change_is_one_that_every_restart_shows_again(changes, details, seen):
    trials = trials_of(*changes, **details)
    finding = outcome(EXIT2, trials)
    assert (len(trials), finding.outcome) == (len(changes), seen)
    if len(trials) == 3:
        assert finding.ratio.value == pytest.approx(min(changes, key=lambda change: abs(math.log(change))), rel=0.01)
        assert "in each of 3 pairs of processes" in finding.says
    else:
        assert "in one pair of processes, but not in a fresh one" in finding.says


def test_one_exit_is_confirmed_without_the_others_being_asked_again():
    def costlier_exit3(exit_, asked):
        return noisy(1.2 if exit_ == 3 else 1.0, 0.01, seed=2, **COSTS)(exit_, asked)

    def fresh():
        base = ScriptedSide("base", noisy(1.0, 0.01, seed=1, **COSTS))
        turns = Interleaved(base, ScriptedSide("head", costlier_exit3), exits=(2, 3))
        turns.prepare()
        return turns

    @contextmanager
    def again():
        yield fresh()

    trials = run_trials(fresh(), again, ["cpu_s"], rule=RULE)
    assert [outcome(one, trials).outcome for one in (EXIT2, EXIT3)] == ["ok", "regressed"]


def test_an_exit_in_which_the_sides_differ_from_themselves_cannot_be_judged():
    trials = trials_of(1.0, jump=1.2)
    assert len(trials) == 1
    assert outcome(EXIT2, trials).outcome == "ok"
    finding = outcome(EXIT3, trials)
    assert finding.outcome == "inconclusive"
    assert "differs from itself" in finding.says
    assert "page faults a call" in finding.says


def test_a_base_whose_allocator_is_not_pinned_cannot_be_lost_against():
    many = FAULTS_PER_S + 1  # no call here takes a second
    trials = trials_of(1.5, base_faults=many)
    assert len(trials) == 1
    assert outcome(EXIT2, trials).outcome == "inconclusive"
    assert outcome(EXIT2, trials_of(1.0, base_faults=many)).outcome == "ok"


def test_pages_that_take_no_time_to_speak_of_are_no_fault_of_the_allocator_s():
    assert FAULTS_PER_S * COSTS["exit2"] > FAULTS_PER_CALL + 10
    trials = trials_of(1.5, 1.5, 1.5, base_faults=FAULTS_PER_CALL + 10)
    assert outcome(EXIT2, trials).outcome == "regressed"


def test_what_stays_open_says_how_many_pairs_would_tell():
    trials = trials_of(1.045, spread=0.3)
    finding = outcome(EXIT2, trials)
    assert (finding.outcome, finding.pairs) == ("inconclusive", 60)
    assert "--max-pairs" in finding.says


def test_a_trial_stops_at_the_cap_even_if_that_is_no_whole_batch():
    turns = meeting(1.045, spread=0.3)
    run_trial(turns, [EXIT2], rule=replace(RULE, max_pairs=25))
    assert len(turns.pairs) == 25


def test_more_quantities_share_the_error():
    alone = run_trial(meeting(1.0), [EXIT2], rule=RULE).results[EXIT2].ratio
    shared = run_trial(meeting(1.0), [EXIT2, EXIT3], rule=RULE).results[EXIT2].ratio
    assert shared.low < alone.low
    assert alone.high < shared.high


def test_whoever_listens_hears_of_every_look_and_of_restarts():
    progress = []

    @contextmanager
    def again():
        yield meeting(1.2)

    run_trials(meeting(1.2), again, ["cpu_s"], rule=RULE, progress=progress.append)
    assert progress[0] == "10 pairs, 0 of 2 open"
    assert "fresh processes have to show it again (1 of 2)" in progress[1]
