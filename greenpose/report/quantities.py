"""Quantities in display units: how records' numbers are labelled, scaled, averaged over runs and divided."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache

from greenpose.formatting import percent
from greenpose.metering.doctor import STEAL_SHARE
from greenpose.metering.inference_samples import FOREIGN_WARNING
from greenpose.metrics import CO2, ENERGY, LATENCY, MACS, PARAMS, TRAIN_CO2, TRAIN_ENERGY, Metric
from greenpose.quantity import DISTURBED, MARKS, Kind, Quantity, scaled
from greenpose.record import Exit, Record
from greenpose.record.artefacts import ArtefactCost

FOOTPRINTS = (ENERGY, MACS, PARAMS, LATENCY, CO2, TRAIN_ENERGY, TRAIN_CO2)
"""What accuracy is charted against, the chart that leads the page first."""
PER_1000, PER_MILLION = "1000 images", "million images"
"""What emissions are told of, where one image would be too little to read."""
_PREFIXES: Mapping[str, float] = {"k": 1e3, "": 1.0, "m": 1e-3, "µ": 1e-6, "n": 1e-9}
_SMALLER = {"GMACs": "MMACs", "M": "k", "kWh": "Wh", "Wh": "mWh"}


def energy_figure(kwh: Iterable[float]) -> Metric:
    """Return training energy in watt-hours with the prefix that suits these amounts, and parts of them."""
    amounts = [each * TRAIN_ENERGY.scale for each in kwh]
    found = prefixed(TRAIN_ENERGY, amounts)
    return smaller(found, [each * found.scale / TRAIN_ENERGY.scale for each in amounts])


def prefixed(figure: Metric, values: Iterable[float | None]) -> Metric:
    """Return a figure whose unit has the prefix under which most of the values read between 0.1 and 999.

    It has none where that does as well as any other, else the one that leaves most of them at 1 or more.
    """
    known = [abs(value) for value in values if value]

    def fit(prefix: str) -> tuple[int, bool, int]:
        read = [value / _PREFIXES[prefix] for value in known]
        return sum(0.1 <= each < 999.5 for each in read), not prefix, sum(1 <= each < 999.5 for each in read)

    best = max(_PREFIXES, key=fit)
    return replace(figure, unit=best + figure.unit, scale=figure.scale / _PREFIXES[best]) if best else figure


def of_million(figure: Metric) -> Metric:
    """Return micrograms of 1000 images as what they are of a million, as many milligrams, which are easier to read."""
    if not figure.unit.startswith("µ"):
        return figure
    unit, words = (text.replace(PER_1000, PER_MILLION) for text in (figure.unit, figure.words))
    return replace(figure, unit=f"m{unit[1:]}", words=words)


def smaller(figure: Metric, amounts: Iterable[float | None]) -> Metric:
    """Return a figure whose unit has the next smaller prefix where none of the amounts reaches 1 of its own."""
    known, unit = [each for each in amounts if each], _SMALLER.get(figure.unit)
    return replace(figure, unit=unit, scale=figure.scale * 1e3) if unit and known and max(known) < 1 else figure


def in_unit(each: Quantity, metric: Metric) -> Quantity:
    """Return a number of a record in display units."""
    return replace(
        each,
        value=None if each.value is None else each.value * metric.scale,
        unit=metric.unit,
        type_a=scaled(each.type_a, metric.scale),
        type_b=scaled(each.type_b, metric.scale),
    )


def of_exit(entry: Exit, metric: Metric) -> Quantity:
    """Return one number of an exit in display units; sizes without a basis are counted ones."""
    return _of_exit(entry, metric, metric.scale, metric.unit)


def recorded(entry: Exit, metric: Metric) -> Quantity:
    """Return the same in the record's unit."""
    return _of_exit(entry, metric, 1.0, None)


def _of_exit(entry: Exit, metric: Metric, scale: float, unit: str | None) -> Quantity:
    disturbed = metric.per_machine and sum(disturbance(entry)) > 0
    each = entry.of_image(metric.name, scale=scale, unit=unit, disturbed=disturbed)
    if metric.kind == "counted" and each.value is not None and each.kind == "not_covered":
        return Quantity(value=each.value, unit=each.unit, kind="counted", method=each.method)
    return each


def disturbance(entry: Exit | ArtefactCost) -> tuple[float, float]:
    """Return the shares of the CPU that other processes and other guests took while an exit, or a file, was metered.

    Each is 0 up to the share above which the meter warns of it.
    """
    foreign_share, steal_share = _warned_from()
    said = entry.measurement
    foreign, steal = (0.0 if each is None else each for each in map(said.get, ("foreign_cpu_share", "steal_share")))
    return foreign * (foreign > foreign_share), steal * (steal > steal_share)


@cache
def _warned_from() -> tuple[float, float]:
    """Return the shares of the CPU above which the meter warns of other processes, and of other guests."""
    return FOREIGN_WARNING, STEAL_SHARE


def of_record(record: Record, figure: Metric) -> Quantity:
    """Return one number of a run in display units."""
    return record.quantity(figure.name, scale=figure.scale, unit=figure.unit)


def kind_of(record: Record, figure: Metric) -> Kind:
    """Return how one number of a run was obtained, without the number."""
    basis = record.basis.get(figure.name)
    return basis.kind if basis else "not_covered"


def legend() -> list[str]:
    """Return what each sign at a number says."""
    foreign, steal = _warned_from()
    return [
        *(f"{symbol} {words}" for symbol, words in MARKS.values()),
        f"{DISTURBED} metered while other processes took more than {percent(foreign)} of the CPU, or other "
        f"guests more than {percent(steal)}",
    ]
