"""Bills of materials of trained networks: whole documents, CycloneDX 1.7 with model cards and SPDX 3.0.1's AI profile.

Either has fixed units and no field for how a number was obtained or how sure it is: that stands in its properties, of
the same unit as the number that they belong to.

Source: JSON schema of CycloneDX 1.7 (modelCard, environmentalConsiderations); SPDX 3.0.1, profiles AI, Dataset and
Extension.
"""

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from greenpose.formatting import joules_to_kwh
from greenpose.metrics import ENERGY, MACS, PARAMS, TRAIN_CO2, TRAIN_ENERGY, Metric
from greenpose.quantity import Quantity
from greenpose.record import Record
from greenpose.report.disclosures.statements import GRAMS_PER_TONNE, energy_consumption, of_training, training_type
from greenpose.report.labels import host_name
from greenpose.report.method_limits import limits
from greenpose.report.study import Group, Point, Study

NAMESPACE = uuid.UUID("6f3c2c1e-5c9b-4d7e-9d0a-2f1f5d5a8f11")
"""Ours, for names that the same records have again."""
THOUSAND = 1000
SIGNIFICANT = 6
CONTEXT = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"
PLACE = "https://greenpose.invalid/"
"""Before the names of SPDX elements, which are addresses that nothing need answer at (RFC 2606)."""


def cyclonedx(study: Study, *, generated_at: str, version: str) -> str:
    """Return a bill of materials with one machine-learning model for each experiment, in kWh and tonnes of CO2eq."""
    tool = {"type": "application", "name": "greenpose", "version": version}
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.7.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "serialNumber": f"urn:uuid:{identity(study)}",
        "version": 1,
        "metadata": {
            "timestamp": instant(generated_at),
            "tools": {"components": [tool]},
            "properties": [_property(f"boundary:{topic}", said) for topic, said in limits(study)],
        },
        "components": [_component(group) for group in study.groups],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _component(group: Group) -> dict[str, Any]:
    run = group.runs[0]
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{group.label}",
        "name": group.label,
        "version": run.config_hash[:8] or "0",
        "description": _described(group),
        "modelCard": {
            "modelParameters": {
                "task": task_of(run),
                **_family(run),
                "datasets": [_dataset(group)],
            },
            "quantitativeAnalysis": {"performanceMetrics": [*_performance(group)]},
            "considerations": {
                "environmentalConsiderations": {"energyConsumptions": [_training(group), *_inference(group)]}
            },
        },
        "properties": [
            *(_property("run", each.name) for each in group.runs),
            *(_property("config", each.config_hash) for each in group.runs),
            _property("machine", host_name(run)),
            _property("grade", max(each.grade for each in group.runs)),
        ],
    }


def _training(group: Group) -> dict[str, Any]:
    """Return what one training cost, with the intervals of both numbers."""
    said: dict[str, Any] = energy_consumption(group)["energyConsumptions"][0]
    energy, grams = of_training(group, TRAIN_ENERGY), of_training(group, TRAIN_CO2)
    unit = "one training of every exit, mean over the runs"
    return said | {
        "properties": [
            _property("functionalUnit", unit),
            *_sure("energy", energy, scale=1 / TRAIN_ENERGY.scale, unit="kWh"),
            *_sure("co2eq", grams, scale=1 / TRAIN_CO2.scale / GRAMS_PER_TONNE, unit="tCO2eq"),
        ]
    }


def _inference(group: Group) -> Iterator[dict[str, Any]]:
    """Yield what 1000 images cost at each exit that was measured."""
    for exit_ in group.exits:
        point = Point(group=group, exit=exit_)
        energy = point.figure(ENERGY)
        if energy.value is None:
            continue
        scale = joules_to_kwh(THOUSAND) / ENERGY.scale
        carbon = group.runs[0].carbon
        tonnes = energy.value * scale * carbon.pue * _per_kwh(group.runs) / GRAMS_PER_TONNE
        yield {
            "activity": "inference",
            "energyProviders": [],
            "activityEnergyCost": {"value": _short(energy.value * scale), "unit": "kWh"},
            "co2CostEquivalent": {"value": _short(tonnes), "unit": "tCO2eq"},
            "properties": [
                _property("functionalUnit", f"{THOUSAND} images at exit {exit_}"),
                *_sure("energy", energy, scale=scale, unit="kWh"),
            ],
        }


def _per_kwh(runs: Sequence[Record]) -> float:
    carbon = runs[0].carbon
    return carbon.mean_g_per_kwh or carbon.intensity_g_per_kwh


