"""Limits: what the numbers mean and where they stop: boundary, functional unit, conventions, as the records say."""

import math
import re
from collections.abc import Sequence

from greenpose.formatting import MINUS, NBSP, listed, percent, plain, plural
from greenpose.metrics import AP, Metric
from greenpose.record import Record
from greenpose.report.study import Study


def limits(study: Study) -> list[tuple[str, str]]:
    """Return what has to be known before a number of the page is used elsewhere: a word for each, and a sentence."""
    runs, metric = study.records, study.accuracy
    if not study.points:
        return [("Boundary", f"{_operation(runs)} {_making(runs)} What no counter or model covers is not included.")]
    return [
        ("Boundary", f"{_operation(runs)} {_making(runs)} What no counter or model covers is not included."),
        (
            "Functional unit",
            "1000 images for use, one training for training. Per image means one image at the measured batch size, on "
            f"{_network(metric, runs)}, in evaluation mode.",
        ),
        ("Allocation", allocation(runs)),
        (
            "MACs",
            f"The multiply-accumulates of the {_counted(metric)}; 1 MAC is 2 FLOPs. MACs are not energy: the shares of "
            "the final exit show both.",
        ),
        (
            "Accuracy",
            _scored(metric),
        ),
        (
            "Recommendation",
            _recommended(study, metric),
        ),
        (
            "Intervals",
            f"Behind ± or in brackets: 95{NBSP}% from repetition.{_assumed(runs)} Overlapping intervals are read as "
            "“not distinguishable”; separate ones are no proof either when few seeds were run. Numbers carry no more "
            "digits than their interval bears.",
        ),
    ]


def _network(metric: Metric, runs: Sequence[Record]) -> str:
    if any(run.factory for run in runs):
        return "the exit’s own network, which may compute later parts too where its method says so"
    return "the exit’s own truncated network" if metric is AP else "the network that was given for the exit"


def _counted(metric: Metric) -> str:
    return "convolutions" if metric is AP else "network: convolutions, matrix products, attention, recurrent layers"


def _scored(metric: Metric) -> str:
    if metric is AP:
        return (
            "AP and AR are OKS averages over thresholds .50 to .95 on the test split, each exit with its best epoch on "
            "the validation split. The interval of a single run comes from resampling test subjects, that of several "
            "runs from how they differ."
        )
    return (
        f"{metric.label} is {metric.method}, with the interval that it gives; "
        f"{'lower' if metric.lower else 'higher'} is better. The interval of several runs is from how they differ."
    )


def _recommended(study: Study, metric: Metric) -> str:
    """Return the rule of recommending: of what is better when lower, differences are turned round."""
    from_best = f"difference in {metric.words} from the most accurate"
    if metric.lower:
        told = f"lies below +{study.margin:g} {metric.points} (--margin). Where it reaches above"
        whole = "where all of it lies above"
    else:
        told = f"lies above {MINUS}{study.margin:g} {metric.points} (--margin). Where it reaches below"
        whole = "where all of it lies below"
    floor = "No floor was set (--floor)."
    if math.isfinite(study.floor):
        side = metric.below.capitalize()
        floor = f"{side} {metric.words} {study.floor:g}{metric.suffix} (--floor) no exit is."
    return (
        f"A cheaper exit is recommended where the whole interval of its {from_best} "
        f"exit {told}, the answer is open; {whole}, it is not recommended. {floor}"
    )


def allocation(runs: tuple[Record, ...]) -> str:
    """Return the rule by which training is split over exits; it is an allocation, not a measurement."""
    rules = listed(sorted({f"the {run.allocation.rule} rule" for run in runs}))
    costs = " or ".join(sorted({re.split("[,(]", run.allocation.cost)[0].strip() for run in runs}))
    return f"By {rules}, from {costs}. It is an allocation, not a measurement: only the run’s total is a physical fact."


def _assumed(runs: tuple[Record, ...]) -> str:
    """Return what a single run's intervals hold that it could not see itself; empty where the records have none."""
    known = [float(entry.measurement.get("between_runs") or 0) for run in runs for entry in run.exits]
    if not any(known):
        return ""
    ends = dict.fromkeys(percent(each) for each in (min(filter(None, known)), max(known)))
    return (
        " Those of a single run’s time and energy are widened by how far another run is assumed to differ, "
        f"{' to '.join(ends)} (1 standard deviation); the run itself cannot see it."
    )


def _operation(runs: tuple[Record, ...]) -> str:
    grids = {"hourly": "the intensity of the hours in which it ran", "custom": "an intensity that the user gave"}
    used = list(dict.fromkeys(grids.get(run.carbon.country, "the grid’s annual mean intensity") for run in runs))
    return (
        "Operational energy of the metered components while the run’s windows were open, times PUE, times "
        f"{listed(used)}."
    )


def _making(runs: tuple[Record, ...]) -> str:
    """Return whether making the machine is counted, and how; taking it apart never is."""
    known = [run.carbon.embodied for run in runs if run.carbon.embodied and run.carbon.embodied.kind != "excluded"]
    if not known:
        return "Making and disposing of the machine is not included."
    years = listed(list(dict.fromkeys(_years(each.lifetime_years) for each in known)))
    some = "" if len(known) == len(runs) else f" in {plural(len(known), 'run')} of {len(runs)}"
    return f"Making the machine is counted where the page says so{some}, spread over {years}; disposing of it is not."


def _years(years: float) -> str:
    return f"{plain(years, 2).removesuffix('.0')}{NBSP}years"
