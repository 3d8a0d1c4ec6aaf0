"""The policy as a document: every number with how it was obtained and how sure it is."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from greenpose.config import Experiment
from greenpose.files import now
from greenpose.intervals import Bounds
from greenpose.metering import process_settings, software_versions, this_machine, worst_kind
from greenpose.policy.calibrate import exit_ap, exit_interval, mean_interval
from greenpose.policy.cascade import Confidence
from greenpose.policy.find import FoundPolicy, Trial
from greenpose.quantity import Kind, Quantity
from greenpose.record import Basis, Interval, Record
from greenpose.record.policy import PolicyCurve, PolicyExit, PolicyPoint, PolicyTrial
from greenpose.run.setup import num_workers

NOT_ASKED = "energy was not asked for (--no-measure)"
FLATTERS = "validation split; the best of many settings there, so that it flatters"


def compose_policy(found: FoundPolicy, config: Experiment, record: Record, *, confidence: Confidence) -> PolicyCurve:
    """Return the document of a policy for the run that a record is of."""
    energy = _Energy(found)
    samples = {"val": found.val.samples, "test": found.test.samples}
    return PolicyCurve(
        run=record.name,
        config_hash=record.config_hash,
        run_finished_at=record.finished_at,
        made_at=now(),
        confidence=confidence,
        wanted_ap=found.wanted,
        chosen=found.chosen,
        images={name: len(split) for name, split in samples.items()},
        subjects={name: len(set(split.subjects) - {""}) for name, split in samples.items()},
        resampled="patients" if found.test.by_subject else "images",
        weights=found.shared.sentence,
        exits=[_exit(found, exit_, energy) for exit_ in found.test.exits],
        points=[_point(found, place, energy) for place in range(len(found.settings))],
        trial=None if found.trial is None else _trial(found.trial, energy, found),
        software=software_versions(),
        basis={
            "wanted_ap": Basis(unit="fraction", kind="computed", method="asked for, or the deepest exit's less .01")
        },
        **_surroundings(found.trial, config),
    )


def _surroundings(trial: Trial | None, config: Experiment) -> dict[str, object]:
    """Return where energy was measured, and how well; nothing where it was not."""
    if trial is None:
        return {}
    process = process_settings(torch_threads=torch.get_num_threads(), workers=num_workers())
    return {
        "grade": trial.meter.total.grade,
        "converged": trial.energies.policy.converged,
        "warnings": list(trial.energies.policy.warnings),
        "host": this_machine().as_dict(),
        "process": process | {"device": config.process.device},
    }


def _exit(found: FoundPolicy, exit_: int, energy: "_Energy") -> PolicyExit:
    alone, on_way = energy.alone(exit_), energy.on_way(exit_)
    asked = dict.fromkeys(found.test.exits[:-1], 0.0)
    accuracy = f"OKS AP on the test split, interval over {_unit(found)}"
    return PolicyExit(
        exit=exit_,
        own_weights=found.shared.own[exit_],
        ap_val=exit_ap(found.val, exit_),
        ap=exit_ap(found.test, exit_),
        macs=found.ways.alone[exit_],
        macs_on_way=found.ways.macs(exit_, asked),
        energy_j_per_image=_value(alone),
        energy_j_on_way=_value(on_way),
        basis={
            "ap_val": Basis(unit="fraction", kind="computed", method="OKS AP on the validation split"),
            "ap": _basis("fraction", "computed", accuracy, exit_interval(found.test, exit_)),
            "macs": Basis(unit="MACs", kind="counted", method="convolutions of the minimal sub-network, one image"),
            "macs_on_way": Basis(unit="MACs", kind="counted", method="the same and every head on the way"),
            "energy_j_per_image": energy.basis(alone, "truncated network"),
            "energy_j_on_way": energy.basis(on_way, "asked at every exit up to this one"),
        },
    )


def _point(found: FoundPolicy, place: int, energy: "_Energy") -> PolicyPoint:
    setting, judged = found.settings[place], found.judged[place]
    left_val = found.val.leave(setting.thresholds)
    joules = energy.of_point(place)
    over = f"interval over {_unit(found)}"
    return PolicyPoint(
        thresholds=dict(setting.thresholds),
        left_val={exit_: float(np.mean(left_val == exit_)) for exit_ in found.val.exits},
        left=dict(judged.left),
        ap_val=setting.ap,
        ap=judged.ap,
        ap_less_final=judged.less_final,
        macs_per_image=judged.macs,
        energy_j_per_image=_value(joules),
        basis={
            "ap_val": Basis(unit="fraction", kind="computed", method=f"OKS AP, {FLATTERS}"),
            "ap": _basis("fraction", "computed", f"OKS AP on the test split, {over}", judged.ap_interval),
            "ap_less_final": _basis(
                "fraction", "computed", f"difference of two APs, paired, {over}", judged.less_final_interval
            ),
            "macs_per_image": _basis("MACs", "counted", f"mean of the test images, {over}", judged.macs_interval),
            "energy_j_per_image": energy.basis(
                joules, f"ways weighted by the test images that take them, {over} and from repetition in quadrature"
            ),
        },
    )


def _trial(trial: Trial, energy: "_Energy", found: FoundPolicy) -> PolicyTrial:
    measured = trial.energies.policy
    thresholds = found.settings[found.chosen].thresholds
    expected = trial.energies.of_point(trial.left, thresholds)
    ratios = {name.replace("_per_item", "_per_image"): ratio for name, ratio in measured.ratios.items()}
    how = f"median of ratios within {measured.blocks} blocks, to exit {found.test.exits[-1]}'s own network"
    bases = {
        f"relative_to_final.{name}": _basis("fraction", "measured", how, each.type_a) for name, each in ratios.items()
    }
    return PolicyTrial(
        images=trial.images,
        elsewhere=trial.elsewhere,
        energy_j_per_image=_value(measured.energy_j_per_item),
        expected_j_per_image=_value(expected),
        relative_to_final={name: each.value for name, each in ratios.items()},
        basis=bases
        | {
            "energy_j_per_image": energy.basis(measured.energy_j_per_item, "the policy itself"),
            "expected_j_per_image": energy.basis(expected, "ways weighted by the images that took them"),
        },
    )


class _Energy:
    """Energies of a finding in the terms of a document; all unknown where nothing was measured."""

    def __init__(self, found: FoundPolicy) -> None:
        self._found, self._trial = found, found.trial

    def alone(self, exit_: int) -> Quantity | None:
        return None if self._trial is None else self._trial.energies.alone[exit_].energy_j_per_item

    def on_way(self, exit_: int) -> Quantity | None:
        return None if self._trial is None else self._trial.energies.on_way[exit_].energy_j_per_item

    def of_point(self, place: int) -> Quantity | None:
        """Return the mean energy of a test image, its interval from repetition widened by that over patients."""
        if self._trial is None:
            return None
        thresholds, parts = self._found.settings[place].thresholds, self._found.judged[place].left
        mean = self._trial.energies.of_point(parts, thresholds)
        if mean is None:
            return None
        each = {exit_: self._trial.energies.of_point({exit_: 1.0}, thresholds) for exit_ in parts}
        known = {exit_: estimate.value for exit_, estimate in each.items() if estimate is not None}
        test = self._found.test
        costs = np.array([known[int(exit_)] for exit_ in test.leave(thresholds)])
        return widened(mean, mean_interval(costs, test.groups))

    def basis(self, each: Quantity | None, how: str) -> Basis:
        """Return how an energy was obtained, or why there is none."""
        kind, missing = self._kind()
        if each is None:
            return Basis(unit="J", kind="not_covered", method=f"gross; {how}", missing=missing)
        method = f"gross; {how}; {each.repeats} interleaved blocks, batch as in measure.batch"
        return _basis("J", kind, method, each.type_a, each.type_b)

    def _kind(self) -> tuple[Kind, str]:
        """Return how energy was obtained, and why it is missing where it is."""
        if self._trial is None:
            return "not_covered", NOT_ASKED
        meter, missing = self._trial.meter, self._trial.energies.policy.missing
        why = missing.get("energy_j_per_item", "no component's energy could be read")
        return worst_kind(meter.total.joules, meter.provenances), why


def widened(each: Quantity, other: Bounds | None) -> Quantity:
    """Return a number whose Type A interval tells of two independent causes."""
    ends: Sequence[Bounds] = [bounds for bounds in (each.type_a, other) if bounds is not None]
    if not ends:
        return each
    low = each.known - math.hypot(*(each.known - bounds.low for bounds in ends))
    high = each.known + math.hypot(*(bounds.high - each.known for bounds in ends))
    return replace(each, type_a=Bounds(low, high))


def _unit(found: FoundPolicy) -> str:
    return "patients" if found.test.by_subject else "images"


def _value(each: Quantity | None) -> float | None:
    return None if each is None else each.value


def _basis(unit: str, kind: Kind, method: str, type_a: Bounds | None, type_b: Bounds | None = None) -> Basis:
    return Basis(unit=unit, kind=kind, method=method, type_a=_interval(type_a), type_b=_interval(type_b))


def _interval(bounds: Bounds | None) -> Interval | None:
    return None if bounds is None else Interval(low=bounds.low, high=bounds.high)
