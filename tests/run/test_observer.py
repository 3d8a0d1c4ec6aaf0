"""Which windows of a run are cross-checked, and when the log of windows is put on disk."""

from greenpose.metering import Meter
from greenpose.run.callbacks import PhaseTracker
from tests.fakes.meters import TickingClock, TickingSource
from tests.run.tiny import Silent


def test_training_is_cross_checked_ever_more_seldom_and_validation_never():
    """Twenty epochs after a resumption: the first of the process counts, whatever its number."""
    clock = TickingClock()
    with Meter([TickingSource(clock)], clock=clock, cpu_clock=clock) as meter:
        stage = PhaseTracker(meter, Silent())
        windows = {}
        for epoch in range(11, 31):
            windows[f"train/epoch {epoch}"] = stage.training(f"train/epoch {epoch}", 8)
            windows[f"validate/epoch {epoch}"] = stage.training(f"validate/epoch {epoch}", 2)
    checked = [name for name, window in windows.items() if window.crosscheck]
    assert checked == [f"train/epoch {epoch}" for epoch in (11, 20)]


def test_a_phase_is_on_disk_before_the_next_one_begins_and_its_epochs_do_not_wait(tmp_path):
    """All of it takes less than the second after which the log waits for the disk by itself."""
    clock = TickingClock(step=0.001)
    with Meter([TickingSource(clock)], clock=clock, cpu_clock=clock, log=tmp_path / "windows.jsonl") as meter:
        stage = PhaseTracker(meter, Silent())
        stage.enter("train", 16)
        before = meter.waited_s
        for epoch in (1, 2):
            with stage.training(f"train/epoch {epoch}", 8):
                pass
            with stage.training(f"validate/epoch {epoch}", 2):
                pass
        during = meter.waited_s
        stage.enter("test")
        after = meter.waited_s
    assert before == during < after
