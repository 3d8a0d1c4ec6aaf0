import pytest

from greenpose.run.setup import gpus_of


@pytest.mark.parametrize(("device", "gpus"), [("cpu", ()), ("cuda", (0,)), ("cuda:0", (0,)), ("cuda:3", (3,))])
def test_a_run_pays_for_the_gpu_it_is_on_and_on_the_cpu_for_none(device, gpus):
    assert gpus_of(device) == gpus
