import json
from pathlib import Path

import jsonschema
import pytest

from greenpose.check import Verdict
from greenpose.check.output import to_sarif
from tests.check.candidates import finding, mixed

SCHEMA = json.loads((Path(__file__).parents[2] / "golden" / "sarif-2.1.0.schema.json").read_text())


def log(verdict):
    return json.loads(to_sarif(verdict, "quick", version="0.1.0"))


@pytest.mark.parametrize("findings", [mixed().findings, (), (finding(file=None, line=None),)])
def test_the_log_is_valid_against_the_public_schema(findings):
    jsonschema.Draft4Validator(SCHEMA).validate(log(Verdict(subject="a b.yaml", against="b", findings=findings)))


def test_the_schema_refuses_what_it_should():
    broken = log(mixed())
    broken["runs"][0]["results"][0]["level"] = "fatal"
    assert not jsonschema.Draft4Validator(SCHEMA).is_valid(broken)


def test_each_regression_is_a_result_at_its_line_and_nothing_else_is():
    (run,) = log(mixed())["runs"]
    found = [
        (
            one["ruleId"],
            one["level"],
            one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
            one["locations"][0]["physicalLocation"]["region"]["startLine"],
        )
        for one in run["results"]
    ]
    assert found == [
        ("footprint/macs", "error", "greenpose-baseline.json", 12),
        ("footprint/operations", "error", "greenpose-baseline.json", 14),
        ("footprint/energy_j_per_image", "warning", "budgets.yaml", 3),
    ]


def test_every_result_points_at_its_rule():
    (run,) = log(mixed())["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rules[one["ruleIndex"]]["id"] for one in run["results"]] == [one["ruleId"] for one in run["results"]]


def test_the_same_finding_of_two_checks_can_be_told_apart_and_found_again():
    first, again = log(mixed()), log(mixed())
    other = json.loads(to_sarif(mixed(), "slow", version="0.1.0"))
    prints = [[one["partialFingerprints"] for one in each["runs"][0]["results"]] for each in (first, again, other)]
    assert prints[0] == prints[1]
    assert not any(one in prints[2] for one in prints[0])
