"""Records as documents: what was written before a field was there is read all the same."""

import json
import re

import pytest

from greenpose.errors import RecordError
from greenpose.record import Record, dumps, loads
from tests.report.records import record

ADDED = {"train_embodied_co2eq_g", "train_sci_g"}
ADDED_TO_EXITS = {"embodied_co2eq_g_per_1000_images", "sci_g_per_1000_images"}
ADDED_TO_CARBON = {"mean_g_per_kwh", "mean_interval", "embodied"}


def without(data: dict, names: set[str]) -> dict:
    assert names <= set(data)
    return {name: value for name, value in data.items() if name not in names}


@pytest.fixture
def older() -> dict:
    """A record as it was written before the making of the hardware was counted."""
    data = without(json.loads(dumps(record())), ADDED)
    return data | {
        "exits": [without(entry, ADDED_TO_EXITS) for entry in data["exits"]],
        "carbon": without(data["carbon"], ADDED_TO_CARBON),
    }


def test_a_record_from_before_the_making_of_the_hardware_was_counted_is_read(older):
    read = loads(json.dumps(older), where="old.json")
    assert isinstance(read, Record)
    assert (read.train_sci_g, read.carbon.embodied) == (None, None)
    for name in ADDED:
        assert read.quantity(name).missing == "not recorded"
    for name in ADDED_TO_EXITS:
        assert read.exits[0].quantity(name).value is None


def test_a_record_whose_settings_are_none_is_refused_with_their_place():
    data = json.loads(dumps(record()))
    data["config"] |= {"model": 3.0, "data": []}
    with pytest.raises(RecordError) as caught:
        loads(json.dumps(data), where="record.json")
    assert caught.value.faults == (
        "record.json: config.data: is []; it holds settings by name",
        "record.json: config.model: is 3.0; it holds settings by name",
    )


def test_surroundings_that_readers_reckon_with_are_of_their_kind():
    data = json.loads(dumps(record()))
    data["process"]["concurrent_workers"] = "2"
    data["exits"][1]["measurement"] |= {"foreign_cpu_share": [0.1], "converged": "yes", "idle_watts": None}
    data["dataset"] |= {"shared_subjects": None, "annotations_sha256": ["a"], "keypoints": 3, "resampled_groups": 4}
    with pytest.raises(RecordError) as caught:
        loads(json.dumps(data), where="record.json")
    assert caught.value.faults == (
        "record.json: process.concurrent_workers: is '2'; it must be a whole number",
        "record.json: dataset.shared_subjects: is None; it must be a whole number",
        "record.json: dataset.annotations_sha256: is ['a']; it must be digests by split",
        "record.json: dataset.keypoints: is 3; it must be a list of names",
        "record.json: exits[1].measurement.converged: is 'yes'; it must be true or false",
        "record.json: exits[1].measurement.foreign_cpu_share: is [0.1]; it must be a number",
    )


def test_a_record_to_json_and_back_is_the_same():
    assert loads(dumps(record()), where="r") == record()


def test_however_a_record_is_written_it_is_the_same():
    text = dumps(record())
    for other in (
        "\ufeff" + text,
        json.dumps(json.loads(text)),
        json.dumps(json.loads(text), separators=(" , ", " : ")),
        json.dumps(json.loads(text), sort_keys=True, indent=4),
    ):
        assert loads(other, where="r") == record()


def _damaged(text):
    """Yield records with damages that JSON can hold, and what is said of each."""
    yield text.replace('"low": 281.0', '"low": -1e308'), "carbon.intensity_interval.low"
    yield text.replace('"experiment": "', '"experiment": "\\ud800'), "lone surrogate"
    yield text.replace('"seed": 1', f'"seed": {"9" * 5000}', 1), "5000 digits"
    yield "[" * 100_000, "x.json: "
    yield text.replace('"seed": 1', '"seed": 1, "seed": 2', 1), "seed is given twice, first in line"
    yield text.replace('"ap50":', '"ap50": 0.5,\n"ap50":', 1), "exits[0].basis.ap50 is given twice"
    yield re.sub(r'"seed": (\d)', r'"s\\u0065ed": 7, "seed" : \1', text, count=1), "seed is given twice"
    yield re.sub(r'"params": (?=\d)', '"params": -', text, count=1), "exits[0].params"


def test_what_json_can_hold_and_no_run_can_is_named_and_no_traceback():
    for text, said in _damaged(dumps(record())):
        with pytest.raises(RecordError) as caught:
            loads(text, where="x.json")
        assert all(fault.startswith("x.json: ") for fault in caught.value.faults)
        assert said in str(caught.value)


def test_a_record_of_pose_is_written_as_before_there_were_own_loops():
    written = json.loads(dumps(record()))
    assert not {"metric", "own", "notes"} & set(written)
    assert all("metrics" not in entry for entry in written["exits"])
