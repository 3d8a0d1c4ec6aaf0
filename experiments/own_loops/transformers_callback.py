"""A callback for Transformers: every epoch and evaluation of a `Trainer` is a window of a run, which leaves a record.

    metered = GreenPose("my-model", out="runs/lab", country="ITA")
    with metered.run:
        Trainer(model=model, args=args, train_dataset=data, callbacks=[metered]).train()

Copy this file into your project. The `with` is yours: so an exception leaves a note, and exits can be given after
training.
"""

from typing import Any

import transformers

import greenpose


class GreenPose(transformers.TrainerCallback):
    """Meters a training of Transformers; `run` is to be begun and ended around it.

    Args:
        name: Name of the experiment.
        about: What else `greenpose.experiment` takes: `out`, `country`, `seed`, `settings`.
    """

    def __init__(self, name: str, **about: Any) -> None:
        self.run = greenpose.experiment(name, **about)
        self._epoch: Any = None

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Open the window of an epoch."""
        del args, control, others
        self._epoch = self.run.window("train", epoch=int(state.epoch or 0) + 1).start()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Close it; what is evaluated or saved between epochs is in the next one's, or in none."""
        del args, state, control, others
        if self._epoch is not None:
            self._epoch.stop()
            self._epoch = None

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **others: Any) -> None:
        """Keep the last losses with the record."""
        del args, control, others
        if logs and "train_loss" in logs:
            self.run.note(f"train_loss {logs['train_loss']:.4g} after {state.global_step} steps")
