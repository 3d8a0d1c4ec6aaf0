"""Sources of energy: cumulative counters with uncertainty and provenance, and whose joules they are."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from greenpose.formatting import joules_to_kwh
from greenpose.intervals import Bounds
from greenpose.quantity import Kind, Quantity, worst

Component = Literal["cpu", "gpu", "ram"]


@dataclass(frozen=True, slots=True)
class Joules:
    """An energy with its systematic (GUM Type B, k about 2) interval, in joules.

    The three are parallel ledgers, one per set of coefficients. They are added and subtracted apart, so that
    intervals of nested and consecutive windows add up exactly, as fully correlated errors do.
    """

    low: float
    """Energy if every coefficient is at its low end."""
    mid: float
    """Best estimate."""
    high: float
    """Energy if every coefficient is at its high end."""

    def __add__(self, other: "Joules") -> "Joules":
        """Return the sum, ledger by ledger."""
        return Joules(self.low + other.low, self.mid + other.mid, self.high + other.high)

    def __sub__(self, other: "Joules") -> "Joules":
        """Return the difference, ledger by ledger."""
        return Joules(self.low - other.low, self.mid - other.mid, self.high - other.high)

    def __mul__(self, factor: float) -> "Joules":
        """Return the energy scaled by a number without uncertainty."""
        return Joules(self.low * factor, self.mid * factor, self.high * factor)

    def kwh(self, *, kind: Kind, method: str) -> Quantity:
        """Return the energy in kWh, as it leaves the meter."""
        low, mid, high = (joules_to_kwh(joules) for joules in (self.low, self.mid, self.high))
        return Quantity(value=mid, unit="kWh", kind=kind, method=method, type_b=Bounds(low, high))


NO_ENERGY = Joules(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where one component's energy comes from, and what it does and does not cover."""

    component: Component
    """Part of the machine."""
    kind: Kind
    """How its energy is obtained."""
    method: str
    """Counter or model, in one sentence."""
    device: str
    """The part as it names itself."""
    scope: str
    """What the reading covers: the package, the process and its children, the whole machine."""
    resolution_j: float | None = None
    """Smallest step of the reading in joules; None for a continuous model."""
    update_period_s: float | None = None
    """How often the counter moves, in seconds; None for a model, which is evaluated at each reading."""
    coverage: str = ""
    """What is left out."""
    affine: bool = True
    """Whether energy is additive over windows, so that idle power may be subtracted."""
    model_params: dict[str, Any] = field(default_factory=dict)
    """Coefficients of a model with their sources; of a counter its error, its share, and `most_watts`, the power that
    the reading never exceeds."""
    source: str
    """Where the reading or its coefficients come from."""
    version: str
    """Version of that."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return asdict(self)


@runtime_checkable
class Source(Protocol):
    """A component's energy since an arbitrary origin; never decreases."""

    @property
    def component(self) -> Component:
        """Part of the machine."""

    @property
    def provenance(self) -> Provenance:
        """Where the readings come from."""

    def read(self) -> Joules:
        """Return the energy so far.

        Raises:
            MeteringError: if the counter cannot be read now; the window is then recorded without this component.
        """


@runtime_checkable
class CounterSource(Source, Protocol):
    """A source that reads hardware."""

    def first(self) -> Source:
        """Return a source of the first of its counters alone."""

    def close(self) -> None:
        """Let go of what it holds; called once, when its meter ends."""


@runtime_checkable
class ClockModel(Source, Protocol):
    """A source whose energy follows from wall time and CPU time alone, in proportion: it need not be read."""

    def over(self, *, seconds: float, cpu_seconds: float) -> Joules:
        """Return the energy of a stretch of time in which the process used so much of the CPU."""


UNEQUAL = (0.5, 2.0)
"""How far one of several workers' true part may be from an equal one: an assumption, k about 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """How a counter's joules become those of one of `workers` processes like this one."""

    counter_kind: Kind
    """How the counter itself obtains them."""
    error: float
    """Relative systematic error of the counter, k about 2."""
    workers: int
    """Processes that the joules are divided among equally."""

    @property
    def kind(self) -> Kind:
        """Return how the process's joules are obtained: an equal part is an estimate."""
        return worst((self.counter_kind, "estimated")) if self.workers > 1 else self.counter_kind

    def of(self, whole_j: float) -> Joules:
        """Return this process's joules, with their interval."""
        low, high = UNEQUAL if self.workers > 1 else (1.0, 1.0)
        part = whole_j / self.workers
        return Joules(part * (1 - self.error) * low, part, part * (1 + self.error) * high)

    def explain(self, method: str) -> str:
        """Return the method with the division said."""
        return method if self.workers == 1 else f"{method}, divided equally by {self.workers} workers"

    def explain_scope(self, scope: str) -> str:
        """Return the scope with what the division leaves open said."""
        if self.workers == 1:
            return f"{scope}, whoever used it"
        return f"an equal part of {scope}: right over all workers together, unequal work of one does not show"


Level = Literal["good", "note", "warning"]


class MachineFinding(NamedTuple):
    """One thing that a user should know."""

    topic: str
    """`cpu`, `gpu`, `ram`, `allocator`, `threads`, `load`, `steal`, `codecarbon`, `numbers`, or a runtime."""
    level: Level
    """good: as it should be; note: worth knowing; warning: it makes numbers worse."""
    says: str
    """What is so, in plain words."""
    remedy: str | None = None
    """What to do about it; None if nothing can or need be done."""
