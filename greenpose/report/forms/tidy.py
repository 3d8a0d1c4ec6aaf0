"""Everything that the records say in numbers, as one tidy table: a line for each number, in CSV."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from greenpose.formatting import shown
from greenpose.record import Exit, Failure, Record
from greenpose.record.numbers import Numbers, Quantity

_FORMULA = ("=", "+", "-", "@")
"""What a spreadsheet takes for the beginning of a formula; an apostrophe in front makes it words."""
_COUNTED = {"params": "parameters", "macs": "MACs", "activation_bytes": "bytes", "peak_bytes": "bytes"}
"""Sizes that are counted, with their units; a record need not say how they were obtained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One number of one run, in the unit of the record and at its full precision."""

    experiment: str
    """Name of the experiment."""
    run: str
    """Name of the run."""
    seed: int | None
    """Its seed; None where the note on a failure does not say."""
    status: str
    """`finished`, `failed`, `interrupted` or `lost`."""
    exit: int | None
    """Exit number; None for numbers of the whole run."""
    quantity: str
    """Name of the number in the record; a dot leads into a part, such as `phases.train.energy_kwh`."""
    value: float | int | None
    """The number; None where it was not obtained."""
    unit: str
    """Its unit."""
    kind: str
    """How it was obtained: measured, estimated, modelled, sourced, counted, computed or not_covered; empty where the
    note on a failure does not say."""
    a_low: float | None = None
    """Lower end of the 95 % interval from repetition (type A); None where nothing was repeated."""
    a_high: float | None = None
    """Upper end of the same."""
    b_low: float | None = None
    """Lower end of the interval of systematic error (type B); None where there is none or it is not known."""
    b_high: float | None = None
    """Upper end of the same."""
    missing: str = ""
    """Why there is no number; empty where there is one."""
    side: str = ""
    """`first` or `second` where two sides are compared; else empty."""


COLUMNS = tuple(field.name for field in fields(Line))


def tidy_lines(sides: Mapping[str, Iterable[Record | Failure]]) -> Iterator[str]:
    """Yield the lines of the CSV file, the heading first; entries are read one at a time.

    `sides` holds the entries of `first` and `second`, or all under an empty name where the runs are one set.
    """
    yield _csv(COLUMNS)
    for side, entries in sides.items():
        for entry in entries:
            for line in lines(entry):
                yield _csv((asdict(line) | {"side": side}).values())


def lines(entry: Record | Failure) -> Iterator[Line]:
    """Yield every number of a run."""
    if isinstance(entry, Failure):
        yield from _of_failure(entry)
        return
    yield from _of(entry, entry)
    for each in entry.exits:
        yield from _of_exit(entry, each)
        yield from _shares(entry, each.exit)
    parts: dict[str, Numbers | None] = {f"phases.{phase.name}": phase for phase in entry.phases}
    parts |= {f"train_parts.{part.name}": part for part in entry.train_parts}
    parts |= {"training_step": entry.training_step, "forecast": entry.forecast}
    for name, part in parts.items():
        if part is not None:
            yield from _of(entry, part, prefix=f"{name}.")


def _of(run: Record, numbers: Numbers, *, prefix: str = "", exit_: int | None = None) -> Iterator[Line]:
    """Yield what an object of the record has a basis for."""
    for name in numbers.basis:
        quantity = numbers.quantity(name)
        a, b = quantity.basis.type_a, quantity.basis.type_b
        yield Line(
            **_named(run, exit_),
            quantity=f"{prefix}{name}",
            value=_whole(quantity),
            unit=quantity.basis.unit,
            kind=quantity.basis.kind,
            a_low=a.low if a else None,
            a_high=a.high if a else None,
            b_low=b.low if b else None,
            b_high=b.high if b else None,
            missing="" if quantity.value is not None else quantity.basis.missing or "the record does not say why",
        )


def _of_exit(run: Record, each: Exit) -> Iterator[Line]:
    yield from _of(run, each, exit_=each.exit)
    counted = {name: (getattr(each, name), unit) for name, unit in _COUNTED.items() if name not in each.basis}
    counted |= {f"macs_by_counter.{name}": (count, "operations") for name, count in each.macs_by_counter.items()}
    for name, (count, unit) in counted.items():
        why = "" if count is not None else "the run did not count it"
        kind = "counted" if count is not None else "not_covered"
        yield Line(**_named(run, each.exit), quantity=name, value=count, unit=unit, kind=kind, missing=why)


def _shares(run: Record, exit_: int) -> Iterator[Line]:
    """Yield the part of training that is allocated to an exit."""
    kind = run.quantity("train_energy_kwh").basis.kind
    for name, values, unit in (
        ("energy_kwh", run.allocation.energy_kwh, "kWh"),
        ("co2eq_g", run.allocation.co2eq_g, "gCO2eq"),
    ):
        value = values.get(exit_)
        why = "" if value is not None else "the run did not allocate its cost"
        known = kind if value is not None else "not_covered"
        yield Line(**_named(run, exit_), quantity=f"allocation.{name}", value=value, unit=unit, kind=known, missing=why)


def _of_failure(entry: Failure) -> Iterator[Line]:
    spent = {"seconds": (entry.seconds, "s"), "energy_kwh": (entry.energy_kwh, "kWh"), "co2eq_g": (entry.co2eq_g, "g")}
    for name, (value, unit) in spent.items():
        basis = entry.basis.get(name)
        yield Line(
            experiment=entry.experiment,
            run=entry.name,
            seed=entry.axes.get("seed"),
            status=entry.reason,
            exit=None,
            quantity=name,
            value=value,
            unit=unit,
            kind=basis.kind if basis else "not_covered" if value is None else "",
            missing="" if value is not None else "it ended before the grid intensity was known",
        )


def _named(run: Record, exit_: int | None) -> dict[str, Any]:
    return {"experiment": run.experiment, "run": run.name, "seed": run.seed, "status": "finished", "exit": exit_}


def _whole(quantity: Quantity) -> float | int | None:
    """Return the number; a counted one as an integer."""
    return int(quantity.value) if quantity.value is not None and quantity.basis.kind == "counted" else quantity.value


def _csv(values: Iterable[object]) -> str:
    csv.writer(buffer := io.StringIO(), lineterminator="\n").writerow(map(_cell, values))
    return buffer.getvalue()


def _cell(value: object) -> object:
    """Return a value as it may stand in a file that spreadsheets open: words on one line, and never a formula."""
    if not isinstance(value, str):
        return value
    words = shown(value)
    return f"'{words}" if words.lstrip().startswith(_FORMULA) else words
