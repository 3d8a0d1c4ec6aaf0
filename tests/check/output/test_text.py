from pathlib import Path

import pytest

from greenpose.check import CheckVerdict
from greenpose.check.output.text import summary, to_text
from tests.check.candidates import finding, mixed

GOLDEN = Path(__file__).parents[2] / "golden" / "verdict.txt"


def test_the_table_is_the_golden_one_at_eighty_columns(request):
    text = to_text(mixed(), "quick", width=80)
    if request.config.getoption("--update-golden"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("verbose", [True, False])
def test_no_line_is_wider_than_the_terminal(width, verbose):
    assert max(map(len, to_text(mixed(), "quick", width=width, verbose=verbose).splitlines())) <= width


def test_what_is_unchanged_is_only_counted_unless_asked_for():
    verdict = CheckVerdict(
        subject="a.yaml", against="b.json", findings=tuple(finding(f"exit{k}", outcome="ok") for k in (1, 2))
    )
    assert "exit1.macs" not in to_text(verdict, "a")
    assert "2\u00a0quantities unchanged" in to_text(verdict, "a")
    assert "exit1.macs" in to_text(verdict, "a", verbose=True)


def test_what_is_said_of_many_is_said_once():
    many = tuple(
        finding(f"exit{k}", outcome="incomparable", says="not compared: another network") for k in (1, 2, 3, 4)
    )
    text = to_text(CheckVerdict(subject="a.yaml", against="b.json", findings=many), "a")
    assert text.count("another network") == 1
    assert "exit1.macs, exit2.macs and 2 more: not compared" in text


def test_a_long_list_is_cut_and_says_so():
    many = tuple(finding("exit3", f"metric{k}", says=f"{k}", unit="calls") for k in range(50))
    verdict = CheckVerdict(subject="a.yaml", against="b.json", findings=many)
    assert "and 30 more (--verbose)" in to_text(verdict, "a")
    assert "metric49" in to_text(verdict, "a", verbose=True)


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        ("ok", "ok: of 1 checked, nothing worse"),
        ("improved", "improved: of 1 checked, 1 better; accept it with --update"),
        ("regressed", "regressed: of 1 checked, 1 worse; mend it, or accept it with --update"),
        ("inconclusive", "inconclusive: of 1 checked, 1 open"),
        ("incomparable", "incomparable: of 1 checked, 1 not comparable; if that is meant, accept it"),
    ],
)
def test_one_sentence_says_the_outcome_and_what_to_do(outcome, sentence):
    verdict = CheckVerdict(subject="a", against="b", findings=(finding(outcome=outcome),))
    assert verdict.outcome == outcome
    assert summary(verdict).startswith(sentence)


@pytest.mark.parametrize(
    ("findings", "outcome", "sentence"),
    [
        ((), "incomparable", "incomparable: nothing was compared"),
        ((finding(level="warn"), finding(outcome="ok")), "ok", "ok: of 2 checked, 1 only warned of"),
    ],
)
def test_nothing_compared_is_not_ok_and_a_regression_that_only_warns_is_none_of_the_whole(findings, outcome, sentence):
    verdict = CheckVerdict(subject="a", against="b", findings=findings)
    assert (verdict.outcome, summary(verdict)) == (outcome, sentence)
    assert ("warning" in to_text(verdict, "a")) == bool(findings)
