"""What is decided while training goes on: when a budget is used up."""

from typing import ClassVar

import pytest

from greenpose.config import CarbonConfig, Experiment, LossConfig, TrainConfig
from greenpose.config.accounting import Budget
from greenpose.metering import Meter, carbon_of
from greenpose.run.callbacks import PhaseTracker, RunLogger, outweighed, outweighing
from greenpose.store import RunFolder
from greenpose.training import Epoch
from tests.fakes.meters import TickingClock, TickingSource
from tests.metering.grids import dirty_now
from tests.run.tiny import Silent


@pytest.mark.parametrize(("limit_g", "enough"), [(0.9, True), (1.1, False)])
def test_a_budget_of_emissions_counts_the_hours_in_which_training_runs(tmp_path, limit_g, enough):
    """An epoch of a kilowatt for 3.6 s is 1 Wh: 0.5 g at this hour's 500 g/kWh; another epoch makes it 1 g."""
    clock = TickingClock()
    carbon = carbon_of(hourly=dirty_now(tmp_path, 500))
    with Meter([TickingSource(clock, watts=1000.0)], clock=clock, cpu_clock=clock, carbon=carbon) as meter:
        with meter.window("train/epoch 1"):
            clock.advance(3.6)
        ledger = RunLogger(
            RunFolder(tmp_path),
            PhaseTracker(meter, Silent()),
            config=Experiment(name="tiny", train=TrainConfig(epochs=9), carbon=CarbonConfig(country="ITA")),
            images={"train": 8, "val": 2},
            macs={4: 1.0},
            carbon=carbon,
            budget=Budget(co2eq_g=limit_g),
            earlier=[],
        )
        assert ledger.enough() is enough


@pytest.mark.parametrize(
    ("terms", "ratio"),
    [
        ({"label 3": 0.002, "label 4": 0.003, "4->3": 0.00002}, 0.04 / (0.5 * 0.002 + 3 * 0.003)),
        ({"label 4": 0.001, "4->3": 0.00001, "4->2": 0.00002}, 0.06 / 0.003),
        ({"label 4": 0.001}, 0),
        ({"label 3": 0.001, "label 4": 0.001, "4->3": float("nan")}, float("nan")),
    ],
)
def test_distillation_is_weighed_against_the_labels_as_the_loss_weighs_them(terms, ratio):
    loss = LossConfig(kd_weight=2000, teacher_weight=3, ds_weight=0.5)
    assert outweighing(terms, loss) == pytest.approx(ratio, nan_ok=True)


@pytest.mark.parametrize(
    "damaged", [{}, {"terms": 3}, {"terms": {"label 4": "x"}}, {"terms": {"label four": 1, "4->3": 1}}, {"terms": {}}]
)
def test_what_outweighed_the_labels_is_known_from_the_log_of_epochs_whatever_else_stands_there(damaged):
    lines = [damaged, *({"epoch": at, "terms": {"label 4": 0.001, "4->3": at * 1.1e-6}} for at in range(1, 9))]
    said = outweighed(lines, LossConfig(kd_weight=2000))
    assert said is not None
    assert said.startswith("in epoch 5 distillation outweighs the labels 11 times")
    assert outweighed(lines[:5], LossConfig(kd_weight=2000)) is None


def test_a_run_that_was_resumed_holds_the_forecast_of_its_first_epochs(tmp_path):
    """Whichever attempt trained them: 3 s an epoch after two of nine make 27 s, whatever later epochs take."""
    clock = TickingClock()
    earlier = []
    for attempt, epochs in enumerate(((1, 2, 3), (3, 4)), 1):
        with Meter([TickingSource(clock, watts=10.0)], clock=clock, cpu_clock=clock) as meter:
            ledger = RunLogger(
                RunFolder(tmp_path),
                PhaseTracker(meter, Silent()),
                config=Experiment(name="tiny", train=TrainConfig(epochs=9), carbon=CarbonConfig(country="ITA")),
                images={"train": 8, "val": 0},
                macs={4: 1.0},
                carbon=carbon_of(country="ITA"),
                budget=Budget(),
                earlier=list(earlier),
            )
            assert attempt == 2 or ledger.forecast() is None
            for number in epochs:
                with meter.window(f"train/epoch {number}", items=8):
                    clock.advance(3.0 if number < 3 else 30.0)
                ledger.closed(Epoch(epoch=number, loss=0.1, terms={}, lr=1e-3, ap={}, pck={}))
                found = ledger.forecast()
                assert found is not None
                assert found.epoch == min(number, 2)
                assert found.seconds == pytest.approx(27.0, rel=0.05)
            earlier += meter.windows


def test_distillation_that_outweighs_the_labels_tenfold_is_warned_of_once(tmp_path):
    class Hearing(Silent):
        said: ClassVar[list[str]] = []

        def say(self, line, *, detail=False):
            self.said += [] if detail else [line]

    clock = TickingClock()
    with Meter([TickingSource(clock, watts=1.0)], clock=clock, cpu_clock=clock) as meter:
        teaching = {"model": {"exits": [3, 4]}, "wiring": {"teach": ["4->3"]}, "train": {"epochs": 9}}
        config = Experiment.model_validate({"name": "tiny", "carbon": {"country": "ITA"}, **teaching})
        ledger = RunLogger(
            RunFolder(tmp_path),
            PhaseTracker(meter, Hearing()),
            config=config,
            images={"train": 8, "val": 2},
            macs={4: 1.0},
            carbon=carbon_of(country="ITA"),
            budget=Budget(),
            earlier=[],
        )
        for number, divergence in enumerate((0.000004, 0.00001, 0.00003), 1):
            with meter.window(f"train/epoch {number}"):
                clock.advance(1.0)
            terms = {"label 4": 0.001, "4->3": divergence}
            ledger.closed(Epoch(epoch=number, loss=0.1, terms=terms, lr=1e-3, ap={}, pck={}))
    (said,) = [line for line in Hearing.said if "outweighs" in line]
    assert said.startswith("warning: in epoch 2 distillation outweighs the labels 20 times")
