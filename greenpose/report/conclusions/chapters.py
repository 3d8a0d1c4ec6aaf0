"""The chapters of the page: heading and one-line answer of each, so that a closed one says what is in it."""

from collections.abc import Iterable, Sequence
from functools import partial
from statistics import median

from greenpose.formatting import NBSP, listed, percent, plain, plural, with_prefix
from greenpose.ledger.phases import TRAINING
from greenpose.metrics import ENERGY, MACS, Metric
from greenpose.quantity import Quantity, kind_mark
from greenpose.report.comparison import Changes
from greenpose.report.conclusions.first_screen import year_g
from greenpose.report.conclusions.savings import MEASURING, measured
from greenpose.report.figures.totals import paid_of, phase_names
from greenpose.report.figures.what_if import DEFAULT
from greenpose.report.hosts import across_hosts
from greenpose.report.study import Study, gross_kwh

Chapter = tuple[str, str, str]
"""Anchor, heading, answer."""
MOST_PHASES = 4
"""Phases of runs without exits that are told."""


def chapters(compared: Study, changed: Changes | None, *, num_texts: int) -> list[Chapter]:
    """Return the chapters in the page's order; what two sides differ in comes first, where there are two."""
    found = [("changed", "What changed", changed.verdict)] if changed else []
    if not compared.points:
        return [*found, *_without_exits(compared, num_texts)]
    return [
        *found,
        ("networks", "All networks", _networks(compared)),
        ("what-if", "What if: my grid, my cameras", _use(compared)),
        ("went", "Where the energy went", _spent(compared)),
        ("sure", "How sure", _precision(compared)),
        ("method", "Method, data, machine", _method(compared)),
        _to_copy(num_texts),
    ]


def _without_exits(study: Study, num_texts: int) -> list[Chapter]:
    """Return the chapters of runs that have no exits: their bill, how it was metered, and what to copy."""
    return [
        ("went", "Where the energy went", _spent(study)),
        ("method", "Method, data, machine", _method(study)),
        _to_copy(num_texts),
    ]


def _to_copy(num_texts: int) -> Chapter:
    said = f"{plural(num_texts, 'text')}, and how to run it again"
    return "disclosures", "Copy for a paper, ISO SCI, EU AI Act", said


def _networks(study: Study) -> str:
    study, metric = across_hosts(study), study.accuracy
    measured = f"{_range(study, metric)}{metric.suffix}" if study.scored else "not measured"
    parts = [f"{metric.words} {measured}"]
    cost = study.shown(ENERGY) if _values(study, ENERGY) and len(study.settings) <= 1 else MACS
    unit = cost.unit.removesuffix("/image")
    mark = next((kind_mark(point.figure(cost).kind) for point in study.points), "")
    parts.append(f"{mark}{_range(study, cost)}{NBSP}{unit} an image")
    return f"{plural(len(study.points), 'exit')} of {plural(len(study.groups), 'network')}: {', '.join(parts)}"


def _use(study: Study) -> str:
    grams = [year_g(point) for point in study.points if point.figure(ENERGY).value is not None]
    if not grams:
        return "energy of an image was not measured"
    mark = next(kind_mark(each.kind) for each in _known(study, ENERGY))
    ends = list(dict.fromkeys(f"{mark}{with_prefix(each, 'g', 2)}" for each in (min(grams), max(grams))))
    rate = f"{plain(DEFAULT.images_per_second, 2)} images a second"
    return f"a camera with {rate} emits {' to '.join(ends)} CO2eq a year, by the exit that reads it"


def _spent(study: Study) -> str:
    """Return the shares of training, of measuring exits, and of the rest in what finished runs drew."""
    whole = sum(paid_of(study, gross_kwh))
    if not whole:
        return "nothing was metered"
    parts = {
        name: sum(paid_of(study, partial(measured, phases=phases))) / whole
        for name, phases in _energy_breakdown(study, phase_names(study)).items()
    }
    parts["the rest"] = max(0.0, 1 - sum(parts.values()))
    return listed([f"{name} {percent(share)}" for name, share in parts.items()])


def _energy_breakdown(study: Study, names: Sequence[str]) -> dict[str, Sequence[str]]:
    """Return what energy was spent for, with the phases of each; of runs without exits the phases themselves."""
    own = [name for name in dict.fromkeys(names) if name not in (*MEASURING, "data", "count", "test", "other")]
    if not study.points:
        return {name: [name] for name in own[:MOST_PHASES]}
    of_training = own if any(run.own for run in study.records) else TRAINING
    return {"training": of_training, "measuring the exits": MEASURING}


def _precision(study: Study) -> str:
    """Return half the 95 % intervals of the middle exit, the relative one of energy and that of AP in points."""
    metric = study.accuracy
    energies = [each.relative_half_width for each in _known(study, ENERGY) if each.type_a]
    aps = [each.half_width for each in _known(study, metric) if each.type_a]
    parts = [f"energy ±{percent(median(energies))}"] if energies else []
    parts += [f"{metric.words} ±{plain(median(aps), 2)} {metric.points}"] if aps else []
    return f"{listed(parts)} at the middle exit" if parts else "nothing was repeated, so no interval is known"


def _method(study: Study) -> str:
    runs = study.records
    energy = {"A": "read from counters", "B": "in part modelled", "C": "modelled"}[max(run.grade for run in runs)]
    named = runs if study.points else [run for run in runs if run.dataset.get("source")]
    data = listed(list(dict.fromkeys(str(run.dataset.get("source") or "unnamed") for run in named)))
    told = [f"energy {energy}", *([f"{data} data"] if data else []), plural(len(study.settings), "machine setting")]
    return ", ".join(told)


def _known(study: Study, metric: Metric) -> Iterable[Quantity]:
    return (each for point in study.points if (each := point.figure(metric)).value is not None)


def _values(study: Study, metric: Metric) -> list[float]:
    return [each.known for each in _known(study, metric)]


def _range(study: Study, metric: Metric) -> str:
    values = _values(study, metric)
    return " to ".join(dict.fromkeys(plain(each, 2) for each in (min(values), max(values))))
