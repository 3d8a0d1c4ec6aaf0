"""A program's own loop leaves a record, or a note on what ended it, whatever happens to it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import greenpose
from greenpose.errors import GreenPoseError, MeteringError
from greenpose.files import is_locked
from greenpose.ledger.own import OwnRun
from greenpose.ledger.own_settings import digest_of, settings_of
from greenpose.record import Failure, Record
from greenpose.store import collect, read_document, read_record
from tests.fakes.meters import TickingClock, TickingSource, metering


@pytest.fixture
def clock():
    return TickingClock()


@pytest.fixture
def run(tmp_path, clock):
    """A run metered by a source of ten watts, on a clock that the test advances."""

    def make_meter(log: Path):
        return metering(clock, TickingSource(clock, watts=10.0), cpu_share=1.0, log=log)

    return OwnRun(
        settings_of("loop", country="ITA", seed=3, notes="a try"), out=tmp_path / "lab", make_meter=make_meter
    )


def test_a_loop_leaves_a_record_with_its_phases_epochs_and_bill(run, clock):
    with run:
        with run.window("data"):
            clock.advance(1)
        for epoch in (1, 2):
            with run.window("train", epoch=epoch, items=100):
                clock.advance(5)
            with run.window("evaluate"):
                clock.advance(2)
        with run.window("test"):
            clock.advance(4)
        clock.advance(3)
    record = read_record(run.folder.record)
    assert record == run.result
    assert {phase.name: phase.seconds for phase in record.phases} == {
        "data": 1, "train": 10, "test": 4, "evaluate": 4, "other": 3,
    }  # fmt: skip
    assert (record.train_seconds, record.epochs, record.stopped, record.own) == (14, 2, "end", "builder")
    assert record.train_energy_kwh * 3.6e6 == pytest.approx(140)
    assert record.train_co2eq_g == pytest.approx(record.train_energy_kwh * record.carbon.intensity_g_per_kwh)
    assert (record.seed, record.axes, record.notes, record.exits) == (3, {"seed": 3}, ["a try"], [])
    assert not is_locked(run.folder.running)


def test_what_ended_a_loop_is_noted_with_what_it_had_cost_and_goes_on(run, clock):
    def loop():
        with run, run.window("train", epoch=1):
            clock.advance(5)
            raise ZeroDivisionError("division by zero")

    with pytest.raises(ZeroDivisionError):
        loop()
    failure = read_document(run.folder.failure)
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.phase, failure.seconds) == ("failed", "train", 5)
    assert failure.message == "ZeroDivisionError: division by zero"
    assert failure.energy_kwh * 3.6e6 == pytest.approx(50)
    assert not run.folder.record.exists()
    assert not is_locked(run.folder.running)


def test_ctrl_c_is_an_interruption(run, clock):
    with pytest.raises(KeyboardInterrupt), run, run.window("train"):
        raise KeyboardInterrupt
    assert read_document(run.folder.failure).reason == "interrupted"


def test_a_program_that_leaves_with_code_0_has_finished(run):
    with pytest.raises(SystemExit), run:
        sys.exit(0)
    assert run.folder.record.exists()


def test_a_window_left_open_ends_with_the_run_and_is_told(run, clock):
    run.start()
    run.window("train").start()
    clock.advance(5)
    record = run.stop()
    assert record.train_seconds == 5
    assert record.doubts[-1] == "window train was still open when the run ended, and ended with it"


def test_every_call_of_a_decorated_function_is_a_window(run, clock):
    with run:

        @run.window("train", items=7)
        def step(seconds: float) -> float:
            clock.advance(seconds)
            return seconds

        assert [step(1), step(2)] == [1, 2]
    assert [(window.name, window.items, window.seconds) for window in run.meter.windows] == [
        ("train", 7, 1),
        ("train", 7, 2),
    ]


def test_a_run_in_a_run_is_refused_since_energy_belongs_to_one_record(run, tmp_path):
    inner = greenpose.experiment("inner", out=tmp_path, country="ITA")
    with run:
        with pytest.raises(MeteringError, match="'loop' is still being metered in this process"):
            inner.start()
        assert not (tmp_path / "inner").exists()
    with inner:
        pass
    assert isinstance(inner.result, Record)


def test_a_folder_that_is_taken_is_left_alone(tmp_path):
    for _ in range(3):
        with greenpose.experiment("loop", out=tmp_path, country="ITA"):
            pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loop", "loop-2", "loop-3"]
    assert [entry.name for entry in collect([tmp_path])] == ["loop", "loop-2", "loop-3"]
    assert {entry.experiment for entry in collect([tmp_path])} == {"loop"}


@pytest.mark.parametrize("name", ["実験 β", "Prüfung", "опыт", "تجربة"])
def test_names_may_be_of_any_script(name, tmp_path):
    with greenpose.experiment(name, out=tmp_path, country="ITA") as run, run.window("обучение", epoch=1):
        pass
    record = read_record(tmp_path / name / "record.json")
    assert (record.name, [phase.name for phase in record.phases]) == (name, ["обучение", "other"])


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"country": "XXX"}, "country 'XXX' is not a three-letter ISO code"),
        ({"country": None}, "carbon: give country (e.g. ITA)"),
        ({"name": "a/b"}, "name: a folder is called so: it may hold neither /"),
        ({"name": ".."}, "name: a folder is called so"),
        ({"name": "\ud800"}, "name: holds half a character"),
        ({"images": {"train": -1}}, "images.train: must be at least 0 (got -1)"),
        ({"note": "x"}, "note: unknown key; did you mean notes?"),
        ({"metrics": {"zeal": {}}}, "metrics[0].direction: is missing"),
        ({"metrics": {"zeal": "up"}}, "metrics[0].direction: must be 'higher' or 'lower' (got 'up')"),
        ({"settings": {"lr": float("nan")}}, "settings: give numbers, text, lists and mappings"),
        ({"digest": "zebra"}, "digest: must be hexadecimal digits, or a pathlib.Path"),
        ({"digest": Path("nowhere")}, "digest: nowhere: cannot be read"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_written(about, said, tmp_path):
    with pytest.raises(GreenPoseError) as caught:
        greenpose.experiment(**{"name": "loop", "out": tmp_path, "country": "ITA"} | about)
    assert said in str(caught.value)
    assert [*tmp_path.iterdir()] == []


def test_what_is_used_out_of_turn_is_told(run):
    with pytest.raises(MeteringError, match="has not begun: use it"):
        run.window("train")
    run.start()
    with pytest.raises(MeteringError, match="has begun already"):
        run.start()
    opened = run.window("train").start()
    with pytest.raises(MeteringError, match="'train' has begun already"):
        opened.start()
    opened.stop()
    with pytest.raises(MeteringError, match="'train' has ended already"):
        opened.stop()
    with pytest.raises(MeteringError, match="give it a name"):
        run.window(" ")
    run.stop()
    with pytest.raises(MeteringError, match="has ended"):
        run.window("train")


def test_a_record_that_cannot_be_written_leaves_the_note_and_the_windows(run, clock):
    run.start()
    with run.window("train"):
        clock.advance(5)
    run.folder.record.mkdir()
    with pytest.raises(GreenPoseError, match=r"record\.json: cannot be written"):
        run.stop()
    assert read_document(run.folder.failure).seconds == 5


def test_the_digest_of_data_tells_other_content_and_other_names(tmp_path):
    (tmp_path / "a").mkdir()
    digests = set()
    for name, content in (("x", "1"), ("x", "2"), ("y", "2")):
        file = tmp_path / "a" / name
        file.write_text(content)
        digests.add(digest_of(tmp_path / "a"))
        digests.add(digest_of(file))
        file.unlink()
    assert len(digests) == 3 + 2


def test_neither_torch_nor_pandas_is_loaded(tmp_path):
    code = (
        "import sys, greenpose\n"
        "with greenpose.experiment('light', out=sys.argv[1], country='ITA') as run:\n"
        "    with run.window('train'): pass\n"
        "print([name for name in ('torch', 'pandas', 'cv2', 'codecarbon', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.strip() == "[]"
    assert json.loads((tmp_path / "light" / "record.json").read_text())["own"] == "builder"
