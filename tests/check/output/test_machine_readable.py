""""""

import json
import re
from dataclasses import fields
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from greenpose.check import CheckFinding, CheckVerdict
from greenpose.check.output.machine_readable import (
    badge_endpoint,
    to_code_quality,
    to_json,
    to_junit,
    to_openmetrics,
    to_sarif,
)
from tests.check.candidates import finding, mixed


def cases(verdict):
    root = ET.fromstring(to_junit(verdict, "quick"))  # noqa: S314 - our own text
    return root, {f"{case.get('classname')}.{case.get('name')}": case for case in root.iter("testcase")}


def state(case):
    return next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), "passed")


def test_each_quantity_is_a_case_and_only_a_regression_that_counts_fails():
    root, found = cases(mixed())
    assert {name: state(case) for name, case in found.items()} == {
        "quick.exit2.params": "passed",
        "quick.exit3.macs": "failure",
        "quick.exit3.operations": "failure",
        "quick.exit4.macs": "passed",
        "quick.exit4.peak_bytes": "skipped",
        "quick.exit3.ap": "skipped",
        "quick.final.energy_j_per_image budget": "passed",
        "quick.exit3.cpu_s_per_image": "passed",
    }
    for element in (root, root.find("testsuite")):
        assert {key: int(element.get(key)) for key in ("tests", "failures", "errors", "skipped")} == {
            "tests": len(found),
            "failures": 2,
            "errors": 0,
            "skipped": 2,
        }


def test_a_failure_says_what_is_so_and_what_to_do():
    _, found = cases(mixed())
    failure = found["quick.exit3.operations"].find("failure")
    assert failure.get("message").startswith("operators are called otherwise: <conv> & co")
    assert "--update" in failure.get("message")
    assert "86\u00a0calls" in failure.text


def test_characters_that_xml_cannot_hold_are_written_out():
    wild = CheckVerdict(
        subject="a",
        against="b",
        findings=(finding(metric="m\ufffe", says="a\x00b\x1b[31m", file="\udc80\uffff"),),
        notes=("c\x07d", "e"),
    )
    root, found = cases(wild)
    (case,) = found.values()
    assert (case.get("name"), case.get("file")) == (r"m\ufffe", r"\udc80\uffff")
    assert case.find("failure").get("message").startswith(r"a\x00b\x1b[31m")
    assert root.find("testsuite/system-out").text == "c\\x07d\ne"


SCHEMA = json.loads((Path(__file__).parents[2] / "golden" / "sarif-2.1.0.schema.json").read_text())


def log(verdict):
    return json.loads(to_sarif(verdict, "quick", version="0.1.0"))


@pytest.mark.parametrize("findings", [mixed().findings, (), (finding(file=None, line=None),)])
def test_the_log_is_valid_against_the_public_schema(findings):
    jsonschema.Draft4Validator(SCHEMA).validate(log(CheckVerdict(subject="a b.yaml", against="b", findings=findings)))


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


@pytest.mark.parametrize("outcome", ["ok", "improved", "inconclusive", "incomparable"])
def test_the_badge_is_what_shields_reads(outcome):
    document = json.loads(badge_endpoint(mixed()))
    assert document == {"schemaVersion": 1, "label": "footprint", "message": "2 regressions", "color": "red"}
    one = CheckVerdict(subject="a", against="b", findings=(finding(outcome=outcome),))
    assert json.loads(badge_endpoint(one))["message"] == outcome


def test_the_document_holds_every_field_of_every_finding():
    verdict = mixed()
    document = json.loads(to_json(verdict, "quick"))
    assert document["schema"] == "greenpose.verdict/1"
    assert (document["name"], document["outcome"]) == ("quick", "regressed")
    assert (document["subject"], document["against"]) == (verdict.subject, verdict.against)
    for plain, each in zip(document["findings"], verdict.findings, strict=True):
        assert plain.keys() == {field.name for field in fields(CheckFinding)} | {"name", "verdict"}
        assert (plain["name"], plain["base"], plain["head"]) == (each.name, each.base, each.head)
    assert document["notes"] == list(verdict.notes)


def test_intervals_are_named_and_raw_pairs_kept_without_numbers_that_json_lacks():
    document = json.loads(to_json(mixed(), "quick"), parse_constant=pytest.fail)
    (paired,) = (finding for finding in document["findings"] if finding["way"] == "paired")
    assert paired["ratio"] == {"low": 1.001, "value": 1.012, "high": 1.024}
    assert document["samples"] == {"pairs": [[0.0154, None]]}


CODE_QUALITY = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "properties": {
            "description": {"type": "string"},
            "check_name": {"type": "string"},
            "fingerprint": {"type": "string", "minLength": 8},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object",
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "pattern": "^[^./]"},
                    "lines": {"type": "object", "required": ["begin"], "properties": {"begin": {"type": "integer"}}},
                },
            },
        },
    },
}
"""The fields of https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format."""


def test_code_quality_shows_what_a_reviewer_has_to_know_of_at_its_line_and_each_under_a_fingerprint_of_its_own():
    entries = json.loads(to_code_quality(mixed(), "quick"))
    jsonschema.validate(entries, CODE_QUALITY)
    said = [(one["severity"], one["location"]["path"], one["location"]["lines"]["begin"]) for one in entries]
    assert said == [
        ("major", "greenpose-baseline.json", 12),
        ("major", "greenpose-baseline.json", 14),
        ("minor", "budgets.yaml", 3),
        ("info", "greenpose-baseline.json", 7),
        ("info", "greenpose-baseline.json", 5),
    ]
    prints = [one["fingerprint"] for name in ("quick", "slow") for one in json.loads(to_code_quality(mixed(), name))]
    assert len(set(prints)) == 10
    assert to_code_quality(mixed(), "quick") == to_code_quality(mixed(), "quick")


LABEL = r'[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"([a-zA-Z_:][\w:]*)\{{({LABEL}(?:,{LABEL})*)\}} ([-+\d.eE]+)", re.ASCII)


def metrics(text):
    """Return the samples of an OpenMetrics text by family and labels, as its specification's grammar has them."""
    *lines, end = text.split("\n")[:-1]
    assert end == "# EOF"
    found, families = {}, []
    for line in lines:
        declared = re.fullmatch(r"# TYPE ([a-zA-Z_:][\w:]*) gauge", line)
        if declared:
            families.append(declared[1])
            continue
        family, labels, value = SAMPLE.fullmatch(line).groups()
        assert family == families[-1]  # the samples of a family stand together
        assert (family, labels) not in found
        found[family, labels] = float(value)
    assert len(families) == len(set(families))
    return found


def test_openmetrics_has_both_sides_of_every_number_and_counts_the_outcomes():
    found = metrics(to_openmetrics(mixed(), "quick"))
    assert found["greenpose_macs", 'check="quick",where="exit3",way="exact",side="base"'] == 2e9
    assert found["greenpose_macs", 'check="quick",where="exit3",way="exact",side="head"'] == 2.2e9
    assert found["greenpose_energy_j_per_image", 'check="quick",where="final",way="budget",side="limit"'] == 4.0
    assert found["greenpose_findings", 'check="quick",outcome="regressed"'] == 3
    assert sum(value for (family, _), value in found.items() if family == "greenpose_findings") == 8


def test_no_name_ends_a_label_or_a_line_of_openmetrics():
    wild = finding('a"b\\c\nd{}', "m-e t\u00e4", base=1.0, head=2.0)
    found = metrics(to_openmetrics(CheckVerdict(subject="a", against="b", findings=(wild,)), "quick"))
    assert len(found) == 7
