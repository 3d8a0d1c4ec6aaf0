import pytest

from benchmarks.growth import ANNOTATION_BYTES, Point, growth_faults
from benchmarks.race import Race, race


def test_a_ratio_is_taken_round_by_round_and_judged_by_its_median():
    """A round in which the machine was slow for both tells as much as any other."""
    found = Race(times={"theirs": [2.0, 4.0, 20.0, 2.2, 2.4, 2.0], "ours": [1.0, 2.0, 10.0, 1.0, 1.0, 1.0]})
    reached, missed = (found.claim("a step", "theirs", "ours", promised) for promised in (1.9, 2.1))
    assert reached.ratio.value == pytest.approx(2.0)
    assert reached.fault is None
    assert str(reached).endswith("6 rounds; promised 1.9x: reached")
    assert "2.00 times as fast, promised 2.1" in missed.fault
    assert str(missed).endswith("not reached")
    told = found.claim("a step", "theirs", "ours")
    assert told.fault is None
    assert "promised" not in str(told)


def test_every_side_runs_once_a_round_and_the_first_round_does_not_count():
    calls = {"a": 0, "b": 0}

    def side(name):
        def run():
            calls[name] += 1

        return run

    found = race({name: side(name) for name in calls}, seconds=0.0, fewest=7)
    assert {name: len(times) for name, times in found.times.items()} == {"a": 7, "b": 7}
    assert calls == {"a": 8, "b": 8}


def point(frames, peak):
    return Point(frames=frames, images_per_second=1.0, peak_bytes=peak, record_bytes=1, making_seconds=1.0)


@pytest.mark.parametrize(("each", "faults"), [(0, 0), (ANNOTATION_BYTES, 0), (ANNOTATION_BYTES + 10, 1)])
def test_memory_may_grow_by_annotations_and_by_no_more(each, faults):
    points = [point(100, 10**8), point(1000, 5 * 10**8), point(11_000, 5 * 10**8 + 10_000 * each)]
    assert len(growth_faults(points)) == faults
