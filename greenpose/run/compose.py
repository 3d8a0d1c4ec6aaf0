"""From what a run produced to its record: every number with how it was obtained and how sure it is."""

import statistics
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import greenpose
from greenpose.config import Experiment
from greenpose.metering import (
    Grams,
    Joules,
    Meter,
    Window,
    allocate,
    carbon_of,
    process_settings,
    software_versions,
    this_machine,
    worst_kind,
)
from greenpose.record import (
    Allocation,
    Basis,
    Carbon,
    Component,
    CrossCheck,
    Interval,
    Kind,
    Phase,
    Record,
)
from greenpose.run.exits import exit_entry
from greenpose.run.facts import Facts
from greenpose.run.setup import num_workers
from greenpose.store.lost import outermost
from greenpose.units import joules_to_kwh

PHASES = ("data", "count", "train", "validate", "checkpoint", "test", "inference")
TRAINING = ("train", "validate", "checkpoint")
"""Phases that make up training; what they cost is the training's footprint."""


def compose(facts: Facts) -> Record:
    """Return the record of a run."""
    config, meter = facts.config, facts.meter
    carbon = carbon_of(**config.carbon.model_dump())
    windows = outermost(list(facts.windows))
    training = [window for window in windows if phase_of(window) in TRAINING]
    energy = _sum(training)
    kind = worst_kind(meter.total.joules, meter.provenances)
    grams = carbon.grams(energy)
    kwh, by_component = joules_to_kwh(energy.mid), _by_component(training)
    costs = {exit_: float(count.macs) for exit_, count in facts.counts.items()}
    return Record(
        name=facts.cell["name"],
        experiment=config.name,
        grid=facts.cell["grid"],
        axes=facts.cell["axes"],
        config=config.model_dump(mode="json"),
        config_hash=facts.cell["config_hash"],
        seed=config.seed,
        started_at=windows[0].started_at,
        finished_at=now(),
        attempts=meter.attempt,
        stopped=facts.fitted.stopped,
        epochs=facts.fitted.epochs,
        images={split: len({*samples.image_ids.tolist()}) for split, samples in facts.splits.items()},
        subjects={split: len({*samples.subjects} - {""}) for split, samples in facts.splits.items()},
        dataset=_dataset(facts),
        train_seconds=sum(window.seconds for window in training),
        train_cpu_seconds=sum(window.cpu_seconds for window in training),
        train_energy_kwh=kwh,
        train_energy_kwh_by_component=by_component,
        train_co2eq_g=grams.mid,
        phases=[_phase(name, windows, kind) for name in PHASES] + [_rest(meter, windows, kind)],
        allocation=Allocation(
            rule="airport",
            cost="multiply-accumulates that each exit needs, from the input on (backward passes are proportional)",
            energy_kwh=allocate(kwh, costs),
            co2eq_g=allocate(grams.mid, costs),
        ),
        exits=[exit_entry(facts.config, exit_, facts, kind=kind, carbon=carbon) for exit_ in sorted(facts.counts)],
        carbon=_carbon(config),
        components=_components(meter),
        grade=meter.total.grade,
        crosscheck=_crosscheck(facts.windows),
        host=this_machine().as_dict(),
        process=process_settings(torch_threads=torch.get_num_threads(), workers=num_workers())
        | {"device": config.process.device},
        software=software_versions(),
        git=git_state(),
        basis=_training_bases(meter, energy, grams, kind),
    )


def _training_bases(meter: Meter, energy: Joules, grams: Grams, kind: Kind) -> dict[str, Basis]:
    """Return how the run's own numbers were obtained."""
    return {
        "train_seconds": _clock("s", "monotonic clock; every epoch of every attempt, validation included"),
        "train_cpu_seconds": _clock("s", "CPU time of the process and its children, by the kernel"),
        "train_energy_kwh": Basis(
            unit="kWh",
            kind=kind,
            method="; ".join(p.method for p in meter.provenances if p.kind != "not_covered"),
            type_b=_kwh_interval(energy),
        ),
        "train_co2eq_g": Basis(
            unit="gCO2eq",
            kind=kind,
            method="energy x PUE x annual mean grid intensity; intervals of energy and intensity multiplied",
            type_b=Interval(low=grams.low, high=grams.high),
        ),
    }


