"""A log of windows that somebody removes, empties or doubles: what a run cost is told whole, or as too small."""

import json
import os
import sys
from pathlib import Path

import pytest

from greenpose.config import expand, load_grid
from greenpose.errors import GreenPoseError
from greenpose.ledger.phases import training_windows
from greenpose.metering import read_windows, this_machine
from greenpose.record import Record
from greenpose.run import execute
from greenpose.store import RunFolder, read_document
from tests.run.tiny import Silent, write_grid, written
from tests.torture.nursery import forked

DOUBLED = "text = log.read_text(); log.open('a').write(text)"


class Watching(Silent):
    """Acts when a run says a line that begins as told."""

    def __init__(self, log, line, act):
        self.log, self.line, self.act = log, line, act

    def say(self, said, **_):
        if said.startswith(self.line):
            if self.act == "interrupt":
                raise KeyboardInterrupt
            exec(self.act, {"log": self.log})  # noqa: S102  # ours


def perform(words) -> int:
    """Do a run, with an act under way, and say how it ended where that is not well."""
    path, line, act, *options = words
    folder = RunFolder(Path(path))
    try:
        execute(folder, observer=Watching(folder.windows, line, act), elsewhere="--elsewhere" in options)
    except GreenPoseError as error:
        sys.stdout.write(f"{error}\n")
    except KeyboardInterrupt:
        sys.stdout.write("interrupted\n")
    return 0


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    """A run of three epochs that is still to be done."""
    write_grid(tmp_path)
    settings = ["train.epochs=3", "measure.max_blocks=2"]
    cell = expand(load_grid(tmp_path / "tiny.yaml", settings=settings), where="tiny")[0]
    found = RunFolder(tmp_path / cell.name)
    found.write_cell(written(cell))
    return found


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    """One cache for all."""
    return os.environ | {"GREENPOSE_CACHE": str(tmp_path_factory.mktemp("cache")), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def run(folder, environment, tmp_path):
    """Do the run, with an act when it says a line; return what it said of its end."""

    def done(line="nothing", act="", *options):
        words, out = [str(folder.path), line, act, *options], tmp_path / "said"
        out.write_text("")
        process = forked(words, cwd=tmp_path, out=out, err=tmp_path / "err", environment=environment, act=perform)
        process.join(300)
        assert process.exitcode == 0, (tmp_path / "err").read_text()
        return out.read_text()

    return done


def recorded(folder) -> Record:
    record = read_document(folder.record)
    assert isinstance(record, Record)
    return record


@pytest.mark.parametrize("act", ["log.unlink()", "log.write_text('')", DOUBLED])
def test_what_happens_to_the_log_under_way_changes_no_total_and_is_said(folder, run, act):
    assert run("epoch 2:", act) == ""
    record = recorded(folder)
    train = next(phase for phase in record.phases if phase.name == "train")
    assert train.windows == 3
    assert record.train_seconds == pytest.approx(
        sum(phase.seconds for phase in record.phases if phase.name in {"train", "validate", "checkpoint"})
    )
    assert record.train_energy_kwh > 0
    assert record.attempts == 1
    if act == DOUBLED:
        assert record.gaps == []
        assert len(training_windows(read_windows(folder.windows))) == 9
    else:
        (gap,) = record.gaps
        assert "are not in windows.jsonl any more; the totals hold them" in gap
    assert "too small" not in record.quantity("train_energy_kwh").method


def test_a_log_emptied_between_two_attempts_marks_every_total_of_the_record(folder, run):
    assert run("epoch 2:", "interrupt") == "interrupted\n"
    folder.windows.write_text("")
    assert run() == ""
    record = recorded(folder)
    assert record.gaps == ["of 3 epochs the windows of 2 are lost: 1-2"]
    for name in ("train_seconds", "train_cpu_seconds", "train_energy_kwh", "train_co2eq_g"):
        assert record.quantity(name).method.endswith("; too small: of 3 epochs the windows of 2 are lost: 1-2")


def test_a_training_of_which_no_window_is_left_is_no_training_for_nothing(folder, run):
    assert run("epoch 3:", "interrupt") == "interrupted\n"
    folder.windows.unlink()
    assert "holds no window of the 3 epochs that the checkpoint has" in run()
    assert not folder.record.exists()


def test_a_run_begun_elsewhere_is_refused_until_asked_for_and_then_named_by_all_its_attempts(folder, run):
    assert run("epoch 2:", "interrupt") == "interrupted\n"
    here, there = this_machine().fingerprint, "123456789abc"
    header, *lines = folder.windows.read_text().splitlines(keepends=True)
    components = [one | {"kind": "measured", "method": "a counter there"} for one in json.loads(header)["components"]]
    header = json.dumps(json.loads(header) | {"host": there, "components": components})
    folder.windows.write_text("".join([header, "\n", *lines, header, "\n", *lines]))
    before = sum(window.energy.mid for window in training_windows(read_windows(folder.windows)))
    said = run()
    assert "was begun on another machine" in said
    assert there in said
    assert here in said
    assert run("", "", "--elsewhere") == ""
    record = recorded(folder)
    assert record.host["fingerprint"] == f"{there}+{here}"
    assert record.attempts == 2
    assert record.gaps == []
    kinds = {part.component: part for part in record.components}
    assert kinds["cpu"].kind == record.quantity("train_energy_kwh").kind
    assert kinds["cpu"].method.endswith("; in another attempt: a counter there")
    assert record.train_energy_kwh * 3.6e6 > before
    assert record.train_energy_kwh * 3.6e6 == pytest.approx(
        sum(window.energy.mid for window in training_windows(read_windows(folder.windows)))
    )
