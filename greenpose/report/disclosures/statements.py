"""Disclosures: what others ask for about a footprint, filled in from the records, to be copied into a card or paper."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from greenpose.formatting import FLOPS_PER_MAC, NBSP, joules_to_kwh, listed, plain, plural, span, with_prefix
from greenpose.metrics import EMBODIED, ENERGY, MACS, SCI, TRAIN_CO2, TRAIN_EMBODIED, TRAIN_ENERGY, TRAIN_SCI, Metric
from greenpose.quantity import Quantity, kind_mark, over_runs
from greenpose.record import Record
from greenpose.report.figures.totals import Total, failed_total, finished_total, grand_total
from greenpose.report.labels import host_name
from greenpose.report.method_limits import limits
from greenpose.report.quantities import of_record
from greenpose.report.study import Group, Point, Study, energy_kind

PASSES = 3
"""A training step computes forward once and backward twice as much; counted with torch's counter on HRNet."""
GRAMS_PER_TONNE = 1e6
_PLACELESS = ("custom", "hourly")
"""What a record says in the place of a country where the user gave the intensity."""
_CARD, _FORMULA = 3, 4
"""Significant digits of grams in a model card, and of the terms of a formula, so that it holds as printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disclosure:
    """A text to be copied."""

    id: str
    """Anchor, unique on the page."""
    title: str
    """Whose form it is."""
    note: str
    """What it is good for, and what is not in it."""
    text: str
    """The text."""


def disclosures(study: Study) -> list[Disclosure]:
    """Return every text that the records have the data for; none where no run finished."""
    if not study.records:
        return []
    return [_model_card(study), _checklist(study), _sci(study), _annex(study), _bill_of_materials(study)]


def model_card(group: Group) -> dict[str, Any]:
    """Return the metadata that Hugging Face reads: one training of an experiment, mean over its runs, in grams."""
    run = group.runs[0]
    grams = of_training(group, TRAIN_CO2)
    assert grams.value is not None
    said: dict[str, Any] = {"emissions": float(f"{grams.value:.{_CARD}g}"), "source": _source(run, grams)}
    said["training_type"] = training_type(run)
    if run.carbon.country not in _PLACELESS:
        said["geographical_location"] = run.carbon.country
    return {"co2_eq_emissions": said | {"hardware_used": host_name(run)}}


def _model_card(study: Study) -> Disclosure:
    texts = [
        f"# {' '.join(group.label.split())}: one training, in grams of CO2eq; {plural(len(group.runs), 'run')}\n"
        + yaml.safe_dump(model_card(group), sort_keys=False, allow_unicode=True, width=10_000)
        for group in study.groups
    ]
    placeless = any(run.carbon.country in _PLACELESS for run in study.records)
    return Disclosure(
        id="model-card",
        title="Hugging Face model card",
        note="Metadata for the top of a README.md, one block for each experiment. The Hub reads grams, not kilograms. "
        "Emissions are operational: making the machine is not in them, nor are runs that did not finish."
        + (" The place was not recorded where the intensity is the user’s own." if placeless else ""),
        text="---\n".join(texts),
    )


def _checklist(study: Study) -> Disclosure:
    return Disclosure(
        id="checklist",
        title="NeurIPS checklist, compute resources",
        note="A paragraph on workers, memory, time of each run and the total, runs that did not finish included. Peak "
        "memory of the runs was not recorded.",
        text=" ".join([*_workers(study), _each_training(study), _altogether(study)]),
    )


def _workers(study: Study) -> list[str]:
    """Return one sentence for each setting on the machine, its memory, and how runs shared it."""
    sentences = []
    for run in study.settings.values():
        process = run.process
        beside = process.get("concurrent_workers") or 1
        shared = "one run at a time" if beside == 1 else f"{beside} runs at a time"
        threads = process.get("torch_threads")
        parts = [host_name(run), f"device {process.get('device') or 'not recorded'}"]
        parts += [plural(threads, "thread")] if threads else []
        sentences.append(f"Runs were executed on {', '.join([*parts, shared])}.")
    return sentences


def _each_training(study: Study) -> str:
    times = [f"{group.label} {plain(_training_seconds(group))}{NBSP}s ({_epochs(group)})" for group in study.groups]
    return f"One training took, validation included: {listed(times)}."


def _epochs(group: Group) -> str:
    epochs = sorted(set(group.together.each(lambda run: run.epochs)))
    return plural(epochs[0], "epoch") if len(epochs) == 1 else f"{epochs[0]}–{epochs[-1]}{NBSP}epochs"


def _altogether(study: Study) -> str:
    symbol = kind_mark(energy_kind(study))
    parts = [_spent(finished_total(study), "finished run", symbol)]
    if study.failures:
        parts.append(_spent(failed_total(study.failures), "run", symbol, after=" that did not finish"))
        parts.append(f"in all {_amounts(grand_total(study), symbol)}")
    kind = f" (energy {energy_kind(study)})" if symbol else ""
    return f"Compute in total, testing and metering included: {'; '.join(parts)}{kind}."


def _spent(total: Total, noun: str, symbol: str, *, after: str = "") -> str:
    return f"{plural(total.runs, noun)}{after}, {_amounts(total, symbol)}"


def _amounts(total: Total, symbol: str) -> str:
    hours = f"{plain(total.seconds / 3600)}{NBSP}h"
    energy = f"{symbol}{with_prefix(1e3 * total.energy_kwh, 'Wh').replace(' ', NBSP)}"
    least = "at least " if total.unknown else ""
    return f"{hours}, {energy}, {least}{symbol}{plain(total.co2eq_g)}{NBSP}gCO2eq"


def _sci(study: Study) -> Disclosure:
    lines = [f"Boundary: {dict(limits(study))['Boundary']}", "SCI = (E × PUE × I + M) per R"]
    for group in study.groups:
        lines.append(f"{group.label}, R = 1 training: {_training_line(group)}")
        lines += [
            f"{group.label} exit {exit_}, R = 1000 images: {_images_line(Point(group=group, exit=exit_))}"
            for exit_ in group.exits
        ]
    return Disclosure(
        id="sci",
        title="Software Carbon Intensity (ISO/IEC 21031)",
        note="E: energy; I: grid intensity, by location; M: share of the emissions of making the machine; R: "
        "functional unit. Without M there is no SCI: the operational part is given, and called so. Offsets and "
        "market-based intensities are not in it.",
        text="\n".join(lines),
    )


def _training_line(group: Group) -> str:
    run = group.runs[0]
    energy, making, whole = (of_training(group, each) for each in (TRAIN_ENERGY, TRAIN_EMBODIED, TRAIN_SCI))
    kwh = energy * (1 / TRAIN_ENERGY.scale)
    return _formula(kwh, making, whole, intensity=intensity_of(group), run=run)


def _images_line(point: Point) -> str:
    carbon = point.group.runs[0].carbon
    energy = point.figure(ENERGY) * joules_to_kwh(1000)
    intensity = carbon.mean_g_per_kwh or carbon.intensity_g_per_kwh
    return _formula(energy, point.figure(EMBODIED), point.figure(SCI), intensity=intensity, run=point.group.runs[0])


def _formula(energy: Quantity, making: Quantity, whole: Quantity, *, intensity: float, run: Record) -> str:
    """Return the formula with its numbers, all in one unit: kWh, g/kWh, g."""
    if energy.value is None:
        return f"E not measured ({energy.missing}), so no SCI"
    symbol, pue = kind_mark(energy.kind), run.carbon.pue
    operation = f"{symbol}{_digits(energy.value)} kWh × {plain(pue)} × {plain(intensity, _FORMULA)} g/kWh"
    if making.value is None or whole.value is None:
        grams = energy.value * pue * intensity
        return (
            f"operational part {operation} = {symbol}{_digits(grams)} gCO2eq; M not measured "
            f"({making.missing or whole.missing}), so no SCI"
        )
    both = f"{operation} + {kind_mark(making.kind)}{_digits(making.value)} g"
    return f"({both}) = {kind_mark(whole.kind)}{_digits(whole.value)} gCO2eq"


def _annex(study: Study) -> Disclosure:
    hosts = dict.fromkeys(host_name(run) for run in study.settings.values())
    lines = [f"1(2)(d) computational resources: {'; '.join(hosts)}"]
    for group in study.groups:
        seconds = plain(_training_seconds(group))
        lines.append(f"{group.label}: (d) {_flops(group)}, {seconds} s of training; (e) energy {_energy(group)}")
    return Disclosure(
        id="annex",
        title="EU AI Act, layout of Annex XI section 1(2)(d) and (e)",
        note=f"Voluntary: the annex binds providers of general-purpose models{_not_bound(study)}. The number "
        f"of operations is an estimate: {FLOPS_PER_MAC} FLOPs for each MAC of the final exit, {PASSES} passes, every "
        "training image of every epoch; validation, heads of other exits and losses are not in it.",
        text="\n".join(lines),
    )


def _not_bound(study: Study) -> str:
    return "" if any(run.own for run in study.records) else ", which a pose network is not"


def _bill_of_materials(study: Study) -> Disclosure:
    """Return what CycloneDX holds of a training; its units are fixed, and have no place for an interval.

    Source: JSON schema of CycloneDX 1.7, modelCard; an empty list says that the provider of energy is not known.
    """
    return Disclosure(
        id="bill-of-materials",
        title="Bill of materials (CycloneDX 1.7, SPDX 3.0)",
        note="One training of each experiment, for environmentalConsiderations of CycloneDX’s modelCard. In the AI "
        "profile of SPDX the same energy is the energyQuantity of trainingEnergyConsumption, or for fine-tuning of "
        "finetuningEnergyConsumption, in kilowattHour. `report -o` writes both whole: FILE.cdx.json, FILE.spdx.json.",
        text="\n".join(f"{group.label}: {_compact(energy_consumption(group))}" for group in study.groups),
    )


def energy_consumption(group: Group) -> dict[str, Any]:
    """Return one training of an experiment as CycloneDX 1.7 has it: kWh, tonnes of CO2eq, and in words how sure."""
    energy, grams = of_training(group, TRAIN_ENERGY) * (1 / TRAIN_ENERGY.scale), of_training(group, TRAIN_CO2)
    assert energy.value is not None
    assert grams.value is not None
    said = {
        "activity": training_type(group.runs[0]).replace("pre-training", "training"),
        "energyProviders": [],
        "activityEnergyCost": {"value": float(f"{energy.value:.{_FORMULA}g}"), "unit": "kWh"},
        "co2CostEquivalent": {"value": float(f"{grams.value / GRAMS_PER_TONNE:.{_FORMULA}g}"), "unit": "tCO2eq"},
        "properties": [{"name": "greenpose:energy", "value": _how(energy)}],
    }
    return {"energyConsumptions": [said]}


def _compact(said: dict[str, Any]) -> str:
    return json.dumps(said, separators=(",", ":"), ensure_ascii=False)


def training_type(run: Record) -> str:
    """Return `fine-tuning` where training began with weights of another one, else `pre-training`."""
    return "fine-tuning" if (run.config.get("model") or {}).get("weights") else "pre-training"


def _flops(group: Group) -> str:
    run = group.runs[0]
    images = run.images.get("train")
    macs = Point(group=group, exit=max(group.exits)).figure(MACS).value if group.exits else None
    if not images or macs is None:
        return "number of operations not measured (the record does not tell the training images)"
    epochs = _mean(group.together.each(lambda run: run.epochs))
    once = macs / MACS.scale / run.final_exit.passes
    flops = FLOPS_PER_MAC * PASSES * once * images * epochs
    return f"{kind_mark('estimated')}{flops:.3g} FLOPs (estimated)"


def _energy(group: Group) -> str:
    energy = of_training(group, TRAIN_ENERGY) * (1 / TRAIN_ENERGY.scale)
    assert energy.value is not None
    return f"{kind_mark(energy.kind)}{_digits(energy.value)} kWh ({_how(energy)})"


def _source(run: Record, grams: Quantity) -> str:
    """Return in a line where the grams come from: tool, energy, grid."""
    carbon = run.carbon
    return (
        f"GreenPose {run.software.get('greenpose', 'of unknown version')}; energy {_how(grams)}; "
        f"{plain(carbon.intensity_g_per_kwh)} gCO2eq/kWh ({carbon.source}, {carbon.vintage}), PUE {plain(carbon.pue)}"
    )


def _how(each: Quantity) -> str:
    factors = f", systematic error ×{span(*each.factors)}" if each.factors else ""
    return f"{each.kind}{factors}"


def of_training(group: Group, figure: Metric) -> Quantity:
    """Return one number of a training, the mean over its runs, in display units."""
    return over_runs(group.together.quantities(lambda run: of_record(run, figure)))


def intensity_of(group: Group) -> float:
    """Return the grid's intensity of one training in g/kWh, the mean over its runs."""
    return _mean(group.together.each(lambda run: run.carbon.intensity_g_per_kwh))


def _training_seconds(group: Group) -> float:
    return _mean(group.together.each(lambda run: run.train_seconds))


def _digits(value: float) -> str:
    return plain(value, _FORMULA)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
