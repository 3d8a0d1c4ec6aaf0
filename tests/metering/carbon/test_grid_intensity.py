import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version

import pytest

from greenpose.errors import GreenPoseError
from greenpose.metering import CarbonAccounting, Joules, Window, carbon_of, intensity
from greenpose.metering.carbon.grid_intensity import countries, custom_intensity


def test_a_country_has_its_factor_source_vintage_and_interval():
    italy = intensity("ITA")
    assert italy.country_name == "Italy"
    assert italy.g_per_kwh == pytest.approx(330.7, abs=0.1)
    assert italy.interval == pytest.approx((italy.g_per_kwh * 0.85, italy.g_per_kwh * 1.15))
    assert italy.vintage == "2023"
    assert "codecarbon" in italy.source


def test_case_and_blanks_do_not_matter():
    assert intensity(" ita ") == intensity("ITA")


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("Italy", r"ITA \(Italy\)"),
        ("ITL", r"ITA \(Italy\)"),
        ("IT", r"ITA \(Italy\)"),
        ("Germani", r"DEU \(Germany\)"),
        ("united st", r"USA \(United States\)"),
        ("", "known are"),
        ("??", "known are"),
    ],
)
def test_an_unknown_country_is_refused_and_the_nearest_named(wrong, right):
    with pytest.raises(GreenPoseError, match=right):
        intensity(wrong)


def test_a_country_without_a_figure_is_refused_instead_of_being_free():
    with pytest.raises(GreenPoseError, match="no intensity above zero"):
        intensity("CAF")


def test_all_others_have_a_figure_above_zero():
    codes = countries()
    assert len(codes) > 200
    assert all(intensity(code).g_per_kwh > 0 for code in codes if code != "CAF")


def test_our_own_factor_is_called_custom():
    mine = custom_intensity(12.5, name="roof", vintage="2025")
    assert (mine.country, mine.country_name, mine.g_per_kwh, mine.vintage) == ("custom", "roof", 12.5, "2025")


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_a_factor_that_is_no_number_of_grams_is_refused(value):
    with pytest.raises(GreenPoseError, match="g/kWh"):
        custom_intensity(value)


@pytest.mark.parametrize("pue", [0.9, -1.0, float("nan")])
def test_a_building_cannot_use_less_than_its_machines(pue):
    with pytest.raises(GreenPoseError, match="pue"):
        CarbonAccounting(intensity=intensity("ITA"), pue=pue)


def test_one_kilowatt_hour_emits_the_intensity():
    grams = CarbonAccounting(intensity=custom_intensity(100.0)).grams(Joules(3.6e6, 3.6e6, 3.6e6))
    assert (grams.value, *grams.type_b) == pytest.approx((100, 85, 115))


def test_every_factor_is_codecarbons_own():
    from codecarbon.input import DataSource

    assert intensity("ITA").source.startswith(f"codecarbon {version('codecarbon')}, ")
    mix = DataSource().get_global_energy_mix_data()
    assert countries() == {code: entry["country_name"] for code, entry in mix.items()}
    for code, entry in mix.items():
        if entry["carbon_intensity"]:
            found = intensity(code)
            assert (found.g_per_kwh, found.vintage) == (entry["carbon_intensity"], str(entry["year"]))


def test_looking_a_factor_up_does_not_import_codecarbon():
    program = "import sys, greenpose.metering as m; m.intensity('ITA'); print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert not {"codecarbon", "torch", "pandas", "matplotlib"} & set(modules)


def hourly_file(folder):
    lines = ["datetime,g_per_kwh", *(f"2025-01-01T{hour:02}:00,{100 * (1 + hour // 12)}" for hour in range(24))]
    path = folder / "grid.csv"
    path.write_text("\n".join(lines))
    return str(path)


KWH = Joules(1.8e6, 3.6e6, 7.2e6)
MORNING, EVENING = datetime(2025, 1, 1, 6, tzinfo=UTC), datetime(2025, 1, 1, 18, tzinfo=UTC)


