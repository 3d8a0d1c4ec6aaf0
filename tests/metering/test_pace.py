import pytest

from greenpose.errors import MeteringError
from greenpose.metering.doctor import probe
from greenpose.metering.sources.source import Joules
from tests.fakes.meters import BrokenSource, provenance


class SteppingSource:
    """A counter that goes on by `step_j` every `period_s`."""

    component = "cpu"
    provenance = provenance("cpu")

    def __init__(self, clock, *, period_s, step_j):
        self.clock, self.period_s, self.step_j = clock, period_s, step_j

    def read(self):
        joules = self.step_j * (self.clock.now // self.period_s)
        return Joules(joules, joules, joules)


@pytest.mark.parametrize("period_s", [0.001, 0.02, 0.1])
def test_period_and_step_of_a_counter_are_found(clock, period_s):
    source = SteppingSource(clock, period_s=period_s, step_j=0.05)
    found = probe(source, 20 * period_s, clock=clock, sleep=clock.advance)
    assert found.update_period_s == pytest.approx(period_s, abs=2e-4)
    assert found.resolution_j == pytest.approx(0.05)
    assert found.rises == pytest.approx(20, abs=1)
    assert found.shortest_window_s == pytest.approx(20 * period_s, rel=0.2)


def test_the_smallest_rise_is_the_resolution(clock):
    source = SteppingSource(clock, period_s=0.01, step_j=1.0)
    rises = iter([5.0, 8.0, 9.0, 20.0])
    reading = [0.0]

    def read():
        if clock.now // 0.01 != read.at:
            read.at = clock.now // 0.01
            reading[0] = next(rises, reading[0])
        return Joules(reading[0], reading[0], reading[0])

    read.at = None
    source.read = read
    assert probe(source, 0.1, clock=clock, sleep=clock.advance).resolution_j == 1.0


def test_a_counter_that_hardly_moves_has_no_pace(clock):
    assert probe(SteppingSource(clock, period_s=1.0, step_j=1.0), 2.5, clock=clock, sleep=clock.advance) is None


def test_a_counter_that_cannot_be_read_says_so(clock):
    with pytest.raises(MeteringError, match="gone"):
        probe(BrokenSource(clock, good=2), 1.0, clock=clock, sleep=clock.advance)
