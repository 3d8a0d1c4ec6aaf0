"""What one training step computes."""

from collections.abc import Collection
from dataclasses import dataclass

from greenpose.counting.counters import conv_flops
from greenpose.counting.counts import INPUT_SIZE, blank_network, num_tiles, one_thread, smallest_image
from greenpose.model import Architecture, PoseNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFlops:
    """Floating-point operations of the convolutions in a training step, for one image; two per multiply-accumulate."""

    forward: int
    """From the image to every exit."""
    backward: int
    """From the exits with a loss to every parameter that learns from them."""

    @property
    def total(self) -> int:
        """Both together."""
        return self.forward + self.backward


def count_training_step(
    net: PoseNetwork | Architecture,
    input_size: tuple[int, int] = INPUT_SIZE,
    *,
    learning: Collection[int] | None = None,
) -> StepFlops:
    """Return the operations of a training step of the whole network by torch's counter.

    `learning` are the exits that a loss reaches, all by default. Losses and the optimizer are not counted.

    Raises:
        ModelError: an input side is no multiple of 32.
    """
    architecture = net if isinstance(net, Architecture) else net.architecture
    tiles = num_tiles(input_size)
    with one_thread():
        blank, image = blank_network(architecture), smallest_image()
        outputs = {}
        forward = conv_flops(lambda: outputs.update(blank(image)))
        loss = sum(outputs[number].sum() for number in learning or architecture.exits)
        backward = conv_flops(loss.backward)
    return StepFlops(forward=forward * tiles, backward=backward * tiles)