def test_an_hourly_grid_charges_each_hour_its_own(tmp_path):
    carbon = carbon_of(hourly=hourly_file(tmp_path), label="my roof", pue=1.5)
    assert carbon.grams(KWH, MORNING, 3600).value == pytest.approx(150)
    assert carbon.grams(KWH, EVENING, 3600).value == pytest.approx(300)
    assert carbon.grams(KWH).value == pytest.approx(225)
    grid = carbon.grid(EVENING, 3600)
    assert (grid.country, grid.country_name, grid.g_per_kwh) == ("hourly", "my roof", 200)
    assert grid.interval == pytest.approx((180, 220))
    assert "grid.csv" in grid.source
    assert grid.vintage.startswith("2025-01-01 00:00 to 2025-01-02")
    assert "outside" not in grid.source


def test_the_mean_of_an_hourly_file_is_as_uncertain_as_an_annual_mean(tmp_path):
    mean = carbon_of(hourly=hourly_file(tmp_path)).intensity
    assert (mean.g_per_kwh, *mean.interval) == pytest.approx((150, 127.5, 172.5))
    assert mean.country_name == "grid.csv"


def test_work_outside_an_hourly_file_is_said_to_be(tmp_path):
    carbon = carbon_of(hourly=hourly_file(tmp_path))
    later = carbon.grid(datetime(2026, 7, 1, 18, tzinfo=UTC), 60)
    assert later.g_per_kwh == 200
    assert "100% of the time is outside the file" in later.source
    widths = [grid.interval.high - grid.interval.low for grid in (later, carbon.grid(EVENING, 60))]
    assert widths[0] > widths[1]


def window(started_at, seconds=600.0, joules=3.6e6):
    return Window(
        id=1,
        parent=None,
        name="train",
        attempt=1,
        started_at=started_at,
        started_s=0.0,
        seconds=seconds,
        cpu_seconds=0.0,
        joules={"cpu": Joules(joules / 2, joules, joules * 2)},
        items=0,
        ok=True,
    )


def test_windows_are_charged_by_their_own_hours(tmp_path):
    carbon = carbon_of(hourly=hourly_file(tmp_path))
    both = [window("2025-01-01T06:00:00.000+00:00"), window("2025-01-01T19:00:00.000+01:00")]
    grams = carbon.grams_of(both)
    assert grams.value == pytest.approx(100 + 200)
    assert grams.type_b == pytest.approx((150 * 0.9, 600 * 1.1))
    across = carbon.grams_of([window("2025-01-01T11:45:00.000+00:00", seconds=3600)])
    assert across.value == pytest.approx(0.25 * 100 + 0.75 * 200)


def test_the_grid_of_windows_is_the_mean_of_their_hours_counted_by_energy(tmp_path):
    carbon = carbon_of(hourly=hourly_file(tmp_path))
    used = [window("2025-01-01T06:00:00+00:00", joules=1e6), window("2025-01-01T18:00:00+00:00", joules=3e6)]
    grid = carbon.grid_of(used)
    assert grid.g_per_kwh == pytest.approx((100 + 3 * 200) / 4)
    assert grid.interval == pytest.approx((0.9 * grid.g_per_kwh, 1.1 * grid.g_per_kwh))
    energy = sum((each.energy for each in used), Joules(0, 0, 0))
    assert carbon.grams_of(used).value == pytest.approx(energy.mid / 3.6e6 * grid.g_per_kwh)
    half = carbon.grid_of([*used, window("2026-01-01T06:00:00+00:00", joules=4e6)])
    assert "50% of the time is outside the file" in half.source


def test_the_grid_of_nothing_is_its_mean(tmp_path):
    carbon = carbon_of(hourly=hourly_file(tmp_path))
    assert carbon.grid_of([]) == carbon.grid_of([window("2025-01-01T06:00:00+00:00", joules=0)]) == carbon.intensity
    assert carbon_of(country="ITA").grid_of([window("2025-01-01T06:00:00+00:00")]) == intensity("ITA")


