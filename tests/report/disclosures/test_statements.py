"""Texts for model cards, papers and forms: parsed back, and held to closed formulas."""

import json
import re

import pytest
import yaml

from greenpose.report.disclosures.statements import disclosures
from greenpose.report.study import study
from tests.report.exits import MACS
from tests.report.records import failure, paper_grid, record, with_making

GRID = ("HRNet3", "HRNet4-OKD")


@pytest.fixture(scope="module")
def runs():
    return [with_making(run) for run in paper_grid((1, 2), GRID)]


def texts(entries):
    return {each.id: each.text for each in disclosures(study(entries))}


def number(text):
    return float(text.strip("≈∼~ ").replace("\u202f", ""))


def cards(entries):
    text = texts(entries)["model-card"]
    names = re.findall(r"^# (.+?): one training", text, flags=re.MULTILINE)
    return dict(zip(names, yaml.safe_load_all(text), strict=True))


def test_a_model_card_tells_grams_of_one_training_not_kilograms(runs):
    found = cards(runs)
    assert set(found) == set(GRID)
    for name, card in found.items():
        alone = [run for run in runs if run.experiment == name]
        kwh = sum(run.train_energy_kwh for run in alone) / len(alone)
        grams = kwh * alone[0].carbon.pue * alone[0].carbon.intensity_g_per_kwh
        assert card["co2_eq_emissions"]["emissions"] == pytest.approx(grams, rel=5e-3)


def test_a_model_card_has_the_fields_that_the_hub_reads_and_no_others(runs):
    for card in cards(runs).values():
        said = card["co2_eq_emissions"]
        assert list(card) == ["co2_eq_emissions"]
        assert list(said) == ["emissions", "source", "training_type", "geographical_location", "hardware_used"]
        assert isinstance(said["emissions"], float)
        assert said["training_type"] == "pre-training"
        assert said["geographical_location"] == "ITA"
        assert "modelled, systematic error ×0.50–2.0" in said["source"]


def test_a_place_that_was_not_recorded_is_left_out_and_the_note_says_so():
    run = record("HRNet3")
    run = run.model_copy(update={"carbon": run.carbon.model_copy(update={"country": "custom"})})
    assert "geographical_location" not in cards([run])["HRNet3"]["co2_eq_emissions"]
    (note,) = [each.note for each in disclosures(study([run])) if each.id == "model-card"]
    assert "place was not recorded" in note


def test_training_that_began_with_weights_is_fine_tuning():
    run = record("HRNet3")
    run = run.model_copy(update={"config": run.config | {"model": run.config["model"] | {"weights": "hrnet.pth"}}})
    assert cards([run])["HRNet3"]["co2_eq_emissions"]["training_type"] == "fine-tuning"


def test_a_hostile_name_stays_inside_its_comment():
    evil = "x\nco2_eq_emissions: {emissions: 0}"
    (card,) = yaml.safe_load_all(texts([record(evil, exits=(3,), axes={})])["model-card"])
    assert card["co2_eq_emissions"]["emissions"] > 0


def test_the_checklist_totals_hold_what_did_not_finish(runs):
    text = texts([*runs, failure()])["checklist"].replace("\u00a0", " ")
    found = re.findall(r"([\d.]+) h, ≈([\d.]+) Wh, ≈([\d.]+) gCO2eq", text)
    finished, lost, every = [[float(each) for each in amounts] for amounts in found]
    assert every == pytest.approx([a + b for a, b in zip(finished, lost, strict=True)], rel=1e-2)
    assert finished[1] == pytest.approx(1e3 * sum(phase.energy_kwh for run in runs for phase in run.phases), rel=5e-3)
    assert lost == pytest.approx([412 / 3600, 1.26, 0.4167], rel=5e-3)
    assert "4 finished runs" in text
    assert "1 run that did not finish" in text
    assert "8.3 GB memory" in text
    assert "(energy modelled)" in text


