import json
from dataclasses import fields

import pytest

from greenpose.check import Finding
from greenpose.check.output import to_json
from tests.check.candidates import mixed


def test_the_document_holds_every_field_of_every_finding():
    verdict = mixed()
    document = json.loads(to_json(verdict, "quick"))
    assert document["schema"] == "greenpose.verdict/1"
    assert (document["name"], document["outcome"]) == ("quick", "regressed")
    assert (document["subject"], document["against"]) == (verdict.subject, verdict.against)
    for plain, finding in zip(document["findings"], verdict.findings, strict=True):
        assert plain.keys() == {field.name for field in fields(Finding)} | {"name", "verdict"}
        assert (plain["name"], plain["base"], plain["head"]) == (finding.name, finding.base, finding.head)
    assert document["notes"] == list(verdict.notes)


def test_intervals_are_named_and_raw_pairs_kept_without_numbers_that_json_lacks():
    document = json.loads(to_json(mixed(), "quick"), parse_constant=pytest.fail)
    (paired,) = (finding for finding in document["findings"] if finding["way"] == "paired")
    assert paired["ratio"] == {"low": 1.001, "value": 1.012, "high": 1.024}
    assert document["samples"] == {"pairs": [[0.0154, None]]}
