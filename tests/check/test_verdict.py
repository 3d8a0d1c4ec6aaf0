import pytest

from greenpose.check import Verdict, joined
from greenpose.check.verdict import sorted_findings
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
    assert Verdict(subject="a", against="b", findings=findings).outcome == gravest


def test_several_verdicts_become_one_with_everything_that_each_says():
    first = Verdict(
        subject="run", against="b.json", findings=(finding(outcome="ok"),), notes=("one",), samples={"a": 1}
    )
    second = Verdict(subject="run", against="budgets.yaml", findings=(finding(),), notes=("two",), samples={"b": 2})
    both = joined([first, second])
    assert (both.subject, both.against) == ("run", "b.json and budgets.yaml")
    assert both.findings == first.findings + second.findings
    assert (both.notes, both.samples) == (("one", "two"), {"a": 1, "b": 2})
    assert joined([first]) == first
