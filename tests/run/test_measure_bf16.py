"""Exits in bfloat16 beside float32: what takes turns, what is judged, what is refused, and where it is told."""

import json
import os
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch

from greenpose.cli.subject import faults_of
from greenpose.config import expand, load_grid
from greenpose.data import decode_heatmaps
from greenpose.data.splits import load_splits
from greenpose.model import InBfloat16
from greenpose.report.page import render
from greenpose.report.tidy_csv import tidy_lines
from greenpose.run import execute, measure_bf16
from greenpose.run.measure import compose_measurement, measure
from greenpose.store import RunFolder, read_record
from greenpose.training.evaluate import predict
from greenpose.training.step import to_images
from tests.run.measuring import EXPERIMENT, experiment, network
from tests.run.tiny import Silent, write_grid, written
from tests.torture.nursery import forked

DOCS = Path(__file__).parent.parent.parent / "docs"
NO_UNITS = "this CPU has no bfloat16 units"


def measured_in(precision):
    return experiment(measure=EXPERIMENT["measure"] | {"precision": precision})


@pytest.fixture
def units(monkeypatch):
    """Pretend that there are units: where there are none, it takes longer and comes to the same."""
    monkeypatch.setattr(measure_bf16, "lacks_units", lambda _: "")


@pytest.fixture
def no_units(monkeypatch):
    monkeypatch.setattr(measure_bf16, "lacks_units", lambda _: NO_UNITS)


def document(precision):
    config = measured_in(precision)
    found = measure(config, exits=(2, 3))
    return compose_measurement(found, config, source="tiny.yaml", name="tiny", config_hash="00", trained=False), found


@pytest.mark.parametrize("precision", ["bf16", "auto"])
@pytest.mark.usefixtures("units")
def test_each_exit_takes_turns_with_itself_in_bfloat16(precision):
    found, measured = document(precision)
    assert {window.name for window in measured.meter.windows} == {
        "inference idle",
        *(f"inference exit {exit_}{how}" for exit_ in (2, 3) for how in ("", " in bf16")),
    }
    for entry in found.exits:
        assert entry.bf16.energy_j_per_image > 0
        ratio = entry.bf16.relative_to_float32["cpu_s_per_image"]
        assert ratio == pytest.approx(entry.bf16.cpu_s_per_image / entry.cpu_s_per_image, rel=1)
        assert entry.bf16.quantity("energy_j_per_image").kind == entry.quantity("energy_j_per_image").kind
    jsonschema.validate(found.as_dict(), json.loads((DOCS / "schema" / "measurement.schema.json").read_text()))


@pytest.mark.usefixtures("no_units")
def test_without_units_auto_measures_float32_alone_and_says_why():
    found, measured = document("auto")
    assert measured.bf16 == {}
    assert "bf16" not in found.as_dict()["exits"][0]
    assert found.process["measure_precision"] == f"float32: {NO_UNITS}"


def test_the_default_is_float32_of_which_no_configuration_says_anything():
    plain = experiment()
    assert plain.measure.precision == "float32"
    assert "precision" not in plain.model_dump(mode="json")["measure"]


@pytest.mark.usefixtures("no_units")
def test_without_units_bf16_is_refused_beside_all_other_faults():
    config = measured_in("bf16").model_copy(
        update={"model": experiment().model.model_copy(update={"weights": "no.pt"})}
    )
    faults = faults_of(config, images=False)
    assert [fault.split(": ")[0] for fault in faults] == ["model.weights", "measure.precision"]
    assert faults[1] == f"measure.precision: bf16: {NO_UNITS}; choose float32, or auto"
    assert faults_of(measured_in("auto"), images=False) == []


@pytest.mark.usefixtures("units")
def test_a_network_of_one_s_own_is_measured_in_float32():
    own = experiment(model={"factory": "somewhere:net", "exits": [2, 3]}, measure={"precision": "auto"})
    assert measure_bf16.in_bf16({3: network(experiment()).truncate(3)}, own) == {}
    assert "one's own" in measure_bf16.why_float32(own)


def test_what_is_judged_is_the_network_with_rounded_weights():
    """Held against torch's own conversion, image by image; norms are not folded into convolutions beforehand."""
    torch.manual_seed(1)
    samples = load_splits(experiment().data, only=["test"])["test"]
    sub = network(experiment()).truncate(3).eval()
    found = predict(InBfloat16(sub), samples, batch=4)[3]
    with torch.inference_mode():
        images = to_images(samples.crops(np.arange(len(samples))), torch.device("cpu"))
        maps = sub.bfloat16()(images.bfloat16()).float().numpy()
    joints, peaks = decode_heatmaps(maps, samples.centers, samples.scales)
    np.testing.assert_allclose(found.peaks, peaks, rtol=0.02)
    assert (np.abs(found.joints - joints) < 1e-3).mean() > 0.9


def perform(words) -> int:
    """Do a run as if there were units."""
    measure_bf16.lacks_units = lambda _: ""
    execute(RunFolder(Path(words[0])), observer=Silent())
    return 0


def test_a_run_tells_cost_and_accuracy_of_both_in_record_page_and_csv(tmp_path):
    write_grid(tmp_path)
    settings = ["measure.precision=bf16", "train.epochs=1", "measure.max_blocks=2"]
    cell = expand(load_grid(tmp_path / "tiny.yaml", settings=settings), where="tiny")[1]
    folder = RunFolder(tmp_path / cell.name)
    folder.write_cell(written(cell))
    environment = os.environ | {"GREENPOSE_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    process = forked(
        [str(folder.path)],
        cwd=tmp_path,
        out=tmp_path / "out",
        err=tmp_path / "err",
        environment=environment,
        act=perform,
    )
    process.join(300)
    assert process.exitcode == 0, (tmp_path / "err").read_text()
    record = read_record(folder.record)
    jsonschema.validate(
        json.loads(folder.record.read_text()), json.loads((DOCS / "schema" / "record.schema.json").read_text())
    )
    for entry in record.exits:
        assert entry.bf16.ap_change == pytest.approx(entry.bf16.ap - entry.ap)
        assert entry.bf16.quantity("ap_change").method.startswith("AP less that in float32")
        assert entry.bf16.cheaper in ("bf16", "float32", "not shown")
    lines = list(tidy_lines({"": [record]}))
    assert sum(",bf16.relative_to_float32.energy_j_per_image," in line for line in lines) == len(record.exits)
    assert 'id="in-bf16"' in render([record], title="t", generated_at="now", version="1")
