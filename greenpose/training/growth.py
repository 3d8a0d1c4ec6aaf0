"""As far as which exit a network is trained when: shallow exits first, at their own price, deeper ones on top of them.

A step that ends at a shallow exit costs what its sub-network costs, and deeper stages that join later start on features
that are of use already. The paper trains the whole network from the first step on.

Source: the idea is that of progressive stacking, Gong et al. (2019), Efficient Training of BERT by Progressively
Stacking, PMLR 97; with exits nothing has to be copied.
"""

from collections.abc import Collection, Mapping, Sequence

from greenpose.config import TrainConfig


def depths(recipe: TrainConfig, exits: Collection[int]) -> tuple[int, ...]:
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