def test_without_hourly_data_windows_are_charged_as_their_sum():
    carbon = carbon_of(country="ITA", pue=1.2)
    both = [window("2025-01-01T06:00:00.000+00:00"), window("2025-01-01T18:00:00.000+00:00", joules=1.2e6)]
    whole, parts = carbon.grams(both[0].energy + both[1].energy), carbon.grams_of(both)
    assert (parts.value, *parts.type_b) == pytest.approx((whole.value, *whole.type_b))
    assert (carbon.grams_of([]).value, carbon.grams_of([]).type_b) == (0, (0, 0))


def test_a_users_own_factor_keeps_its_label():
    assert carbon_of(country=None, intensity_g_per_kwh=30.0, label="roof").intensity.country_name == "roof"
    assert carbon_of(intensity_g_per_kwh=30.0).intensity.country_name == "user's own factor"


@pytest.mark.parametrize(
    ("grams", "said"), [(0.331, "331 meant, given in kg?"), (0.0, "1 to 2000"), (2001.0, "1 to 2000"), (12.9, None)]
)
def test_a_factor_that_no_grid_has_is_doubted_wherever_its_source_is_told(grams, said):
    carbon = carbon_of(intensity_g_per_kwh=grams)
    assert (carbon.doubt is None) == (said is None)
    if said is None:
        assert carbon.intensity.source == "given by the user"
    else:
        assert said in carbon.doubt
        assert carbon.intensity.source == f"given by the user; {carbon.doubt}"


def test_doubtful_hours_are_told_wherever_their_source_is(tmp_path):
    path = tmp_path / "kg.csv"
    path.write_text("datetime,g_per_kwh\n" + "".join(f"2025-01-01T{hour:02}:00,0.3\n" for hour in range(24)))
    carbon = carbon_of(hourly=str(path))
    assert "24 of 24 hours lie outside 1 to 2000" in carbon.doubt
    assert carbon.intensity.source.endswith(carbon.doubt)


def test_no_grid_at_all_is_refused():
    with pytest.raises(GreenPoseError, match="give a country"):
        carbon_of()


@pytest.mark.parametrize(("kg", "years"), [(-1.0, 4.0), (float("nan"), 4.0), (1.0, 0.0), (1.0, float("inf"))])
def test_a_machine_made_of_less_than_nothing_or_used_for_no_time_is_refused(kg, years):
    with pytest.raises(GreenPoseError, match=r"embodied_kg|lifetime_years"):
        carbon_of(country="ITA", embodied_kg=kg, lifetime_years=years)


def test_every_setting_of_a_configuration_is_understood(tmp_path):
    from greenpose.config import CarbonConfig

    config = CarbonConfig(hourly=hourly_file(tmp_path), label="roof", pue=1.5, embodied_kg=0, lifetime_years=6)
    carbon = carbon_of(**config.model_dump())
    assert (carbon.pue, carbon.embodied_kg, carbon.lifetime_years) == (1.5, 0, 6)
    assert carbon.intensity.country_name == "roof"
    assert carbon_of(**CarbonConfig(country="ITA").model_dump()) == CarbonAccounting(intensity=intensity("ITA"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, ["give country"]),
        ({"country": "ITA", "hourly": "x.csv"}, ["country and hourly are given"]),
        ({"country": "ITA", "intensity_g_per_kwh": 3, "label": "x"}, ["country and intensity", "label 'x'"]),
        ({"label": "x"}, ["give country"]),
    ],
)
def test_there_is_exactly_one_way_to_know_the_grid(settings, said):
    from pydantic import ValidationError

    from greenpose.config import CarbonConfig

    with pytest.raises(ValidationError) as caught:
        CarbonConfig(**settings)
    assert [part for part in said if part not in str(caught.value)] == []
