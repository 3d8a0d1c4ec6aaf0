"""Records inside the page: read back whole, small, harmless."""

import json

import pytest

from greenpose.record import dumps
from greenpose.report.embedding import pack, unpack
from tests.report.records import failure, paper_grid, record


def rounded(value, digits=6):
    if isinstance(value, dict):
        return {key: rounded(each, {"type_a": 4, "type_b": 3}.get(key, digits)) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each, digits) for each in value]
    return float(f"{float(f'{value:.6g}'):.{digits}g}") if isinstance(value, float) else value


ENTRIES = [
    *paper_grid((1, 2)),
    failure(co2eq_g=None),
    record("HRNet3", evaluated=False, metered=False),
    record("HRNet3", config={"$": "a key of ours", "$1": ["$0", 2, ["$"], []]}),
]


@pytest.mark.parametrize("entries", [ENTRIES, [], ENTRIES[-1:]])
def test_what_is_read_back_is_what_was_packed_to_six_digits_intervals_to_four_or_three(entries):
    found = unpack(pack(entries))
    assert [json.loads(dumps(each)) for each in found] == [rounded(json.loads(dumps(each))) for each in entries]


def test_no_tag_can_end_the_script_element():
    text = pack([record("HRNet3", name="</script><script>alert(1)</script>")])
    assert "<" not in text
    assert unpack(text)[0].name == "</script><script>alert(1)</script>"


def test_packing_is_a_third_of_the_records_text():
    entries = paper_grid((1, 2, 3))
    assert len(pack(entries)) < sum(len(dumps(each)) for each in entries) / 3
