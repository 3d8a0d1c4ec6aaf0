"""What notebooks show: every name as text, numbers with unit, kind and interval, frames with units."""

import re
import subprocess
import sys

import pytest

from greenpose.errors import MeteringError
from greenpose.record import Record
from tests.fakes.meters import TickingClock, TickingSource, metering
from tests.report.records import record
from tests.report.test_own_metric import ERROR, own

HOSTILE = "<script>alert(1)</script> & 実験"


@pytest.fixture
def meter():
    """A meter that ran for eight seconds at ten watts, six of them in a window with a hostile name."""
    clock = TickingClock()
    with metering(clock, TickingSource(clock, watts=10.0), cpu_share=1.0) as meter:
        with meter.window(HOSTILE, items=3):
            clock.advance(6)
        clock.advance(2)
    return meter


def words(shown: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", shown))


def test_a_meter_shows_windows_and_total_with_unit_interval_and_kind(meter):
    shown = meter._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; 実験" in shown
    text = words(shown)
    assert "Energy J" in text
    assert re.search(r"total 8\.00 8\.00 \S*80\.0 \(\S+ to \S+\) (measured|modelled)", text)
    assert "in brackets: systematic interval of energy" in text


def test_a_window_shows_how_its_energy_was_obtained_where_its_meter_is_known():
    clock = TickingClock()
    with metering(clock, TickingSource(clock, watts=10.0), cpu_share=1.0) as meter:
        opened = meter.window("train")
        assert "not begun" in opened._repr_html_()
        opened.start()
        assert "open" in opened._repr_html_()
        clock.advance(1)
        window = opened.stop()
    assert re.search(r"measured|modelled", opened._repr_html_())
    assert "its meter says" in window._repr_html_()


def test_a_meter_may_begin_and_end_in_other_cells():
    clock = TickingClock()
    meter = metering(clock, TickingSource(clock, watts=10.0), cpu_share=1.0)
    assert "not started" in meter._repr_html_()
    with pytest.raises(MeteringError, match="has not started"):
        meter.stop()
    assert meter.start() is meter
    clock.advance(2)
    meter.stop()
    assert meter.total.seconds == 2
    with pytest.raises(MeteringError, match="has ended already"):
        meter.stop()


@pytest.mark.parametrize("run", [record(), own(ERROR, {3: 42.4, 4: 40.9}, half=0.5, name=HOSTILE)], ids=["pose", "own"])
def test_a_record_shows_its_exits_and_its_bill(run: Record):
    shown = run._repr_html_()
    assert "<script>" not in shown
    text = words(shown)
    assert f"{run.accuracy.label} {run.accuracy.unit}" in text
    assert "Gross energy J/image" in text
    assert "modelled" in text
    assert f"energy grade {run.grade}" in text


def test_frames_have_the_unit_of_each_column(meter):
    pytest.importorskip("pandas")
    windows = meter.to_frame()
    assert list(windows["energy"]) == [pytest.approx(60)]
    assert windows.attrs["units"]["energy"] == "J"
    exits = own(ERROR, {3: 42.4, 4: 40.9}, half=0.5).to_frame()
    assert list(exits["mpjpe"]) == [42.4, 40.9]
    assert list(exits["mpjpe_low"]) == [pytest.approx(41.9), pytest.approx(40.4)]
    assert exits.attrs["units"]["mpjpe"] == "mm"
    assert exits.attrs["units"]["energy_j_per_image"] == "J"
    assert "ap" not in exits.columns
    assert list(record().to_frame().columns[:3]) == ["run", "exit", "ap"]


def test_without_pandas_a_frame_says_what_brings_it():
    code = (
        "import sys; sys.modules['pandas'] = None\n"
        "import greenpose\n"
        "with greenpose.meter() as m: pass\n"
        "try: m.to_frame()\n"
        "except greenpose.errors.GreenPoseError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pandas is not installed: pip install pandas, or 'greenpose[train]', which brings it" in done.stdout


def test_a_run_that_computes_each_image_twice_says_so_and_counts_both_passes():
    once = record("HRNet4-OKD")
    twice = once.model_copy(
        update={"exits": [each.model_copy(update={"passes": 2}) for each in once.exits], "name": "mirrored"}
    )
    assert "each image is computed twice" in words(twice._repr_html_())
    assert "computed twice" not in words(once._repr_html_())
    assert list(twice.to_frame()["macs"]) == [2 * each.macs for each in once.exits]
