"""Runtimes: a model file opened with its threads pinned, and what the runtime really computes in.

Nothing here is loaded before it is used: an ONNX or OpenVINO model needs no torch.
"""

import importlib
import json
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType, ModuleType
from typing import Any, cast

import numpy as np
from jaxtyping import Float32

from greenpose.artefact.folder import Artefact, is_installed
from greenpose.artefact.onnx_file import read_onnx_file
from greenpose.errors import ArtefactError, said
from greenpose.record.artefacts import Arithmetic

Outputs = Float32[np.ndarray, "batch keypoint *rest"]
Call = Callable[[Float32[np.ndarray, "batch 3 height width"]], Outputs]
SHOWN = MappingProxyType({"fp32": "float32", "f32": "float32", "f16": "float16", "i8": "int8", "u8": "int8"})
"""What runtimes call types of numbers, and what is said here."""
CONVOLUTIONS = ("Conv", "FusedConv", "ConvInteger", "QLinearConv")
"""What onnxruntime calls its convolutions; the last two compute in int8."""
IN_INT8 = ("ConvInteger", "QLinearConv")


@dataclass(frozen=True, slots=True)
class Model:
    """A model that runs: give it normalised crops, get heatmaps or keypoints, as its file's `outputs` say."""

    runtime: str
    """Package and version."""
    threads: int
    """Threads that it computes with."""
    _call: Call
    _asked: Callable[[], Counter[str]]

    def __call__(self, images: Float32[np.ndarray, "batch 3 height width"]) -> Outputs:
        """Return the heatmaps [batch, keypoint, height, width], or x, y and confidence [batch, keypoint, 3]."""
        return self._call(np.ascontiguousarray(images))

    @property
    def arithmetic(self) -> str:
        """Return what most convolutions are computed in: `float32`, `bf16` or `int8`; asked from the runtime."""
        return self._asked().most_common(1)[0][0]

    @property
    def evidence(self) -> str:
        """Return how that was found out: the convolutions of the graph that the runtime made, by arithmetic."""
        counts = ", ".join(f"{number} in {kind}" for kind, number in self._asked().most_common())
        return f"convolutions of the graph that {self.runtime} made: {counts}"


def open_model(artefact: Artefact, *, threads: int = 1) -> Model:
    """Return a model ready to run, on so many threads, none of which spins while it waits.

    torch's threads are those of the whole process.

    Raises:
        ArtefactError: its runtime is not installed, or refuses the file.
    """
    runtime = artefact.file.runtime
    if artefact.file.format not in OPENERS:
        raise ArtefactError([f"{artefact.path}: holds weights only, and no runtime runs it"])
    if not is_installed(runtime):
        raise ArtefactError([f"{artefact.path}: {runtime} is not installed; pip install {runtime}"])
    return OPENERS[artefact.file.format](artefact.path, artefact.file.precision, threads)


def load_openvino() -> ModuleType:
    """Return the package openvino without its telemetry, which would call home as soon as it is imported.

    Both openvino and nncf do without that package where it is absent, and so it is made to be for this process.
    """
    sys.modules.setdefault("openvino_telemetry", cast("ModuleType", None))
    return importlib.import_module("openvino")


def openvino_settings(precision: str, threads: int) -> dict[str, Any]:
    """Return the settings of OpenVINO's CPU plugin: what is not int8 is computed in `precision`, in one stream."""
    return {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "ENABLE_CPU_PINNING": False,
    }


def _open_openvino(path: Path, precision: Arithmetic, threads: int) -> Model:
    openvino = load_openvino()
    core = openvino.Core()
    try:
        compiled = core.compile_model(core.read_model(path), "CPU", openvino_settings(precision, threads))
    except RuntimeError as error:
        raise _refused(path, "openvino", error) from None

    def asked() -> Counter[str]:
        counts: Counter[str] = Counter()
        for (computed, _), number in openvino_convolutions(compiled).items():
            counts[computed] += number
        return counts

    request = compiled.create_infer_request()

    def call(images: np.ndarray) -> np.ndarray:
        request.infer([images], share_inputs=True)
        return np.array(request.get_output_tensor(0).data)

    return Model(f"openvino {openvino.__version__.partition('-')[0]}", threads, call, asked)


def openvino_convolutions(compiled: Any) -> Counter[tuple[str, str]]:
    """Return how many convolutions of the graph that OpenVINO made compute in what, by which of its implementations."""
    about = [operator.get_rt_info() for operator in compiled.get_runtime_model().get_ops()]
    kinds = [[_text(each[key]) for key in ("layerType", "runtimePrecision", "primitiveType")] for each in about]
    return Counter((SHOWN.get(precision, precision), by) for layer, precision, by in kinds if layer == "Convolution")