def phase_of(window: Window) -> str:
    """Return the phase that a window belongs to: the first word of its name."""
    return window.name.replace("/", " ").split(" ", 1)[0]


def now() -> str:
    """Return the UTC time, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def git_state() -> dict[str, Any]:
    """Return the commit and dirty flag of the code, where it is tracked in a git checkout; else nothing."""
    here = Path(greenpose.__file__).parent

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(here), *arguments], capture_output=True, text=True, check=False, timeout=10
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # An installed package may lie inside somebody else's repository: their commit would say nothing of our code.
    if git("ls-files", "--error-unmatch", "__init__.py") is None:
        return {}
    commit = git("rev-parse", "HEAD")
    return {"commit": commit, "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}


def _sum(windows: Sequence[Window]) -> Joules:
    return sum((window.energy for window in windows), Joules(0.0, 0.0, 0.0))


def _by_component(windows: Sequence[Window]) -> dict[str, float]:
    components = {component for window in windows for component in window.joules}
    return {
        component: joules_to_kwh(sum(window.joules[component].mid for window in windows if component in window.joules))
        for component in sorted(components)
    }


def _kwh_interval(energy: Joules) -> Interval:
    return Interval(low=joules_to_kwh(energy.low), high=joules_to_kwh(energy.high))


def _clock(unit: str, method: str) -> Basis:
    return Basis(unit=unit, kind="measured", method=method)


def _phase(name: str, windows: Sequence[Window], kind: Kind) -> Phase:
    mine = [window for window in windows if phase_of(window) == name]
    energy = _sum(mine)
    return Phase(
        name=name,
        seconds=sum(window.seconds for window in mine),
        cpu_seconds=sum(window.cpu_seconds for window in mine),
        energy_kwh=joules_to_kwh(energy.mid),
        energy_kwh_by_component=_by_component(mine),
        windows=len(mine),
        basis=_phase_basis(energy, kind),
    )


def _rest(meter: Meter, windows: Sequence[Window], kind: Kind) -> Phase:
    """Return what this attempt spent outside its windows: building the network, cross-checks, waiting."""
    total = meter.total
    mine = [window for window in windows if window.attempt == meter.attempt]
    energy = total.energy - _sum(mine)
    return Phase(
        name="other",
        seconds=total.seconds - sum(window.seconds for window in mine),
        cpu_seconds=total.cpu_seconds - sum(window.cpu_seconds for window in mine),
        energy_kwh=joules_to_kwh(energy.mid),
        energy_kwh_by_component={
            component: joules_to_kwh(joules.mid) - _by_component(mine).get(component, 0.0)
            for component, joules in total.joules.items()
        },
        windows=0,
        basis=_phase_basis(energy, kind),
    )


def _phase_basis(energy: Joules, kind: Kind) -> dict[str, Basis]:
    return {
        "seconds": _clock("s", "monotonic clock"),
        "cpu_seconds": _clock("s", "CPU time of the process and its children, by the kernel"),
        "energy_kwh": Basis(unit="kWh", kind=kind, method="sum of its windows", type_b=_kwh_interval(energy)),
    }


def _dataset(facts: Facts) -> dict[str, Any]:
    profile = facts.splits["test"].profile
    data = facts.config.data
    return {
        "source": data.source,
        "profile": profile.name,
        "keypoints": list(profile.keypoints),
        "sigmas": list(profile.sigmas),
        "sigma_source": profile.sigma_source,
        "area": "body pixels" if data.source == "synthetic" else "as annotated",
        "input_size": list(data.input_size),
        "resampled": next(iter(facts.scores.values())).unit,
        "resampled_groups": next(iter(facts.scores.values())).num_groups,
    }


def _carbon(config: Experiment) -> Carbon:
    grid = carbon_of(**config.carbon.model_dump()).intensity
    return Carbon(
        country=grid.country,
        intensity_g_per_kwh=grid.g_per_kwh,
        intensity_interval=Interval(low=grid.low, high=grid.high),
        source=grid.source,
        vintage=grid.vintage,
        pue=config.carbon.pue,
    )


def _components(meter: Meter) -> list[Component]:
    said = {"component", "kind", "method"}
    return [
        Component(
            component=p.component,
            kind=p.kind,
            method=p.method,
            details={key: value for key, value in p.as_dict().items() if key not in said},
        )
        for p in meter.provenances
    ]


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
