"""Callbacks of a run: where it is, what each epoch brought, and what is written as it goes."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, runtime_checkable

from greenpose.config import Experiment, LossConfig
from greenpose.config.accounting import Budget
from greenpose.files import utc_now
from greenpose.formatting import ends, joules_to_kwh, lasting, repeated, significant
from greenpose.ledger.forecast import busy_share, forecast, joules_of, predict_training, seconds_of
from greenpose.ledger.phases import energy_of, epoch_costs, epoch_of, training_windows, whole_epochs
from greenpose.metering import CarbonAccounting, Meter, OpenWindow, Window
from greenpose.quantity import Quantity
from greenpose.record import Forecast
from greenpose.store import RunFolder, append_line
from greenpose.store.records import outermost
from greenpose.training import Epoch

LOGGER = logging.getLogger("greenpose")


@runtime_checkable
class Observer(Protocol):
    """Who watches a run."""

    def phase(self, name: str, total: int | None = None) -> None:
        """Show that a phase of `total` steps begins (None: unknown)."""

    def training(self, *, done: int, rate: float, loss: float, energy_wh: float) -> None:
        """Show training: images done in all epochs, images per second, mean loss, Wh of the run so far."""

    def say(self, line: str, *, detail: bool = False) -> None:
        """Show something worth a line; a detail is for those who want to see everything."""


@dataclass(slots=True)
class PhaseTracker:
    """Opens the window of a phase, tells the observer, and remembers the phase for a failure's sake."""

    meter: Meter
    """Meters the run."""
    observer: Observer
    """Watches the run."""
    phase: str = "start"
    """What the run is doing."""
    began: float = field(default=0.0)
    """The meter's clock when the open window of training began."""
    epochs: int = field(default=0)
    """How many epochs were begun."""

    def __call__(self, name: str, items: int = 0) -> AbstractContextManager[OpenWindow]:
        """Return the window of a phase."""
        self.enter(name)
        return self.meter.window(name, items=items)

    def enter(self, name: str, total: int | None = None) -> None:
        """Begin a phase that opens its windows itself; what the phase before it left is put on disk."""
        self.meter.flush()
        self.phase = name
        self.observer.phase(name, total)
        LOGGER.info("%s", name)

    def training(self, name: str, items: int) -> AbstractContextManager[OpenWindow]:
        """Return the window of an epoch's part; training itself is cross-checked in some epochs."""
        self.phase = name.partition("/")[0]
        self.began = self.meter.clock()
        self.epochs += self.phase == "train"
        return self.meter.window(name, items=items, crosscheck=self.phase == "train" and crosschecked(self.epochs))


def crosschecked(epoch: int) -> bool:
    """Return whether the `epoch`-th one of a process, from 1, is cross-checked: 1, 10, 100 and so on.

    codecarbon costs milliseconds at both ends of a window and a thread in between: asked in every epoch it takes more
    of a small training than all the rest of the metering. Its ratio to ours hardly differs between epochs.
    """
    return str(epoch).rstrip("0") == "1"


SHOW_SECONDS = 0.5
"""Training is shown this often at most: looking costs a reading of all meters."""
OUTWEIGHING = 10.0
"""Distillation that outweighs the labels so many times is warned of."""
FORECAST_EPOCHS = 2
"""The forecast that the record keeps is the one made after this many epochs."""


