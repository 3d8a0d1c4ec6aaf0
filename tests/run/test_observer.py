"""Which windows of a run are cross-checked."""

from greenpose.metering import Meter
from greenpose.run.observer import Stage
from tests.metering.fakes import TickingClock, TickingSource
from tests.run.test_ledger import Silent


def test_training_is_cross_checked_ever_more_seldom_and_validation_never():
    """Twenty epochs after a resumption: the first of the process counts, whatever its number."""
    clock = TickingClock()
    with Meter([TickingSource(clock)], clock=clock, cpu_clock=clock) as meter:
        stage = Stage(meter, Silent())
        windows = {}
        for epoch in range(11, 31):
            windows[f"train/epoch {epoch}"] = stage.training(f"train/epoch {epoch}", 8)
            windows[f"validate/epoch {epoch}"] = stage.training(f"validate/epoch {epoch}", 2)
    checked = [name for name, window in windows.items() if window.crosscheck]
    assert checked == [f"train/epoch {epoch}" for epoch in (11, 12, 14, 18, 26)]
