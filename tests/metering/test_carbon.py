import subprocess
import sys

import pytest

from greenpose.errors import GreenPoseError
from greenpose.metering import Carbon, Joules, countries, custom_intensity, intensity


def test_a_country_has_its_factor_source_vintage_and_interval():
    italy = intensity("ITA")
    assert italy.country_name == "Italy"
    assert italy.g_per_kwh == pytest.approx(330.7, abs=0.1)
    assert (italy.low, italy.high) == pytest.approx((italy.g_per_kwh * 0.85, italy.g_per_kwh * 1.15))
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
        Carbon(intensity=intensity("ITA"), pue=pue)


def test_one_kilowatt_hour_emits_the_intensity():
    grams = Carbon(intensity=custom_intensity(100.0)).grams(Joules(3.6e6, 3.6e6, 3.6e6))
    assert (grams.low, grams.mid, grams.high) == pytest.approx((85, 100, 115))


def test_the_factor_is_codecarbons_own(monkeypatch):
    from codecarbon.input import DataSource

    mix = DataSource().get_global_energy_mix_data()
    assert {code: mix[code]["carbon_intensity"] for code in ("ITA", "FRA", "USA")} == {
        code: intensity(code).g_per_kwh for code in ("ITA", "FRA", "USA")
    }


def test_looking_a_factor_up_does_not_import_codecarbon():
    program = "import sys, greenpose.metering as m; m.intensity('ITA'); print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert not {"codecarbon", "torch", "pandas", "matplotlib"} & set(modules)
