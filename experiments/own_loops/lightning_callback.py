"""A callback for Lightning: every epoch and validation of a `Trainer` is a window of a run, which leaves a record.

    trainer = lightning.Trainer(max_epochs=3, callbacks=[GreenPose("my-net", out="runs/lab", country="ITA")])
    trainer.fit(module, batches)

Copy this file into your project. Exits are given at the end of training: `exits` is asked for them with the module.
"""

from collections.abc import Callable, Mapping
from typing import Any

import lightning

import greenpose


class GreenPose(lightning.Callback):
    """Meters a training of Lightning.

    Args:
        name: Name of the experiment.
        exits: Returns for each exit what `run.exit` takes, by its number; asked once, at the end of training.
        about: What else `greenpose.experiment` takes: `out`, `country`, `seed`, `settings`.
    """

    def __init__(
        self, name: str, *, exits: Callable[[Any], Mapping[int, Mapping[str, Any]]] | None = None, **about: Any
    ) -> None:
        super().__init__()
        self.run = greenpose.experiment(name, **about)
        self._exits = exits
        self._open: Any = None

    def _switch(self, name: str, trainer: Any) -> None:
        """End the window that is open, and open the next one unless its name is empty."""
        if self._open is not None:
            self._open.stop()
        self._open = self.run.window(name, epoch=trainer.current_epoch + 1).start() if name else None

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin the run."""
        del trainer, pl_module
        self.run.start()

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Open the window of an epoch."""
        del pl_module
        self._switch("train", trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Close it."""
        del pl_module
        self._switch("", trainer)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Open a window of validation, which interrupts that of the epoch; outside of a fit there is none."""
        del pl_module
        if self.run.under_way:
            self._switch("validate", trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Go on with the epoch; the check before training belongs to none."""
        del pl_module
        if self.run.under_way:
            self._switch("" if trainer.sanity_checking else "train", trainer)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Give the exits, and write the record."""
        del trainer
        for number, given in (self._exits(pl_module) if self._exits else {}).items():
            self.run.exit(number, **given)
        self.run.stop()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Leave a note on what ended it."""
        del trainer, pl_module
        if self.run.under_way:
            reason = "interrupted" if isinstance(exception, KeyboardInterrupt) else "failed"
            self.run.fail(reason=reason, message=f"{type(exception).__name__}: {exception}")
