"""What a training is expected to cost in all, from its windows so far: epochs and validations apart.

Validations come only every few epochs, and checkpoints with each, so that epochs cost unlike amounts. Of an epoch that
a kill made necessary twice, only the last time says what one costs; both are spent.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from greenpose.config import ProcessConfig, TrainConfig
from greenpose.config.training import depth_schedule, earliest_end, num_validations
from greenpose.formatting import joules_to_kwh
from greenpose.ledger.phases import training_windows, whole_epochs
from greenpose.metering import Window, this_machine
from greenpose.metering.cost_prediction import Neighbours, Repeated, predict_total
from greenpose.quantity import Quantity
from greenpose.record import Forecast, with_bases

VALIDATION_SHARE = 0.5
"""What validating an image costs of training on one, as long as none was: the forward pass is a third of a training
step, scoring comes on top. Trainings here had 0.3 to 0.9, from wide networks to tiny ones."""

CostOf = Callable[[Window], float]


def joules_of(window: Window) -> float:
    """Return a window's energy in joules."""
    return window.energy.mid


def seconds_of(window: Window) -> float:
    """Return a window's wall time in seconds."""
    return window.seconds


def predict_training(
    windows: Sequence[Window],
    cost: CostOf,
    *,
    recipe: TrainConfig,
    macs: Mapping[int, float],
    validated_images: int,
    cpus: float,
) -> Quantity:
    """Return what all of training will have cost, if no early stop ends it.

    `windows` are those of all attempts, with at least one whole epoch; `macs` those of each exit's own network; `cpus`
    is the part of the machine that training keeps busy.
    """
    epochs = whole_epochs(windows)
    done = max(epochs)
    epochs = {number: of for number, of in epochs.items() if all(window.sound for window in of.values())} or epochs
    trained = [epochs[number]["train"] for number in sorted(epochs)]
    schedule = depth_schedule(recipe, macs, images=trained[-1].items)
    each = {
        number: cost(of["train"]) + (cost(of["checkpoint"]) if "checkpoint" in of else 0.0)
        for number, of in _settled(epochs).items()
    }
    per_mac = sum(each.values()) / sum(macs[schedule[number - 1]] for number in each)
    validated = _settled({number: of for number, of in epochs.items() if "validate" in of})
    checks = [cost(of["validate"]) for of in validated.values()]
    image = sum(map(cost, trained)) / max(1, sum(window.items for window in trained))
    work = [
        *(
            Repeated(
                costs=[spent for number, spent in each.items() if schedule[number - 1] == depth],
                remaining=schedule[done:].count(depth),
                guess=per_mac * macs[depth],
            )
            for depth in sorted({*schedule})
        ),
        Repeated(
            costs=checks,
            remaining=num_validations(recipe, after=done),
            guess=VALIDATION_SHARE * image * validated_images,
        ),
    ]
    spent = sum(map(cost, training_windows(windows)))
    return predict_total(work, spent=spent, neighbours=Neighbours.during(trained, cpus=cpus))


def busy_share(process: ProcessConfig) -> float:
    """Return the part of this machine's CPUs that a training keeps busy: on GPUs, one of them to drive each."""
    threads = process.replicas * (process.threads if process.device == "cpu" else 1)
    return min(1.0, threads / this_machine().vcpus)


def forecast(epoch: int, energy: Quantity, time: Quantity, *, recipe: TrainConfig) -> Forecast:
    """Return predictions in joules and seconds as the record keeps them."""
    early = earliest_end(recipe)
    sooner = f"; early stopping may end it from epoch {early} on" if early else ""
    method = f"for all {recipe.epochs} epochs, after {epoch}: {energy.method}{sooner}"
    numbers = {
        "energy_kwh": replace(energy * joules_to_kwh(1.0), unit="kWh", method=method),
        "seconds": replace(time, unit="s", method=method),
    }
    return Forecast(epoch=epoch, **with_bases(numbers))


def _settled(epochs: Mapping[int, Mapping[str, Window]]) -> dict[int, Mapping[str, Window]]:
    """Return the epochs in order, without the first of each attempt, which warms up; all where there are no others."""
    first: dict[int, int] = {}
    for number in sorted(epochs):
        first.setdefault(epochs[number]["train"].attempt, number)
    return {number: of for number, of in sorted(epochs.items()) if number not in first.values()} or dict(epochs)
