"""Whole documents about one experiment's energy: a BoAmps report, the terms of an SCI, a model card for Hugging Face.

Source: BoAmps 1.1.0 (Boavizta, 2025), whose energy is in kWh and whose model sizes are in billions of parameters;
ISO/IEC 21031:2024, which prescribes no file; huggingface.co/docs/hub/model-cards-co2, whose emissions are in grams.
"""

import json
import math
from collections.abc import Iterator
from typing import Any

import yaml

from greenpose.errors import ReportError
from greenpose.formatting import joules_to_kwh, listed, plain, plural
from greenpose.metrics import EMBODIED, ENERGY, PARAMS, SCI, TRAIN_EMBODIED, TRAIN_ENERGY, TRAIN_SCI
from greenpose.quantity import Quantity, kind_mark
from greenpose.record import Record
from greenpose.record.numbers import Interval
from greenpose.report.disclosures.bills_of_materials import SIGNIFICANT, THOUSAND, identity, instant, scores, task_of
from greenpose.report.disclosures.statements import intensity_of, model_card, of_training, training_type
from greenpose.report.figures.exits import means_table
from greenpose.report.labels import host_name
from greenpose.report.method_limits import limits
from greenpose.report.study import Group, Point, Study
from greenpose.tables import markdown_table, plain_text

BOAMPS, BOAMPS_URI = "1.1.0", "https://github.com/Boavizta/BoAmps/tree/main/model"
SCI_SCHEMA = "greenpose.sci/1"
BILLION = 1e9
QUALITIES = {"high": 0.10, "medium": 0.25}
"""By BoAmps's words, the relative error that they stand for at most; beyond, `low`."""
STAGES = {"pre-training": "training", "fine-tuning": "finetuning"}
"""What BoAmps calls a training."""


def boamps(study: Study, *, generated_at: str, version: str) -> str:
    """Return BoAmps's report on the training of one experiment, a measure for each run, in kWh.

    Raises:
        ReportError: if there is not one experiment.
    """
    group = _alone(study, "a BoAmps report")
    run = group.runs[0]
    document = {
        "header": {
            "formatVersion": BOAMPS,
            "formatVersionSpecificationUri": BOAMPS_URI,
            "reportId": str(identity(study)),
            "reportDatetime": _date(generated_at),
            "reportStatus": "draft",
        },
        "task": {
            "taskStage": STAGES[training_type(run)],
            "taskFamily": task_of(run),
            "algorithms": [_algorithm(group)],
            "dataset": [_dataset(run)],
            "taskDescription": _described(group),
        },
        "measures": [_measure(each, version) for each in group.runs],
        "system": {"os": str(run.host.get("os") or "not recorded")},
        "software": {"language": "python", "version": run.software.get("python", "not recorded")},
        "infrastructure": {"infraType": "other", "components": [*_components(run)]},
        "environment": {"country": run.carbon.country, "powerSourceCarbonIntensity": intensity_of(group)},
        "quality": _quality(of_training(group, TRAIN_ENERGY)),
    }
    return _written(document)


def _alone(study: Study, what: str) -> Group:
    """Return the one experiment that the runs repeat.

    Raises:
        ReportError: naming those that there are.
    """
    if len(study.groups) != 1:
        there = listed([group.label for group in study.groups]) or "no finished run"
        raise ReportError(f"{what} is about one experiment, and the runs are of {there}: name the runs of one of them")
    return study.groups[0]


def _date(generated_at: str) -> str:
    return instant(generated_at).replace("T", " ").removesuffix("Z")


def _algorithm(group: Group) -> dict[str, Any]:
    run = group.runs[0]
    said: dict[str, Any] = {"algorithmName": group.label, "epochsNumber": run.epochs}
    if run.dataset.get("keypoints"):
        said |= {"trainingType": "supervisedLearning", "algorithmType": "convolutional neural network"}
    if version := run.software.get("torch"):
        said |= {"framework": "pytorch", "frameworkVersion": version}
    params = Point(group=group, exit=max(group.exits)).figure(PARAMS).value if group.exits else None
    return said | ({} if params is None else {"parametersNumber": params / PARAMS.scale / BILLION})


