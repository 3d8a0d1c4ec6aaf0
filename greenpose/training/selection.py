"""Which epoch's weights each exit is tested with, and when to stop waiting for a better one."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best epoch of one exit."""

    epoch: int
    """Number, from 1."""
    ap: float
    """Best AP on the validation split so far."""


@dataclass(slots=True, kw_only=True)
class Selection:
    """Follows validations; what it knows survives in a checkpoint."""

    rule: Literal["per-exit", "any-exit"] = "per-exit"
    """`any-exit`: as soon as one exit ties or beats its best, all exits take this epoch (the official code's rule)."""
    best: dict[int, Best] = field(default_factory=dict)
    """The epoch that each exit is to be tested with."""
    waiting: int = 0
    """Validations in a row in which no exit tied or beat its best."""

    def update(self, epoch: int, ap: Mapping[int, float]) -> list[int]:
        """Return the exits that take this epoch's weights: those that tie or beat their own best."""
        better = [exit_ for exit_, value in ap.items() if exit_ not in self.best or value >= self.best[exit_].ap]
        self.waiting = 0 if better else self.waiting + 1
        chosen = list(ap) if better and self.rule == "any-exit" else better
        for exit_ in chosen:
            before = self.best[exit_].ap if exit_ in self.best else ap[exit_]
            self.best[exit_] = Best(epoch=epoch, ap=max(before, ap[exit_]))
        return chosen

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"waiting": self.waiting, "best": {exit_: asdict(value) for exit_, value in self.best.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what a checkpoint kept."""
        self.waiting = int(state["waiting"])
        self.best = {
            int(exit_): Best(epoch=int(value["epoch"]), ap=float(value["ap"])) for exit_, value in state["best"].items()
        }
