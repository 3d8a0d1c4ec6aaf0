"""The record of a run, composed: its training, its course, its machine, its software."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from greenpose.config import Experiment
from greenpose.data.boxes import Detected
from greenpose.formatting import joules_to_kwh
from greenpose.metering import (
    EmbodiedShare,
    Provenance,
    Window,
    carbon_of,
    gaps,
    grade,
    remarks,
    short_of,
    this_machine,
)
from greenpose.metering.window import Grade
from greenpose.quantity import KINDS, Kind, Quantity
from greenpose.record import (
    Allocation,
    Carbon,
    Component,
    CrossCheck,
    Record,
    Validation,
    interval_of,
    with_bases,
)
from greenpose.run.callbacks import outweighed
from greenpose.run.phases import (
    Used,
    allocation,
    by_component,
    epoch_of,
    phases,
    spent,
    training_parts,
    training_windows,
    used_in,
)
from greenpose.run.record_exits import RunResult, embodied_entry, exit_entry, training_emissions
from greenpose.run.setup import surroundings
from greenpose.store.records import Attempt, attempts_of, kind_of, missing_windows, phase_of
from greenpose.training.fit import depth_schedule, parts_trained


def learning_curve(windows: Sequence[Window], epochs: Iterable[Mapping[str, Any]]) -> list[Validation]:
    """Return each validated epoch with its AP and all that training had used by then, of all attempts.

    Args:
        windows: Windows of all attempts, in the order in which they ended.
        epochs: Lines of `epochs.jsonl`; an epoch that was trained twice is taken as it came out the last time.
    """
    used = _used_by_epoch(training_windows(windows))
    aps = {number: ap for line in epochs for number, ap in _scored(line)}
    return [used[number].model_copy(update={"ap": aps[number]}) for number in sorted(aps.keys() & used.keys())]


def _scored(line: Mapping[str, Any]) -> list[tuple[int, dict[int, float]]]:
    """Return a line's epoch with every exit's AP; nothing where it was not validated, or the line is damaged."""
    try:
        ap = {int(exit_): float(value) for exit_, value in line["ap"].items()}
        return [(int(line["epoch"]), ap)] if ap and all(0 <= value <= 1 for value in ap.values()) else []
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return []


def _used_by_epoch(training: Sequence[Window]) -> dict[int, Validation]:
    """Return what training had used at the end of each validation; of one done twice, the last."""
    joules = cpu_seconds = seconds = 0.0
    used: dict[int, Validation] = {}
    for window in training:
        joules += window.energy.mid
        cpu_seconds += window.cpu_seconds
        seconds += window.seconds
        number = epoch_of(window)
        if phase_of(window) == "validate" and window.ok and number is not None:
            used[number] = Validation(
                epoch=number,
                energy_kwh=joules_to_kwh(joules),
                cpu_seconds=cpu_seconds,
                seconds=seconds,
                ap={},
            )
    return used


def compose(run: RunResult) -> Record:
    """Return the record of a run."""
    config, meter, cell = run.config, run.meter, run.cell
    carbon = carbon_of(**config.carbon.model_dump())
    training = training_windows(run.windows)
    here = Attempt(meter.total.joules, meter.provenances, this_machine().fingerprint, short_of(meter.windows))
    attempts = [*attempts_of(run.earlier), here]
    lost = missing_windows(run.windows, epochs=run.fitted.epochs)
    kind, kind_here = kind_of(attempts), kind_of([here._replace(short=frozenset())])
    used, parts = used_in(training), training_parts(run.windows, kind)
    numbers = _training(used, training, attempts, kind) | training_emissions(
        training, carbon, meter.embodied, kind=kind
    )
    return Record(
        name=cell["name"],
        experiment=config.name,
        grid=cell["grid"],
        axes=cell["axes"],
        config=config.model_dump(mode="json"),
        config_hash=cell["config_hash"],
        seed=config.seed,
        started_at=run.windows[0].started_at,
        finished_at=meter.now_at.isoformat(timespec="seconds"),
        attempts=meter.attempt,
        stopped=run.fitted.stopped,
        budget=run.budget.limits,
        epochs=run.fitted.epochs,
        images={split: len({*samples.image_ids.tolist()}) for split, samples in run.splits.items()},
        subjects={split: len(_subjects(run, split)) for split in run.splits},
        dataset=_dataset(run),
        train_energy_kwh_by_component=by_component(used),
        phases=phases(run.windows, meter, kind, carbon),
        train_parts=parts,
        training_step=run.step,
        validations=learning_curve(run.windows, run.epochs),
        forecast=run.forecast,
        allocation=_allocation(run, numbers),
        exits=[exit_entry(exit_, run, kind=kind_here, carbon=carbon, parts=parts) for exit_ in sorted(run.counts)],
        carbon=carbon_entry(config, windows=training, embodied=meter.embodied),
        components=component_entries(*(one.provenances for one in attempts)),
        grade=grade_of(attempts),
        doubts=[*remarks(run.windows), *filter(None, [outweighed(run.epochs, config.loss)])],
        crosscheck=_crosscheck(run.windows),
        trained_in=cell.get("trained_in", {}).get("run"),
        gaps=[*lost, *run.gaps],
        **surroundings(config) | {"host": host_of_all(attempts)},
        **with_bases(_marked(numbers, lost)),
    )


def _training(used: Used, windows: Sequence[Window], attempts: Sequence[Attempt], kind: Kind) -> dict[str, Quantity]:
    """Return the run's own time and energy."""
    methods = "; in another attempt: ".join(dict.fromkeys(map(_method, attempts)))
    numbers = spent(
        used,
        kind,
        clock="monotonic clock; every epoch of every attempt, validation included",
        energy="; ".join([methods, *_at_least(windows)]),
    )
    return {f"train_{name}": number for name, number in numbers.items()}


