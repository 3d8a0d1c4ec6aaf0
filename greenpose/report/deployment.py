"""Deployment: the exported models that were measured beside their run, and which of them, or which exit, to use."""

import math
from dataclasses import dataclass, replace

from greenpose.formatting import NBSP, listed, percent, plural
from greenpose.intervals import Bounds
from greenpose.metrics import AP, CO2, CPU, ENERGY, LATENCY, LATENCY_P95, NET_ENERGY, PERCENT, Metric
from greenpose.quantity import Quantity, missing, scaled, worst
from greenpose.record import Record
from greenpose.record.artefacts import PRECISIONS, ArtefactCost, Turns
from greenpose.report.differences import NonInferiority
from greenpose.report.hosts import parts_of
from greenpose.report.quantities import disturbance, in_unit
from greenpose.report.ranking import Preference, energy_share, known, preference, unlike_best
from greenpose.report.study import Point, Study

RUNTIMES = {"openvino": "OpenVINO", "onnx": "onnxruntime", "pt2": "torch.export", "torch": "torch"}
"""What runs a file of each format, in words."""
COSTS = (CPU, ENERGY, NET_ENERGY, LATENCY, LATENCY_P95, CO2)
"""What an image costs, and what others that take the CPU can move."""
POSSIBLE = {"openvino": ("fp32", "bf16", "int8"), "onnx": ("fp32", "int8"), "pt2": ("fp32", "bf16")}
"""What `greenpose export` can make: onnxruntime has no convolutions in bf16 on CPUs, and torch none in int8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One way to deploy an exit: a model file, or the trained network in torch, and what it was measured to cost."""

    point: Point
    """The exit."""
    run: Record
    """The run that it comes from."""
    turns: Turns
    """The measurement."""
    cost: ArtefactCost
    """What was measured of it."""

    @property
    def how(self) -> str:
        """Return `int8 in OpenVINO`."""
        return f"{PRECISIONS[self.cost.precision]} in {RUNTIMES[self.cost.format]}"

    @property
    def label(self) -> str:
        """Return `exit 3, int8 in OpenVINO`."""
        folded = ", folded" if self.cost.folded else ""
        keypoints = ", with decoding" if self.cost.outputs == "keypoints" else ""
        return f"exit{NBSP}{self.cost.exit}, {self.how}{folded}{keypoints}"

    @property
    def currency(self) -> Metric:
        """Return what its share is of: energy, or where that was not metered CPU time."""
        return ENERGY if ENERGY.name in self.cost.relative_to_final else CPU

    @property
    def share(self) -> Quantity:
        """Return its cost over that of the run's final exit in torch float32, within blocks."""
        found = self.cost.quantity(f"relative_to_final.{self.currency.name}")
        return replace(found, kind=worst([found.kind, self.cost.quantity(self.currency.name).kind]))

    def figure(self, metric: Metric) -> Quantity:
        """Return one number in display units, marked where others took much of the CPU while it was metered."""
        found = in_unit(self.cost.quantity(metric.name), metric)
        return replace(found, disturbed=any(metric.name == each.name for each in COSTS) and any(disturbance(self.cost)))

    @property
    def ap_change(self) -> Quantity:
        """Return by how many points its AP differs from that of the same exit in torch float32."""
        return self.cost.quantity("ap_change") * PERCENT

    def share_of(self, study: Study, best: Point) -> Quantity:
        """Return its energy over that of an exit in torch float32, which may be of another network."""
        final = Point(group=self.point.group, exit=max(self.point.group.exits))
        if self.currency is not ENERGY:
            return missing("energy was not metered")
        return self.share if final == best else _product(self.share, energy_share(study, final, best))

    def less_ap(self, best: Point) -> Quantity:
        """Return its AP less that of an exit in torch float32, in points: what the exit loses, and the file besides."""
        if self.point == best or self.ap_change.value is None:
            return self.ap_change
        exits = unlike_best(self.point, best).change
        if exits.value is None:
            return exits
        value, half = exits.value + self.ap_change.known, math.hypot(exits.half_width, self.ap_change.half_width)
        ends = Bounds(value - half, value + half) if exits.type_a and self.ap_change.type_a else None
        return Quantity(value=value, unit="points", kind="computed", type_a=ends)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """What a page recommends: an exit or an exported model, and what it takes beside what it is held against."""

    study: Study
    """Of what: one side, an experiment's runs on all hosts together."""
    choice: Preference | None
    """The exits; None where none is preferred."""
    file: Deployment | None
    """The exported model to use; None where none is known to keep within the margin and to save."""
    share: Quantity
    """Energy per image of the model, or of the exit that is told of, over that of what it is held against."""


def recommend(study: Study) -> Recommendation:
    """Return what to use of a study that has its hosts together."""
    choice = preference(study)
    file, share = chosen(study, choice), missing("there is nothing to hold it against")
    if choice and file:
        share = file.share_of(study, choice.best)
    elif choice and choice.whole:
        share = energy_share(study, choice.told, choice.whole)
    return Recommendation(study=study, choice=choice, file=file, share=share)


