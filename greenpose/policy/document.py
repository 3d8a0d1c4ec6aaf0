"""The policy as a document: every number with how it was obtained and how sure it is."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from greenpose.config import Experiment
from greenpose.files import now
from greenpose.intervals import Bounds
from greenpose.metering import worst_kind
from greenpose.policy.calibrate import exit_accuracy, exit_ap, fraction, macs_of, mean_interval, parts_of
from greenpose.policy.cascade import Confidence
from greenpose.policy.search import FoundPolicy, Trial
from greenpose.quantity import Quantity, missing
from greenpose.record import Record, basis_of, with_bases
from greenpose.record.policy import PolicyCurve, PolicyExit, PolicyPoint, PolicyTrial
from greenpose.run.setup import surroundings

NOT_ASKED = "energy was not asked for (--no-measure)"
FLATTERS = "validation split; the best of many settings there, so that it flatters"


def compose_policy(found: FoundPolicy, config: Experiment, record: Record, *, confidence: Confidence) -> PolicyCurve:
    """Return the document of a policy for the run that a record is of."""
    energy, around = _Energy(found), surroundings(config)
    samples = {"val": found.val.samples, "test": found.test.samples}
    return PolicyCurve(
        run=record.name,
        config_hash=record.config_hash,
        run_finished_at=record.finished_at,
        made_at=now(),
        confidence=confidence,
        chosen=found.chosen,
        images={name: len(split) for name, split in samples.items()},
        subjects={name: len(set(split.subjects) - {""}) for name, split in samples.items()},
        resampled=found.test.resampled,
        weights=found.shared.sentence,
        exits=[_exit(found, exit_, energy) for exit_ in found.test.exits],
        points=[_point(found, place, energy) for place in range(len(found.settings))],
        trial=None if found.trial is None else _trial(found.trial, energy, found),
        software=around["software"],
        **_measured(found.trial, around),
        **with_bases({"wanted_ap": fraction(found.wanted, "asked for, or the deepest exit's less .01")}),
    )


def _measured(trial: Trial | None, around: dict[str, Any]) -> dict[str, Any]:
    """Return where energy was measured, and how well; nothing where it was not."""
    if trial is None:
        return {}
    return {
        "grade": trial.meter.total.grade,
        "converged": trial.energies.policy.converged,
        "warnings": list(trial.energies.policy.warnings),
        "host": around["host"],
        "process": around["process"],
    }


def _exit(found: FoundPolicy, exit_: int, energy: "_Energy") -> PolicyExit:
    asked = dict.fromkeys(found.test.exits[:-1], 0.0)
    numbers = {
        "ap_val": fraction(exit_ap(found.val, exit_), "OKS AP on the validation split"),
        "ap": exit_accuracy(found.test, exit_),
        "macs": macs_of(found.paths.alone[exit_], "convolutions of the minimal sub-network, one image"),
        "macs_on_way": macs_of(found.paths.macs(exit_, asked), "the same and every head on the way"),
        "energy_j_per_image": energy.alone(exit_),
        "energy_j_on_way": energy.cumulative(exit_),
    }
    return PolicyExit(exit=exit_, own_weights=found.shared.own[exit_], **with_bases(numbers))


def _point(found: FoundPolicy, place: int, energy: "_Energy") -> PolicyPoint:
    setting, judged = found.settings[place], found.judged[place]
    over = f"interval over {found.test.resampled} and from repetition in quadrature"
    numbers = {
        "ap_val": fraction(setting.ap, f"OKS AP, {FLATTERS}"),
        **judged.numbers,
        "energy_j_per_image": energy.of_point(place, f"ways weighted by the test images that take them, {over}"),
    }
    return PolicyPoint(
        thresholds=dict(setting.thresholds),
        left_val=parts_of(found.val.exits_of(setting.thresholds), found.val.exits),
        left=dict(judged.exited),
        **with_bases(numbers),
    )


def _trial(trial: Trial, energy: "_Energy", found: FoundPolicy) -> PolicyTrial:
    measured = trial.energies.policy
    expected = trial.energies.of_point(trial.exited, found.settings[found.chosen].thresholds)
    how = f"median of ratios within {measured.blocks} blocks, to exit {found.test.exits[-1]}'s own network"
    ratios = {
        name.replace("_per_item", "_per_image"): replace(ratio, unit="fraction", method=how, type_b=None)
        for name, ratio in measured.ratios.items()
    }
    fields = with_bases(
        {
            "energy_j_per_image": energy.described(measured.energy_j_per_item, "the policy itself"),
            "expected_j_per_image": energy.described(expected, "ways weighted by the images that took them"),
        }
    )
    bases = {f"relative_to_final.{name}": basis_of(ratio) for name, ratio in ratios.items()}
    return PolicyTrial(
        images=trial.images,
        elsewhere=trial.elsewhere,
        relative_to_final={name: ratio.known for name, ratio in ratios.items()},
        **fields | {"basis": bases | fields["basis"]},
    )


class _Energy:
    """Energies of a finding in the terms of a document; all unknown where nothing was measured."""

    def __init__(self, found: FoundPolicy) -> None:
        self._found, self._trial = found, found.trial

    def alone(self, exit_: int) -> Quantity:
        known = None if self._trial is None else self._trial.energies.alone[exit_].energy_j_per_item
        return self.described(known, "truncated network")

    def cumulative(self, exit_: int) -> Quantity:
        known = None if self._trial is None else self._trial.energies.cumulative[exit_].energy_j_per_item
        return self.described(known, "asked at every exit up to this one")

    def of_point(self, place: int, how: str) -> Quantity:
        """Return the mean energy of a test image, its interval from repetition widened by that over patients."""
        thresholds, parts = self._found.settings[place].thresholds, self._found.judged[place].exited
        mean = None if self._trial is None else self._trial.energies.of_point(parts, thresholds)
        if self._trial is None or mean is None:
            return self.described(None, how)
        each = {exit_: self._trial.energies.of_point({exit_: 1.0}, thresholds) for exit_ in parts}
        known = {exit_: estimate.known for exit_, estimate in each.items() if estimate is not None}
        test = self._found.test
        costs = np.array([known[int(exit_)] for exit_ in test.exits_of(thresholds)])
        return self.described(widened(mean, mean_interval(costs, test.groups)), how)

    def described(self, each: Quantity | None, how: str) -> Quantity:
        """Return an energy with how it was obtained, or why there is none."""
        if self._trial is None:
            return missing(NOT_ASKED, unit="J", method=f"gross; {how}")
        if each is None:
            why = self._trial.energies.policy.missing.get("energy_j_per_item", "no component's energy could be read")
            return missing(why, unit="J", method=f"gross; {how}")
        meter = self._trial.meter
        method = f"gross; {how}; {each.repeats} interleaved blocks, batch as in measure.batch"
        return replace(each, unit="J", kind=worst_kind(meter.total.joules, meter.provenances), method=method)


def widened(each: Quantity, other: Bounds | None) -> Quantity:
    """Return a number whose Type A interval tells of two independent causes."""
    ends: Sequence[Bounds] = [bounds for bounds in (each.type_a, other) if bounds is not None]
    if not ends:
        return each
    low = each.known - math.hypot(*(each.known - bounds.low for bounds in ends))
    high = each.known + math.hypot(*(bounds.high - each.known for bounds in ends))
    return replace(each, type_a=Bounds(low, high))
