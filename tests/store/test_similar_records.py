"""Very many records: read by what they are alike in, they say what each says that is read in full, and cost less."""

import random
import tracemalloc

import pytest

from greenpose.errors import RecordError
from greenpose.record import Record, dumps
from greenpose.store import read_document
from greenpose.store.similar_records import Alike, AlikeReader
from tests.report.published import published

VALUES = (
    "-1",
    "0",
    "1",
    "7",
    "1.5",
    "-0.25",
    "1e31",
    "1e999",
    "NaN",
    "null",
    "true",
    '""',
    '"x"',
    '"a\\"b"',
    "01",
    "[]",
)
"""What may stand in a line of a record in place of its value, sound or not."""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return the files of runs of an experiment with several exits, as a run writes them."""
    folder = tmp_path_factory.mktemp("runs")
    runs = [run for run in published(experiments=5, seeds=20) if len(run.exits) > 1][:20]
    for index, run in enumerate(runs):
        (folder / f"{index:02}.json").write_text(dumps(run), encoding="utf-8")
    return sorted(folder.iterdir())


@pytest.fixture
def reader(files):
    """Return a reader that has met all of them."""
    reader = AlikeReader(after=0)
    for file in files:
        reader(file)
    return reader


def test_most_are_read_by_what_they_are_alike_in_and_say_the_same(files):
    reader = AlikeReader(after=3)
    found = [reader(file) for file in files]
    assert found == [read_document(file) for file in files]
    assert [isinstance(run, Alike) for run in found[:3]] == [False] * 3
    assert sum(isinstance(run, Alike) for run in found) > len(files) / 2
    assert all(isinstance(run, Record) for run in found)
    assert [dumps(run) for run in found] == [file.read_text(encoding="utf-8") for file in files]
    assert found[-1] != found[-2]


def test_macs_of_images_computed_twice_are_those_of_both_passes(tmp_path, files):
    reader = AlikeReader(after=0)
    for file in files:
        run = read_document(file)
        twice = [each.model_copy(update={"passes": 2}) for each in run.exits]
        (tmp_path / file.name).write_text(dumps(run.model_copy(update={"exits": twice})), encoding="utf-8")
    found = [(reader(tmp_path / file.name), read_document(file)) for file in files]
    alike = [(run, once) for run, once in found if isinstance(run, Alike)]
    assert alike
    assert all(
        run.final_exit.of_image("macs").known == 2 * once.final_exit.quantity("macs").known for run, once in alike
    )


def test_a_record_with_any_line_changed_is_read_or_refused_as_in_full(files, reader, tmp_path):
    chance, lines = random.Random(0), files[-1].read_text(encoding="utf-8").split("\n")
    outcomes = set()
    for number in range(100):
        at = chance.randrange(len(lines))
        before, colon, said = lines[at].rpartition(": ")
        comma = "," if said.endswith(",") else ""
        file = tmp_path / f"{number}.json"
        changed = [*lines[:at], f"{before}{colon}{chance.choice(VALUES)}{comma}", *lines[at + 1 :]]
        file.write_text("\n".join(changed), encoding="utf-8")
        full, alike = (_outcome(read, file) for read in (read_document, reader))
        assert alike == full, changed[at]
        outcomes.add(isinstance(full, str))
    assert outcomes == {True, False}


def _outcome(read, file):
    try:
        return dumps(read(file))
    except RecordError as error:
        return error.faults


@pytest.mark.parametrize("number", ["1.01", "-0.01", "1e400"])
def test_an_accuracy_that_there_cannot_be_is_named_though_all_else_is_alike(number, files, reader, tmp_path):
    text = files[-1].read_text(encoding="utf-8")
    run = read_document(files[-1])
    file = tmp_path / "record.json"
    file.write_text(text.replace(f'"ap": {run.exits[0].ap!r},', f'"ap": {number},'), encoding="utf-8")
    with pytest.raises(RecordError, match="ap"):
        reader(file)


def test_a_key_given_twice_is_named(files, reader, tmp_path):
    file = tmp_path / "record.json"
    file.write_text(files[-1].read_text(encoding="utf-8").replace('\n "seed": ', '\n "seed": 1,\n "seed": '))
    with pytest.raises(RecordError, match="given twice"):
        reader(file)


def test_each_more_takes_little_memory(files, reader):
    tracemalloc.start()
    kept = [reader(file) for file in files * 5]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / len(kept) < 6000