def _performance(group: Group) -> Iterator[dict[str, Any]]:
    for exit_, metric, each in scores(group):
        said: dict[str, Any] = {
            "type": metric.label,
            "value": f"{each.known:.{SIGNIFICANT}g}{metric.unit and f' {metric.unit}'}",
            "slice": f"exit {exit_}, test split",
        }
        if each.type_a is not None:
            ends = {"lowerBound": each.type_a.low, "upperBound": each.type_a.high}
            said["confidenceInterval"] = {name: f"{end:.{SIGNIFICANT}g}" for name, end in ends.items()}
        yield said


def scores(group: Group) -> Iterator[tuple[int, Metric, Quantity]]:
    """Yield how well each exit does, in the unit of the page, by what its records are judged by."""
    metric = group.runs[0].accuracy
    for exit_ in group.exits:
        found = Point(group=group, exit=exit_).figure(metric)
        if found.value is not None:
            yield exit_, metric, found


def _dataset(group: Group) -> dict[str, Any]:
    run = group.runs[0]
    contents = {
        "properties": [
            *(_property(f"images:{split}", str(count)) for split, count in run.images.items()),
            *(_property(f"subjects:{split}", str(count)) for split, count in run.subjects.items() if count),
            *(
                _property(f"annotations:{split}:sha256", digest)
                for split, digest in (run.dataset.get("annotations_sha256") or {}).items()
            ),
        ]
    }
    return {"type": "dataset", "name": _data_name(run), "contents": contents}


def _data_name(run: Record) -> str:
    parts = [run.dataset.get("source"), run.dataset.get("profile")]
    return ", ".join(str(part) for part in parts if part) or "not stated"


def task_of(run: Record) -> str:
    """Return what the network is for, as far as its record tells."""
    return "pose estimation" if run.dataset.get("keypoints") else "as the program that was metered has it"


def _family(run: Record) -> dict[str, str]:
    """Return the network's family, where the records are of ours: of another one they do not tell."""
    if not run.dataset.get("keypoints"):
        return {}
    architecture = run.config.get("model", {}).get("architecture")
    return {"architectureFamily": "convolutional neural network"} | (
        {"modelArchitecture": str(architecture)} if architecture else {}
    )


def _described(group: Group) -> str:
    exits = ", ".join(str(exit_) for exit_ in group.exits)
    return f"Network with exits {exits}" if exits else "What a program trained or computed; it gave no exits"


def _sure(name: str, each: Quantity, *, scale: float, unit: str) -> list[dict[str, str]]:
    """Return how a number was obtained and its intervals, in the unit of the number."""
    said = [_property(f"{name}:kind", each.kind), _property(f"{name}:method", each.method)]
    for interval, bounds in (("repetition", each.type_a), ("systematic", each.type_b)):
        if bounds is not None:
            low, high = (f"{end * scale:.{SIGNIFICANT}g}" for end in bounds)
            said.append(_property(f"{name}:{interval}", f"{low} to {high} {unit}"))
    return said


def _property(name: str, value: str) -> dict[str, str]:
    return {"name": f"greenpose:{name}", "value": value}


def _short(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT}g}")


def identity(study: Study) -> uuid.UUID:
    """Return the number that the same records have again, and others do not."""
    told = sorted(f"{run.name} {run.config_hash} {run.started_at} {run.finished_at}" for run in study.records)
    return uuid.uuid5(NAMESPACE, "\n".join(told))


def instant(generated_at: str) -> str:
    """Return a date as it is printed, as an instant in UTC to the second; without a zone it is taken for UTC."""
    told = datetime.fromisoformat(generated_at)
    there = told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC)
    return there.strftime("%Y-%m-%dT%H:%M:%SZ")


def spdx(study: Study, *, generated_at: str, version: str) -> str:
    """Return SPDX 3.0.1 in JSON-LD: an AI package for each experiment, with its data set, energy in kWh."""
    place = f"{PLACE}{identity(study)}/"
    created = instant(generated_at)
    tool, agent, document = f"{place}tool", f"{place}supplier", f"{place}document"
    packages = [
        element
        for number, group in enumerate(study.groups)
        for element in _packages(group, f"{place}{number}/", agent=agent)
    ]
    graph: list[dict[str, Any]] = [
        {
            "type": "CreationInfo",
            "@id": "_:creation",
            "specVersion": "3.0.1",
            "created": created,
            "createdBy": [agent],
            "createdUsing": [tool],
        },
        _element("Tool", tool, f"greenpose {version}"),
        _element("Agent", agent, "not stated: whoever trained the network"),
        _element("SpdxDocument", document, "GreenPose: footprint of trained networks")
        | {
            "profileConformance": ["core", "software", "ai", "dataset", "extension"],
            "rootElement": [each["spdxId"] for each in packages if each["type"] == "ai_AIPackage"],
        },
        *packages,
    ]
    return json.dumps({"@context": CONTEXT, "@graph": graph}, indent=1, ensure_ascii=False) + "\n"


