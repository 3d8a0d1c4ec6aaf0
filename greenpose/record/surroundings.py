"""What the record says of where a run took place: the grid, the hardware, sources of energy readings, other tools."""

from typing import Any, Literal

from pydantic import Field

from greenpose.record.numbers import Interval, Kind
from greenpose.schema import Document


class Hardware(Document):
    """One part of the machine, what it took to make it, and how much of it the run held."""

    name: str
    """What it is."""
    kg: float
    """What it took to make it (TE), in kgCO2eq."""
    kg_interval: Interval
    """Systematic interval of `kg`; for the assumed host of a virtual machine its unknown size is in it too."""
    share: float
    """Part of it that the run held (RR / ToR), 0 to 1."""
    basis: Literal["given", "sourced", "derived", "default"]
    """given: by the user; sourced: published; derived: a sum or quotient of published figures; default: ours."""
    source: str
    """Where the figure comes from."""


class Embodied(Document):
    """Emissions of making the hardware: the M of the Software Carbon Intensity is TE x TiR / EL x RR / ToR."""

    kind: Literal["modelled", "given", "excluded"]
    """modelled: from the machine's parts; given: the user's own figure; excluded: left out by the user."""
    parts: list[Hardware]
    """The hardware; empty where it is left out."""
    lifetime_years: float
    """Years that it lasts (EL)."""
    note: str
    """How the part that the run held was found."""


class Carbon(Document):
    """What turns energy, and the making of the machine, into emissions."""

    country: str
    """ISO 3166 alpha-3 code, `custom` for a user's own factor, `hourly` for a user's own hourly file."""
    intensity_g_per_kwh: float
    """Grid carbon intensity of training: an annual mean, the user's own, or with an hourly file the mean of the hours
    of training, each counted by the energy used in it."""
    intensity_interval: Interval
    """Systematic interval of that intensity."""
    source: str
    """Table or file that the intensity was taken from, and how much of training lies outside the file."""
    vintage: str
    """Year or version of the table, or the span of an hourly file."""
    pue: float
    """Power usage effectiveness: the building's energy over the machine's."""
    mean_g_per_kwh: float | None = None
    """Mean of the whole hourly file, which images are charged with: nobody knows at what hour they will be computed;
    null without such a file."""
    mean_interval: Interval | None = None
    """Systematic interval of that mean."""
    embodied: Embodied | None = None
    """What it took to make the hardware; null in records from before it was counted."""


class Component(Document):
    """Where one component's energy readings come from."""

    component: str
    """`cpu`, `gpu` or `ram`."""
    kind: Kind
    """How its energy was obtained."""
    method: str
    """The source: counter, model and coefficients."""
    details: dict[str, Any] = Field(default_factory=dict)
    """Scope, resolution, update period, coverage, model parameters, version."""


class CrossCheck(Document):
    """Another tool's figure for the same training windows."""

    tool: str
    """Name and version."""
    energy_kwh: float | None
    """Its energy for the windows that it covered; null where it failed."""
    covered_seconds: float
    """Wall time of those windows."""
    ratio: float | None
    """Its energy over ours, for the same windows."""
    note: str
    """Mode and assumptions of the tool, or why it failed."""
