"""A tiny run, and all that can be exported of it: made once, for whichever worker asks first."""

import pytest
import torch

from greenpose.export.formats import onnx_model
from greenpose.store import RunFolder
from tests.export.exporting import exported
from tests.run.measuring import experiment, finished_run, network


@pytest.fixture(scope="session", autouse=True)
def _one_graph():
    """Have a network's ONNX graph written once, which takes seconds: most files here are of one exit of one run."""
    known = {}

    def model(net, noise):
        key = noise.shape, *(tensor.numpy().tobytes() for tensor in net.state_dict().values())
        known[key] = known.get(key) or onnx_model(net, noise)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("greenpose.export.deploy.onnx_model", model)
        yield


def tiny(once):
    """A run whose costliest layer to round lies between two others, where onnxruntime would round it by itself."""

    def make(folder):
        with torch.random.fork_rng():
            torch.manual_seed(1)
            net = network(experiment())
        finished_run(folder / "tiny-00c0ffee", net=net)

    return RunFolder(once("run", make) / "tiny-00c0ffee")


@pytest.fixture(scope="session")
def run(once):
    return tiny(once)


@pytest.fixture(scope="session")
def whole(once):
    """Everything that can be exported, norms as trained."""
    formats = "openvino,onnx,pt2,safetensors"
    return once("whole", lambda folder: exported(tiny(once), formats, precision="fp32,bf16,int8", output=folder))


@pytest.fixture(scope="session")
def decoding(run, once):
    """Models that decode by themselves, without norms."""
    wish = {"precision": "fp32,int8", "with_decoding": True, "folded": True}
    return once("decoding", lambda folder: exported(run, "openvino,onnx", output=folder, **wish))