def _allocation(run: RunResult, numbers: Mapping[str, Quantity]) -> Allocation:
    macs = {exit_: float(count.macs) for exit_, count in run.counts.items()}
    return allocation(
        run.config.measure.allocation,
        numbers["train_energy_kwh"].known,
        numbers["train_co2eq_g"].known,
        macs=macs,
        step=run.step,
        trained=parts_trained(depth_schedule(run.config.train, macs)[: run.fitted.epochs], macs),
    )


def _marked(numbers: dict[str, Quantity], lost: Sequence[str]) -> dict[str, Quantity]:
    """Return totals, which say what they lack where windows are lost."""
    lacks = f"; too small: {'; '.join(lost)}" if lost else ""
    return {name: replace(number, method=number.method + lacks) for name, number in numbers.items()}


def _method(attempt: Attempt) -> str:
    """Return how the energy of each component was obtained, and which component is not in it."""
    methods = "; ".join(p.method for p in attempt.provenances if p.kind != "not_covered")
    absent = [provenance.component for provenance in gaps(attempt.joules, attempt.provenances)]
    return (
        f"{methods}; without {' and '.join(absent)}" if absent else methods
    ) or "not known: its log has no header any more"


def _at_least(training: Sequence[Window]) -> list[str]:
    """Return in how many windows each component could not be read, or not believed."""
    lacking = {name: sum(name in window.missing for window in training) for name in sorted(short_of(training))}
    return [f"at least: {name} is missing in {count} of {len(training)} windows" for name, count in lacking.items()]


def grade_of(attempts: Sequence[Attempt]) -> Grade:
    """Return the grade that all attempts have; B where they differ: part of the energy was read from hardware."""
    grades = {grade(one.joules, one.provenances, short=one.short) if one.provenances else "C" for one in attempts}
    return grades.pop() if len(grades) == 1 else "B"


def host_of_all(attempts: Sequence[Attempt]) -> dict[str, Any]:
    """Return the machine that the run ended on; where others had a part in it, no single one's fingerprint."""
    known = list(dict.fromkeys(one.host for one in attempts if one.host is not None))
    return this_machine().as_dict() | {"fingerprint": "+".join(known)}