def test_the_printed_formula_of_the_sci_holds_with_its_printed_numbers(runs):
    lines = texts(runs)["sci"].splitlines()
    found = [
        re.search(r"R = (.+): \((.+) kWh × (.+) × (.+) g/kWh \+ (.+) g\) = (.+) gCO2eq", line) for line in lines[2:]
    ]
    assert len(found) == 2 + 3
    assert all(found)
    for each in found:
        energy, pue, intensity, making, whole = map(number, each.groups()[1:])
        assert whole == pytest.approx(energy * pue * intensity + making, rel=2e-3)
    first = dict(zip(("R", "E"), (found[1][1], number(found[1][2])), strict=True))
    joules = sum(run.exit(3).energy_j_per_image for run in runs[:2]) / 2
    assert first["R"] == "1000 images"
    assert first["E"] == pytest.approx(1000 * joules / 3.6e6, rel=1e-3)
    assert lines[0].startswith("Boundary: ")


def test_without_the_making_of_the_machine_there_is_no_sci():
    lines = texts([record("HRNet3")])["sci"].splitlines()[2:]
    assert all("so no SCI" in line and "M not measured (not recorded)" in line for line in lines)
    for line in lines:
        energy, pue, intensity, grams = map(
            number, re.search(r"part (.+) kWh × (.+) × (.+) g/kWh = (.+) gCO2eq", line).groups()
        )
        assert grams == pytest.approx(energy * pue * intensity, rel=2e-3)


def test_unmetered_images_have_no_sci_and_say_why():
    (line,) = [line for line in texts([record("HRNet3", metered=False)])["sci"].splitlines() if "exit 3" in line]
    assert line.endswith("E not measured (no component's energy could be read), so no SCI")


def test_the_annex_is_called_voluntary_and_its_operations_are_those_of_the_formula(runs):
    (annex,) = [each for each in disclosures(study(runs)) if each.id == "annex"]
    assert annex.note.startswith("Voluntary")
    flops = [float(each) for each in re.findall(r"∼([\d.e+]+) FLOPs \(estimated\)", annex.text)]
    wanted = [6 * MACS[final] * run.images["train"] * run.epochs for final, run in ((3, runs[0]), (4, runs[2]))]
    assert flops == pytest.approx(wanted, rel=5e-3)
    kwh = [number(each) for each in re.findall(r"\(e\) energy (\S+) kWh \(modelled", annex.text)]
    assert kwh[0] == pytest.approx(sum(run.train_energy_kwh for run in runs[:2]) / 2, rel=1e-3)


def test_the_bill_of_materials_tells_kilowatt_hours_and_tonnes_and_whether_they_are_modelled(runs):
    lines = dict(line.split(": ", 1) for line in texts(runs)["bill-of-materials"].splitlines())
    assert set(lines) == set(GRID)
    for name, line in lines.items():
        alone = [run for run in runs if run.experiment == name]
        (said,) = json.loads(line)["energyConsumptions"]
        kwh = sum(run.train_energy_kwh for run in alone) / len(alone)
        assert said["activityEnergyCost"] == {"value": pytest.approx(kwh, rel=5e-4), "unit": "kWh"}
        tonnes = kwh * 1e-6 * alone[0].carbon.pue * alone[0].carbon.intensity_g_per_kwh
        assert said["co2CostEquivalent"] == {"value": pytest.approx(tonnes, rel=5e-4), "unit": "tCO2eq"}
        assert (said["activity"], said["energyProviders"]) == ("training", [])
        assert said["properties"][0]["value"].startswith("modelled, systematic error ×0.5")
    tuned = record("HRNet3", config=runs[0].config | {"model": {"weights": "coco.pt"}})
    assert '"activity":"fine-tuning"' in texts([tuned])["bill-of-materials"]


def test_nothing_is_disclosed_where_no_run_finished():
    assert disclosures(study([failure()])) == []