def _open_onnx(path: Path, _precision: Arithmetic, threads: int) -> Model:
    onnxruntime = importlib.import_module("onnxruntime")
    onnxruntime.disable_telemetry_events()
    content = path.read_bytes()
    options = onnx_options(onnxruntime, threads)
    errors = onnxruntime.capi.onnxruntime_pybind11_state
    refusals = (errors.Fail, errors.InvalidGraph, errors.InvalidProtobuf, errors.NotImplemented, errors.InvalidArgument)
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except refusals as error:
        raise _refused(path, "onnxruntime", error) from None
    name = session.get_inputs()[0].name

    def call(images: np.ndarray) -> np.ndarray:
        outputs: np.ndarray = session.run(None, {name: images})[0]
        return outputs

    return Model(f"onnxruntime {onnxruntime.__version__}", threads, call, lambda: _onnx_kernels(onnxruntime, content))


def onnx_options(onnxruntime: Any, threads: int) -> Any:
    """Return the settings of a session: threads pinned, none spinning, errors alone told, the graph's arithmetic kept.

    One of onnxruntime's optimisers would quantise weights between quantised layers that the file keeps in float.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    options.add_session_config_entry("optimization.disable_specified_optimizers", "WeightBiasQuantization")
    for pool in ("intra", "inter"):
        options.add_session_config_entry(f"session.{pool}_op.allow_spinning", "0")
    return options


def _onnx_kernels(onnxruntime: Any, content: bytes) -> Counter[str]:
    """Return the convolutions of the graph that onnxruntime makes of a file, by arithmetic; it has to write it."""
    with TemporaryDirectory(prefix="greenpose-") as folder:
        options = onnx_options(onnxruntime, 1)
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        operators = read_onnx_file(Path(options.optimized_model_filepath).read_bytes()).operators
    counts: Counter[str] = Counter()
    for (_, kind), number in operators.items():
        if kind in CONVOLUTIONS:
            counts["int8" if kind in IN_INT8 else "float32"] += number
    return counts


def _open_pt2(path: Path, _precision: Arithmetic, threads: int) -> Model:
    _refuse_pickles(path)
    import torch

    torch.set_num_threads(threads)
    try:
        program = torch.export.load(path)
    except (RuntimeError, ValueError, KeyError, AssertionError, zipfile.BadZipFile) as error:
        raise _refused(path, "torch", error) from None
    module: Any = program.module()

    def call(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            outputs: np.ndarray = module(torch.from_numpy(images)).float().numpy()
        return outputs

    def asked() -> Counter[str]:
        made = [node.meta["val"].dtype for node in program.graph.nodes if "conv2d" in str(node.target)]
        return Counter({torch.bfloat16: "bf16"}.get(dtype, str(dtype).removeprefix("torch.")) for dtype in made)

    return Model(f"torch {torch.__version__}", threads, call, asked)


def _refuse_pickles(path: Path) -> None:
    """Refuse a torch.export file of which torch would unpickle a part: that runs whatever is written in it.

    Raises:
        ArtefactError: naming the part.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            tables = [json.loads(archive.read(each)) for each in entries if each.filename.endswith("_config.json")]
            kept = [entry for table in tables for entry in table["config"].values()]
            pickled = [str(each["path_name"]) for each in kept if each["use_pickle"] or not _is_raw(each["path_name"])]
    except (OSError, zipfile.BadZipFile, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ArtefactError([f"{path}: is no file of torch.export: {said(error)}"]) from None
    pickled += [each.filename for each in entries if "/sample_inputs/" in each.filename and each.file_size]
    names = [each.filename for each in entries]
    if not any(name.endswith("/models/model.json") for name in names) or len(set(names)) < len(names):
        raise ArtefactError([f"{path}: is no file of torch.export: it holds no program, or a part twice"])
    if pickled:
        raise ArtefactError([f"{path}: {pickled[0]} would be unpickled, and nothing is; export the run again"])


def _is_raw(part: str) -> bool:
    """Return whether a part of a torch.export file is a tensor's plain numbers."""
    return part.startswith(("weight_", "tensor_"))


OPENERS: Mapping[str, Callable[[Path, Arithmetic, int], Model]] = MappingProxyType(
    {"openvino": _open_openvino, "onnx": _open_onnx, "pt2": _open_pt2}
)
"""How a file of each format, for some arithmetic, is opened on so many threads."""


def _text(value: Any) -> str:
    return str(value.astype(str) if hasattr(value, "astype") else value)


def _refused(path: Path, runtime: str, error: Exception) -> ArtefactError:
    return ArtefactError([f"{path}: {runtime} refuses it: {said(error):.200}"])
