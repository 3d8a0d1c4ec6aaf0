"""Totals: what everything on the page cost, runs that did not finish included."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeVar

from greenpose.formatting import NBSP, co2eq_g, plural
from greenpose.metrics import TRAIN_CO2
from greenpose.quantity import Kind
from greenpose.record import Failure, Phase, Record
from greenpose.report.quantities import energy_figure, prefixed
from greenpose.report.study import Study, Together, energy_kind, gross_kwh
from greenpose.tables import (
    Column,
    Table,
    TableCell,
    kind_notes,
    missing_cell,
    table_of,
    value_cell,
)

AnswerT = TypeVar("AnswerT")
TAKEN_OVER = ("data", "count", "train", "validate", "checkpoint")
"""Phases that a run has from another one whose training it took over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """What a number of runs cost altogether, measuring included."""

    runs: int
    """How many runs."""
    seconds: float
    """Wall time, summed over the runs."""
    energy_kwh: float
    """Energy of the metered components."""
    co2eq_g: float
    """Emissions, of those runs whose emissions are known."""
    unknown: int = 0
    """Runs whose emissions are not known."""
    embodied_g: float | None = None
    """What making the hardware costs for the same time; None where one of the runs does not know it."""


def run_total(run: Record) -> Total:
    """Return what all phases of one run cost; emissions phase by phase, where the run kept them."""
    energy = gross_kwh(run)
    grams = sum(_grams(phase, run) for phase in run.phases)
    seconds = sum(phase.seconds for phase in run.phases)
    making = run.train_embodied_co2eq_g
    if making is not None and run.train_seconds:
        making = making * (seconds / run.train_seconds)  # charged by time, in training as in the rest
    return Total(runs=1, seconds=seconds, energy_kwh=energy, co2eq_g=grams, embodied_g=making)


def _grams(phase: Phase, run: Record) -> float:
    """Return a phase's emissions; of a run that did not keep them by training's hours, or the whole file's mean."""
    if phase.co2eq_g is not None:
        return phase.co2eq_g
    carbon, trained = run.carbon, phase.name in ("train", "validate", "checkpoint")
    by_hour = carbon.mean_g_per_kwh is not None and not trained
    grid = carbon.mean_g_per_kwh if by_hour and carbon.mean_g_per_kwh is not None else carbon.intensity_g_per_kwh
    return co2eq_g(phase.energy_kwh, intensity_g_per_kwh=grid, pue=carbon.pue)


def finished_total(study: Study) -> Total:
    """Return what the finished runs cost altogether."""
    if "finished" not in study.known:
        found = paid_of(study, _parts)
        seconds, energy, grams, making = zip(*found, strict=True) if found else [()] * 4
        study.known["finished"] = Total(
            runs=len(found),
            seconds=sum(seconds),
            energy_kwh=sum(energy),
            co2eq_g=sum(grams),
            embodied_g=None if None in making or not making else sum(making),
        )
    total: Total = study.known["finished"]
    return total


def _parts(run: Record) -> tuple[float, float, float, float | None]:
    total = run_total(run)
    return total.seconds, total.energy_kwh, total.co2eq_g, total.embodied_g


def paid_of(study: Study, ask: Callable[[Record], AnswerT]) -> list[AnswerT]:
    """Return what is asked of each finished run, with the phases that it was paid for."""
    if "paid" not in study.known:
        study.known["paid"] = Together(paid(study.records))
    runs: Together = study.known["paid"]
    return runs.each(ask)


def phase_names(study: Study) -> list[str]:
    """Return the names of all phases of the finished runs."""
    return list(dict.fromkeys(chain(*study.together.each(lambda run: [phase.name for phase in run.phases]))))


def paid(records: Sequence[Record]) -> list[Record]:
    """Return the runs with the phases that each was paid for: training taken over from another one was paid there."""
    by_name: dict[str | None, list[Record]] = {}
    for run in records:
        by_name.setdefault(run.name, []).append(run)
    return [
        run.model_copy(update={"phases": _less(run.phases, _trained(run, by_name[run.trained_in]).phases)})
        if run.trained_in in by_name
        else run
        for run in records
    ]


