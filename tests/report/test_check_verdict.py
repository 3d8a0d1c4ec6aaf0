"""A verdict attached to the page, as `greenpose check` writes it."""

import json

import pytest

from greenpose.check.output.machine_readable import to_json
from greenpose.check.verdict import CheckFinding, CheckVerdict, RatioSpan
from greenpose.errors import RecordError
from greenpose.report.check_verdict import read_verdict, verdict_table

EXACT = CheckFinding(
    where="exit3",
    metric="macs",
    way="exact",
    outcome="regressed",
    says="3 % more",
    unit="MACs",
    base=1000.0,
    head=1030.0,
)
PAIRED = CheckFinding(
    where="exit3",
    metric="cpu_s_per_image",
    way="paired",
    outcome="ok",
    says="+4.0 % at most",
    unit="s",
    ratio=RatioSpan(0.98, 1.01, 1.04),
    pairs=20,
)
MISSING = CheckFinding(where="exit3", metric="ap", way="exact", outcome="incomparable", says="no test split", base=0.9)
TEXT = to_json(
    CheckVerdict(subject="quick.yaml", against="baseline.json", findings=(EXACT, PAIRED, MISSING), notes=("quiet",)),
    "quick",
)


def rows():
    table = verdict_table(read_verdict(TEXT, where="verdict.json"))
    return {row.head: [(cell.value, cell.interval) for cell in row.cells] for row in table.sections[0].rows}


def test_what_the_check_writes_can_be_read():
    found = read_verdict(TEXT, where="verdict.json")
    assert (found.subject, found.against, found.notes) == ("quick.yaml", "baseline.json", ("quiet",))
    assert found.summary.startswith("regressed: of 3 checked")
    assert [each.name for each in found.findings] == ["exit3.macs", "exit3.cpu_s_per_image", "exit3.ap"]


def test_both_sides_stand_with_their_unit_and_the_ratio_with_its_interval():
    found = rows()
    assert found["exit3.macs"][:4] == [("1000 MACs", ""), ("1030 MACs", ""), ("1.030", ""), ("regressed", "")]
    assert found["exit3.cpu_s_per_image"][:2] == [("–", ""), ("–", "")]
    assert found["exit3.cpu_s_per_image"][2] == ("1.010", "±0.030, 20 pairs")
    assert found["exit3.ap"][1] == ("not measured", "")
    assert found["exit3.ap"][4] == ("no test split", "")


def test_an_interval_without_an_end_does_not_stop_the_page():
    data = json.loads(TEXT)
    data["findings"][1]["ratio"]["high"] = None
    table = verdict_table(read_verdict(json.dumps(data), where="x"))
    assert table.sections[0].rows[1].cells[2].value == "1.01"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "v.json: not JSON"),
        ("[]", "v.json: schema is None, not greenpose.verdict/1"),
        ('{"schema": "greenpose.record/1"}', "check CANDIDATE --format json"),
        ('{"schema": "greenpose.verdict/1"}', "v.json: subject: field required"),
        (
            TEXT.replace('"subject"', '"summary": "ok",\n "subject"'),
            r"v.json: line \d+, column 2: summary is given twice",
        ),
        (TEXT.replace("1030.0", "NaN"), r"v.json: findings\[0\].head: input should be a finite number"),
    ],
)
def test_what_is_no_verdict_is_refused_in_words(text, message):
    with pytest.raises(RecordError, match=message):
        read_verdict(text, where="v.json")
