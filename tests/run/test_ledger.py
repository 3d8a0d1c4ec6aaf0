"""What is decided while training goes on: when a budget is used up."""

import pytest

from greenpose.config import CarbonConfig, Experiment, TrainConfig
from greenpose.config.budget import Budget
from greenpose.metering import Meter, carbon_of
from greenpose.run.ledger import Ledger
from greenpose.run.observer import Stage
from greenpose.store import RunFolder
from tests.metering.fakes import TickingClock, TickingSource
from tests.metering.grids import dirty_now


class Silent:
    """An observer that minds nothing."""

    def phase(self, name, total=None): ...

    def step(self, done, note=""): ...

    def training(self, *, done, rate, loss, energy_wh): ...

    def say(self, line, *, detail=False): ...


@pytest.mark.parametrize(("limit_g", "enough"), [(0.9, True), (1.1, False)])
def test_a_budget_of_emissions_counts_the_hours_in_which_training_runs(tmp_path, limit_g, enough):
    """An epoch of a kilowatt for 3.6 s is 1 Wh: 0.5 g at this hour's 500 g/kWh; another epoch makes it 1 g."""
    clock = TickingClock()
    carbon = carbon_of(hourly=dirty_now(tmp_path, 500))
    with Meter([TickingSource(clock, watts=1000.0)], clock=clock, cpu_clock=clock, carbon=carbon) as meter:
        with meter.window("train/epoch 1"):
            clock.advance(3.6)
        ledger = Ledger(
            RunFolder(tmp_path),
            Stage(meter, Silent()),
            config=Experiment(name="tiny", train=TrainConfig(epochs=9), carbon=CarbonConfig(country="ITA")),
            images={"train": 8, "val": 2},
            macs={4: 1.0},
            carbon=carbon,
            budget=Budget(co2eq_g=limit_g),
            earlier=[],
        )
        assert ledger.enough() is enough
