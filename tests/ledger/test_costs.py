"""Emissions as a record has them: of electricity, of making the hardware, and both together per functional unit."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from greenpose import counting
from greenpose.config import Experiment
from greenpose.intervals import Bounds
from greenpose.ledger.costs import (
    carbon_entry,
    carbon_intensity,
    embodied_emissions,
    embodied_entry,
    training_emissions,
)
from greenpose.metering import Joules, Window, carbon_of
from greenpose.metering.carbon.embodied import embodied_of
from greenpose.quantity import Quantity
from greenpose.run.record_exits import inference_quantities
from tests.fakes.meters import machine
from tests.ledger.test_phases import exit_measurement, known

YEAR = 365 * 24 * 3600
MIDNIGHT = datetime(2025, 1, 1, tzinfo=UTC)
WATTS = 1000.0


def window(hour: float, seconds: float, name: str = "train/epoch 1") -> Window:
    """A kilowatt from an hour of the day on; low and high are half and twice of it."""
    joules = WATTS * seconds
    return Window(
        id=1,
        parent=None,
        name=name,
        attempt=1,
        started_at=(MIDNIGHT + timedelta(hours=hour)).isoformat(),
        started_s=0.0,
        seconds=seconds,
        cpu_seconds=seconds,
        joules={"cpu": Joules(joules / 2, joules, joules * 2)},
        items=0,
        ok=True,
    )


@pytest.fixture
def hourly(tmp_path) -> str:
    """A day of 100 g/kWh up to noon and of 300 g/kWh after it."""
    path = tmp_path / "grid.csv"
    hours = [f"2025-01-01T{hour:02}:00,{100 if hour < 12 else 300}" for hour in range(24)]
    path.write_text("\n".join(["datetime,g_per_kwh", *hours]))
    return str(path)


def making(**settings):
    """A machine of 400 kg that lasts four years, of which half is held."""
    carbon = carbon_of(**({"country": "ITA", "embodied_kg": 400.0} | settings))
    return embodied_of(machine(), carbon, share=0.5)


def test_a_year_of_half_a_machine_costs_an_eighth_of_making_it():
    found = embodied_emissions(making(), YEAR, time="wall time of training")
    assert found.value == pytest.approx(400e3 / 8)
    assert (found.unit, found.kind, found.type_a) == ("gCO2eq", "modelled", None)
    assert "wall time of training" in found.method
    assert "4 years" in found.method


def test_repeated_times_bring_type_a_and_the_hardware_type_b():
    modelled = embodied_of(machine(), carbon_of(country="ITA"))
    found = embodied_emissions(modelled, 10.0, time="t", repeated=Bounds(8.0, 13.0))
    assert found.type_a.low == pytest.approx(found.value * 0.8)
    assert found.type_a.high == pytest.approx(found.value * 1.3)
    grams = modelled.grams(10.0)
    assert (found.type_b.low, found.type_b.high) == pytest.approx((grams.type_b.low, grams.type_b.high))


@pytest.mark.parametrize(("embodied", "why"), [(making(embodied_kg=0.0), "left out by the user"), (None, "not known")])
def test_without_the_making_there_is_no_software_carbon_intensity_and_both_say_why(embodied, why):
    operational, made, sci = emitted([window(0, 60)], carbon_of(country="ITA"), embodied, kind="modelled")
    assert operational.value > 0
    for missing in (made, sci):
        assert missing.value is None
        assert missing.kind == "not_covered"
        assert why in missing.missing


def emitted(*args, **kwargs):
    """Operational and embodied emissions of a training, and both together."""
    return training_emissions(*args, **kwargs).values()


def emissions(value, kind="measured", a=None, b=None) -> Quantity:
    return Quantity(value=value, kind=kind, type_a=a and Bounds(*a), type_b=b and Bounds(*b))


def test_the_software_carbon_intensity_is_the_sum_with_its_ends_and_the_worse_kind():
    sci = carbon_intensity(
        emissions(10.0, "measured", (9, 12), (8, 14)), emissions(2.0, "modelled", (1, 4), (0.5, 6)), per="job"
    )
    assert (sci.value, sci.kind) == (12.0, "modelled")
    assert (sci.type_a.low, sci.type_a.high) == (10, 16)
    assert (sci.type_b.low, sci.type_b.high) == (8.5, 20)
    assert "per job" in sci.method


def test_an_interval_that_one_part_does_not_have_the_sum_does_not_have():
    sci = carbon_intensity(emissions(10.0, a=(9, 11), b=(8, 12)), emissions(2.0, b=(1, 3)), per="job")
    assert sci.type_a is None
    assert sci.type_b is not None


def test_training_is_charged_by_the_hours_in_which_it_ran(hourly):
    windows = [window(10, 3600), window(20, 3600)]
    operational, made, sci = emitted(windows, carbon_of(hourly=hourly, pue=1.5), making(), kind="modelled")
    assert operational.value == pytest.approx(1.5 * (100 + 300))
    assert "hourly" in operational.method
    assert made.value == pytest.approx(400e3 / 2 * 2 * 3600 / (4 * YEAR))
    assert sci.value == pytest.approx(operational.value + made.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"country": "ITA"}, "annual mean grid intensity"),
        ({"intensity_g_per_kwh": 50.0}, "the user's own grid intensity"),
    ],
)
def test_the_method_says_which_intensity_it_was(settings, words):
    operational = training_emissions([window(0, 60)], carbon_of(**settings), None, kind="modelled")["train_co2eq_g"]
    assert words in operational.method
    assert "hourly" not in operational.method


def experiment(**carbon) -> Experiment:
    model = {"exits": [2], "width": 4, "stem_width": 4, "modules": [1, 1, 1], "blocks": 1}
    return Experiment(name="tiny", model=model, carbon=carbon)


def test_the_recorded_intensity_times_energy_and_pue_is_what_was_emitted(hourly):
    windows = [window(11.5, 3600), window(20, 7200)]
    entry = carbon_entry(experiment(hourly=hourly, pue=1.2).carbon, windows=windows, embodied=making())
    emitted = training_emissions(windows, carbon_of(hourly=hourly, pue=1.2), None, kind="modelled")["train_co2eq_g"]
    assert entry.intensity_g_per_kwh * entry.pue * 3.0 == pytest.approx(emitted.value)
    assert entry.intensity_interval.low < entry.intensity_g_per_kwh < entry.intensity_interval.high
    assert (entry.country, entry.mean_g_per_kwh) == ("hourly", 200)
    assert entry.mean_interval.low < 200 < entry.mean_interval.high
    assert entry.vintage.startswith("2025-01-01 00:00 to 2025-01-02 00:00")


def test_a_country_has_no_second_mean():
    entry = carbon_entry(experiment(country="ITA").carbon, windows=[window(0, 60)])
    assert (entry.mean_g_per_kwh, entry.mean_interval, entry.embodied) == (None, None, None)


def test_the_record_names_every_part_of_the_hardware():
    embodied = embodied_of(machine(gpus=("NVIDIA A100-SXM4-40GB",)), carbon_of(country="ITA"), share=0.25)
    entry = embodied_entry(embodied)
    assert [part.name for part in entry.parts] == [part.name for part in embodied.parts]
    held = sum(1000 * part.kg * part.share for part in entry.parts)
    assert held == pytest.approx(embodied.grams(entry.lifetime_years * YEAR).value)
    for part in entry.parts:
        assert part.kg_interval.low < part.kg < part.kg_interval.high
        assert part.source


@pytest.fixture(scope="module")
def count():
    return counting.count(experiment(country="ITA"))[2]


def of_images(count, embodied, **carbon):
    """The entry of an exit of 3 J and 1 s an image, the second known to between 0.9 and 1.2."""
    measured = replace(exit_measurement(energy=known(3.0, 2.7, 3.6)), latency_s=known(1.0, 0.9, 1.2))
    carbon = carbon or {"country": "ITA"}
    return inference_quantities(count, measured, kind="modelled", carbon=carbon_of(**carbon), embodied=embodied)


def test_a_thousand_images_hold_the_machine_for_their_latency(count):
    embodied = making()
    entry = of_images(count, embodied)
    found = entry["embodied_co2eq_g_per_1000_images"]
    assert found.value == pytest.approx(embodied.grams(1000.0).value)
    assert found.type_a == pytest.approx((0.9 * found.value, 1.2 * found.value))


def test_a_thousand_images_have_a_software_carbon_intensity_with_both_intervals(count):
    entry = of_images(count, making())
    parts = ("co2eq_g_per_1000_images", "embodied_co2eq_g_per_1000_images")
    found = entry["sci_g_per_1000_images"]
    assert found.value == pytest.approx(sum(entry[name].value for name in parts))
    for kind in ("type_a", "type_b"):
        low = sum(getattr(entry[name], kind).low for name in parts)
        assert getattr(found, kind).low == pytest.approx(low)
    assert "per 1000 images" in found.method


def test_images_are_charged_with_the_mean_of_hourly_data_since_nobody_knows_their_hour(count, hourly):
    entry = of_images(count, making(), hourly=hourly)
    assert entry["co2eq_g_per_1000_images"].value == pytest.approx(3000 / 3.6e6 * 200)
    assert "mean of the hourly" in entry["co2eq_g_per_1000_images"].method
