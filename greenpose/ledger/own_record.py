"""The record of an own loop, composed: what any training leaves, without a configuration or a network of ours."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from greenpose.files import commit_of
from greenpose.ledger.costs import (
    carbon_entry,
    component_entries,
    crosscheck,
    grade_of,
    host_of_all,
    training_emissions,
    training_spent,
)
from greenpose.ledger.own_settings import OwnSettings
from greenpose.ledger.phases import PHASES, allocation, by_component, epoch_of, phases, used_in
from greenpose.metering import (
    Meter,
    carbon_of,
    process_settings,
    remarks,
    short_of,
    software_versions,
    this_machine,
)
from greenpose.quantity import Quantity
from greenpose.record import Allocation, Exit, Record, with_bases
from greenpose.record.metric import OwnMetric
from greenpose.store.records import Attempt, kind_of, outermost, phase_of

Own = Literal["builder", "command"]
"""Whose work is metered: a loop that holds the builder, or a whole program."""
NOT_TRAINING = ("data", "count", "test", "inference")
"""Phases that are no training; every other one is, whatever it is called."""
WHAT = "every window but those of data, count, test and inference"


def compose(
    cell: Mapping[str, Any],
    settings: OwnSettings,
    meter: Meter,
    *,
    own: Own,
    exits: Callable[..., list[Exit]],
    metric: OwnMetric | None,
    told: Mapping[str, Sequence[str]],
) -> Record:
    """Return the record of a run whose meter has ended; `cell` is what its folder says of it.

    `exits` makes the entries once it is known how energy was obtained; `told` are further `doubts` and `gaps`.
    """
    carbon, windows = carbon_of(**settings.carbon.model_dump()), meter.windows
    roots = outermost(windows)
    training = [window for window in roots if phase_of(window) not in NOT_TRAINING]
    used = used_in(training)
    attempt = Attempt(meter.total.joules, meter.provenances, this_machine().fingerprint, short_of(windows))
    kind = kind_of([attempt])
    numbers = training_spent(used, training, [attempt], kind, what=WHAT)
    numbers |= training_emissions(training, carbon, meter.embodied, kind=kind)
    entries = exits(kind=kind, carbon=carbon)
    named = dict.fromkeys(phase_of(window) for window in roots)
    return Record(
        name=cell["name"],
        experiment=settings.name,
        grid=cell["grid"],
        axes=dict(cell["axes"]),
        config=settings.config,
        config_hash=cell["config_hash"],
        seed=settings.seed,
        started_at=str(meter.began_at.isoformat(timespec="seconds")) if meter.began_at else "",
        finished_at=meter.now_at.isoformat(timespec="seconds"),
        stopped="end",
        epochs=len({epoch_of(window) for window in training if "/epoch " in window.name}),
        images=settings.images,
        subjects={},
        dataset=_dataset(settings),
        train_energy_kwh_by_component=by_component(used),
        phases=phases(windows, meter, kind, carbon, names=sorted(named, key=_order)),
        allocation=_allocation(numbers, entries),
        metric=metric,
        own=own,
        notes=settings.notes,
        exits=entries,
        carbon=carbon_entry(settings.carbon, windows=training, embodied=meter.embodied),
        components=component_entries(meter.provenances),
        grade=grade_of([attempt]),
        doubts=[*remarks(windows), *told["doubts"]],
        gaps=list(told["gaps"]),
        crosscheck=crosscheck(windows),
        host=host_of_all([attempt]),
        process=_process(),
        software=software_versions(),
        git=commit_of(Path.cwd()),
        **with_bases(numbers),
    )


def _order(phase: str) -> int:
    """Return where a phase stands among others: those that every run has in their order, then others as they came."""
    return PHASES.index(phase) if phase in PHASES else len(PHASES)


def _dataset(settings: OwnSettings) -> dict[str, Any]:
    found: dict[str, Any] = {"source": settings.data} if settings.data else {}
    return found | ({"annotations_sha256": {"test": settings.digest}} if settings.digest else {})


def _allocation(numbers: Mapping[str, Quantity], exits: Sequence[Exit]) -> Allocation:
    """Return the shares of training by MACs; none where there is nothing to share it."""
    if not exits:
        return Allocation(rule="airport", cost="no exit was given", energy_kwh={}, co2eq_g={})
    return allocation(
        "airport",
        numbers["train_energy_kwh"].known,
        numbers["train_co2eq_g"].known,
        macs={entry.exit: float(entry.macs) for entry in exits},
        step=None,
        trained={entry.exit: 1.0 for entry in exits},
    )


def _process() -> dict[str, Any]:
    """Return what about this process moves its numbers; torch is asked only where the program uses it."""
    torch = sys.modules.get("torch")
    threads = None if torch is None else int(torch.get_num_threads())
    device = "cuda" if torch is not None and torch.cuda.is_initialized() else "cpu"
    return process_settings(torch_threads=threads) | {"device": device}
