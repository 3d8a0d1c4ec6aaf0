"""Fake records as a real run would write them: the paper's networks at 256x192, made-up accuracy, energy and time.

Figures are deterministic in their arguments. Nothing here imports the report, so other rooms' tests may use it.
"""

import hashlib
import random
from collections.abc import Sequence
from typing import Any

from greenpose.record import (
    Allocation,
    Basis,
    Carbon,
    Component,
    CrossCheck,
    Embodied,
    Failure,
    Forecast,
    Interval,
    Phase,
    Record,
    StepExit,
    TrainingStep,
)
from tests.report.exits import MACS, WATTS, basis, exit_entry, role_of

PAPER: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] = {
    "HRNet2": ((2,), ()),
    "HRNet3": ((3,), ()),
    "HRNet4": ((4,), ()),
    "HRNet3-OKD": ((2, 3), ("3->2",)),
    "HRNet3-OKD-DS": ((2, 3), ("3->2",)),
    "HRNet4-OKD": ((3, 4), ("4->3",)),
    "HRNet4-OKD-DS": ((3, 4), ("4->3",)),
    "HRNet4-COKD": ((2, 3, 4), ("3->2", "4->3")),
    "HRNet4-COKD-DS": ((2, 3, 4), ("3->2", "4->3")),
}
"""Exits and wiring of the experiments in the paper's Table 1 (those that differ in kind)."""

HOST: dict[str, Any] = {
    "cpu": "AMD EPYC 7B13",
    "cpu_vendor": "AuthenticAMD",
    "cpu_family": 25,
    "cpu_model": 1,
    "vcpus": 2,
    "usable_cpus": 2.0,
    "ram_gb": 8.3,
    "os": "Debian GNU/Linux 12 (bookworm)",
    "kernel": "6.1.0",
    "architecture": "x86_64",
    "virtualised": True,
    "gpus": [],
    "host": "0f3c5a9be210",
    "fingerprint": "5f0c9a31d7e4",
}
OTHER_HOST: dict[str, Any] = HOST | {
    "cpu": "Intel Xeon 8481C",
    "cpu_vendor": "GenuineIntel",
    "vcpus": 8,
    "usable_cpus": 8.0,
    "ram_gb": 33.6,
    "fingerprint": "c77e02b4a1f0",
}


def record(
    experiment: str = "HRNet4-OKD",
    *,
    seed: int = 1,
    exits: Sequence[int] | None = None,
    ap: dict[int, float] | None = None,
    half: float | None = 0.012,
    grade: str = "C",
    evaluated: bool = True,
    metered: bool = True,
    converged: bool = True,
    host: dict[str, Any] | None = None,
    **changes: Any,
) -> Record:
    """Return a finished fake run of one of the paper's experiments, or of any name with given exits."""
    numbers, teach = PAPER.get(experiment, ((3, 4), ()))
    numbers = tuple(exits or numbers)
    kind = {"A": "measured", "B": "estimated", "C": "modelled"}[grade]
    chance = random.Random(f"{experiment}/{seed}")
    entries = [
        exit_entry(
            number,
            seed=seed,
            experiment=experiment,
            role=role_of(number, numbers, teach),
            final=max(numbers),
            ap=(ap or {}).get(number),
            half=half,
            kind=kind,
            evaluated=evaluated,
            metered=metered,
            converged=converged,
        )
        for number in numbers
    ]
    fields = _run_fields(experiment, seed, numbers, teach, chance, kind)
    fields |= {"exits": entries, "grade": grade, "host": host or HOST}
    return Record(**(fields | changes))


def with_making(run: Record, grams_per_second: float = 1e-4) -> Record:
    """Return a fake run that also knows what making its machine costs, charged by time."""
    exits = []
    for entry in run.exits:
        making = 1000 * (entry.latency_s or 0.0) * grams_per_second
        exits.append(
            entry.model_copy(
                update={
                    "embodied_co2eq_g_per_1000_images": making,
                    "sci_g_per_1000_images": making + (entry.co2eq_g_per_1000_images or 0.0),
                    "basis": entry.basis | _making_bases("{}_per_1000_images", making, entry.co2eq_g_per_1000_images),
                }
            )
        )
    making = run.train_seconds * grams_per_second
    hardware = Embodied(kind="modelled", parts=[], lifetime_years=4.0, note="the share of the machine's CPUs")
    return run.model_copy(
        update={
            "exits": exits,
            "train_embodied_co2eq_g": making,
            "train_sci_g": making + run.train_co2eq_g,
            "basis": run.basis | _making_bases("train_{}", making, run.train_co2eq_g),
            "carbon": run.carbon.model_copy(update={"embodied": hardware}),
        }
    )


def _making_bases(name: str, making: float, operation: float | None) -> dict[str, Basis]:
    fields = {
        name.format("embodied_co2eq_g"): making,
        name.format("sci_g").replace("co2eq_", ""): making + (operation or 0.0),
    }
    return {
        field: basis("gCO2eq", "modelled", "kg x share x time / life", b=(0.5 * value, 2 * value))
        for field, value in fields.items()
    }


