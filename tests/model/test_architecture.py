import jaxtyping
import pytest

from greenpose.config import ModelConfig
from greenpose.errors import GreenPoseError, ModelError
from greenpose.model import Architecture, HRNet, check_input_size
from greenpose.schema import parse


@pytest.fixture
def untyped():
    """Switch off the shape-checking of the tests: a user's program has none."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"exits": ()}, r"exits \[\] must be distinct and at least one"),
        ({"exits": (2, 5)}, r"exits\[1\]: 5 is not an exit; HRNet has exits 1, 2, 3, 4"),
        ({"exits": (0,)}, r"exits\[0\]: 0 is not an exit"),
        ({"exits": (True,)}, r"exits\[0\]: must be a number"),
        ({"exits": (2, 2)}, r"exits \[2, 2\] must be distinct"),
        ({"width": 0}, r"width: must be at least 1 \(got 0\)"),
        ({"width": 8.5}, r"width: must be a whole number \(got 8.5\)"),
        ({"num_joints": -1}, "num_joints: must be at least 1"),
        ({"stem_width": 0}, "stem_width: must be at least 1"),
        ({"blocks": False}, "blocks: must be a number"),
        ({"modules": (1, 4)}, r"modules: \[1, 4\] is not one count for each of stages 2, 3 and 4"),
        ({"modules": (1, 0, 3)}, r"modules\[1\]: must be at least 1"),
    ],
)
def test_numbers_that_no_network_has_are_refused_by_name_as_an_experiments_are(numbers, message):
    with pytest.raises(ModelError, match="^" + message) as caught:
        HRNet(**numbers)
    if "num_joints" not in numbers:
        assert list(caught.value.faults) == parse(ModelConfig, numbers, where="")[1]


def test_all_faults_are_reported_together():
    with pytest.raises(ModelError) as caught:
        HRNet(width=-8, exits=(9,), blocks=0)
    assert len(caught.value.faults) == 3


def test_each_coarser_branch_doubles_the_width():
    assert Architecture(num_joints=12, width=18).widths(4) == (18, 36, 72, 144)


@pytest.mark.parametrize("size", [(64, 48), (0, 32), (33, 64), (320, 240)])
def test_sides_that_are_no_multiple_of_32_are_refused(size):
    with pytest.raises(GreenPoseError, match="multiples of 32"):
        check_input_size(*size)


def test_the_refusal_names_the_nearest_sizes_only():
    with pytest.raises(GreenPoseError, match=r"images of 320 x 240 px .*; nearest: 320 x 224, 320 x 256$"):
        check_input_size(320, 240)
    with pytest.raises(GreenPoseError, match=r"nearest: 32 x 32$"):
        check_input_size(5, 31)


@pytest.mark.parametrize("size", [(32, 32), (192, 256), (96, 128)])
def test_multiples_of_32_are_accepted(size):
    check_input_size(*size)


def test_the_network_takes_exits_and_modules_as_any_sequence_in_any_order():
    net = HRNet(width=4, stem_width=4, exits=[2, 1], modules=[1, 1, 1], blocks=1)
    assert net.exits == (1, 2)