def _dataset(run: Record) -> dict[str, Any]:
    said = {"dataUsage": "input", "dataType": "image" if run.dataset.get("keypoints") else "other"}
    return said | ({"dataQuantity": run.images["train"]} if "train" in run.images else {})


def _described(group: Group) -> str:
    energy = of_training(group, TRAIN_ENERGY) * (1 / TRAIN_ENERGY.scale)
    intervals = [
        f"{name} {low:.{SIGNIFICANT}g} to {high:.{SIGNIFICANT}g} kWh"
        for name, (low, high) in {
            "95 % interval from repetition": energy.type_a or (math.nan, math.nan),
            "systematic interval": energy.type_b or (math.nan, math.nan),
        }.items()
        if not math.isnan(low)
    ]
    marks = [f"{metric.label} {_number(each)} {metric.unit} at exit {exit_}" for exit_, metric, each in scores(group)]
    return "; ".join([f"one training a measure; energy {energy.kind}", *intervals, *marks])


def _measure(run: Record, version: str) -> dict[str, Any]:
    modes = {part.component: part.method for part in run.components}
    busy = run.train_cpu_seconds / (run.train_seconds * run.host.get("vcpus", 1)) if run.train_seconds else 0.0
    return {
        "measurementMethod": "greenpose",
        "version": run.software.get("greenpose", version),
        **{f"{name}TrackingMode": modes[name] for name in ("cpu", "gpu") if name in modes},
        "averageUtilizationCpu": min(1.0, float(f"{busy:.4g}")),
        "unit": "kWh",
        "powerConsumption": run.train_energy_kwh,
        "measurementDuration": run.train_seconds,
        "measurementDateTime": _date(run.started_at),
    }


def _components(run: Record) -> Iterator[dict[str, Any]]:
    shares = {part.component: part.details.get("model_params", {}).get("share", 1.0) for part in run.components}
    host = run.host
    cpu = {"componentType": "cpu", "componentName": str(host.get("cpu")), "nbComponent": int(host.get("vcpus") or 1)}
    yield cpu | {"share": shares.get("cpu", 1.0)}
    for name in dict.fromkeys(host.get("gpus") or ()):
        yield {"componentType": "gpu", "componentName": str(name), "nbComponent": host["gpus"].count(name)}
    memory = round(float(host.get("ram_gb") or 0))
    yield {"componentType": "ram", "nbComponent": 1, "memorySize": memory, "share": shares.get("ram", 1.0)}


def _quality(energy: Quantity) -> str:
    """Return BoAmps's word for the wider of the two errors; `low` where nobody knows."""
    low, high = energy.factors or (0.0, 2.0)
    error = max(1 - low, high - 1)
    return next((word for word, most in QUALITIES.items() if error <= most), "low")


def sci(study: Study, *, generated_at: str, version: str) -> str:
    """Return the terms of each Software Carbon Intensity, E, I, M and R, with kinds and intervals.

    In kWh, g/kWh and grams. Where a term is missing, the rate is null, and it says why.
    """
    document = {
        "schema": SCI_SCHEMA,
        "standard": "ISO/IEC 21031:2024",
        "generated_at": instant(generated_at),
        "version": version,
        "equation": "SCI = (E x PUE x I + M) per R",
        "boundary": dict(limits(study))["Boundary"],
        "software": [_terms_of(group) for group in study.groups],
    }
    return _written(document)


def _terms_of(group: Group) -> dict[str, Any]:
    run = group.runs[0]
    energy = of_training(group, TRAIN_ENERGY) * (1 / TRAIN_ENERGY.scale)
    training = _terms(
        "1 training",
        run,
        energy=energy,
        making=of_training(group, TRAIN_EMBODIED),
        whole=of_training(group, TRAIN_SCI),
        intensity=intensity_of(group),
        between=run.carbon.intensity_interval,
    )
    return {"name": group.label, "runs": [each.name for each in group.runs], "rates": [training, *_use(group)]}


