"""The networks that the paper counted: larger than an exit needs, and the percentages that came of it."""

from dataclasses import dataclass
from functools import lru_cache

from torch import nn

from greenpose.config.experiment import STRIDE
from greenpose.counting.counters import FORMULAE, PAPER_FORMULA, Census, Formula, census
from greenpose.counting.counts import INPUT_SIZE, blank_network, num_params, num_tiles, one_thread, smallest_image
from greenpose.model import Architecture, HRNet, PoseNetwork

PRINTED_INPUT_SIZE = (128, 96)
"""Width and height at which the paper's code counts; it trains at 192 x 256."""
_PRINTED_UNIT = 1e9
_PRINTED_DIGITS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceCount:
    """The cost of one of the paper's networks, for one image."""

    params: int
    """Parameters held, used or not."""
    census: Census
    """What is computed, read or not."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the convolutions."""
        return self.by(FORMULAE["torch"])

    def by(self, formula: Formula) -> int:
        """Return the multiply-accumulates as one counter has them."""
        return formula.macs(self.census)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A smaller network's cost in percent of a larger one's."""

    params: float
    """Of the parameters."""
    macs: float
    """Of the convolutions' multiply-accumulates."""
    macs_by_paper: float
    """Of the multiply-accumulates as the paper's counter has them."""
    macs_printed: float | None
    """The same, of figures rounded to two decimals of 10^9, as that counter prints them at 128 x 96;
    None for a network so small that it prints 0."""


def reference_crop(
    net: PoseNetwork | Architecture, exit_number: int, input_size: tuple[int, int] = INPUT_SIZE
) -> ReferenceCount:
    """Return the cost of the paper's network for `exit_number` (2, 3 or 4; 4 is the whole multi-exit network).

    It holds a head for every exit so far and one more, and computes every resolution of its last stage. Cropped at
    2 or 3 it never calls the head of its own exit.

    Source: Cacciatore et al. (2025), https://doi.org/10.1145/3757067, official code, read and counted
    """
    architecture = net if isinstance(net, Architecture) else net.architecture
    smallest = _on_smallest_image(architecture, exit_number)
    return ReferenceCount(params=smallest.params, census=smallest.census * num_tiles(input_size))


@lru_cache(maxsize=8)
def _on_smallest_image(architecture: Architecture, exit_number: int) -> ReferenceCount:
    """Return the cost at the smallest image, of which every other size is a multiple."""
    with one_thread():
        multi = blank_network(architecture.at(range(1, exit_number + 1)))
        params, counted = num_params(multi), census(multi, smallest_image())
        spare = num_params(multi.heads["1"])
        if exit_number < len(architecture.modules) + 1:
            unread = _unread_rows(architecture, exit_number)
            params, counted = params + unread.params, counted + unread.census - _head(multi)
    return ReferenceCount(params=params + spare, census=counted)


def reference_share(net: PoseNetwork | Architecture) -> Share:
    """Return the paper's crop at exit 3 in percent of its whole multi-exit network."""
    crop, whole = (reference_crop(net, number) for number in (3, 4))
    printed = [_as_printed(reference_crop(net, number, PRINTED_INPUT_SIZE)) for number in (3, 4)]
    return Share(
        params=100 * crop.params / whole.params,
        macs=100 * crop.macs / whole.macs,
        macs_by_paper=100 * crop.by(PAPER_FORMULA) / whole.by(PAPER_FORMULA),
        macs_printed=100 * printed[0] / printed[1] if printed[1] else None,
    )


def _as_printed(counted: ReferenceCount) -> float:
    return round(counted.by(PAPER_FORMULA) / _PRINTED_UNIT, _PRINTED_DIGITS)


def _unread_rows(architecture: Architecture, stage: int) -> ReferenceCount:
    """Return the cost of the coarser outputs of a stage's last module, which nobody reads when the stage is the last.

    They are what the module of a deeper network has more.
    """
    pruned, whole = (_last_module(blank_network(architecture.at((k,))), stage) for k in (stage, stage + 1))
    features = [
        smallest_image().new_zeros(1, width, side := smallest_image().shape[-1] // STRIDE // 2**branch, side)
        for branch, width in enumerate(architecture.widths(stage))
    ]
    return ReferenceCount(
        params=num_params(whole) - num_params(pruned), census=census(whole, features) - census(pruned, features)
    )


def _last_module(net: HRNet, stage: int) -> nn.Module:
    return list(net.get_submodule(f"stage{stage}").children())[-1]


def _head(net: HRNet) -> Census:
    side = smallest_image().shape[-1] // STRIDE
    return census(net.heads["1"], smallest_image().new_zeros(1, net.architecture.width, side, side))
