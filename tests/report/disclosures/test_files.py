"""Documents in other bodies' formats: judged by their own validators, and held to the records' numbers."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest
import spdx_python_model
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from greenpose.errors import ReportError
from greenpose.report.disclosures.bills_of_materials import cyclonedx, spdx
from greenpose.report.disclosures.energy_reports import boamps, card, sci
from greenpose.report.study import study
from tests.report.records import failure, paper_grid, record, with_making

MADE = {"generated_at": "2026-11-30T07:00:00+01:00", "version": "0.1.0"}
SCHEMAS = Path(__file__).parents[2] / "golden/boamps"
BASE = "https://raw.githubusercontent.com/Boavizta/BoAmps/main/model/"
HOSTILE = 'a"\n---\n{x: [\u202e</script>'


@pytest.fixture(scope="module")
def runs():
    return [with_making(run) for run in paper_grid((1, 2, 3), ("HRNet3", "HRNet4-OKD"))]


@pytest.fixture(scope="module")
def alone(runs):
    return [run for run in runs if run.experiment == "HRNet4-OKD"]


def without_exits(run):
    """A run as a program leaves it that was metered from outside."""
    changed = {"exits": [], "own": "command", "dataset": {}, "images": {}, "subjects": {}, "config": {"name": "lab"}}
    return run.model_copy(update=changed)


def entries(runs, *, kind):
    return {
        "several": runs,
        "with a failure": [*runs, failure()],
        "hostile": [record(HOSTILE, exits=(3,), axes={})],
        "no exits": [without_exits(runs[0])],
        "plain": [record("HRNet3")],
    }[kind]


KINDS = ("several", "with a failure", "hostile", "no exits", "plain")


def mean(values):
    values = list(values)
    return sum(values) / len(values)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bill_of_materials_has_no_fault_by_cyclonedx_own_schema(runs, kind):
    text = cyclonedx(study(entries(runs, kind=kind)), **MADE)
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(text, all_errors=True) is None


def test_a_bill_of_materials_tells_kwh_and_tonnes_with_kind_and_intervals(runs):
    document = json.loads(cyclonedx(study(runs), **MADE))
    assert document["metadata"]["timestamp"] == "2026-11-30T06:00:00Z"
    assert [each["name"] for each in document["components"]] == ["HRNet3", "HRNet4-OKD"]
    for component in document["components"]:
        mine = [run for run in runs if run.experiment == component["name"]]
        considered = component["modelCard"]["considerations"]["environmentalConsiderations"]
        training, *images = considered["energyConsumptions"]
        kwh, grams = mean(run.train_energy_kwh for run in mine), mean(run.train_co2eq_g for run in mine)
        assert training["activityEnergyCost"] == {"value": pytest.approx(kwh, rel=1e-3), "unit": "kWh"}
        assert training["co2CostEquivalent"] == {"value": pytest.approx(grams / 1e6, rel=1e-3), "unit": "tCO2eq"}
        told = {each["name"]: each["value"] for each in training["properties"]}
        assert told["greenpose:energy:kind"] == "modelled"
        low, high = map(float, re.findall(r"[\d.e-]+(?= )", told["greenpose:energy:systematic"]))
        assert (low, high) == (pytest.approx(kwh / 2, rel=1e-3), pytest.approx(2 * kwh, rel=1e-3))
        assert [each["activity"] for each in images] == ["inference"] * len(mine[0].exits)
        for each, exits in zip(images, zip(*(run.exits for run in mine), strict=True), strict=True):
            joules = mean(exit_.energy_j_per_image for exit_ in exits)
            assert each["activityEnergyCost"]["value"] == pytest.approx(1000 * joules / 3.6e6, rel=1e-5)


def test_a_bill_of_materials_tells_each_exits_accuracy_with_its_interval(alone):
    (component,) = json.loads(cyclonedx(study(alone), **MADE))["components"]
    (*_, last) = component["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    ap = 100 * mean(run.final_exit.ap for run in alone)
    assert last["type"] == "AP"
    assert last["slice"] == f"exit {alone[0].final_exit.exit}, test split"
    assert float(last["value"].removesuffix(" %")) == pytest.approx(ap, rel=1e-4)
    interval = last["confidenceInterval"]
    assert float(interval["lowerBound"]) < ap < float(interval["upperBound"])


@pytest.mark.parametrize("kind", KINDS)
def test_spdx_own_model_takes_the_ai_profile_and_finds_all_it_refers_to(runs, kind):
    _, objects = spdx_python_model.load_data(json.loads(spdx(study(entries(runs, kind=kind)), **MADE)))
    assert objects.missing_ids == set()
    (document,) = objects.foreach_type("SpdxDocument")
    assert set(document.rootElement) == {*objects.foreach_type("ai_AIPackage")}


def test_spdx_tells_what_its_ai_profile_wants_of_each_model_in_kwh(runs):
    _, objects = spdx_python_model.load_data(json.loads(spdx(study(runs), **MADE)))
    models = {each.name: each for each in objects.foreach_type("ai_AIPackage")}
    assert set(models) == {"HRNet3", "HRNet4-OKD"}
    for name, model in models.items():
        mine = [run for run in runs if run.experiment == name]
        wanted = ("suppliedBy", "releaseTime", "software_downloadLocation", "software_packageVersion")
        assert all(getattr(model, each) for each in (*wanted, "software_primaryPurpose"))
        (training,) = model.ai_energyConsumption.ai_trainingEnergyConsumption
        kwh = mean(run.train_energy_kwh for run in mine)
        assert float(training.ai_energyQuantity) == pytest.approx(kwh, rel=1e-3)
        assert training.ai_energyUnit.endswith("kilowattHour")
        (extension,) = model.extension
        told = {each.extension_cdxPropName: each.extension_cdxPropValue for each in extension.extension_cdxProperty}
        assert told["greenpose:energy:kind"] == "modelled"
        assert told["greenpose:co2eq:systematic"].endswith(" tCO2eq")


@pytest.fixture(scope="module")
def judge():
    """BoAmps's schemas, as its own validator puts them together."""
    files = {file.name: json.loads(file.read_text()) for file in SCHEMAS.glob("*.json")}
    pairs = [(BASE + name, Resource.from_contents(each, DRAFT4)) for name, each in files.items()]
    registry = Registry().with_resources(pairs)
    return jsonschema.Draft4Validator(files["report_schema.json"], registry=registry)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("several", "with a failure")])