def _dataset(run: RunResult) -> dict[str, Any]:
    profile = run.splits["test"].profile
    data = run.config.data
    return {
        "source": data.source,
        "profile": profile.name,
        "keypoints": list(profile.keypoints),
        "sigmas": list(profile.sigmas),
        "sigma_source": profile.sigma_source,
        "area": run.area,
        **({"annotations_sha256": dict(run.annotations)} if run.annotations else {}),
        **_boxes(run.boxes),
        "shared_subjects": len(_subjects(run, "train") & _subjects(run, "test")),
        "input_size": list(data.input_size),
        "resampled": next(iter(run.scores.values())).unit,
        "resampled_groups": next(iter(run.scores.values())).num_groups,
    }


def _subjects(run: RunResult, split: str) -> set[str]:
    return {*run.splits[split].subjects} - {""}


def _boxes(detected: Detected | None) -> dict[str, Any]:
    """Return which boxes were searched for poses, and of detected ones from which file and how many."""
    if detected is None:
        return {"boxes": "annotated"}
    found = {"boxes_file": detected.file, "boxes_sha256": detected.sha256, "num_boxes": len(detected.samples)}
    return {"boxes": "detected", **found}


def carbon_entry(
    config: Experiment, *, windows: Sequence[Window] = (), embodied: EmbodiedShare | None = None
) -> Carbon:
    """Return what turns energy, and the making of the machine, into emissions; hourly data as of the windows."""
    carbon = carbon_of(**config.carbon.model_dump())
    grid, mean = carbon.grid_of(windows), carbon.intensity if carbon.hours else None
    return Carbon(
        country=grid.country,
        intensity_g_per_kwh=grid.g_per_kwh,
        intensity_interval=interval_of(grid.interval),
        source=grid.source,
        vintage=grid.vintage,
        pue=carbon.pue,
        mean_g_per_kwh=mean.g_per_kwh if mean else None,
        mean_interval=interval_of(mean.interval) if mean else None,
        embodied=embodied_entry(embodied) if embodied else None,
    )


def component_entries(*attempts: Sequence[Provenance]) -> list[Component]:
    """Return where each component's energy comes from; where attempts differ, by the worst of their ways."""
    sources: dict[str, list[Provenance]] = {}
    for provenance in (each for provenances in attempts for each in provenances):
        sources.setdefault(provenance.component, []).append(provenance)
    return [_component(some) for some in sources.values()]


def _component(sources: Sequence[Provenance]) -> Component:
    worst = max(reversed(sources), key=lambda each: KINDS.index(each.kind))
    own_fields = {"component", "kind", "method"}
    methods = dict.fromkeys(each.method for each in (worst, *sources))
    return Component(
        component=worst.component,
        kind=worst.kind,
        method="; in another attempt: ".join(methods),
        details={key: value for key, value in worst.as_dict().items() if key not in own_fields},
    )


def _crosscheck(windows: Sequence[Window]) -> list[CrossCheck]:
    """Return codecarbon's figure for the windows that it covered, beside ours for the same ones."""
    checked = [(window, window.crosscheck) for window in windows if window.crosscheck is not None]
    if not checked:
        return []
    covered = [(window, check, joules) for window, check in checked if (joules := check.joules) is not None]
    tool = checked[-1][1].tool
    if not covered:
        reason = checked[-1][1].missing or "no figures"
        return [CrossCheck(tool=tool, energy_kwh=None, covered_seconds=0.0, ratio=None, note=reason)]
    theirs = sum(joules for _, _, joules in covered)
    ours = sum(window.energy.mid for window, _, _ in covered)
    last = covered[-1][1]
    watts = f", {last.tdp_w:g} W assumed for the CPU" if last.tdp_w is not None else ""
    ram = statistics.fmean((check.ram_joules or 0.0) / check.seconds for _, check, _ in covered if check.seconds > 0)
    return [
        CrossCheck(
            tool=tool,
            energy_kwh=joules_to_kwh(theirs),
            covered_seconds=sum(check.seconds for _, check, _ in covered),
            ratio=theirs / ours if ours > 0 else None,
            note=f"process mode, CPU by {last.mode}{watts}, memory {ram:.3g} W; {len(covered)} training windows",
        )
    ]