def _packages(group: Group, place: str, *, agent: str) -> Iterator[dict[str, Any]]:
    run = group.runs[-1]
    released = instant(run.finished_at)
    artefact = {"suppliedBy": agent, "releaseTime": released, "software_packageVersion": run.config_hash[:8] or "0"}
    nowhere = {"software_downloadLocation": "https://spdx.org/rdf/3.0.1/terms/Core/NoAssertion"}
    model, data = f"{place}model", f"{place}data"
    yield (
        _element("ai_AIPackage", model, group.label)
        | artefact
        | nowhere
        | {
            "software_primaryPurpose": "model",
            "description": _described(group),
            "ai_domain": [task_of(run)],
            "ai_typeOfModel": [*_family(run).values()],
            "ai_informationAboutTraining": f"{training_type(run)}; {len(group.runs)} runs; {host_name(run)}",
            "ai_energyConsumption": _energy(group),
            "ai_metric": [
                _entry(f"{metric.label} at exit {exit_}", f"{each.known:.{SIGNIFICANT}g} {metric.unit}".strip())
                for exit_, metric, each in scores(group)
            ],
            "ai_hyperparameter": [_entry("epochs", str(run.epochs)), _entry("seed", str(run.seed)), *_sizes(group)],
            "extension": [_extension([*_training(group)["properties"], *_used(group)])],
        }
    )
    yield (
        _element("dataset_DatasetPackage", data, _data_name(run))
        | artefact
        | nowhere
        | {
            "software_primaryPurpose": "data",
            "originatedBy": [agent],
            "builtTime": released,
            "dataset_datasetType": ["image" if run.dataset.get("keypoints") else "noAssertion"],
            "dataset_datasetSize": sum(run.images.values()),
        }
    )
    yield _element("Relationship", f"{place}trained", None) | {
        "from": model,
        "to": [data],
        "relationshipType": "trainedOn",
    }


def _energy(group: Group) -> dict[str, Any]:
    """Return what was used for training, or fine-tuning, and for 1000 images at the deepest exit that was measured."""
    kwh = _training(group)["activityEnergyCost"]["value"]
    what = "ai_trainingEnergyConsumption" if training_type(group.runs[0]) == "pre-training" else _TUNING
    said: dict[str, Any] = {"type": "ai_EnergyConsumption", what: [_quantity(kwh)]}
    images = [_quantity(each["activityEnergyCost"]["value"]) for each in _inference(group)]
    return said | ({"ai_inferenceEnergyConsumption": images} if images else {})


_TUNING = "ai_finetuningEnergyConsumption"


def _quantity(kwh: float) -> dict[str, Any]:
    return {"type": "ai_EnergyConsumptionDescription", "ai_energyQuantity": kwh, "ai_energyUnit": "kilowattHour"}


def _used(group: Group) -> list[dict[str, str]]:
    """Return the properties of use, in the order of the energies of inference."""
    return [each for said in _inference(group) for each in said["properties"]]


def _sizes(group: Group) -> Iterator[dict[str, str]]:
    for exit_ in group.exits:
        for metric in (PARAMS, MACS):
            found = Point(group=group, exit=exit_).figure(metric)
            if found.value is not None:
                yield _entry(f"{metric.name} at exit {exit_}", f"{found.value / metric.scale:.0f}")


def _entry(key: str, value: str) -> dict[str, str]:
    return {"type": "DictionaryEntry", "key": key, "value": value}


def _extension(properties: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    return {
        "type": "extension_CdxPropertiesExtension",
        "extension_cdxProperty": [
            {
                "type": "extension_CdxPropertyEntry",
                "extension_cdxPropName": each["name"],
                "extension_cdxPropValue": each["value"],
            }
            for each in properties
        ],
    }


def _element(kind: str, place: str, name: str | None) -> dict[str, Any]:
    named = {} if name is None else {"name": name}
    return {"type": kind, "spdxId": place, "creationInfo": "_:creation", **named}
