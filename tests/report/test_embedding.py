"""Records inside the page: read back whole, small, harmless."""

import base64
import bz2
import json

import pytest

from greenpose.errors import ReportError
from greenpose.record import Interval, dumps
from greenpose.report.page import pack, unpack
from tests.report.published import published
from tests.report.records import failure, paper_grid, record


def rounded(value, digits=6):
    """Return numbers to six digits, ends of intervals from repetition to four; systematic intervals are left out."""
    if isinstance(value, dict):
        kept = {key: each for key, each in value.items() if key != "type_b"}
        return {key: rounded(each, 4 if key == "type_a" else digits) for key, each in kept.items()}
    if isinstance(value, list):
        return [rounded(each, digits) for each in value]
    return float(f"{float(f'{value:.6g}'):.{digits}g}") if isinstance(value, float) else value


def systematic(value):
    """Return the ends of all systematic intervals, in order; 0 twice for a number that has none."""
    if isinstance(value, dict):
        own = [end for key in ("type_b",) if key in value for end in (value[key] or {"low": 0, "high": 0}).values()]
        return own + [end for key, each in value.items() if key != "type_b" for end in systematic(each)]
    return [end for each in value for end in systematic(each)] if isinstance(value, list) else []


ENTRIES = [
    *paper_grid((1, 2)),
    *published(experiments=4, seeds=1),
    failure(co2eq_g=None),
    record("HRNet3", evaluated=False, metered=False),
    record("HRNet3", config={"a key": None, "b": [{}, [], 2]}),
]


@pytest.mark.parametrize("entries", [ENTRIES, [], ENTRIES[-1:]])
def test_what_is_read_back_is_what_was_packed_to_six_digits_and_intervals_to_four(entries):
    found = [json.loads(dumps(each)) for each in unpack(pack(entries))]
    assert [rounded(each) for each in found] == [rounded(json.loads(dumps(each))) for each in entries]


def test_systematic_error_is_read_back_to_three_digits_of_its_factor():
    run = record("HRNet3")
    zero = run.basis["train_energy_kwh"].model_copy(update={"type_b": Interval(low=0.0, high=0.25)})
    entries = [*ENTRIES, run.model_copy(update={"train_energy_kwh": 0.0, "basis": {"train_energy_kwh": zero}})]
    found = systematic([json.loads(dumps(each)) for each in unpack(pack(entries))])
    wanted = systematic([json.loads(dumps(each)) for each in entries])
    assert len([end for end in wanted if end]) > 500
    assert found == pytest.approx(wanted, rel=6e-3)


def test_no_tag_can_end_the_script_element():
    text = pack([record("HRNet3", name="</script><script>alert(1)</script>")])
    assert "<" not in text
    assert unpack(text)[0].name == "</script><script>alert(1)</script>"


def test_packing_is_a_tenth_of_the_records_text():
    entries = published(experiments=4, seeds=3)
    assert len(pack(entries)) < sum(len(dumps(each)) for each in entries) / 10


def test_any_tool_reads_the_numbers_with_what_the_page_says_of_their_encoding():
    said = json.loads(pack([record("HRNet3", seed=1), record("HRNet3", seed=2)]))
    assert said["encoding"] == "JSON, bzip2, base64"
    columns = json.loads(bz2.decompress(base64.b64decode(said["data"])))["columns"]
    assert columns["seed"] == {"0": 1, "1": 2}
    assert columns["train_seconds"]["1"] == pytest.approx(record("HRNet3", seed=2).train_seconds, rel=1e-5)


def test_records_of_another_layout_are_refused():
    old = json.dumps(json.loads(pack([])) | {"schema": "greenpose.report-data/1"})
    with pytest.raises(ReportError, match=r"layout 'greenpose\.report-data/1'; this version reads .*/2"):
        unpack(old)
