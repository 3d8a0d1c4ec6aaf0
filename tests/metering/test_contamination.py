import pytest

from greenpose.metering.machine import Witness
from tests.metering.fakes import TickingClock, stat


@pytest.fixture
def clock():
    return TickingClock()


@pytest.fixture
def path(tmp_path):
    (tmp_path / "stat").write_text(stat())
    return tmp_path / "stat"


@pytest.fixture
def witness(clock, path):
    witness = Witness(path, clock=clock)
    witness.open()
    yield witness
    witness.close()


def test_foreign_share_is_busy_time_that_is_not_ours_over_all(witness, clock, path):
    start = witness.read()
    clock.advance(1)
    path.write_text(stat(user=160, idle=30, steal=10))
    seen = witness.between(start, seconds=1.0, cpu_seconds=0.6)
    assert seen.foreign_cpu_share == pytest.approx(0.5)
    assert seen.steal_share == pytest.approx(0.05)
    assert seen.involuntary_switches >= 0
    assert seen.minor_faults >= 0


def test_more_own_time_than_the_kernel_saw_is_no_negative_share(witness, clock, path):
    start = witness.read()
    clock.advance(1)
    path.write_text(stat(user=50, idle=50))
    assert witness.between(start, seconds=1.0, cpu_seconds=0.6).foreign_cpu_share == 0


def test_a_window_of_few_ticks_has_no_figures(witness, clock, path):
    start = witness.read()
    clock.advance(0.05)
    path.write_text(stat(user=5, idle=5))
    assert witness.between(start, seconds=0.05, cpu_seconds=0.0) is None


def test_a_reading_younger_than_a_tick_is_used_again(witness, clock, path):
    first = witness.read()
    path.write_text(stat(user=5, idle=5))
    clock.advance(0.005)
    assert witness.read() is first
    clock.advance(0.006)
    assert witness.read().busy == pytest.approx(0.05)


def test_guest_time_is_not_counted_twice(witness, clock, path):
    clock.advance(1)
    path.write_text("cpu  100 0 0 100 0 0 0 0 60 0\n")
    assert witness.read().total == pytest.approx(2.0)


@pytest.mark.parametrize("text", ["", "cpu0 1 2 3\n", "cpu  1 2 3\n"])
def test_a_ledger_of_another_shape_is_no_ledger(clock, tmp_path, text):
    (tmp_path / "stat").write_text(text)
    witness = Witness(tmp_path / "stat", clock=clock)
    witness.open()
    assert witness.read() is None
    witness.close()


def test_without_a_ledger_nobody_watches(tmp_path):
    witness = Witness(tmp_path / "none")
    witness.open()
    assert witness.read() is None
    assert witness.between(None, seconds=5.0, cpu_seconds=1.0) is None
    witness.close()