def test_boamps_own_schemas_find_no_fault(runs, judge, kind):
    assert list(judge.iter_errors(json.loads(boamps(study(entries(runs, kind=kind)), **MADE)))) == []


def test_boamps_schemas_are_asked_about_every_part(alone, judge):
    document = json.loads(boamps(study(alone), **MADE))
    document["measures"][0]["powerConsumption"] = "much"
    document["task"]["dataset"][0]["dataType"] = "pictures"
    document["infrastructure"]["components"][0]["share"] = 2
    document["task"]["algorithms"][0]["epochsNumber"] = "eight"
    assert len(list(judge.iter_errors(document))) == 4


def test_a_boamps_report_has_a_measure_in_kwh_for_each_run(alone, judge):
    document = json.loads(boamps(study([*alone, failure()]), **MADE))
    assert list(judge.iter_errors(document)) == []
    assert [each["powerConsumption"] for each in document["measures"]] == [run.train_energy_kwh for run in alone]
    assert {each["unit"] for each in document["measures"]} == {"kWh"}
    assert document["header"]["reportDatetime"] == "2026-11-30 06:00:00"
    (algorithm,) = document["task"]["algorithms"]
    assert algorithm["parametersNumber"] == pytest.approx(alone[0].final_exit.params / 1e9)
    assert document["quality"] == "low"  # a factor of two is more than 25 %


def test_the_terms_of_an_sci_add_up_and_say_why_one_is_missing(runs):
    document = json.loads(sci(study([*runs, record("old")]), **MADE))
    for software in document["software"]:
        for rate in software["rates"]:
            if rate["SCI"]["value"] is None:
                assert software["name"] == "old"
                assert rate["M"]["missing"]
                continue
            energy = rate["E"]["value"] * rate["PUE"] * rate["I"]["value"]
            assert rate["SCI"]["value"] == pytest.approx(energy + rate["M"]["value"], rel=1e-6), rate["R"]
            assert rate["I"]["systematic"][0] < rate["I"]["value"] < rate["I"]["systematic"][1]
            assert rate["E"]["systematic"][0] < rate["E"]["value"] < rate["E"]["systematic"][1]
    assert {rate["R"] for rate in document["software"][0]["rates"]} >= {"1 training", "1000 images at exit 3"}


@pytest.mark.parametrize("kind", ["hostile", "no exits", "plain"])
def test_a_model_card_has_metadata_that_yaml_reads_and_grams(runs, kind):
    found = study(entries(runs, kind=kind))
    text = card(found, **MADE)
    _, head, body = text.split("---\n", 2)
    metadata = yaml.safe_load(head)
    (run,) = found.records
    assert metadata["co2_eq_emissions"]["emissions"] == pytest.approx(run.train_co2eq_g, rel=5e-3)
    assert ("| Exit |" in body) == bool(run.exits)
    assert "</script>" not in body


@pytest.mark.parametrize("form", [boamps, card])
def test_a_form_about_one_experiment_refuses_several_by_name(runs, form):
    with pytest.raises(ReportError, match="about one experiment, and the runs are of HRNet3 and HRNet4-OKD: name"):
        form(study(runs), **MADE)


@pytest.mark.parametrize("form", [cyclonedx, spdx, sci])
def test_the_same_records_give_the_same_bytes_and_others_another_number(runs, form):
    assert form(study(runs), **MADE) == form(study(runs[::-1]), **MADE)
    if form is not sci:
        number = {re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}", form(study(some), **MADE))[0] for some in (runs, runs[:1])}
        assert len(number) == 2


def test_a_date_without_a_zone_is_taken_for_utc(alone):
    told = json.loads(cyclonedx(study(alone), generated_at="2026-11-30T06:00:00", version="0.1.0"))
    made = datetime.fromisoformat(told["metadata"]["timestamp"])
    assert made == datetime(2026, 11, 30, 6, tzinfo=UTC)