def failure(experiment: str = "HRNet4-COKD", *, seed: int = 1, reason: str = "failed", **changes: Any) -> Failure:
    """Return a fake run that ended badly after 412 s."""
    fields: dict[str, Any] = {
        "name": f"{experiment}-seed={seed}-0badc0de",
        "experiment": experiment,
        "grid": "paper",
        "axes": {"seed": seed},
        "reason": reason,
        "message": "loss is not finite in epoch 3 (nan); lower train.lr",
        "phase": "train",
        "seconds": 412.0,
        "energy_kwh": 0.00126,
        "co2eq_g": 0.4167,
        "at": "2025-06-01T08:07:00Z",
    }
    return Failure(**(fields | changes))


def paper_grid(seeds: Sequence[int] = (1, 2, 3), experiments: Sequence[str] = tuple(PAPER)) -> list[Record]:
    """Return every experiment with every seed."""
    return [record(experiment, seed=seed) for experiment in experiments for seed in seeds]


def _run_fields(
    experiment: str, seed: int, numbers: Sequence[int], teach: Sequence[str], chance: random.Random, kind: str
) -> dict[str, Any]:
    seconds = 5200 * sum(MACS[n] for n in numbers[-1:]) / MACS[4] * chance.gauss(1, 0.05)
    kwh = seconds * WATTS / 3.6e6
    grams = kwh * 331
    parts = {"cpu": 0.72, "ram": 0.28}
    wide = {"modelled": (0.5, 2.0), "estimated": (0.8, 1.2)}.get(kind)
    digest = hashlib.sha256(f"{experiment}/{seed}".encode()).hexdigest()
    ordered = sorted(numbers)
    shares = {n: 1 / len(ordered) for n in ordered}
    return {
        "name": f"{experiment}-seed={seed}-{digest[:8]}",
        "experiment": experiment,
        "grid": "paper",
        "axes": {"seed": seed},
        "config": config(experiment, seed, numbers, teach),
        "config_hash": digest,
        "seed": seed,
        "started_at": "2025-06-01T08:00:00Z",
        "finished_at": "2025-06-01T09:30:00Z",
        "stopped": "epochs",
        "epochs": 60,
        "images": {"train": 1440, "val": 96, "test": 192},
        "subjects": {"train": 48, "val": 8, "test": 12},
        "dataset": {
            "source": "synthetic",
            "profile": "babypose",
            "keypoints": [f"joint {index}" for index in range(12)],
            "sigmas": [0.079] * 12,
            "sigma_source": "COCO's, for the joints that it shares",
            "area": "body pixels",
            "input_size": [192, 256],
            "resampled": "subjects",
            "resampled_groups": 12,
        },
        "train_seconds": seconds,
        "train_cpu_seconds": 1.02 * seconds,
        "train_energy_kwh": kwh,
        "train_energy_kwh_by_component": {part: share * kwh for part, share in parts.items()},
        "train_co2eq_g": grams,
        "phases": [_phase(name, share, seconds, kwh, parts, kind) for name, share in PHASES.items()],
        "train_parts": [_phase(name, share, seconds, kwh, parts, kind) for name, share in PARTS.items()],
        "training_step": _training_step(ordered, teach, chance) if len(ordered) > 1 else None,
        "forecast": Forecast(
            epoch=2,
            energy_kwh=0.97 * kwh,
            seconds=0.97 * seconds,
            basis={
                "energy_kwh": basis("kWh", "estimated", "after 2 epochs", a=(0.9 * kwh, 1.1 * kwh)),
                "seconds": basis("s", "estimated", "after 2 epochs", a=(0.9 * seconds, 1.1 * seconds)),
            },
        ),
        "allocation": Allocation(
            rule="airport",
            cost="joules of each segment of the training step, measured in 6 interleaved blocks",
            energy_kwh={n: share * kwh for n, share in shares.items()},
            co2eq_g={n: share * grams for n, share in shares.items()},
            shares_by_rule={"airport": shares, "macs": shares, "deepest": {n: float(n == ordered[-1]) for n in shares}},
        ),
        "carbon": Carbon(
            country="ITA",
            intensity_g_per_kwh=331.0,
            intensity_interval=Interval(low=281.0, high=381.0),
            source="Ember, via codecarbon 3.3",
            vintage="2023",
            pue=1.0,
        ),
        "components": [
            Component(component="cpu", kind=kind, method="CPU-seconds x 5.5 W per thread", details=DETAILS),
            Component(component="ram", kind=kind, method="0.38 W/GB", details=DETAILS),
        ],
        "crosscheck": [
            CrossCheck(
                tool="codecarbon 3.3.2",
                energy_kwh=2.6 * kwh,
                covered_seconds=0.99 * seconds,
                ratio=2.6,
                note="process mode; memory counted as a constant 10 W",
            )
        ],
        "process": {
            "environment": {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "17179869184", "OMP_NUM_THREADS": "1"},
            "pinned": True,
            "torch_threads": 1,
            "device": "cpu",
            "concurrent_workers": 1,
            "affinity": [0, 1],
            "quota_cpus": None,
            "libc": "glibc 2.36",
        },
        "software": {"python": "3.11.7", "greenpose": "0.1.0", "torch": "2.13.0"},
        "git": {"commit": "339b4d2c0ffee", "dirty": False},
        "basis": {
            "train_seconds": basis("s", "measured", "monotonic clock"),
            "train_energy_kwh": basis(
                "kWh", kind, "sum of windows", b=(kwh * wide[0], kwh * wide[1]) if wide else None
            ),
            "train_co2eq_g": basis(
                "g", kind, "energy x PUE x grid intensity", b=(grams * wide[0], grams * wide[1]) if wide else None
            ),
        },
    }


