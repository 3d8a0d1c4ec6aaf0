"""What is proposed follows from boxes, memory and time, by rules that can be worked out by hand."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from greenpose.config import Experiment
from greenpose.init.proposal import EPOCHS, STATES, _chosen, propose_batch, propose_input, wanted_epochs
from greenpose.quantity import Quantity
from tests.data.planted import PROFILE, instance


def boxes(*sizes):
    return [replace(instance(), box=(0.0, 0.0, float(width), float(height))) for width, height in sizes]


@pytest.mark.parametrize(
    ("sizes", "wanted"),
    [
        ([(60, 120)] * 5, (96, 160)),  # 1.25 x 120 = 150, and half as wide: 80, between 64 and 96
        ([(120, 60)] * 5, (160, 96)),
        ([(40, 40)] * 5, (64, 64)),
        ([(900, 300)] * 5, (256, 96)),
        ([(900, 300), (300, 900)] * 5, (256, 256)),  # this way and that
        ([(150, 200)] * 9, (192, 256)),  # the paper's
    ],
)
def test_the_input_has_the_boxes_shape_and_loses_no_pixel_up_to_256(sizes, wanted):
    assert propose_input(boxes(*sizes))[0] == wanted


def experiment(**model) -> Experiment:
    data = {"source": "coco", "root": "x", "profile": PROFILE, "input_size": [64, 64]}
    return Experiment.model_validate({"name": "x", "data": data, "model": model, "carbon": {"country": "ITA"}})


SMALL = {"exits": [4], "width": 8, "stem_width": 8, "modules": [1, 1, 1], "blocks": 1}


def test_the_batch_is_the_largest_that_half_of_the_free_memory_holds():
    """Against what torch itself says that a step keeps at the very size, and four copies of the weights."""
    import torch

    from greenpose.counting import architecture_of
    from greenpose.model import HRNet

    net = HRNet(**architecture_of(experiment(**SMALL)).keywords).train()
    kept: dict[int, int] = {}
    alive = []

    def keep(tensor):
        alive.append(tensor)
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    own = {parameter.untyped_storage().data_ptr() for parameter in net.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        net(torch.zeros(8, 3, 64, 64))
    each = sum(size for place, size in kept.items() if place not in own) / 8
    states = STATES * 4 * sum(parameter.numel() for parameter in net.parameters())
    for batch in (32, 16, 8):
        for part, wanted in ((1.05, batch), (0.95, batch // 2)):
            free = int(2 * (states + batch * each) * part)
            assert propose_batch(experiment(**SMALL), free=free, images=10_000)[0] == wanted
    assert propose_batch(experiment(**SMALL), free=states, images=10_000) is None


def test_few_images_make_small_batches_and_many_epochs():
    assert propose_batch(experiment(**SMALL), free=10**12, images=40)[0] == 8
    assert propose_batch(experiment(**SMALL), free=10**12, images=3)[0] == 4
    assert (wanted_epochs(80, 16), wanted_epochs(320, 16), wanted_epochs(10_000, 32)) == (EPOCHS[1], 100, EPOCHS[0])


def run(epochs: int, hours: float):
    config = SimpleNamespace(train=SimpleNamespace(epochs=epochs))
    training = {"seconds": Quantity(value=hours * 3600, unit="s", kind="measured")}
    return SimpleNamespace(cell=SimpleNamespace(config=config), training=training)


def test_the_larger_network_is_proposed_where_it_gets_half_of_its_epochs():
    large, small = [run(60, 3.0), run(30, 1.5), run(15, 0.75)], [run(60, 0.4), run(30, 0.2), run(15, 0.1)]
    its = {"large": large, "small": small}
    assert _chosen(its, 3.1 * 3600) == ("large", large[0])
    assert _chosen(its, 1.6 * 3600) == ("large", large[1])
    assert _chosen(its, 1.0 * 3600) == ("small", small[0])
    assert _chosen(its, 0.15 * 3600) == ("small", small[2])
    assert _chosen(its, 0.01 * 3600) == ("small", small[2])
