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
from greenpose.metrics import BY_NAME, COUNTED, OF_EXIT, OF_TRAINING
from greenpose.record import Exit, Record

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
import sys
from pathlib import Path
from greenpose.config import Experiment
from greenpose.counting import count
from greenpose.record import basis_of, dumps, loads
from greenpose.run.record_exits import size_quantities

source, target = map(Path, sys.argv[1:])
record = loads(source.read_text(), where="it")
counts = count(Experiment.model_validate(record.config | {"name": record.experiment}))
entries = []
for entry in record.exits:
    sizes = size_quantities(counts[entry.exit])
    bases = {name: basis_of(size) for name, size in sizes.items()}
    values = {name: size.value for name, size in sizes.items()}
    entries.append(entry.model_copy(update=values | {"basis": entry.basis | bases}))
target.mkdir()
(target / "record.json").write_text(dumps(record.model_copy(update={"exits": entries})))
"""


def test_the_catalogue_has_every_number_of_an_exit_and_of_a_training():
    def numeric(kind, without):
        return {name for name, field in kind.model_fields.items() if field.annotation in NUMBERS} - without

    assert {metric.name for metric in OF_EXIT} == numeric(Exit, {"exit", "best_epoch"})
    trained = {name for name in numeric(Record, set()) if name.startswith("train_")}
    assert {metric.name for metric in OF_TRAINING} == trained
    assert len(BY_NAME) == len(OF_EXIT) + len(OF_TRAINING)


def test_every_count_says_how_it_is_counted_and_compared():
    assert all(size.kind == "counted" and size.method and size.convention for size in COUNTED)


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A copy of the package in which the two edits have been made."""
    folder = tmp_path_factory.mktemp("house")
    here = Path(greenpose.__file__).parent
    shutil.copytree(here, folder / "greenpose", ignore=shutil.ignore_patterns("__pycache__"))
    for name, (old, new) in EDITS.items():
        text = (folder / "greenpose" / name).read_text()
        assert text.count(old) == 1, name
        (folder / "greenpose" / name).write_text(text.replace(old, new))
    return folder


def test_a_counted_column_of_two_edits_is_in_record_page_markdown_latex_csv_profile_and_gate(house):
    def python(*arguments, code=0):
        environment = {**os.environ, "PYTHONPATH": str(house), "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"}
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, cwd=house, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr + done.stdout
        return done.stdout

    published = next((Path(__file__).parents[1] / "reports" / "quick").glob("HRNet4-OKD-DS-*/record.json"))
    (house / "record.py").write_text(SCRIPT)
    python("record.py", published, "run")
    record = json.loads((house / "run" / "record.json").read_text())
    first = record["exits"][0]
    assert first["weight_bytes"] == 4 * first["params"]
    assert first["basis"]["weight_bytes"]["kind"] == "counted"

    python("-m", "greenpose", "report", "run", "-o", "page.html")
    assert "Weights in memory" in (house / "page.html").read_text()
    python("-m", "greenpose", "report", "run", "-o", "page.md")
    assert "Weights in memory" in (house / "page.md").read_text()
    python("-m", "greenpose", "report", "run", "-o", "page.tex")
    heads, line = re.findall(
        r"^.*(?:multicolumn|Weights in memory).*", (house / "page.tex").read_text(), flags=re.MULTILINE
    )
    assert r"\multicolumn{3}{c}{Size}" in heads
    assert line.index("Weights in memory") > line.index("MACs")
    python("-m", "greenpose", "report", "run", "-o", "page.csv")
    lines = csv.DictReader((house / "page.csv").read_text().splitlines())
    assert [line["kind"] for line in lines if line["quantity"] == "weight_bytes"] == ["counted"] * len(record["exits"])

    shutil.copytree(Path(__file__).parents[1] / "experiments", house / "experiments")
    assert '"weight_bytes"' in python("-m", "greenpose", "profile", "experiments/openfield.yaml", "--json")
    python("-m", "greenpose", "check", "run", "--baseline", "base.json", "--update", "--reason", "the first")
    accepted = (house / "base.json").read_text()
    value = str(first["weight_bytes"])
    assert f'weight_bytes": {value}' in accepted
    (house / "base.json").write_text(accepted.replace(f'weight_bytes": {value}', f'weight_bytes": {int(value) - 1}'))
    said = python("-m", "greenpose", "check", "run", "--baseline", "base.json", code=1)
    assert "weight_bytes" in said
