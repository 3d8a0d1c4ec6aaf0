"""The epochs of a recipe: as far as which exit each trains, which are validated, which may be the last."""

from collections.abc import Collection, Mapping, Sequence

from greenpose.config.experiment import TrainConfig


def depth_schedule(recipe: TrainConfig, exits: Collection[int]) -> tuple[int, ...]:
    """Return as far as which exit each epoch trains, from the first one on; a part of all epochs is rounded."""
    ends = {exit_: round(part * recipe.epochs) for exit_, part in recipe.grow.items()}
    return tuple(
        min((exit_ for exit_, last in ends.items() if epoch <= last), default=max(exits))
        for epoch in range(1, recipe.epochs + 1)
    )


def parts_trained(trained: Sequence[int], exits: Collection[int]) -> dict[int, float]:
    """Return for each exit the part of all epochs that trained as far as it or further."""
    return {exit_: sum(depth >= exit_ for depth in trained) / len(trained) for exit_ in exits}


def whole_epochs_worth(trained: Sequence[int], macs: Mapping[int, float]) -> float:
    """Return how many epochs of the whole network cost as much; `macs` are those of each exit's own network."""
    return sum(macs[depth] for depth in trained) / max(macs.values())


def num_validations(recipe: TrainConfig, *, after: int = 0) -> int:
    """Return how many validations follow an epoch, if no early stop ends training."""
    return sum(
        number % recipe.validate_every == 0 or number == recipe.epochs for number in range(after + 1, recipe.epochs + 1)
    )


def earliest_end(recipe: TrainConfig) -> int | None:
    """Return the epoch with which early stopping may end training at the earliest; None where it cannot."""
    epoch = (1 + recipe.patience) * recipe.validate_every
    return epoch if epoch < recipe.epochs else None
