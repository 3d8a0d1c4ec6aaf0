"""`greenpose.meter()` as anybody would use it, on the machine that runs the tests."""

import subprocess
import sys

import pytest

import greenpose
from greenpose.errors import GreenPoseError
from greenpose.metering import CarbonAccounting, read_windows
from greenpose.metering.carbon.grid_intensity import custom_intensity


def test_any_code_can_be_metered(tmp_path):
    with greenpose.meter(country="ITA", log=tmp_path / "windows.jsonl") as m:
        with m.window("epoch 1", items=1200):
            sum(range(200_000))
        with m.window("epoch 2", items=1200):
            sum(range(200_000))
    assert m.total.energy.low < m.total.energy.mid < m.total.energy.high
    assert sum(window.energy.mid for window in m.windows) <= m.total.energy.mid
    assert read_windows(tmp_path / "windows.jsonl") == m.windows
    assert set(m.total.joules) >= {"cpu", "ram"}


def test_the_summary_names_windows_intervals_provenance_grid_and_grade():
    with greenpose.meter(country="ITA") as m, m.window("epoch 1", items=1200):
        sum(range(200_000))
    text = str(m)
    kinds, grade = {provenance.kind for provenance in m.provenances}, f"grade {m.total.grade}"
    for word in ("epoch 1", "an item", "total", "cpu:", "ram:", *kinds, "CO2eq", "Italy", grade, " to "):
        assert word in text


def test_the_summary_adds_the_making_of_the_hardware_with_its_interval_in_lines_that_fit():
    with greenpose.meter(country="ITA") as m:
        sum(range(200_000))
    operational, made = str(m).splitlines()[-3:-1]
    assert "Italy 2023" in operational
    assert "for making the hardware: SCI" in made
    assert made.count(" to ") == 2
    assert max(len(operational), len(made)) <= 120
    assert m.total.sci_g.value == pytest.approx(m.total.co2eq_g.value + m.total.embodied_co2eq_g.value)


def test_workers_hold_a_part_of_the_machine_each():
    with greenpose.meter(country="ITA") as alone, greenpose.meter(country="ITA", workers=4, gpus=()) as shared:
        pass
    assert [part.share * 4 for part in shared.embodied.parts] == pytest.approx(
        [part.share for part in alone.embodied.parts if not part.name.startswith("GPU")]
    )


def test_a_making_that_the_user_leaves_out_is_not_shown():
    with greenpose.meter(carbon=CarbonAccounting(intensity=custom_intensity(300.0), embodied_kg=0.0)) as m:
        pass
    assert "CO2eq" in str(m)
    assert "SCI" not in str(m)


def test_the_summary_says_that_a_window_failed():
    with greenpose.meter() as m, pytest.raises(KeyError), m.window("epoch 1"):
        raise KeyError
    assert "epoch 1" in str(m)
    assert "ended with an exception" in str(m)
    assert "CO2eq" not in str(m)


def test_an_own_factor_and_pue_replace_the_country():
    carbon = CarbonAccounting(intensity=custom_intensity(0.0, name="roof"), pue=1.2)
    with greenpose.meter(carbon=carbon) as m:
        pass
    assert m.total.co2eq_g.type_b.high == 0


def test_an_unknown_country_is_refused_before_anything_runs():
    with pytest.raises(GreenPoseError, match="DEU"):
        greenpose.meter(country="Germany")


def test_metering_imports_nothing_heavy():
    program = "import greenpose, sys; greenpose.meter().__enter__(); print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert not {"torch", "pandas", "matplotlib", "codecarbon", "pydantic"} & set(modules)
