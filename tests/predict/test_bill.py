"""The bill against clocks and a source that do as they are told."""

import math

import pytest

from greenpose.metering import carbon_of
from greenpose.metering.meter import Meter
from greenpose.predict import of_artefact
from greenpose.predict.bill import LOADING, NO_GRID, SEARCHING, make_bill
from greenpose.predict.search import Account
from tests.fakes.meters import TickingClock, TickingSource, unwatched
from tests.predict.planted import artefact

WATTS, LOADED_S, SEARCHED_S, IMAGES = 10.0, 4.0, 20.0, 50


@pytest.fixture(scope="module")
def estimator(tmp_path_factory):
    return of_artefact(artefact(tmp_path_factory.mktemp("model")))


def bill(estimator, *, images=IMAGES, carbon=None, **known):
    clock, cpu = TickingClock(), TickingClock()
    meter = Meter(
        [TickingSource(clock, watts=WATTS)], clock=clock, cpu_clock=cpu, carbon=carbon, surroundings=unwatched(**known)
    )
    with meter:
        with meter.window(LOADING):
            clock.advance(LOADED_S)
            cpu.advance(LOADED_S / 2)
        with meter.window(SEARCHING) as window:
            clock.advance(SEARCHED_S)
            cpu.advance(SEARCHED_S / 2)
            window.items = images
        return make_bill(meter, estimator, Account(images=images, poses=3), boxes="the whole image")


def test_totals_hold_the_loading_and_figures_of_1000_images_do_not(estimator):
    found = bill(estimator)
    assert (found.seconds, found.cpu_seconds) == (LOADED_S + SEARCHED_S, (LOADED_S + SEARCHED_S) / 2)
    assert found.energy_j == pytest.approx(WATTS * (LOADED_S + SEARCHED_S))
    assert found.images_per_second == pytest.approx(IMAGES / SEARCHED_S)
    assert found.energy_j_per_1000_images == pytest.approx(WATTS * SEARCHED_S / IMAGES * 1000)
    assert found.cpu_s_per_1000_images == pytest.approx(SEARCHED_S / 2 / IMAGES * 1000)
    ends = found.basis["energy_j_per_1000_images"].type_b
    assert (ends.low, ends.high) == pytest.approx(tuple(found.energy_j_per_1000_images * part for part in (0.5, 2)))


def test_one_run_is_as_sure_as_runs_on_such_a_machine_are_alike(estimator):
    """12 % is what runs on a shared machine scatter by: the next lies within 1.96 times that, as a factor."""
    found = bill(estimator, between_runs=0.12)
    ends = found.basis["energy_j_per_1000_images"].type_a
    factor = math.exp(1.959964 * 0.12)
    middle = found.energy_j_per_1000_images
    assert (ends.low, ends.high) == pytest.approx((middle / factor, middle * factor), rel=1e-5)


def test_grams_are_the_energy_times_the_grid(estimator):
    carbon = carbon_of(intensity_g_per_kwh=360.0)
    found = bill(estimator, carbon=carbon)
    assert found.co2eq_g == pytest.approx(found.energy_j / 3.6e6 * 360)
    assert found.co2eq_g_per_1000_images == pytest.approx(found.energy_j_per_1000_images / 3.6e6 * 360)
    assert found.basis["co2eq_g"].kind == found.basis["energy_j"].kind
    assert found.carbon.intensity_g_per_kwh == 360


def test_what_is_not_known_says_why(estimator):
    found = bill(estimator)
    assert (found.foreign_cpu_share, found.warnings) == (None, [])
    assert (found.co2eq_g, found.basis["co2eq_g"].missing) == (None, NO_GRID)
    nothing = bill(estimator, images=0)
    assert nothing.energy_j_per_1000_images is None
    assert nothing.basis["energy_j_per_1000_images"].missing == "no image was searched"
