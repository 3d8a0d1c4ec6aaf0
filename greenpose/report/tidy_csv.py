"""Tidy data: every number of every run as a line of CSV, in the unit of the record and at its full precision."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from operator import attrgetter
from typing import Any

from greenpose.formatting import in_csv
from greenpose.metrics import COUNTED
from greenpose.quantity import Quantity
from greenpose.record import Exit, Failure, Record
from greenpose.record.artefacts import ArtefactCosts
from greenpose.record.numbers import Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvLine:
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
    host: str = ""
    """Digest of the host's name, by which runs of two hosts are told apart; empty where the record does not say."""


COLUMNS = tuple(field.name for field in fields(CsvLine))


def tidy_lines(
    sides: Mapping[str, Iterable[Record | Failure]], artefacts: Sequence[ArtefactCosts] = ()
) -> Iterator[str]:
    """Yield the lines of the CSV file, the heading first; entries are read one at a time.

    `sides` holds the entries of `first` and `second`, or all under an empty name where the runs are one set. Behind a
    run stand the exported models that were measured of it.
    """
    values = attrgetter(*COLUMNS)
    yield _csv(COLUMNS)
    for side, entries in sides.items():
        for entry in entries:
            mine = [each for each in artefacts if isinstance(entry, Record) and each.belongs_to(entry)]
            for line in chain(lines(entry), *(_of_artefacts(entry, each) for each in mine)):
                yield _csv(values(replace(line, side=side) if side else line))


def lines(entry: Record | Failure) -> Iterator[CsvLine]:
    """Yield every number of a run."""
    if isinstance(entry, Failure):
        yield from _of_failure(entry)
        return
    yield from _of(entry, entry)
    for each in entry.exits:
        yield from _of_exit(entry, each)
        if each.bf16:
            yield from _of(entry, each.bf16, prefix="bf16.", exit_=each.exit)
        yield from _shares(entry, each.exit)
    parts: dict[str, Numbers | None] = {f"phases.{phase.name}": phase for phase in entry.phases}
    parts |= {f"train_parts.{part.name}": part for part in entry.train_parts}
    parts |= {"training_step": entry.training_step, "forecast": entry.forecast}
    for name, part in parts.items():
        if part is not None:
            yield from _of(entry, part, prefix=f"{name}.")


def _of(run: Record, numbers: Numbers, *, prefix: str = "", exit_: int | None = None) -> Iterator[CsvLine]:
    """Yield what an object of the record has a basis for."""
    for name in numbers.basis:
        quantity = numbers.quantity(name)
        a, b = quantity.type_a, quantity.type_b
        yield CsvLine(
            **_named(run, exit_),
            quantity=f"{prefix}{name}",
            value=_whole(quantity),
            unit=quantity.unit,
            kind=quantity.kind,
            a_low=a.low if a else None,
            a_high=a.high if a else None,
            b_low=b.low if b else None,
            b_high=b.high if b else None,
            missing="" if quantity.value is not None else quantity.missing or "the record does not say why",
        )


def _of_artefacts(run: Record | Failure, known: ArtefactCosts) -> Iterator[CsvLine]:
    """Yield every number of exported models, and of the exits in torch that took turns with them.

    Where several machines measured, the fingerprint of each stands behind the file.
    """
    assert isinstance(run, Record)
    several = len({turns.machine for turns in known.measurements}) > 1
    for turns in known.measurements:
        for each in turns.costs:
            place = f"artefacts.{each.file}{f'@{turns.machine}' if several else ''}."
            yield from _of(run, each, prefix=place, exit_=each.exit)


def _of_exit(run: Record, each: Exit) -> Iterator[CsvLine]:
    yield from _of(run, each, exit_=each.exit)
    counted = {size.name: (getattr(each, size.name), size.recorded) for size in COUNTED if size.name not in each.basis}
    counted |= {"passes": (each.passes, "")} if each.passes > 1 else {}
    counted |= {f"macs_by_counter.{name}": (count, "operations") for name, count in each.macs_by_counter.items()}
    for name, (count, unit) in counted.items():
        why = "" if count is not None else "the run did not count it"
        kind = "counted" if count is not None else "not_covered"
        yield CsvLine(**_named(run, each.exit), quantity=name, value=count, unit=unit, kind=kind, missing=why)


def _shares(run: Record, exit_: int) -> Iterator[CsvLine]:
    """Yield the part of training that is allocated to an exit."""
    kind = run.quantity("train_energy_kwh").kind
    for name, values, unit in (
        ("energy_kwh", run.allocation.energy_kwh, "kWh"),
        ("co2eq_g", run.allocation.co2eq_g, "gCO2eq"),
    ):
        value = values.get(exit_)
        why = "" if value is not None else "the run did not allocate its cost"
        known = kind if value is not None else "not_covered"
        yield CsvLine(
            **_named(run, exit_), quantity=f"allocation.{name}", value=value, unit=unit, kind=known, missing=why
        )


def _of_failure(entry: Failure) -> Iterator[CsvLine]:
    spent = {"seconds": (entry.seconds, "s"), "energy_kwh": (entry.energy_kwh, "kWh"), "co2eq_g": (entry.co2eq_g, "g")}
    for name, (value, unit) in spent.items():
        basis = entry.basis.get(name)
        yield CsvLine(
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
    named = {"experiment": run.experiment, "run": run.name, "seed": run.seed, "status": "finished", "exit": exit_}
    return named | {"host": str(run.host.get("host") or "")}


def _whole(quantity: Quantity) -> float | int | None:
    """Return the number; a counted one as an integer."""
    return int(quantity.value) if quantity.value is not None and quantity.kind == "counted" else quantity.value


def _csv(values: Iterable[object]) -> str:
    csv.writer(buffer := io.StringIO(), lineterminator="\n").writerow(map(in_csv, values))
    return buffer.getvalue()
