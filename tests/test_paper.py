"""What `docs/paper.md` says of us is so, and what it says of the paper is what the goldens have."""

import json
import re
from pathlib import Path

import pytest
import yaml

from greenpose.config import Experiment, expand, load_experiment, load_grid, packaged_experiment
from greenpose.config.grid import assign
from tests.paper import PAGE, lookup, tables
from tests.shipped import shipped

GOLDEN = Path(__file__).parent / "golden"
DOCS = Path(__file__).parent.parent / "docs"
COUNTERS = json.loads((GOLDEN / "counters_w32.json").read_text())
COMPOSITION = json.loads((GOLDEN / "composition.json").read_text())
LOSSES = json.loads((GOLDEN / "losses.json").read_text())
OPTION = re.compile(r"`((?:data|model|wiring|loss|train|measure|carbon|process)\.[a-z_.]+)(?:: ([^`]+))?`")
OPTIONS = sorted(set(OPTION.findall(PAGE)))
NETWORKS = {
    "the paper's crop": "crop_N{}",
    "what its": "full_multi_N{}",
    "minimal": "minimal_exit{}",
    "the paper's whole": "crop_N{}",
}


def test_all_21_oddities_are_there_each_with_its_effect():
    (rows,) = tables("Oddities")
    assert [row[0] for row in rows] == [str(number) for number in range(1, 22)]
    for row in rows:
        assert len(row) == 5
        assert all(row)


@pytest.mark.parametrize(("key", "value"), OPTIONS)
def test_every_option_on_the_page_is_one_of_an_experiments(key, value):
    experiment = shipped("table1")["HRNet4-OKD-DS"].model_dump(mode="json")
    lookup(experiment, key)
    if value:
        changed = assign(experiment, key, yaml.safe_load(value))
        assert lookup(Experiment.model_validate(changed).model_dump(mode="json"), key) == yaml.safe_load(value)


def test_the_options_of_the_loss_have_the_defaults_that_the_page_says():
    rows, _ = tables("Loss")
    fresh = Experiment.model_validate({"name": "x", "carbon": {"country": "ITA"}}).model_dump(mode="json")
    said = {row[0].strip("`"): yaml.safe_load(row[1].strip("`")) for row in rows}
    assert said == {key: lookup(fresh, key) for key in said}
    assert {f"loss.{field}" for field in fresh["loss"]} == {*said, "loss.kd_weight", "loss.temperature"}


def test_the_official_rule_of_test_can_be_set_from_the_command_line():
    wanted = ("train.selection", "data.annotations.test")
    settings = [f"{key}={value}" for key, value in OPTIONS if key in wanted and value]
    assert len(settings) == 2
    for cell in expand(load_grid(packaged_experiment("table1"), settings=settings), where="table1"):
        assert cell.config.train.selection == "any-exit"
        assert cell.config.data.annotations["test"] == cell.config.data.annotations["val"]


def test_the_weight_of_distillation_is_scaled_to_each_shipped_experiments_heatmaps():
    _, rows = tables("Loss")
    (openfield,) = expand(load_experiment(packaged_experiment("openfield")), where="openfield")
    named = [name.strip("`") for row in rows for name in row[2].split(", ")]
    assert len(named) >= 6
    for size, weight, names in rows:
        width, height = (int(side) for side in size.split("x"))
        assert float(weight) == pytest.approx(2000 * width * height / 3072, rel=0.01)
        for name in names.split(", "):
            known = [openfield.config] if name == "`openfield`" else [*shipped(name.strip("`")).values()]
            assert {config.data.heatmap_size for config in known} == {(width, height)}
            assert float(weight) in {config.loss.kd_weight for config in known}


def test_the_headlines_figures_are_the_counted_ones():
    """The goldens that `tests/counting` holds our counters to."""
    (rows,) = tables("Headline: 27.5 % and 61.7 %")
    for exit_, network, *figures in rows:
        (pattern,) = [pattern for name, pattern in NETWORKS.items() if network.startswith(name)]
        whole = COUNTERS["minimal_exit4@256x192" if "minimal" in pattern else "crop_N4@256x192"]
        mine = COUNTERS[f"{pattern.format(exit_)}@256x192"]
        params, macs = (number.replace(",", "") for number in figures[::2])
        assert (int(params), int(macs)) == (mine["params"], mine["census"]["conv_macs"])
        percent = [100 * mine["params"] / whole["params"], 100 * int(macs) / whole["census"]["conv_macs"]]
        assert [float(figure) for figure in figures[1::2]] == pytest.approx(percent, abs=5e-4)


def test_the_printed_share_is_that_of_the_vendored_counter_at_96x128():
    crop, whole = (COUNTERS[f"crop_N{k}@96x128"]["vendored_ptflop_macs"] / 1e9 for k in (3, 4))
    assert f"prints {crop:.2f}" in PAGE
    assert f"{crop:.2f} / {whole:.2f} is {100 * round(crop, 2) / round(whole, 2):.2f} %" in PAGE
    assert f"unrounded it is {100 * crop / whole:.2f} %" in PAGE


def test_how_hard_a_student_pulls_its_teacher_is_what_the_reference_gave():
    taught, alone = (COMPOSITION[f"float64 {name}"] for name in ("HRNet4-OKD", "HRNet4"))
    weight = taught["losses"]["soft_loss"] / taught["losses"]["teacher_loss"]
    pull = taught["gradient_l2"][3] / alone["gradient_l2"][3]
    cooling = LOSSES["float64"]["kld_3to4_T1"] / LOSSES["float64"]["kld_3to4_T5"]
    ends = [LOSSES[f"kld_3to4_T1_grad_{end}_l2"] for end in ("student", "teacher")]
    text = " ".join(PAGE.split())
    assert f"norm is {ends[0]:.3e} at the student and {ends[1]:.3e} at the teacher".replace("e-0", "e-") in text
    assert f"it is {weight:.0f} times the teacher's own loss" in text
    assert f"is {pull:.0f} times as long" in text
    assert f"divergence and gradient {cooling:.0f} times weaker" in text


def test_every_linked_file_is_there():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", PAGE) if "://" not in link]
    files = re.findall(r"`((?:experiments|tests)/[\w/.]+)`", PAGE)
    assert [link for link in links if not (DOCS / link).exists()] == []
    assert [file for file in files if not (DOCS.parent / file).exists()] == []
