"""The catalogue: every number that a record can hold stands in it, and a counted one is added in two files."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import greenpose
from greenpose.metrics import BY_NAME, COUNTED, OF_ARTEFACT, OF_EXIT, OF_TRAINING, SCORE
from greenpose.record import Exit, Record
from greenpose.record.artefacts import ArtefactCost

NUMBERS = (int, float, int | None, float | None)

ROW = """WEIGHTS = Metric(
    name="weight_bytes",
    recorded="bytes",
    label="Weights in memory",
    unit="MB",
    scale=1e-6,
    words="weights",
    kind="counted",
    method="bytes of all parameters",
    convention="bytes of all parameters",
    moved_by=frozenset({"keypoints"}),
    table="exits",
    latex="Size",
)
COUNTED = (PARAMS, MACS, ACTIVATIONS, PEAK, WEIGHTS)
"""
EDITS = {
    "metrics.py": ("COUNTED = (PARAMS, MACS, ACTIVATIONS, PEAK)\n", ROW),
    "counting/counts.py": (
        '        "macs": macs,\n',
        '        "macs": macs, "weight_bytes": 4 * num_params(net),\n',
    ),
}
"""All that a new counted column takes: where it is counted, and its row of the catalogue."""

SCRIPT = """
import contextlib, io, json, sys
from pathlib import Path
from greenpose.cli.app import app
from greenpose.config import Experiment
from greenpose.counting import count
from greenpose.record import basis_of, dumps, loads
from greenpose.ledger.costs import size_quantities

def command(*words):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        try:
            app(words)
        except SystemExit as end:
            return end.code or 0, said.getvalue()

record = loads(Path(sys.argv[1]).read_text(), where="it")
counts = count(Experiment.model_validate(record.config | {"name": record.experiment}))
entries = []
for entry in record.exits:
    sizes = size_quantities(counts[entry.exit].sizes)
    bases = {name: basis_of(size) for name, size in sizes.items()}
    values = {name: size.value for name, size in sizes.items()}
    entries.append(entry.model_copy(update=values | {"basis": entry.basis | bases}))
Path("run").mkdir()
Path("run/record.json").write_text(dumps(record.model_copy(update={"exits": entries})))
for page in ("page.html", "page.md", "page.tex", "page.csv"):
    assert command("report", "run", "-o", page)[0] == 0
code, profile = command("profile", "small.yaml", "--json")
assert code == 0
assert command("check", "run", "--baseline", "base.json", "--update", "--reason", "the first")[0] == 0
accepted = Path("base.json").read_text()
value = entries[0].weight_bytes
assert f'weight_bytes": {value}' in accepted
Path("base.json").write_text(accepted.replace(f'weight_bytes": {value}', f'weight_bytes": {value - 1}'))
json.dump([profile, command("check", "run", "--baseline", "base.json")], sys.stdout)
"""
SMALL = "{name: small, carbon: {country: ITA}, model: {width: 4, stem_width: 4, modules: [1, 1, 1], blocks: 1}}"


def test_the_catalogue_has_every_number_of_an_exit_and_of_a_training():
    def numeric(kind, without):
        return {name for name, field in kind.model_fields.items() if field.annotation in NUMBERS} - without

    assert {metric.name for metric in OF_EXIT} == numeric(Exit, {"exit", "best_epoch", "passes"})
    trained = {name for name in numeric(Record, set()) if name.startswith("train_")}
    assert {metric.name for metric in OF_TRAINING} == trained
    mine = numeric(ArtefactCost, {"exit", "calibrated_on"}) - {metric.name for metric in (*OF_EXIT, *OF_ARTEFACT)}
    assert mine == set()
    assert len(BY_NAME) == len(OF_EXIT) + len(OF_ARTEFACT) + len(OF_TRAINING) + len([SCORE])


def test_every_count_says_how_it_is_counted_and_compared():
    assert all(size.kind == "counted" and size.method and size.convention for size in COUNTED)


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A copy of the package in which the two edits have been made."""
    folder = tmp_path_factory.mktemp("house")
    here = Path(greenpose.__file__).parent
    shutil.copytree(here, folder / "greenpose")
    for name, (old, new) in EDITS.items():
        text = (folder / "greenpose" / name).read_text()
        assert text.count(old) == 1, name
        (folder / "greenpose" / name).write_text(text.replace(old, new))
    return folder


@pytest.mark.slow
def test_a_counted_column_of_two_edits_is_in_record_page_markdown_latex_csv_profile_and_gate(house):
    published = next((Path(__file__).parents[1] / "reports" / "quick").glob("HRNet4-OKD-DS-*/record.json"))
    (house / "small.yaml").write_text(SMALL)
    environment = {**os.environ, "PYTHONPATH": str(house), "NO_COLOR": "1"}
    command = [sys.executable, "-c", SCRIPT, str(published)]
    done = subprocess.run(command, cwd=house, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    profile, (code, said) = json.loads(done.stdout)
    record = json.loads((house / "run" / "record.json").read_text())
    first = record["exits"][0]
    assert first["weight_bytes"] == 4 * first["params"]
    assert first["basis"]["weight_bytes"]["kind"] == "counted"
    assert "Weights in memory" in (house / "page.html").read_text()
    assert "Weights in memory" in (house / "page.md").read_text()
    heads, line = re.findall(
        r"^.*(?:multicolumn|Weights in memory).*", (house / "page.tex").read_text(), flags=re.MULTILINE
    )
    assert r"\multicolumn{3}{c}{Size}" in heads
    assert line.index("Weights in memory") > line.index("MACs")
    lines = csv.DictReader((house / "page.csv").read_text().splitlines())
    assert [line["kind"] for line in lines if line["quantity"] == "weight_bytes"] == ["counted"] * len(record["exits"])
    assert '"weight_bytes"' in profile
    assert code == 1
    assert "weight_bytes" in said
