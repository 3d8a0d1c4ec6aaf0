"""Numbers of a record: how each was obtained, and how far it can be trusted."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from greenpose.intervals import Bounds
from greenpose.metrics import MOST
from greenpose.quantity import Kind, Quantity
from greenpose.schema import Document


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


class Numbers(Document):
    """Fields whose numbers have a basis each."""

    basis: dict[str, Basis] = Field(default_factory=dict)
    """For each number of this object, by its field name: unit, kind, method, intervals."""

    def quantity(self, name: str, *, scale: float = 1.0, unit: str | None = None, disturbed: bool = False) -> Quantity:
        """Return the number `name` with how it was obtained; one that the record says nothing about is `not_covered`.

        A dotted name such as `relative_to_final.latency_s` reaches into a mapping. `scale` and `unit` give it in
        another unit: pages ask for a million of them, and make no second one each.
        """
        field, _, key = name.partition(".")
        value = getattr(self, field)
        value = value.get(key) if key else value
        basis = self.basis.get(name)
        if basis is None:
            reason = "not recorded" if value is None else ""
            value = None if value is None else value * scale
            return Quantity(value=value, unit=unit or "", missing=reason, disturbed=disturbed)
        return quantity_of(value, basis, scale=scale, unit=unit, disturbed=disturbed)

    def of_image(self, name: str, *, scale: float = 1.0, unit: str | None = None, disturbed: bool = False) -> Quantity:
        """Return the same as `quantity`, but of all passes that an image takes, where these are several."""
        return self.quantity(name, scale=scale, unit=unit, disturbed=disturbed)


def quantity_of(
    value: float | None, basis: Basis, *, scale: float = 1.0, unit: str | None = None, disturbed: bool = False
) -> Quantity:
    """Return a number of a document with its basis there; `scale` and `unit` give it in another unit."""
    return Quantity(
        value=None if value is None else value * scale,
        unit=basis.unit if unit is None else unit,
        kind=basis.kind,
        method=basis.method,
        type_a=_bounds(basis.type_a, scale),
        type_b=_bounds(basis.type_b, scale),
        missing=basis.missing or ("the record does not say why" if value is None else ""),
        disturbed=disturbed,
    )


def basis_of(quantity: Quantity) -> Basis:
    """Return how a number was obtained, as it stands in a document."""
    return Basis(
        unit=quantity.unit,
        kind=quantity.kind,
        method=quantity.method,
        type_a=interval_of(quantity.type_a),
        type_b=interval_of(quantity.type_b),
        missing=quantity.missing or None,
    )


def with_bases(quantities: Mapping[str, Quantity]) -> dict[str, Any]:
    """Return the fields of a document that holds these numbers: each by its name, and their bases."""
    values = {name: quantity.value for name, quantity in quantities.items()}
    return {**values, "basis": {name: basis_of(quantity) for name, quantity in quantities.items()}}


def interval_of(bounds: Bounds | None) -> Interval | None:
    """Return an interval as it stands in a document."""
    return None if bounds is None else Interval(low=bounds.low, high=bounds.high)


def _bounds(interval: Interval | None, scale: float) -> Bounds | None:
    return None if interval is None else Bounds(interval.low * scale, interval.high * scale)
