""""""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenpose.metering.sources.source import Attribution, Joules, Source
from tests.fakes.meters import ScriptedSource, TickingClock, TickingSource

ENERGIES = st.builds(Joules, *[st.floats(0, 1e9) for _ in range(3)])


@given(ENERGIES, ENERGIES)
def test_ledgers_are_added_and_subtracted_apart(a: Joules, b: Joules):
    assert (a + b) == Joules(a.low + b.low, a.mid + b.mid, a.high + b.high)
    assert (a - b) == Joules(a.low - b.low, a.mid - b.mid, a.high - b.high)


def test_scaling_scales_the_interval_too():
    assert Joules(1.0, 2.0, 4.0) * 0.5 == Joules(0.5, 1.0, 2.0)


def test_anything_with_component_provenance_and_read_is_a_source():
    assert isinstance(TickingSource(TickingClock()), Source)
    assert isinstance(ScriptedSource("cpu", [Joules(0.0, 0.0, 0.0)]), Source)
    assert not isinstance(TickingClock(), Source)


def test_provenance_is_json():
    data = json.loads(json.dumps(TickingSource(TickingClock()).provenance.as_dict()))
    assert data["component"] == "cpu"
    assert data["kind"] == "measured"
    assert data["resolution_j"] is None


@given(st.floats(0, 1e9), st.integers(1, 64))
def test_the_workers_parts_sum_to_the_whole(whole, workers):
    part = Attribution(counter_kind="measured", error=0.1, workers=workers).of(whole)
    assert workers * part.mid == pytest.approx(whole)
    assert part.low <= part.mid <= part.high


@pytest.mark.parametrize(
    ("counter_kind", "workers", "kind"),
    [
        ("measured", 1, "measured"),
        ("measured", 2, "estimated"),
        ("estimated", 1, "estimated"),
        ("estimated", 2, "estimated"),
    ],
)
def test_an_equal_part_is_never_better_than_an_estimate(counter_kind, workers, kind):
    assert Attribution(counter_kind=counter_kind, error=0.1, workers=workers).kind == kind


def test_an_equal_part_is_less_sure_than_the_whole_and_says_so():
    alone = Attribution(counter_kind="measured", error=0.1, workers=1)
    shared = Attribution(counter_kind="measured", error=0.1, workers=2)
    assert (alone.of(10).low, alone.of(10).high) == pytest.approx((9, 11))
    assert shared.of(20).low < alone.of(10).low
    assert shared.of(20).high > alone.of(10).high
    assert alone.explain("counter") == "counter"
    assert shared.explain("counter") == "counter, divided equally by 2 workers"
    assert "equal part" in shared.explain_scope("the board")
