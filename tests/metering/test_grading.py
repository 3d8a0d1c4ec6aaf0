import pytest

from greenpose.metering import Joules, gaps, grade, worst_kind
from tests.metering.fakes import provenance


def parts(**kinds_and_joules):
    joules = {name: Joules(0.0, energy, energy) for name, (_, energy) in kinds_and_joules.items() if energy is not None}
    return joules, [provenance(name, kind) for name, (kind, _) in kinds_and_joules.items()]


@pytest.mark.parametrize(
    ("components", "letter", "worst"),
    [
        ({"cpu": ("measured", 10), "ram": ("measured", 10)}, "A", "measured"),
        ({"cpu": ("measured", 95), "ram": ("modelled", 5)}, "A", "measured"),
        ({"cpu": ("measured", 90), "ram": ("modelled", 10)}, "A", "measured"),
        ({"cpu": ("measured", 89), "ram": ("modelled", 11)}, "B", "modelled"),
        ({"cpu": ("modelled", 5), "gpu": ("estimated", 95)}, "B", "estimated"),
        ({"cpu": ("modelled", 50), "ram": ("modelled", 50)}, "C", "modelled"),
        ({"cpu": ("modelled", 95), "ram": ("measured", 5)}, "C", "modelled"),
        ({"cpu": ("measured", 50), "gpu": ("not_covered", None)}, "B", "measured"),
        ({"cpu": ("modelled", 50), "gpu": ("not_covered", None)}, "C", "modelled"),
        ({"cpu": ("measured", 50), "gpu": ("measured", None)}, "B", "measured"),
        ({"gpu": ("not_covered", None)}, "C", "not_covered"),
        ({}, "C", "not_covered"),
    ],
)
def test_the_grade_is_that_of_the_material_parts(components, letter, worst):
    joules, provenances = parts(**components)
    assert grade(joules, provenances) == letter
    assert worst_kind(joules, provenances) == worst


def test_a_component_that_is_not_in_the_total_is_a_gap_whatever_its_source_promised():
    joules, provenances = parts(cpu=("measured", 50), gpu=("not_covered", None), ram=("modelled", None))
    assert [provenance.component for provenance in gaps(joules, provenances)] == ["gpu", "ram"]
    joules, provenances = parts(cpu=("measured", 50), ram=("modelled", 0))
    assert gaps(joules, provenances) == ()
