"""A run whose grid is an hourly file of the user's, from the command line to its record."""

import pytest

from greenpose.record import Record
from greenpose.store import collect
from tests.cli.running import greenpose
from tests.metering.grids import dirty_now
from tests.run.tiny import write_grid

QUICKLY = ("--set", "train.epochs=1", "--only", "HRNet2", "--no-report")


@pytest.fixture(scope="module")
def record(tmp_path_factory) -> Record:
    """500 g/kWh in the two hours in which it can run, nothing in the 23 others."""
    folder = tmp_path_factory.mktemp("hourly")
    write_grid(folder)
    grid = ("--set", "carbon.country=null", "--set", f"carbon.hourly={dirty_now(folder, 500)}")
    done = greenpose("run", "--grid", "tiny.yaml", *grid, *QUICKLY, cwd=folder)
    assert done.code == 0, done.err
    (record,) = collect([folder / "runs"])
    return record


def test_training_is_charged_with_its_own_hours(record):
    assert record.carbon.country == "hourly"
    assert record.carbon.intensity_g_per_kwh == pytest.approx(500)
    assert record.train_co2eq_g == pytest.approx(record.train_energy_kwh * 500)
    assert "hourly" in record.quantity("train_co2eq_g").method
    assert sum(record.allocation.co2eq_g.values()) == pytest.approx(record.train_co2eq_g)


def test_images_are_charged_with_the_mean_of_the_file(record):
    (entry,) = record.exits
    assert record.carbon.mean_g_per_kwh == pytest.approx(2 * 500 / 25)
    per_kwh = entry.co2eq_g_per_1000_images / (1000 * entry.energy_j_per_image / 3.6e6)
    assert per_kwh == pytest.approx(record.carbon.mean_g_per_kwh)


def test_an_hourly_file_without_a_country_leaves_the_other_tool_out_and_says_so(record):
    assert all(check.energy_kwh is None and "country" in check.note for check in record.crosscheck)
