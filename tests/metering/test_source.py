import json

from hypothesis import given
from hypothesis import strategies as st

from greenpose.metering.sources import Joules, ScriptedSource, Source
from tests.metering.fakes import TickingClock, TickingSource

ENERGIES = st.builds(Joules, *[st.floats(0, 1e9) for _ in range(3)])


@given(ENERGIES, ENERGIES)
def test_ledgers_are_added_and_subtracted_apart(a: Joules, b: Joules):
    assert (a + b) == Joules(a.low + b.low, a.mid + b.mid, a.high + b.high)
    assert (a - b) == Joules(a.low - b.low, a.mid - b.mid, a.high - b.high)


def test_scaling_scales_the_interval_too():
    assert Joules(1.0, 2.0, 4.0) * 0.5 == Joules(0.5, 1.0, 2.0)


def test_a_scripted_source_repeats_its_last_reading():
    source = ScriptedSource("gpu", [Joules(0.0, 1.0, 2.0), Joules(3.0, 4.0, 5.0)])
    assert [source.read().mid for _ in range(4)] == [1.0, 4.0, 4.0, 4.0]


def test_anything_with_component_provenance_and_read_is_a_source():
    assert isinstance(TickingSource(TickingClock()), Source)
    assert isinstance(ScriptedSource("cpu", [Joules(0.0, 0.0, 0.0)]), Source)
    assert not isinstance(TickingClock(), Source)


def test_provenance_is_json():
    data = json.loads(json.dumps(TickingSource(TickingClock()).provenance.as_dict()))
    assert data["component"] == "cpu"
    assert data["kind"] == "measured"
    assert data["resolution_j"] is None