def _use(group: Group) -> Iterator[dict[str, Any]]:
    carbon = group.runs[0].carbon
    for exit_ in group.exits:
        point = Point(group=group, exit=exit_)
        yield _terms(
            f"{THOUSAND} images at exit {exit_}",
            group.runs[0],
            energy=point.figure(ENERGY) * (joules_to_kwh(THOUSAND) / ENERGY.scale),
            making=point.figure(EMBODIED),
            whole=point.figure(SCI),
            intensity=carbon.mean_g_per_kwh or carbon.intensity_g_per_kwh,
            between=carbon.mean_interval or carbon.intensity_interval,
        )


def _terms(
    unit: str,
    run: Record,
    *,
    energy: Quantity,
    making: Quantity,
    whole: Quantity,
    intensity: float,
    between: Interval,
) -> dict[str, Any]:
    carbon = run.carbon
    return {
        "R": unit,
        "E": _told(energy, "kWh"),
        "I": {
            "value": intensity,
            "unit": "gCO2eq/kWh",
            "systematic": [between.low, between.high],
            "country": carbon.country,
            "source": f"{carbon.source}, {carbon.vintage}",
        },
        "PUE": carbon.pue,
        "M": _told(making, "gCO2eq"),
        "SCI": _told(whole, "gCO2eq"),
    }


def _told(each: Quantity, unit: str) -> dict[str, Any]:
    if each.value is None:
        return {"value": None, "unit": unit, "missing": each.missing}
    said: dict[str, Any] = {"value": each.value, "unit": unit, "kind": each.kind, "method": each.method}
    for name, bounds in (("repetition", each.type_a), ("systematic", each.type_b)):
        said[name] = None if bounds is None else list(bounds)
    return said


def card(study: Study, *, generated_at: str, version: str) -> str:
    """Return a model card: the metadata that Hugging Face reads, emissions in grams, and what they rest on.

    Raises:
        ReportError: if there is not one experiment.
    """
    group = _alone(study, "a model card")
    pose = bool(group.runs[0].dataset.get("keypoints"))
    metadata: dict[str, Any] = {"library_name": "pytorch", "pipeline_tag": "keypoint-detection"} if pose else {}
    metadata |= {"tags": ["greenpose", *(["pose-estimation", "early-exit"] if pose else [])], **model_card(group)}
    head = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True, width=10_000)
    made = f"{plural(len(group.runs), 'run')} on {host_name(group.runs[0])}"
    parts = [
        f"---\n{head}---\n",
        f"# {plain_text(group.label)}\n",
        _bill(group),
        *([markdown_table(means_table(study))] if group.exits else []),
        "## How far to trust it\n",
        *(f"- **{topic}**: {plain_text(said)}" for topic, said in limits(study)),
        f"\nGreenPose {version}, {instant(generated_at)}; {made}.",
    ]
    return "\n".join(parts) + "\n"


def _bill(group: Group) -> str:
    energy = of_training(group, TRAIN_ENERGY) * (1 / TRAIN_ENERGY.scale)
    between = (
        "" if energy.type_b is None else f" (systematic {plain(energy.type_b.low)} to {plain(energy.type_b.high)})"
    )
    grams = model_card(group)["co2_eq_emissions"]["emissions"]
    mark = kind_mark(energy.kind)
    what = "One training" if group.exits else "One run"
    return (
        f"{what} used {mark}{plain(energy.known)} kWh{between}, {energy.kind}, and emitted {mark}{plain(grams)} "
        "gCO2eq.\n"
    )


def _number(each: Quantity) -> str:
    return f"{each.known:.{SIGNIFICANT}g}"


def _written(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