class RunLogger:
    """Passes training's progress on, keeps `epochs.jsonl` and the log, forecasts the whole, and watches the budget."""

    def __init__(
        self,
        folder: RunFolder,
        stage: PhaseTracker,
        *,
        config: Experiment,
        images: Mapping[str, int],
        macs: Mapping[int, float],
        carbon: CarbonAccounting,
        budget: Budget,
        earlier: Sequence[Window],
    ) -> None:
        """Keep where to write and who is told; `images` of each split, `macs` of each exit, `earlier` attempts."""
        self._folder, self._stage, self._recipe = folder, stage, config.train
        self._images, self._macs, self._carbon, self._budget = images, macs, carbon, budget
        self._cpus = busy_share(config.process)
        self._earlier = list(earlier)
        self._loss = config.loss
        self.warned: str | None = None
        self._shown = 0.0

    def trained(self, epoch: int, done: int, loss: float) -> None:
        """Show the rate over the epoch so far, and the energy of the run so far."""
        meter = self._stage.meter
        if meter.clock() - self._shown < SHOW_SECONDS:
            return
        self._shown = meter.clock()
        self._stage.observer.training(
            done=(epoch - 1) * self._images["train"] + done,
            rate=done / max(meter.clock() - self._stage.began, 1e-9),
            loss=loss,
            energy_wh=joules_to_kwh(meter.total.energy.mid) * 1e3,
        )

    def enough(self) -> bool:
        """Say whether the budget does not bear another epoch like the dearest so far."""
        why = self._budget.exceeded(self._used(), by_another=self._another_epoch()) if self._budget.limits else None
        if why is not None:
            LOGGER.info("%s", why)
            self._stage.observer.say(f"training ends here: {why}; its checkpoint is kept")
        return why is not None

    def ended(self, epoch: Epoch) -> None:
        """Note an epoch in `epochs.jsonl`; where a kill prevents its checkpoint, it is trained and noted again."""
        append_line(self._folder.epochs, asdict(epoch))

    def closed(self, epoch: Epoch) -> None:
        """Log an epoch and what is expected of the whole; it is a detail where it was not validated."""
        energy, time = self._predicted(self._windows())
        aps = "  ".join(f"exit {exit_} AP {100 * ap:.1f} %" for exit_, ap in epoch.ap.items())
        self._look_at(epoch)
        text = f"epoch {epoch.epoch}: loss {epoch.loss:.3g}  {aps}".rstrip()
        if epoch.epoch < self._recipe.epochs:
            spent = sum(window.seconds for window in training_windows(self._windows()))
            text += f"  training will take {_spread(energy)}, {lasting(max(0.0, time.known - spent))} left"
        LOGGER.info("%s", text)
        self._stage.observer.say(text, detail=not epoch.ap)

    def chose(self, what: str) -> None:
        """Say what was chosen by measuring."""
        LOGGER.info("arithmetic of training: %s", what)
        self._stage.observer.say(f"arithmetic of training: {what}")

    def forecast(self) -> Forecast | None:
        """Return what was expected of training after its first epochs, whichever attempt they were trained in.

        It is made from the windows up to then; None where those of the first epochs are lost.
        """
        windows = self._windows()
        made = max((epoch for epoch in whole_epochs(windows) if epoch <= FORECAST_EPOCHS), default=None)
        if made is None:
            return None
        by_then = max(at for at, window in enumerate(windows, 1) if window.parent is None and epoch_of(window) == made)
        return forecast(made, *self._predicted(windows[:by_then]), recipe=self._recipe)

    def _look_at(self, epoch: Epoch) -> None:
        """Warn, once, where distillation outweighs the labels by far."""
        text = outweighed([asdict(epoch)], self._loss)
        if text is None or self.warned:
            return
        self.warned = text
        LOGGER.warning("%s", text)
        self._stage.observer.say(f"warning: {text}")

    def _windows(self) -> list[Window]:
        return [*self._earlier, *self._stage.meter.windows]

    def _used(self) -> dict[str, float]:
        """Return what the run has used in all attempts, by the names of a budget's limits."""
        before, total = outermost(self._earlier), self._stage.meter.total
        now = self._carbon.grams(total.energy, self._stage.meter.began_at, total.seconds)
        return {
            "energy_kwh": joules_to_kwh((energy_of(before) + total.energy).mid),
            "co2eq_g": (self._carbon.grams_of(before) + now).known,
            "seconds": sum(window.seconds for window in before) + total.seconds,
        }

    def _another_epoch(self) -> dict[str, float]:
        """Return what an epoch like the dearest so far would add."""
        dearest = max(epoch_costs(self._windows()).values(), key=lambda each: each.seconds)
        return {
            "energy_kwh": joules_to_kwh(dearest.energy.mid),
            "co2eq_g": self._carbon.grams(dearest.energy, utc_now(), dearest.seconds).known,
            "seconds": dearest.seconds,
        }

    def _predicted(self, windows: Sequence[Window]) -> tuple[Quantity, Quantity]:
        """Return what all of training is expected to take after these windows, in joules and in seconds."""
        energy, time = (
            predict_training(
                windows,
                cost,
                recipe=self._recipe,
                macs=self._macs,
                validated_images=self._images["val"],
                cpus=self._cpus,
            )
            for cost in (joules_of, seconds_of)
        )
        return energy, time


def outweighed(epochs: Iterable[Mapping[str, Any]], loss: LossConfig) -> str | None:
    """Return in words, of the first of some epochs in which distillation outweighs the labels by far, by how much.

    Lines that are damaged are passed over; None where no epoch is like that.
    """
    for line in epochs:
        try:
            ratio = outweighing({name: float(value) for name, value in line["terms"].items()}, loss)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            continue
        if ratio >= OUTWEIGHING:
            return (
                f"in epoch {line.get('epoch')} distillation outweighs the labels {significant(ratio, 2)} times: exits "
                "learn little but each other; lower loss.kd_weight, or raise loss.temperature"
            )
    return None


def outweighing(terms: Mapping[str, float], loss: LossConfig) -> float:
    """Return how many times an epoch's weighted divergences are its weighted squared errors; 0 without either."""
    labels = {int(name.removeprefix("label ")): value for name, value in terms.items() if name.startswith("label ")}
    weights = {exit_: loss.teacher_weight if exit_ == max(labels) else loss.ds_weight for exit_ in labels}
    hard = sum(weights[exit_] * value for exit_, value in labels.items())
    soft = float(loss.kd_weight) * sum(value for name, value in terms.items() if "->" in name)
    return soft / hard if hard else 0.0


def _spread(energy: Quantity) -> str:
    """Return an energy in joules with its prediction interval, for people."""
    wh = energy * (joules_to_kwh(1.0) * 1e3)
    low, high = wh.type_a or (wh.known, wh.known)
    return f"{significant(wh.known, 2)} Wh ({repeated(ends(significant(low, 2), significant(high, 2)))})"