def _training_step(exits: Sequence[int], teach: Sequence[str], chance: random.Random) -> TrainingStep:
    """Return a step whose teaching adds a few percent and whose exits would cost more apart."""
    added = 1 + 0.02 * len(teach) + chance.gauss(0, 0.003)
    alone = sum(MACS[n] for n in exits) / MACS[exits[-1]]
    ratios = {"explained": 1.01, "overhead": added, "kd_overhead": added if teach else None, "ds_overhead": None}
    ratios["joint_saving"] = alone / added
    how = "median over 6 interleaved blocks of steps on 32 images"
    bases = {
        name: basis("ratio", "measured", how, a=(0.98 * value, 1.02 * value))
        if value
        else basis("ratio", "not_covered", how, missing="the run has none")
        for name, value in ratios.items()
    }
    return TrainingStep(
        unit="J",
        images=32,
        blocks=6,
        cost_per_image=14.0,
        exits=[StepExit(exit=n, alone=1e-9 * MACS[n], trunk=0.9e-9 * MACS[n], private=0.1) for n in exits],
        basis=bases | {"cost_per_image": basis("J", "estimated", how, a=(13.5, 14.5))},
        **ratios,
    )


DETAILS = {"scope": "process", "resolution_j": None, "update_period_s": 0.01, "coverage": "whole run", "version": "1"}
PHASES = {
    "data": 0.02,
    "count": 0.002,
    "train": 0.89,
    "validate": 0.1,
    "checkpoint": 0.01,
    "test": 0.01,
    "inference": 0.015,
    "other": 0.003,
}
"""Seconds of each phase over the seconds of training; training includes validation and checkpoints."""
PARTS = {"data": 0.1, "forward": 0.25, "backward": 0.5, "step": 0.03, "other": 0.01}
"""The same for the parts of the phase `train`."""


def _phase(name: str, share: float, seconds: float, kwh: float, parts: dict[str, float], kind: str) -> Phase:
    energy = share * kwh
    wide = {"modelled": (0.47, 2.0), "estimated": (0.8, 1.2)}.get(kind)
    return Phase(
        name=name,
        seconds=share * seconds,
        cpu_seconds=1.02 * share * seconds,
        energy_kwh=energy,
        energy_kwh_by_component={part: part_share * energy for part, part_share in parts.items()},
        windows=60 if name in {"train", "validate"} else 1,
        basis={
            "seconds": basis("s", "measured", "monotonic clock"),
            "cpu_seconds": basis("s", "measured", "CPU time of the process and its children, by the kernel"),
            "energy_kwh": basis(
                "kWh", kind, "sum of its windows", b=(energy * wide[0], energy * wide[1]) if wide else None
            ),
        },
    )


def config(experiment: str, seed: int, numbers: Sequence[int], teach: Sequence[str]) -> dict[str, Any]:
    """Return a resolved configuration about as large as a real one."""
    return {
        "name": experiment,
        "seed": seed,
        "data": {
            "source": "synthetic",
            "profile": "babypose",
            "input_size": [192, 256],
            "sigma": 2.0,
            "padding": 1.25,
            "synthetic": {"seed": 0, "patients": {"train": 48, "val": 8, "test": 12}, "size": [640, 480]},
        },
        "model": {"exits": list(numbers), "width": 32, "stem_width": 64, "modules": [1, 4, 3], "blocks": 4},
        "wiring": {"teach": list(teach), "supervise": list(numbers) if experiment.endswith("-DS") else None},
        "loss": {"teacher_weight": 1.0, "ds_weight": 1.0, "kd_weight": 2000.0, "temperature": 1.0},
        "train": {"epochs": 60, "batch": 32, "lr": 0.00075, "milestones": [30, 50], "gamma": 0.33, "patience": 13},
        "measure": {"batch": 8, "min_window_seconds": 0.5, "rel_ci": 0.05, "max_blocks": 12},
        "carbon": {"country": "ITA", "intensity_g_per_kwh": None, "pue": 1.0},
        "process": {"device": "cpu", "threads": 1},
    }
