"""What an attempt that ended early had cost, counted once however its windows nest."""

import pytest

from greenpose.metering import Joules, Meter, ScriptedSource, read_windows
from greenpose.store import RunFolder
from greenpose.store.lost import note_lost, outermost, windows_of
from tests.metering.grids import dirty_now


def metered(folder: RunFolder, **carbon: object) -> None:
    """Leave a log of a window of 30 J around one of 10 J, and of one of 5 J after it."""
    carbon = carbon or {"country": None, "intensity_g_per_kwh": 360.0, "pue": 1.0}
    folder.write_cell(
        {
            "name": "A-1",
            "grid": "g",
            "axes": {},
            "experiment": {"name": "A", "carbon": carbon},
        }
    )
    readings = [0.0, 0.0, 10.0, 20.0, 30.0, 30.0, 35.0, 35.0]
    source = ScriptedSource("cpu", [Joules(value / 2, value, value * 2) for value in readings])
    with Meter([source], log=folder.windows) as meter:
        with meter.window("train/epoch 1"), meter.window("inner"):
            pass
        with meter.window("validate/epoch 1"):
            pass


def test_an_attempt_costs_its_outermost_windows_with_their_interval(tmp_path):
    folder = RunFolder(tmp_path)
    metered(folder)
    failure = note_lost(folder, code=-9)
    assert failure.energy_kwh == pytest.approx(35 / 3.6e6)
    assert failure.co2eq_g == pytest.approx(35 / 3.6e6 * 360)
    interval = failure.basis["energy_kwh"].type_b
    assert (interval.low, interval.high) == pytest.approx((17.5 / 3.6e6, 70 / 3.6e6))
    assert (failure.reason, failure.phase) == ("lost", "validate")
    assert len(outermost(read_windows(folder.windows))) == 2


def test_an_attempt_is_charged_by_its_own_hours(tmp_path):
    folder = RunFolder(tmp_path / "run")
    metered(folder, hourly=dirty_now(tmp_path, 500))
    failure = note_lost(folder, code=-9)
    assert failure.co2eq_g == pytest.approx(35 / 3.6e6 * 500)
    assert "hourly" in failure.basis["co2eq_g"].method


def test_an_attempt_whose_hourly_file_is_gone_is_noted_all_the_same(tmp_path):
    folder = RunFolder(tmp_path)
    metered(folder, hourly=str(tmp_path / "gone.csv"))
    failure = note_lost(folder, code=-9)
    assert failure.energy_kwh == pytest.approx(35 / 3.6e6)
    assert failure.co2eq_g is None
    assert "gone.csv" in failure.basis["co2eq_g"].missing


def test_a_process_that_was_asked_to_stop_was_interrupted_not_lost(tmp_path):
    folder = RunFolder(tmp_path)
    metered(folder)
    assert note_lost(folder, code=130).reason == "interrupted"


def test_nothing_metered_costs_nothing(tmp_path):
    assert windows_of(RunFolder(tmp_path)) == []