def _trained(run: Record, named: Sequence[Record]) -> Record:
    """Return whose training a run took over, of the runs of that name on several hosts: the one that cost as much."""
    return min(named, key=lambda each: abs(each.train_energy_kwh - run.train_energy_kwh))


def _less(phases: Sequence[Phase], taken: Sequence[Phase]) -> list[Phase]:
    twice = {phase.name: phase for phase in taken if phase.name in TAKEN_OVER}
    return [
        phase.model_copy(
            update={
                "seconds": phase.seconds - twice[phase.name].seconds,
                "energy_kwh": phase.energy_kwh - twice[phase.name].energy_kwh,
            }
        )
        if phase.name in twice
        else phase
        for phase in phases
    ]


def failed_total(failures: Sequence[Failure]) -> Total:
    """Return what the runs that did not finish cost before they ended."""
    return Total(
        runs=len(failures),
        seconds=sum(each.seconds for each in failures),
        energy_kwh=sum(each.energy_kwh for each in failures),
        co2eq_g=sum(each.co2eq_g or 0.0 for each in failures),
        unknown=sum(each.co2eq_g is None for each in failures),
    )


def grand_total(study: Study) -> Total:
    """Return what everything on the page cost, failed and interrupted runs included."""
    return _sum([finished_total(study), failed_total(study.failures)])


def totals_table(study: Study) -> Table:
    """Return the grand total, finished runs and those of each other end apart; bars are shares of all energy."""
    ends = dict.fromkeys(each.reason for each in study.failures)
    parts = {"Finished": finished_total(study)} | {
        end.capitalize(): failed_total([each for each in study.failures if each.reason == end]) for end in sorted(ends)
    }
    parts |= {"All": grand_total(study)} if study.failures else {}
    totals = parts.values()
    whole = max(total.energy_kwh for total in totals)
    energy, grams = energy_figure([whole]), prefixed(TRAIN_CO2, [total.co2eq_g for total in totals])
    time_unit, time_scale = ("h", 3600) if parts["Finished"].seconds >= 3600 else ("s", 1)
    kind = energy_kind(study)
    notes = kind_notes([kind])
    energies = [value_cell(total.energy_kwh * energy.scale, kind=kind) for total in totals]
    if whole and study.failures:
        energies = [replace(cell, bar=total.energy_kwh / whole) for cell, total in zip(energies, totals, strict=True)]
    return table_of(
        "total",
        "Everything on this page: data, training, validation, test and metering of inference.",
        ("Runs",),
        list(parts),
        [
            (Column(head="Number", unit="count"), [str(total.runs) for total in totals]),
            (Column(head="Time", unit=time_unit), [value_cell(total.seconds / time_scale) for total in totals]),
            (Column(head="Energy", unit=energy.unit, notes=notes), energies),
            (
                Column(head="CO2eq", unit=grams.unit, notes=notes),
                [_grams_cell(total, kind, grams.scale) for total in totals],
            ),
        ],
    )


def _sum(totals: Sequence[Total]) -> Total:
    known = [each.embodied_g for each in totals if each.embodied_g is not None]
    return Total(
        runs=sum(each.runs for each in totals),
        seconds=sum(each.seconds for each in totals),
        energy_kwh=sum(each.energy_kwh for each in totals),
        co2eq_g=sum(each.co2eq_g for each in totals),
        unknown=sum(each.unknown for each in totals),
        embodied_g=sum(known) if totals and len(known) == len(totals) else None,
    )


def _grams_cell(total: Total, kind: Kind, scale: float) -> TableCell:
    if total.unknown and not total.co2eq_g:
        return missing_cell("these runs ended before their grid intensity was known")
    cell = value_cell(total.co2eq_g * scale, kind=kind)
    if not total.unknown:
        return cell
    return TableCell(value=f"≥{NBSP}{cell.value}", interval=f"{plural(total.unknown, 'run')} unknown")
