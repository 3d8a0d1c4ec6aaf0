"""The record of a run, composed: its training, its course, its machine, its software."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from greenpose.config.training import depth_schedule, parts_trained
from greenpose.counting import ExitCount
from greenpose.data.boxes import Detected
from greenpose.formatting import joules_to_kwh, listed
from greenpose.ledger.costs import (
    carbon_entry,
    component_entries,
    crosscheck,
    grade_of,
    host_of_all,
    marked,
    training_emissions,
    training_spent,
)
from greenpose.ledger.phases import (
    allocation,
    by_component,
    epoch_of,
    phases,
    training_parts,
    training_windows,
    used_in,
)
from greenpose.metering import (
    Window,
    carbon_of,
    remarks,
    short_of,
    this_machine,
)
from greenpose.quantity import Quantity
from greenpose.record import (
    Allocation,
    Record,
    Validation,
    with_bases,
)
from greenpose.run.callbacks import outweighed
from greenpose.run.record_exits import RunResult, exit_entry
from greenpose.run.setup import surroundings
from greenpose.store.records import Attempt, attempts_of, kind_of, missing_windows, phase_of


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
    numbers = training_spent(used, training, attempts, kind) | training_emissions(
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
        carbon=carbon_entry(config.carbon, windows=training, embodied=meter.embodied),
        components=component_entries(*(one.provenances for one in attempts)),
        grade=grade_of(attempts),
        doubts=[*remarks(run.windows), *filter(None, [outweighed(run.epochs, config.loss), unsaved(run.counts)])],
        crosscheck=crosscheck(run.windows),
        trained_in=cell.get("trained_in", {}).get("run"),
        gaps=[*lost, *run.gaps],
        **_surroundings(run) | {"host": host_of_all(attempts)},
        **with_bases(marked(numbers, lost)),
    )


def _surroundings(run: RunResult) -> dict[str, Any]:
    """Return what surrounds the run, with the arithmetic that its training chose."""
    found, chosen = surroundings(run.config), run.fitted.precision
    return found | ({"process": {**found["process"], "train_precision": chosen}} if chosen else {})


def unsaved(counts: Mapping[int, ExitCount]) -> str | None:
    """Return which exits of a network of one's own compute as much as its final one; None where each saves some."""
    final = counts[max(counts)]
    alike = [str(exit_) for exit_, count in counts.items() if count is not final and count.macs >= final.macs]
    if not alike:
        return None
    which = f"exit{'s' if len(alike) > 1 else ''} {listed(alike)}"
    return (
        f"{which} computed as much as the final exit, of which nothing could be left out: let the network's forward"
        " take exits=, or offer truncate(exit), for what leaving there would save"
    )


def _allocation(run: RunResult, numbers: Mapping[str, Quantity]) -> Allocation:
    macs = {exit_: float(count.macs) for exit_, count in run.counts.items()}
    schedule = depth_schedule(run.config.train, macs, images=len(run.splits["train"]))
    return allocation(
        run.config.measure.allocation,
        numbers["train_energy_kwh"].known,
        numbers["train_co2eq_g"].known,
        macs=macs,
        step=run.step,
        trained=parts_trained(schedule[: run.fitted.epochs], macs),
    )


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
