"""Numbers of a record: how each was obtained, and how far it can be trusted."""

from typing import Literal

from pydantic import Field

from greenpose.schema import Document

Kind = Literal["measured", "estimated", "modelled", "sourced", "counted", "computed", "not_covered"]
"""How a number was obtained.

measured: a hardware counter or a clock; estimated: samples of one; modelled: coefficients times something measured;
sourced: taken from a published table; counted: exact by construction; computed: from evaluated predictions;
not_covered: not available here.
"""


MOST = 1e30
"""Beyond every amount that a run can come to, in whatever unit; arithmetic with greater ones leaves floating point."""


class Interval(Document):
    """A range, in the unit of the number it belongs to."""

    low: float = Field(ge=-MOST, le=MOST)
    """Lower end."""
    high: float = Field(ge=-MOST, le=MOST)
    """Upper end."""


class Basis(Document):
    """How one number was obtained and how far it can be trusted."""

    unit: str
    """Unit of the number, of both intervals."""
    kind: Kind
    """How the number was obtained."""
    method: str
    """One sentence: source or estimator, and what the number covers."""
    type_a: Interval | None = None
    """95 % interval from repetition (GUM Type A); null where nothing was repeated."""
    type_b: Interval | None = None
    """Interval of systematic error (GUM Type B, k about 2); null where the number is exact or the error unknown."""
    missing: str | None = None
    """Why the number is null; null where there is a number."""


class Quantity(Document):
    """A number with its basis, as readers of records pass it around."""

    name: str
    """Field name in the record."""
    value: float | None
    """The number, or null where it was not obtained."""
    basis: Basis
    """How it was obtained."""


class Numbers(Document):
    """Fields whose numbers have a basis each."""

    basis: dict[str, Basis] = Field(default_factory=dict)
    """For each number of this object, by its field name: unit, kind, method, intervals."""

    def quantity(self, name: str) -> Quantity:
        """Return the number `name` with its basis; one that the record says nothing about is `not_covered`.

        A dotted name such as `relative_to_final.latency_s` reaches into a mapping.
        """
        field, _, key = name.partition(".")
        value = getattr(self, field)
        value = value.get(key) if key else value
        basis = self.basis.get(name)
        if basis is None:
            basis = Basis(unit="", kind="not_covered", method="", missing=None if value is not None else "not recorded")
        return Quantity(name=name, value=value, basis=basis)
