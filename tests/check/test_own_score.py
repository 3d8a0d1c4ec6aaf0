"""Loops that are not ours before the gate: held against a floor in their own unit and direction."""

import pytest

from greenpose.check.baseline import Filed, Margins, Selection
from greenpose.check.exact_gate import accept, compare
from greenpose.check.footprint import of_record
from greenpose.check.verdict import of_accuracy
from greenpose.intervals import Bounds
from greenpose.record.metric import KNOWN, OwnMetric
from tests.report.records import record
from tests.report.test_own_metric import ERROR, PERPLEXITY, TOP1, own

ALL = Selection()


def filed(run) -> Filed:
    baseline = accept(None, [of_record(run)], only=ALL, reason="first", at="2026", commit=None, version="1")
    return Filed(name="baseline.json", baseline=baseline, lines={})


def outcomes(run, base) -> dict[str, str]:
    verdict = compare([of_record(run)], base, only=ALL)
    return {finding.where: finding.outcome for finding in verdict.findings if finding.metric == "score"}


def test_what_did_not_change_passes_and_the_score_stands_in_the_file():
    run = own(ERROR, {3: 41.1, 4: 40.9}, half=0.5)
    base = filed(run)
    assert {key: value for key, value in base.baseline.values.items() if key.endswith(".score")} == {
        "exit3.score": 41.1,
        "exit4.score": 40.9,
    }
    assert outcomes(run, base) == {"exit3": "ok", "exit4": "ok"}


@pytest.mark.parametrize(
    ("metric", "base", "head", "half", "outcome"),
    [
        (ERROR, 40.0, 43.0, 0.5, "regressed"),  # 2 % of 40 is 0.8
        (ERROR, 40.0, 41.0, 0.5, "inconclusive"),
        (ERROR, 40.0, 40.7, 0.5, "ok"),
        (ERROR, 40.0, 38.0, 0.5, "improved"),
        (PERPLEXITY, 24.0, 25.0, 0.0, "inconclusive"),
        (TOP1, 0.91, 0.80, 0.01, "regressed"),
        (TOP1, 0.91, 0.895, 0.01, "ok"),  # 2 points of a fraction
        (TOP1, 0.91, 0.95, 0.01, "improved"),
    ],
)
def test_worse_is_by_the_metrics_direction(metric, base, head, half, outcome):
    assert outcomes(own(metric, {4: head}, half=half), filed(own(metric, {4: base}))) == {"exit4": outcome}


def test_the_margin_is_the_users_to_edit():
    base = filed(own(ERROR, {4: 40.0}))
    wide = base.baseline.model_copy(update={"margins": Margins(score=5.0)})
    head = own(ERROR, {4: 43.0}, half=0.5)
    assert outcomes(head, Filed(name="b", baseline=wide, lines={})) == {"exit4": "ok"}


def test_another_metric_is_incomparable():
    base = filed(own(TOP1, {4: 0.9}))
    other = own(OwnMetric(name="f1", **KNOWN["f1"]), {4: 0.9})
    assert outcomes(other, base) == {"exit4": "incomparable"}


def test_a_baseline_of_pose_is_written_as_before():
    baseline = filed(record()).baseline
    assert "score" not in baseline.conventions
    assert "score" not in baseline.model_dump(mode="json")["margins"]


def test_words_say_the_metric_and_its_unit():
    _, said = of_accuracy(40.0, 43.0, Bounds(42.0, 44.0), margin=1.0, metric=ERROR.row)
    assert (
        said.replace("\u00a0", " ")
        == "mean joint error 43.0 mm (95 %: 42.0 to 44.0 mm), floor 41.0 mm: surely above it"
    )
