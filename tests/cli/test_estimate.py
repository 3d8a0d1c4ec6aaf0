"""`greenpose estimate`, as a user meets it."""

import pytest

from tests.cli.running import greenpose
from tests.run.tiny import write_grid


@pytest.fixture
def workplace(tmp_path):
    """A folder with the tiny grid."""
    write_grid(tmp_path)
    return tmp_path


def test_a_grid_is_estimated_before_anything_of_it_is_run(workplace):
    done = greenpose(
        "estimate", "tiny.yaml", "--grid", "--seconds", 1, "--seed", 1, "--seed", 2, "--json", cwd=workplace
    )
    assert done.code == 0, done.err
    found = done.json
    assert found["schema"] == "greenpose.estimate/1"
    assert [run["experiment"] for run in found["runs"]] == ["HRNet2", "HRNet3-OKD-DS"] * 2
    assert [run["axes"]["seed"] for run in found["runs"]] == [1, 1, 2, 2]
    assert found["calibration"]["setups"] == 2
    for footprint in (*(run["training"] for run in found["runs"]), found["total"]["whole"]):
        for amount in footprint.values():
            low, high = amount["type_a"]
            assert 0 < low < amount["value"] < high
    whole = sum(run["whole"]["energy_kwh"]["value"] for run in found["runs"])
    assert found["total"]["whole"]["energy_kwh"]["value"] == pytest.approx(whole)
    assert not (workplace / "runs").exists()


def test_the_table_says_what_how_sure_by_what_means_and_what_next(workplace):
    done = greenpose("estimate", "tiny.yaml", "--grid", "--seconds", 1, "--quiet", cwd=workplace)
    assert done.code == 0
    assert done.err == ""
    head, *lines = done.out.splitlines()
    for word in ("run", "params", "MACs/image", "time, ", "Wh", "CO2eq, "):
        assert word in head
    for row in ("HRNet2", "HRNet3-OKD-DS", "all 2 runs"):
        (line,) = [line for line in lines if line.startswith(row)]
        assert line.count("[") + line.count("±") == 3
    text = " ".join(word for line in lines for word in line.split(" ") if word)
    assert "of 2\u00a0setups" in text
    assert "95 of 100" in text
    assert "greenpose run --grid tiny.yaml" in text
    assert "--budget-kwh 0.0" in text


def test_runs_of_several_seeds_share_a_line_unless_all_is_asked_for(workplace):
    seeds = ("--only", "HRNet2", "--seed", 1, "--seed", 2, "--seconds", 1)
    together = greenpose("estimate", "tiny.yaml", "--grid", *seeds, cwd=workplace).out
    assert "HRNet2 x2" in together
    apart = greenpose("estimate", "tiny.yaml", "--grid", "--verbose", *seeds, cwd=workplace).out
    assert "HRNet2-seed=1" in apart
    assert "HRNet2-seed=2" in apart


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.yaml"], "missing.yaml: no such file"),
        (["tiny.yaml", "--grid", "--only", "HRNet9"], "matches no run"),
        (["tiny.yaml", "--grid", "--country", "Italy"], "did you mean ITA"),
        (["tiny.yaml", "--grid", "--set", "train.epoch=3"], "did you mean epochs?"),
        (["tiny.yaml", "--grid", "--device", "cuda:9"], "CUDA devices here"),
        (["tiny.yaml", "--grid", "--seconds", "0"], "--seconds"),
    ],
)
def test_a_mistake_ends_in_words_and_code_two(workplace, arguments, message):
    done = greenpose("estimate", *arguments, cwd=workplace)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


def test_several_mistakes_are_told_together(workplace):
    done = greenpose(
        "estimate", "tiny.yaml", "--grid", "--country", "Italy", "--set", "data.profile=babypos", cwd=workplace
    )
    assert done.code == 2
    assert "did you mean ITA" in done.err
    assert "babypose" in done.err