def deployments(study: Study) -> list[Deployment]:
    """Return the exits in torch and the files of every run of the study that has been measured, run by run.

    An exit in torch stands there once for each machine: as the newest measurement found it.
    """
    found: list[Deployment] = []
    for group in study.groups:
        for run in (run for part in parts_of(group) for run in part.runs):
            for known_ in (each for each in study.artefacts if each.belongs_to(run)):
                newest = {turns.machine: turns for turns in known_.measurements}
                for turns in known_.measurements:
                    shown = [c for c in turns.costs if not c.is_trained_network or turns is newest[turns.machine]]
                    points = [(Point(group=group, exit=each.exit), each) for each in shown if each.exit in group.exits]
                    found += [Deployment(point=p, run=run, turns=turns, cost=each) for p, each in points]
    return sorted(found, key=lambda each: not each.cost.is_trained_network)


def chosen(study: Study, choice: Preference | None) -> Deployment | None:
    """Return the cheapest file that is known to keep within the margin of the most accurate exit, and known to save.

    None where none was measured, or none is known to do both.
    """
    fits = [each for each in _saving(study, choice) if choice and fitness(study, each, choice.best) == "within"]
    return min(fits, key=lambda each: _share_value(study, each, choice), default=None)


def unsettled(study: Study, choice: Preference | None) -> Deployment | None:
    """Return the cheapest file that saves, and of which it is open whether it keeps within the margin."""
    some = [each for each in _saving(study, choice) if choice and fitness(study, each, choice.best) == "open"]
    return min(some, key=lambda each: _share_value(study, each, choice), default=None)


def _share_value(study: Study, each: Deployment, choice: Preference | None) -> float:
    return each.share_of(study, choice.best).known if choice else math.inf


def _saving(study: Study, choice: Preference | None) -> list[Deployment]:
    """Return the files that are accurate enough to be of use, and that are shown to take less than the best exit."""
    if choice is None or not study.artefacts:
        return []
    shares = [(each, each.share_of(study, choice.best)) for each in deployments(study) if _is_useful(study, each)]
    return [each for each, share in shares if share.value is not None and share.type_a and share.type_a.high < 1]


def _is_useful(study: Study, each: Deployment) -> bool:
    if each.cost.is_trained_network or each.ap_change.value is None or each.point.figure(AP).value is None:
        return False
    return known(each.point, AP) + each.ap_change.known >= study.floor


def fitness(study: Study, each: Deployment, best: Point) -> NonInferiority:
    """Return whether a file keeps within the margin of the most accurate exit in torch, exit and file together."""
    less = each.less_ap(best)
    low, high = less.type_a or (-math.inf, math.inf)
    return "within" if low > -study.margin else "beyond" if high < -study.margin else "open"


def not_tried(study: Study, exit_: Point) -> list[str]:
    """Return in which runtimes and precisions an exit could be exported, and was not measured."""
    done = {(each.cost.format, each.cost.precision) for each in deployments(study) if each.point == exit_}
    return [
        f"{PRECISIONS[precision]} in {RUNTIMES[format_]}"
        for format_, precisions in POSSIBLE.items()
        for precision in precisions
        if (format_, precision) not in done
    ]


def tried_words(answer: Recommendation) -> str:
    """Return what was not tried beside the file to use; that none of the measured ones will do, where none does.

    Empty where none was measured, or no exit is preferred.
    """
    study, found, file = answer.study, answer.choice, answer.file
    if found is None or not study.artefacts:
        return ""
    maybe = unsettled(study, found) if file is None else None
    if maybe is not None:
        share = percent(maybe.share_of(study, found.best).known)
        said = f"{maybe.label[0].upper()}{maybe.label[1:]} takes {share} of the energy, if it is accurate enough."
        tried = [each.point for each in deployments(study) if not each.cost.is_trained_network]
        return said if found.best in tried else f"{said} Not tried: exit{NBSP}{found.best.exit} as a file."
    if file is None:
        files = [each for each in deployments(study) if not each.cost.is_trained_network]
        were, which = "was" if len(files) == 1 else "were", "is known to save energy within the margin"
        best = (
            "" if any(each.point == found.best for each in files) else f" Exit{NBSP}{found.best.exit} was not exported."
        )
        return f"Of {plural(len(files), 'exported model')} that {were} measured none {which}.{best}"
    rest = not_tried(study, file.point)
    return f"Not tried: {listed(rest)}." if rest else "Every other runtime and precision was tried."


def _product(first: Quantity, second: Quantity) -> Quantity:
    """Return the product of two shares; relative intervals add in quadrature."""
    if first.value is None or second.value is None:
        return missing(first.missing or second.missing)
    half = math.hypot(*(each.relative_half_width if each.type_a else 0.0 for each in (first, second)))
    whole = Bounds(1 - half, 1 + half) if first.type_a and second.type_a else None
    value = first.value * second.value
    return replace(first, value=value, type_a=scaled(whole, value), kind=worst([first.kind, second.kind]))
