"""Emissions in the record: operational, of making the hardware, and both together."""

from collections.abc import Sequence

from greenpose.metering import Bounds, Carbon, Embodied, Window
from greenpose.record import Basis, Hardware, Interval, Kind, Quantity
from greenpose.record import Embodied as EmbodiedEntry
from greenpose.units import KINDS

UNIT = "gCO2eq"


def embodied_entry(embodied: Embodied) -> EmbodiedEntry:
    """Return the hardware as the record has it."""
    parts = [
        Hardware(
            name=part.name,
            kg=part.kg,
            kg_interval=Interval(low=part.low_kg, high=part.high_kg),
            share=part.share,
            basis=part.basis,
            source=part.source,
        )
        for part in embodied.parts
    ]
    return EmbodiedEntry(kind=embodied.kind, parts=parts, lifetime_years=embodied.lifetime_years, note=embodied.note)


def training_emissions(
    windows: Sequence[Window], carbon: Carbon, embodied: Embodied | None, *, kind: Kind
) -> tuple[Quantity, Quantity, Quantity]:
    """Return the emissions of training's windows, whose energy is of a `kind`: operational, embodied, and both."""
    grams = carbon.grams_of(windows)
    method = f"energy x PUE x {carbon.describe_grid(timed=True)}; interval ends multiplied with ends"
    basis = Basis(unit=UNIT, kind=kind, method=method, type_b=_interval(grams.low, grams.high))
    operational = Quantity(name="train_co2eq_g", value=grams.mid, basis=basis)
    seconds = sum(window.seconds for window in windows)
    making = embodied_emissions("train_embodied_co2eq_g", embodied, seconds, time="wall time of training")
    return operational, making, carbon_intensity("train_sci_g", operational, making, per="training")


def embodied_emissions(
    name: str, embodied: Embodied | None, seconds: float, *, time: str, repeated: Bounds | None = None
) -> Quantity:
    """Return what making the held hardware costs for a time, which `time` says in words.

    Type A is that of the time, where it was `repeated`; Type B that of the hardware.
    """
    method = f"what it took to make the part of the hardware that is held x {time} / its life"
    if embodied is None:
        return _none(name, method, "not recorded: the hardware is not known")
    if embodied.kind == "excluded":
        return _none(name, method, "left out by the user (carbon.embodied_kg is 0)")
    grams = embodied.grams(seconds)
    basis = Basis(
        unit=UNIT,
        kind="modelled",
        method=f"{method}, {embodied.lifetime_years:g} years; {embodied.note}",
        type_a=None if repeated is None else _interval(*(embodied.grams(end).mid for end in repeated)),
        type_b=_interval(grams.low, grams.high),
    )
    return Quantity(name=name, value=grams.mid, basis=basis)


def carbon_intensity(name: str, operational: Quantity, embodied: Quantity, *, per: str) -> Quantity:
    """Return the Software Carbon Intensity: both kinds of emissions for a functional unit; none where one is missing.

    Source: Software Carbon Intensity specification 1.1 (ISO/IEC 21031:2024), SCI = (O + M) per R.
    """
    method = f"Software Carbon Intensity per {per}: operational + embodied emissions, interval ends added to ends"
    missing = [each.basis.missing or f"{each.name} is null" for each in (operational, embodied) if each.value is None]
    if operational.value is None or embodied.value is None:
        return _none(name, method, "; ".join(missing))
    both = (operational.basis, embodied.basis)
    basis = Basis(
        unit=UNIT,
        kind=max((each.kind for each in both), key=KINDS.index),
        method=method,
        type_a=_sum([each.type_a for each in both]),
        type_b=_sum([each.type_b for each in both]),
    )
    return Quantity(name=name, value=operational.value + embodied.value, basis=basis)


def _none(name: str, method: str, missing: str) -> Quantity:
    return Quantity(name=name, value=None, basis=Basis(unit=UNIT, kind="not_covered", method=method, missing=missing))


def _sum(intervals: Sequence[Interval | None]) -> Interval | None:
    """Return the ends' sums: both parts follow the same clock, so that their errors do not cancel."""
    known = [interval for interval in intervals if interval is not None]
    if len(known) < len(intervals):
        return None
    return _interval(sum(each.low for each in known), sum(each.high for each in known))


def _interval(low: float, high: float) -> Interval:
    return Interval(low=low, high=high)
