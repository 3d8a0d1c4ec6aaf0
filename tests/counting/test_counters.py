import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from greenpose.counting import FORMULAE, CountingError, census, run_counters
from greenpose.errors import GreenPoseError
from greenpose.model import HRNet

SMALL = {"num_joints": 3, "stem_width": 6, "modules": (1, 1, 1), "blocks": 1}


@given(
    width=st.integers(1, 12),
    exit_number=st.integers(1, 4),
    modules=st.tuples(*[st.integers(1, 2)] * 3),
    size=st.sampled_from([(32, 32), (64, 32), (32, 96)]),
)
@settings(max_examples=6, deadline=None)
def test_each_formula_gives_its_counters_own_figure(width, exit_number, modules, size):
    net = HRNet(**{**SMALL, "width": width, "modules": modules}, exits=(exit_number,)).eval()
    image = torch.zeros(1, 3, *size)
    counted = census(net, image)
    assert {name: formula.macs(counted) for name, formula in FORMULAE.items()} == run_counters(net, image)


def test_counters_leave_the_network_as_it_was(capsys, recwarn):
    net = HRNet(width=4, **SMALL).train()
    names = list(net.state_dict())
    run_counters(net, torch.zeros(1, 3, 32, 32))
    assert list(net.state_dict()) == names
    assert all(module.training for module in net.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert not any(hasattr(module, "total_ops") or hasattr(module, "__flops__") for module in net.modules())
    said = capsys.readouterr()
    assert said.out == said.err == ""
    assert not recwarn.list


def test_counters_put_torchs_functions_back():
    functions = (nn.functional.relu, nn.functional.interpolate, torch.add, torch.Tensor.add)
    run_counters(HRNet(width=4, **SMALL), torch.zeros(1, 3, 32, 32))
    assert functions == (nn.functional.relu, nn.functional.interpolate, torch.add, torch.Tensor.add)


class FailsOnCall(nn.Module):
    """Fails from its `n`-th call on, over all copies of it."""

    calls = 0

    def __init__(self, n):
        super().__init__()
        self.n = n
        self.conv = nn.Conv2d(3, 1, 1)

    def forward(self, x):
        type(self).calls += 1
        if type(self).calls >= self.n:
            raise ArithmeticError("no such luck")
        return self.conv(x)


@pytest.mark.parametrize(
    ("n", "error"), [(1, ArithmeticError), (2, ArithmeticError), (3, CountingError), (4, CountingError)]
)
def test_no_counters_failure_is_lost_or_printed(n, error, capsys):
    FailsOnCall.calls = 0
    with pytest.raises(error, match="no such luck"):
        run_counters(FailsOnCall(n), torch.zeros(1, 3, 8, 8))
    assert FailsOnCall.calls == n
    said = capsys.readouterr()
    assert said.out == said.err == ""


def test_a_failed_counter_is_a_users_error_with_the_counters_name():
    assert issubclass(CountingError, GreenPoseError)
    FailsOnCall.calls = 0
    with pytest.raises(CountingError, match=r"^ptflops \(aten\) could not count"):
        run_counters(FailsOnCall(4), torch.zeros(1, 3, 8, 8))
