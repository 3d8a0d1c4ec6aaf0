"""The bill: what finding the poses took, in seconds, energy and emissions, each number with how it was obtained."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from greenpose.intervals import Bounds
from greenpose.ledger.costs import carbon_record
from greenpose.metering import NO_ENERGY, Meter, Provenance, Window, grade, software_versions, this_machine, worst_kind
from greenpose.metering.inference_samples import FOREIGN_WARNING
from greenpose.predict.estimator import Estimator
from greenpose.predict.search import Account
from greenpose.quantity import Grade, Quantity, missing
from greenpose.record import Carbon, Component, with_bases
from greenpose.record.numbers import Numbers

BILL_SCHEMA: Literal["greenpose.bill/1"] = "greenpose.bill/1"
LOADING, SEARCHING = "loading", "searching"
"""The windows of a prediction."""
COUNTED_PER = 1000
"""Images that costs are given for."""
NO_GRID = "no electricity grid was named; --country ITA, say, gives grams"


class PredictionBill(Numbers):
    """What one prediction took."""

    schema_: Literal["greenpose.bill/1"] = Field(default=BILL_SCHEMA, alias="schema")
    """Version of this layout."""
    model: dict[str, Any]
    """Run, exit, file, precision, runtime, arithmetic and threads of the network."""
    boxes: str
    """Where subjects were looked for."""
    started_at: str
    """UTC time, ISO 8601."""
    images: int
    """Images that were searched."""
    poses: int
    """Poses that were found."""
    unreadable: int
    """Images that could not be searched."""
    interrupted: bool
    """Whether it was ended before the last image."""
    seconds: float | None
    """Wall time, from the loading of the model to the last pose written."""
    cpu_seconds: float | None
    """CPU time of the process, likewise."""
    energy_j: float | None
    """Gross energy, likewise."""
    co2eq_g: float | None
    """Operational emissions of that energy; null where no grid was named."""
    images_per_second: float | None
    """Images over the seconds after the model was loaded."""
    cpu_s_per_1000_images: float | None
    """CPU time of 1000 images, without the loading of the model."""
    energy_j_per_1000_images: float | None
    """Gross energy of 1000 images, likewise: reading, cutting, network and writing."""
    co2eq_g_per_1000_images: float | None
    """Operational emissions of 1000 images, likewise; null where no grid was named."""
    left: dict[int, int] = Field(default_factory=dict)
    """Poses by the exit that they were found at, where a policy lets images leave early."""
    foreign_cpu_share: float | None
    """Part of the CPU time of the machine that others took while images were searched; null where nobody sees it."""
    warnings: list[str]
    """What to mind."""
    carbon: Carbon | None = None
    """What turns energy into emissions; null where no grid was named."""
    components: list[Component]
    """Where each component's energy comes from."""
    grade: Grade
    """A: every material component measured; B: mixed; C: modelled."""
    host: dict[str, Any]
    """Fingerprint of the machine."""
    software: dict[str, str]
    """Versions of Python, GreenPose and the packages that matter."""


def make_bill(meter: Meter, estimator: Estimator, account: Account, *, boxes: str) -> PredictionBill:
    """Return the bill of a search that was metered in the windows `LOADING` and `SEARCHING`."""
    windows = {window.name: window for window in meter.windows}
    searching, total = windows[SEARCHING], meter.total
    whole = _costs(meter, list(windows.values()))
    part = _costs(meter, [searching])
    quantities = {
        "seconds": whole["seconds"],
        "cpu_seconds": whole["cpu_seconds"],
        "energy_j": whole["energy_j"],
        "co2eq_g": whole["co2eq_g"],
        "images_per_second": _rate(searching),
        "cpu_s_per_1000_images": _per(part["cpu_seconds"], searching),
        "energy_j_per_1000_images": _per(part["energy_j"], searching),
        "co2eq_g_per_1000_images": _per(part["co2eq_g"], searching),
    }
    repeatable = {name: _once(each, meter.between_runs) for name, each in quantities.items()}
    seen = searching.contamination
    return PredictionBill(
        model=estimator.about,
        boxes=boxes,
        started_at=windows[LOADING].started_at,
        images=account.images,
        poses=account.poses,
        unreadable=len(account.faults),
        interrupted=account.interrupted,
        left=dict(sorted(getattr(estimator.network, "left", {}).items())),
        carbon=_carbon(meter),
        components=[
            Component(component=each.component, kind=each.kind, method=each.method, details=_details(each))
            for each in meter.provenances
        ],
        grade=grade(total.joules, meter.provenances, short=total.missing),
        host=this_machine().as_dict(),
        software=software_versions(),
        foreign_cpu_share=None if seen is None else seen.foreign_cpu_share,
        warnings=[] if seen is None else list(_warnings(seen.foreign_cpu_share)),
        **with_bases(repeatable),
    )


def _costs(meter: Meter, windows: list[Window]) -> dict[str, Quantity]:
    """Return what windows took together."""
    names = {name for window in windows for name in window.joules}
    joules = {name: sum((w.joules[name] for w in windows if name in w.joules), NO_ENERGY) for name in names}
    absent = {name: why for window in windows for name, why in window.missing.items()}
    energy = sum(joules.values(), NO_ENERGY)
    kind = worst_kind(joules, meter.provenances, short=absent)
    sources = ", ".join(sorted(names)) or "nothing"
    return {
        "seconds": Quantity(value=sum(w.seconds for w in windows), unit="s", kind="measured", method="monotonic clock"),
        "cpu_seconds": Quantity(
            value=sum(w.cpu_seconds for w in windows), unit="s", kind="measured", method="CPU time of the process"
        ),
        "energy_j": Quantity(
            value=energy.mid,
            unit="J",
            kind=kind,
            method=f"gross energy of {sources} while the process worked (see components)",
            type_b=Bounds(energy.low, energy.high),
        )
        if names
        else missing("no component's energy can be read or modelled here", unit="J"),
        "co2eq_g": missing(NO_GRID, unit="gCO2eq")
        if meter.carbon is None
        else replace(meter.carbon.grams_of(windows), kind=kind),
    }


def _per(quantity: Quantity, window: Window) -> Quantity:
    """Return the cost of 1000 images."""
    if not window.items:
        return missing("no image was searched", unit=quantity.unit)
    return replace(
        quantity * (COUNTED_PER / window.items), method=f"{quantity.method}; over {window.items} images x 1000"
    )


def _once(quantity: Quantity, between_runs: float) -> Quantity:
    """Return a number that one run gave with the interval that the next one on such a machine will lie in."""
    if quantity.value is None:
        return quantity
    method = f"{quantity.method}; one run, its interval is what runs differ by on such a machine"
    exactly = Bounds(quantity.value, quantity.value)
    return replace(quantity, method=method, type_a=exactly, repeats=1).widened(between_runs)


def _warnings(foreign: float) -> Iterator[str]:
    if foreign > FOREIGN_WARNING:
        yield f"other processes used {foreign:.0%} of the CPU: trust CPU-seconds, not images per second and joules"


def _details(provenance: Provenance) -> dict[str, Any]:
    own = {"component", "kind", "method"}
    return {name: value for name, value in provenance.as_dict().items() if name not in own}


def _rate(window: Window) -> Quantity:
    if not window.items or not window.seconds:
        return missing("no image was searched", unit="images/s")
    return Quantity(
        value=window.items / window.seconds, unit="images/s", kind="measured", method="images over the monotonic clock"
    )


def _carbon(meter: Meter) -> Carbon | None:
    return carbon_record(meter.carbon, windows=meter.windows) if meter.carbon is not None else None
