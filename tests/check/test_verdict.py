""""""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenpose.check import CheckVerdict, RatioSpan, joined
from greenpose.check.verdict import SHARE, TIMES, amount, both, change, sorted_findings
from tests.check.candidates import finding


def test_what_fails_comes_before_what_only_warns_and_both_before_the_rest():
    warned, ok, failed = finding("exit1", level="warn"), finding("exit2", outcome="ok"), finding("exit3")
    improved, unsure = finding("exit4", outcome="improved"), finding("final", outcome="inconclusive")
    assert sorted_findings([warned, ok, improved, unsure, failed]) == (failed, warned, unsure, improved, ok)


@pytest.mark.parametrize(
    ("outcomes", "gravest"),
    [
        (["ok", "improved"], "improved"),
        (["improved", "inconclusive"], "inconclusive"),
        (["inconclusive", "incomparable"], "incomparable"),
        (["incomparable", "regressed", "ok"], "regressed"),
    ],
)
def test_a_verdict_is_as_grave_as_its_gravest_finding(outcomes, gravest):
    findings = tuple(finding(f"exit{number}", outcome=outcome) for number, outcome in enumerate(outcomes, start=1))
    assert CheckVerdict(subject="a", against="b", findings=findings).outcome == gravest


def test_several_verdicts_become_one_with_everything_that_each_says():
    first = CheckVerdict(
        subject="run", against="b.json", findings=(finding(outcome="ok"),), notes=("one",), samples={"a": 1}
    )
    second = CheckVerdict(
        subject="run", against="budgets.yaml", findings=(finding(),), notes=("two",), samples={"b": 2}
    )
    both = joined([first, second])
    assert (both.subject, both.against) == ("run", "b.json and budgets.yaml")
    assert both.findings == first.findings + second.findings
    assert (both.notes, both.samples) == (("one", "two"), {"a": 1, "b": 2})
    assert joined([first]) == first


POSITIVE = st.floats(1e-9, 1e12)
UNITS = st.sampled_from(["MACs", "B", "J", "kWh", "s", "gCO2eq", "fraction", "parameters", "calls", SHARE, TIMES])


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (4_685_955_072, "MACs", "4.69 GMACs"),
        (28_535_948, "parameters", "28.5 M parameters"),
        (86, "calls", "86 calls"),
        (30_443_008, "B", "30.4 MB"),
        (30_443_008, "bytes", "30.4 MB"),
        (0.0154, "s", "15.4 ms"),
        (0.2, "kWh", "200 Wh"),
        (0.9123, "fraction", "91.2 %"),
        (0.45, SHARE, "0.450 of final"),
        (0, "MACs", "0 MACs"),
        (None, "MACs", "–"),
    ],
)
def test_a_number_has_its_unit(value, unit, text):
    assert amount(value, unit).replace("\u00a0", " ") == text


@given(POSITIVE, UNITS)
def test_what_is_not_zero_never_prints_as_zero_unless_it_is_less_than_one_whole_thing(value, unit):
    if unit not in ("parameters", "calls") or value >= 1:
        assert re.search("[1-9]", amount(value, unit).split("\u00a0")[0])


@given(st.integers(0, 10**11), st.integers(1, 10**6), st.sampled_from(["MACs", "B", "parameters", "calls"]))
def test_two_counts_that_differ_are_never_printed_alike(base, more, unit):
    before, after = both(base, base + more, unit)
    assert before != after
    assert both(base, base, unit)[0] == both(base, base, unit)[1]


@pytest.mark.parametrize(
    ("base", "head", "unit", "text"),
    [
        (2e9, 2.2e9, "MACs", "+10.0 %"),
        (2e9, 1.8e9, "MACs", "−10.0 %"),
        (10**10, 10**10 + 1, "MACs", "+0.000000010 %"),
        (86, 88, "calls", "+2 calls"),
        (0, 5, "B", "+5.00 B"),
        (0.91, 0.88, "fraction", "−3.0 points"),
        (2, 2, "MACs", ""),
        (2, None, "MACs", ""),
    ],
)
def test_a_change_is_relative_where_that_says_more(base, head, unit, text):
    assert change(base, head, unit=unit).replace("\u00a0", " ") == text


def test_a_ratio_shows_its_interval_and_an_unbounded_end_as_such():
    assert change(1, 2, ratio=RatioSpan(0.991, 1.012, 1.033)).replace("\u00a0", " ") == "+1.2 ±2.1 %"
    assert change(1, 2, ratio=RatioSpan(0.93, 0.95, 1.01)).replace("\u00a0", " ") == "−5 [−7 to 1] %"
    assert change(1, 2, ratio=RatioSpan(0.9, 1.02, float("inf"))).replace("\u00a0", " ") == "+2.0 % (unbounded)"
