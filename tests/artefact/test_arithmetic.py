"""What each runtime is found to compute in on this CPU."""

import subprocess
import sys
from importlib.metadata import version

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from greenpose.artefact import arithmetic
from greenpose.artefact.arithmetic import FLOAT, GREATEST, HEAVIEST, INT32, SUM, UINT8, arithmetic_findings
from greenpose.metering.machine import this_machine


def test_each_runtime_says_its_version_and_that_float32_is_float32():
    found = {finding.topic: finding.says for finding in arithmetic_findings()}
    assert found.keys() == {"openvino", "onnxruntime", "torch"}
    for runtime, says in found.items():
        assert says.startswith(version(runtime).partition("-")[0].partition("+")[0])
        assert "float32" in says


def test_a_runtime_that_is_not_installed_or_does_not_run_is_named_in_a_line(monkeypatch):
    def broken():
        raise ImportError("libtbb.so.12: cannot open shared object file")

    monkeypatch.setattr(arithmetic, "is_installed", lambda runtime: runtime != "torch")
    monkeypatch.setattr(arithmetic, "PROBES", {"openvino": broken, "torch": broken})
    there, absent = arithmetic_findings()
    assert (there.level, there.says) == ("warning", "does not run here: libtbb.so.12: cannot open shared object file")
    assert (absent.level, absent.says, absent.remedy) == ("note", "not installed", "pip install torch")


@pytest.mark.skipif("VNNI" not in this_machine().instruction_sets, reason="this CPU has no VNNI to do without")
@pytest.mark.skipif("AVX-512" not in this_machine().instruction_sets, reason="oneDNN's switch is for AVX-512 here")
def test_sums_of_int8_that_are_cut_off_at_16_bits_are_seen(monkeypatch):
    """oneDNN, by which OpenVINO computes, takes the CPU for one without VNNI."""
    assert arithmetic._openvino()[1]
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")
    exact = "from greenpose.artefact import arithmetic; print(arithmetic._openvino()[1])"
    assert subprocess.run([sys.executable, "-c", exact], check=True, capture_output=True, text=True).stdout == "False\n"


def test_sums_that_are_cut_off_are_warned_of_on_every_cpu():
    finding = arithmetic._finding("openvino", lambda: ("2026.4.1", False))
    assert (finding.level, "16 bits" in finding.says) == ("warning", True)


@pytest.mark.parametrize(
    ("kind", "takes", "gives", "weights"),
    [("Conv", FLOAT, FLOAT, np.float32), ("ConvInteger", UINT8, INT32, np.int8)],
)
def test_the_models_that_onnxruntime_is_asked_with_are_what_the_package_onnx_reads(kind, takes, gives, weights):
    model = onnx.load_from_string(arithmetic._onnx_model(kind, takes, gives, arithmetic._weights(weights, HEAVIEST)))
    onnx.checker.check_model(model, full_check=True)
    images = arithmetic._images(GREATEST).astype(np.float32 if takes == FLOAT else np.uint8)
    assert (ReferenceEvaluator(model).run(None, {"images": images})[0] == SUM).all()
