"""How good a total is, from how its parts were obtained."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

from greenpose.metering.source import Joules, Kind, Provenance
from greenpose.metering.window import Window
from greenpose.units import KINDS

MATERIAL = 0.10
"""A component is material above this share of the total."""

Grade = Literal["A", "B", "C"]


def worst_kind(joules: Mapping[str, Joules], provenances: Sequence[Provenance], *, short: Collection[str] = ()) -> Kind:
    """Return the worst kind of any material part that was read: that of the total; `not_covered` where none was.

    The total is a number, so it has the kind of what is in it. What is not in it is named by `gaps` and lowers `grade`.
    A counter that was read for a part of the time only, as of those components that are `short`, is an estimate.
    """
    kinds: set[Kind] = {*_material(joules, provenances)}
    if kinds and short:
        kinds.add("estimated")
    return max(kinds, key=KINDS.index, default="not_covered")


def gaps(joules: Mapping[str, Joules], provenances: Sequence[Provenance]) -> tuple[Provenance, ...]:
    """Return the components that exist and are not in the total: nobody knows how large they are."""
    return tuple(provenance for provenance in provenances if provenance.component not in joules)


def short_of(windows: Iterable[Window]) -> frozenset[str]:
    """Return the components that some of the windows lack."""
    return frozenset(component for window in windows for component in window.missing)


def grade(joules: Mapping[str, Joules], provenances: Sequence[Provenance], *, short: Collection[str] = ()) -> Grade:
    """Return A if every material part was measured and none is missing, C if all are models, B for anything between.

    `short` are components that could be read for a part of the time only.
    """
    kinds = _material(joules, provenances)
    if kinds == {"measured"} and not gaps(joules, provenances) and not short:
        return "A"
    return "B" if kinds & {"measured", "estimated"} else "C"


def _material(joules: Mapping[str, Joules], provenances: Sequence[Provenance]) -> set[Kind]:
    """Return the kinds of all parts above a tenth of what was read."""
    total = sum(energy.mid for energy in joules.values())
    return {
        provenance.kind
        for provenance in provenances
        if provenance.component in joules and joules[provenance.component].mid > MATERIAL * total
    }


MEANING: Mapping[Grade, str] = {
    "A": "every material component was read from a hardware counter",
    "B": "part of the energy was read from hardware; the rest is an estimate, a model, or missing",
    "C": "all energy is a model of CPU time and memory: compare runs on one machine, do not quote absolute joules",
}
