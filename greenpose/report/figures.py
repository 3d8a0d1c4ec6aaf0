"""The numbers that the page shows of an exit and of a run: field name, words, unit, factor, precision."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from greenpose.formatting import percent
from greenpose.record import Exit, Kind, Record
from greenpose.report.estimates import DISTURBED, Estimate, estimate_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number of a record, and how the page words it."""

    name: str
    """Field name in the record."""
    label: str
    """Heading."""
    unit: str
    """Display unit."""
    scale: float = 1.0
    """Factor from the record's unit to the display unit."""
    most_decimals: int | None = None
    """Most decimals ever printed."""
    words: str = ""
    """What it is, inside a sentence or a chart's title."""
    of_run: bool = False
    """True: a number of the whole run, False: of each exit."""
    per_machine: bool = True
    """True: depends on the machine, so only figures of one machine compare."""


PERCENT = 100.0
PARAMS = Figure(name="params", label="Params", unit="M", scale=1e-6, words="parameters", per_machine=False)
MACS = Figure(name="macs", label="MACs", unit="GMACs", scale=1e-9, words="MACs", per_machine=False)
AP = Figure(name="ap", label="AP", unit="%", scale=PERCENT, most_decimals=1, words="AP", per_machine=False)
ACCURACIES = (
    AP,
    Figure(name="ap50", label="AP50", unit="%", scale=PERCENT, most_decimals=1, per_machine=False),
    Figure(name="ap75", label="AP75", unit="%", scale=PERCENT, most_decimals=1, per_machine=False),
    Figure(name="ar", label="AR", unit="%", scale=PERCENT, most_decimals=1, per_machine=False),
    Figure(name="pck", label="PCK", unit="%", scale=PERCENT, most_decimals=1, per_machine=False),
    Figure(name="pck_corrected", label="PCK, corrected", unit="%", scale=PERCENT, most_decimals=1, per_machine=False),
)
LATENCY = Figure(name="latency_s", label="Latency", unit="ms", scale=1e3, words="latency per image")
CPU = Figure(name="cpu_s_per_image", label="CPU time", unit="ms", scale=1e3, words="CPU time per image")
ENERGY = Figure(name="energy_j_per_image", label="Gross energy", unit="J/image", words="energy per image")
NET_ENERGY = Figure(name="net_energy_j_per_image", label="Net energy", unit="J/image", words="net energy per image")
CO2 = Figure(name="co2eq_g_per_1000_images", label="CO2eq", unit="g/1000 images", words="emissions per 1000 images")
EMBODIED = Figure(
    name="embodied_co2eq_g_per_1000_images",
    label="Making the machine",
    unit="gCO2eq/1000 images",
    words="embodied emissions per 1000 images",
)
SCI = Figure(
    name="sci_g_per_1000_images", label="SCI", unit="gCO2eq/1000 images", words="carbon intensity per 1000 images"
)
EXIT_FIGURES = (PARAMS, MACS, *ACCURACIES, LATENCY, CPU, ENERGY, NET_ENERGY, CO2)
TRAIN_ENERGY = Figure(
    name="train_energy_kwh", label="Training energy", unit="Wh", scale=1e3, words="training energy", of_run=True
)
TRAIN_CO2 = Figure(name="train_co2eq_g", label="Training CO2eq", unit="g", words="training emissions", of_run=True)
TRAIN_EMBODIED = Figure(name="train_embodied_co2eq_g", label="Making the machine", unit="g", of_run=True)
TRAIN_SCI = Figure(name="train_sci_g", label="SCI", unit="g/training", of_run=True)
FOOTPRINTS = (ENERGY, MACS, PARAMS, LATENCY, CO2, TRAIN_ENERGY, TRAIN_CO2)
"""What accuracy is charted against, the chart that leads the page first."""
RELATIVE = {"latency_s": LATENCY, "cpu_s_per_image": CPU, "energy_j_per_image": ENERGY}
"""Numbers of which the record has within-block ratios to the final exit."""

MARKS: dict[Kind, tuple[str, str]] = {
    "modelled": ("≈", "modelled: coefficients times something measured"),
    "estimated": ("∼", "estimated: samples of a counter or clock"),
}
"""Symbol in front of a number that was not measured, counted or computed, and what it says."""
_PREFIXES: Mapping[str, float] = {"k": 1e3, "": 1.0, "m": 1e-3, "µ": 1e-6, "n": 1e-9}


def energy_figure(kwh: Iterable[float]) -> Figure:
    """Return training energy in watt-hours with the prefix that suits these amounts."""
    return prefixed(TRAIN_ENERGY, [each * TRAIN_ENERGY.scale for each in kwh])


def prefixed(figure: Figure, values: Iterable[float | None]) -> Figure:
    """Return a figure whose unit has the prefix under which most of the values read between 0.1 and 999.

    It has none where that does as well as any other, else the one that leaves most of them at 1 or more.
    """
    known = [abs(value) for value in values if value]

    def fit(prefix: str) -> tuple[int, bool, int]:
        read = [value / _PREFIXES[prefix] for value in known]
        return sum(0.1 <= each < 999.5 for each in read), not prefix, sum(1 <= each < 999.5 for each in read)

    best = max(_PREFIXES, key=fit)
    return replace(figure, unit=best + figure.unit, scale=figure.scale / _PREFIXES[best]) if best else figure


def training_figure(records: Iterable[Record]) -> Figure:
    """Return training energy in the unit that suits all runs of the page."""
    return energy_figure([run.train_energy_kwh for run in records])


def of_exit(entry: Exit, figure: Figure) -> Estimate:
    """Return one number of an exit in display units; sizes without a basis are counted ones."""
    disturbed = figure.per_machine and any(disturbance(entry))
    each = estimate_of(getattr(entry, figure.name), entry.basis.get(figure.name), figure.scale, disturbed=disturbed)
    if figure.name in (PARAMS.name, MACS.name) and each.value is not None and each.kind == "not_covered":
        return Estimate(value=each.value, kind="counted")
    return each


def disturbance(entry: Exit) -> tuple[float, float]:
    """Return the shares of the CPU that other processes and other guests took while an exit was metered.

    Each is 0 up to the share above which the meter warns of it.
    """
    from greenpose.metering.doctor import STEAL_SHARE
    from greenpose.metering.inference_samples import FOREIGN_WARNING

    foreign, steal = (entry.measurement.get(name) or 0.0 for name in ("foreign_cpu_share", "steal_share"))
    return foreign if foreign > FOREIGN_WARNING else 0.0, steal if steal > STEAL_SHARE else 0.0


def of_record(record: Record, figure: Figure) -> Estimate:
    """Return one number of a run in display units."""
    return estimate_of(getattr(record, figure.name), record.basis.get(figure.name), figure.scale)


def kind_of(record: Record, figure: Figure) -> Kind:
    """Return how one number of a run was obtained, without the number."""
    basis = record.basis.get(figure.name)
    return basis.kind if basis else "not_covered"


def legend() -> list[str]:
    """Return what each sign at a number says."""
    from greenpose.metering.doctor import STEAL_SHARE
    from greenpose.metering.inference_samples import FOREIGN_WARNING

    return [
        *(f"{symbol} {words}" for symbol, words in MARKS.values()),
        f"{DISTURBED} metered while other processes took more than {percent(FOREIGN_WARNING)} of the CPU, or other "
        f"guests more than {percent(STEAL_SHARE)}",
    ]


def mark(kind: Kind) -> str:
    """Return the symbol of a number of this kind; empty for measured, counted, computed and sourced ones."""
    return MARKS[kind][0] if kind in MARKS else ""
