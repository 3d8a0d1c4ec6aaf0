"""How good a total is, from how its parts were obtained."""

from collections.abc import Mapping, Sequence
from typing import Literal

from greenpose.metering.source import KINDS, Joules, Kind, Provenance

MATERIAL = 0.10
"""A component is material above this share of the total."""

Grade = Literal["A", "B", "C"]


def material_kinds(joules: Mapping[str, Joules], provenances: Sequence[Provenance]) -> set[Kind]:
    """Return the kinds of all parts above a tenth of the total.

    A component that exists but is not covered counts as material: nobody knows how large it is.
    """
    total = sum(energy.mid for energy in joules.values())
    kinds: set[Kind] = set()
    for provenance in provenances:
        energy = joules.get(provenance.component)
        if provenance.kind == "not_covered" or (energy is not None and energy.mid > MATERIAL * total):
            kinds.add(provenance.kind)
    return kinds


def worst_kind(joules: Mapping[str, Joules], provenances: Sequence[Provenance]) -> Kind:
    """Return the worst kind of any material part: that of the total; `not_covered` where there is none."""
    return max(material_kinds(joules, provenances), key=KINDS.index, default="not_covered")


def grade(joules: Mapping[str, Joules], provenances: Sequence[Provenance]) -> Grade:
    """Return A if every material part was measured, C if none was measured or sampled, B for a mixture."""
    kinds = material_kinds(joules, provenances)
    if kinds == {"measured"}:
        return "A"
    return "B" if kinds & {"measured", "estimated"} else "C"


MEANING: Mapping[Grade, str] = {
    "A": "every material component was read from a hardware counter",
    "B": "part of the energy was read from hardware, part is a model",
    "C": "all energy is a model of CPU time and memory: compare runs on one machine, do not quote absolute joules",
}
