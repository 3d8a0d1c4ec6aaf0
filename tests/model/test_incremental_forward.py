import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from greenpose.counting import census
from greenpose.errors import GreenPoseError
from greenpose.model import HRNet, IncrementalForward, fold_batchnorm
from tests.model.filling import fill
from tests.model.test_hrnet import SMALL, images


@pytest.fixture(scope="module")
def net():
    return fill(HRNet(**SMALL)).eval()


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_reading_exit_by_exit_gives_the_full_forward_bit_for_bit(net, folded, layout):
    net = (fold_batchnorm(net) if folded else net).to(memory_format=layout)
    x = images().to(memory_format=layout)
    with torch.inference_mode():
        forward, whole = IncrementalForward(net, x), net(x)
        for k in net.exits:
            assert torch.equal(forward.read(k), whole[k])


@given(
    exits=st.sets(st.integers(1, 4), min_size=1),
    width=st.integers(1, 5),
    stem_width=st.integers(1, 5),
    modules=st.tuples(*[st.integers(1, 2)] * 3),
)
@settings(max_examples=8, deadline=None)
def test_every_network_can_be_gone_through_by_any_of_its_exits(exits, width, stem_width, modules):
    net = fill(HRNet(width, 2, sorted(exits), stem_width=stem_width, modules=modules, blocks=1)).eval()
    x = images(batch=2, height=32, width=64)
    with torch.inference_mode():
        whole, forward = net(x), IncrementalForward(net, x)
        for k in sorted(exits):
            assert torch.equal(forward.read(k), whole[k])


@pytest.mark.parametrize("last", [1, 2, 3, 4])
def test_to_read_an_exit_takes_its_minimal_network_and_the_heads_that_were_read_before(net, last):
    x = images(batch=1)

    def go(read):
        def run(x):
            forward = IncrementalForward(net, x)
            for k in read:
                forward.read(k)

        return run

    minimal = census(net.truncate(last), x)
    assert census(Asked(go([last])), x) == minimal
    head = census(net.heads["1"], torch.zeros(1, SMALL["width"], x.shape[2] // 4, x.shape[3] // 4))
    assert census(Asked(go(range(1, last + 1))), x) == minimal + head * (last - 1)


class Asked(torch.nn.Module):
    """A function as a module, which a census takes."""

    def __init__(self, run):
        super().__init__()
        self.run = run

    def forward(self, x):
        return self.run(x)


def test_only_the_images_that_are_kept_go_on_and_say_what_they_would_have_said(net):
    x = images(batch=5)
    chosen = torch.tensor([3, 0])
    with torch.inference_mode():
        forward = IncrementalForward(net, x)
        forward.read(2)
        forward.keep(chosen)
        for k in (3, 4):
            maps = forward.read(k)
            assert len(maps) == 2
            torch.testing.assert_close(maps, net(x)[k][chosen], rtol=1e-4, atol=1e-6)


def test_keeping_images_computes_as_if_they_had_been_alone_from_the_start(net):
    x, chosen = images(batch=4), torch.tensor([1, 3])
    with torch.inference_mode():
        forward = IncrementalForward(net, x)
        forward.read(1)
        forward.keep(chosen)
        alone = IncrementalForward(net, x[chosen])
        torch.testing.assert_close(forward.read(4), alone.read(4), rtol=1e-4, atol=1e-6)


def test_the_layout_of_channels_last_survives_keeping(net):
    fast = net.to(memory_format=torch.channels_last)
    with torch.inference_mode():
        forward = IncrementalForward(fast, images(batch=3).to(memory_format=torch.channels_last))
        forward.keep(torch.tensor([0, 2]))
        assert forward.read(4).is_contiguous(memory_format=torch.channels_last)


def test_the_same_exit_can_be_read_twice_but_not_one_that_lies_behind_or_is_not_there(net):
    with torch.inference_mode():
        forward = IncrementalForward(net.truncate(3), images())
        assert torch.equal(forward.read(3), forward.read(3))
    with pytest.raises(GreenPoseError, match=r"exit 2 cannot be read: this network has exit 3, .* at stage 3"):
        forward.read(2)
    forward = IncrementalForward(net, images())
    forward.read(3)
    with pytest.raises(GreenPoseError, match="exit 2 cannot be read"):
        forward.read(2)


def test_images_of_an_odd_size_are_refused(net):
    with pytest.raises(GreenPoseError, match="multiples of 32"):
        IncrementalForward(net, images(height=48))
