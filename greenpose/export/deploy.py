"""Exported models: from a finished run's exit to files in each format, each run and judged before any is kept."""

import copy
import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from greenpose.artefact import Artefact, Card, CardFile, open_model
from greenpose.artefact.card import Validated
from greenpose.config import Experiment, OwnNetworkConfig
from greenpose.config.experiment import STRIDE
from greenpose.data import Samples
from greenpose.data.boxes import load_boxes
from greenpose.data.splits import load_splits, window_of_run
from greenpose.errors import ExportError, writing
from greenpose.export.card import make_card
from greenpose.export.folder import DECODED, carried, put, require_same_exit
from greenpose.export.formats import (
    Kind,
    decoded_onnx,
    decoded_openvino,
    decoder_model,
    onnx_model,
    openvino_model,
    to_openvino,
    to_pt2,
    to_safetensors,
)
from greenpose.export.quantise import (
    IMAGES,
    IN_FLOAT,
    calibrated_on,
    calibration_crops,
    costliest_layers,
    quantised_onnx,
    quantised_openvino,
)
from greenpose.export.verify import (
    PEAKS_NEAR,
    PEAKS_SAME,
    TOLERANCE,
    Examined,
    Examiner,
    accuracy_of,
    change_of,
    difference,
    peaks_kept,
    predictions,
    validated,
)
from greenpose.metering import software_versions
from greenpose.metering.machine import PACKAGES
from greenpose.model import ExitNetwork, InBfloat16, fold_batchnorm
from greenpose.record import Record
from greenpose.run.measure import trained_networks
from greenpose.run.setup import build_network, two_passes
from greenpose.store import RunFolder, read_record
from greenpose.training import ExitPredictions, predict

MAX_AP_DROP = 0.0059
"""Largest loss of AP that a file may have against the network in float32: what the paper's exit 3 loses to exit 4.

Source: Cacciatore et al. (2025), https://doi.org/10.1145/3757067, Table 1.
"""
WRITERS = ("onnx", "onnxscript", "onnxruntime", "openvino", "nncf")
"""Packages whose version can move an exported file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportWish:
    """What is to be exported, and what is still good enough."""

    kinds: Sequence[Kind]
    """Files to write."""
    folded: bool = False
    """Whether norms become part of the convolutions in torch's files; in ONNX and OpenVINO's they always do."""
    with_decoding: bool = False
    """Whether ONNX and OpenVINO files put out places and confidences instead of heatmaps."""
    calibration: int = IMAGES
    """Training crops that int8 takes its ranges from."""
    max_ap_drop: float = MAX_AP_DROP
    """Loss of AP, as a fraction, beyond which a file is refused."""


def export_exit(config: Experiment, folder: RunFolder, exit_: int, *, wish: ExportWish, output: Path) -> Card:
    """Return the card of one exit's network after writing its files, and the card, into a folder.

    Every file is run, held against the network and judged before the first one is put there. Validation patients decide
    which layers stay in float and whether a file will do; what it does to the test split is told as it is, and refused
    only where it shows a loss above what is wished. Files of the same exit that lie there already stay on the card.

    Raises:
        ExportError: a file says something else than the network, or loses more AP than is wished, or the folder is
            another exit's.
        GreenPoseError: if the weights or the data cannot be read, or files not be written.
    """
    record = read_record(folder.record)
    _require_exportable(config, wish)
    require_same_exit(output, record, exit_)
    trained = _plain_layout(trained_networks(build_network(config)[0], folder, [exit_])[exit_].cpu())
    error = _folding_error(trained, exit_, config) if wish.folded else None
    is_new = not output.exists()
    try:
        with writing(output):
            output.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=output, prefix=".") as place:
                work = _Work(config=config, exit=exit_, trained=trained, wish=wish, record=record, place=Path(place))
                files = [work.written(kind) for kind in wish.kinds]
                card = work.card([*carried(output, files, folded=wish.folded), *files], folding_error=error)
                put(card, files, Path(place), output)
    except BaseException:
        if is_new and output.is_dir() and not any(output.iterdir()):
            output.rmdir()
        raise
    return card


def _require_exportable(config: Experiment, wish: ExportWish) -> None:
    """Refuse what a card, or folding, could not say of a network of one's own, or of a test in two passes."""
    faults = two_passes(config)
    if config.data.stride != STRIDE:
        faults.append(
            f"data.stride: {config.data.stride}: an exported model's card knows heatmaps of a pixel for {STRIDE} of the"
            " image only; keep the run and use its weights, or put out heatmaps of that size"
        )
    if wish.with_decoding and config.data.decode != "quarter":
        faults.append(
            f"--with-decoding: the run is decoded by {config.data.decode}, and only quarter's decoding goes into a"
            " model; leave it out: run.py and greenpose decode heatmaps as the card says"
        )
    if wish.folded and isinstance(config.model, OwnNetworkConfig):
        faults.append(
            f"--fold-bn: which convolution a norm of {config.model.factory} follows is not known here; leave it out:"
            " the runtimes of ONNX and OpenVINO fold by themselves"
        )
    if faults:
        raise ExportError(faults)


def _folding_error(trained: ExitNetwork, exit_: int, config: Experiment) -> float:
    net = fold_batchnorm(trained)
    noise = _noise(config).numpy()
    error = difference(_runner(net), _runner(trained), noise)
    if not error <= TOLERANCE / 10:
        said = f"exit {exit_}: folding changes its output by {error:.1g} of the largest: export without it"
        raise ExportError([said])
    return error


@dataclass(frozen=True, kw_only=True)  # no slots: what is made once is kept in __dict__
class _Work:
    """The making of one exit's files, in a folder that goes with it."""

    config: Experiment
    exit: int
    trained: ExitNetwork
    wish: ExportWish
    record: Record
    place: Path

    kept: dict[Kind, list[str]] = field(default_factory=dict)
    """Layers that are in float, of each int8 file as it was last written."""

    def written(self, kind: Kind) -> CardFile:
        """Return the entry of a file after writing it into the folder and judging it."""
        file = self._made(kind) if kind.precision == "fp32" else self._decided(kind)
        file = self._judged(file)
        if self._is_shown_to_lose(file):
            raise ExportError([self._refusal(file)])
        return file

    def _decided(self, kind: Kind) -> CardFile:
        """Return a file whose loss on validation patients is small enough; of int8, with as few layers in float."""
        tried: dict[float, CardFile] = {}
        for share in IN_FLOAT if kind.precision == "int8" else IN_FLOAT[:1]:
            file = tried[share] = self._validated(self._made(kind, share))
            if self._will_do(file) and _keeps_peaks(file):
                return file
        fit = {share: _seen(file).peaks_same for share, file in tried.items() if self._will_do(file)}
        if not fit:
            raise ExportError([self._unfit(max(tried.values(), key=lambda file: _seen(file).ap_change))])
        return self._validated(self._made(kind, max(fit, key=fit.__getitem__)))

    def card(self, files: list[CardFile], *, folding_error: float | None) -> Card:
        """Return the folder's card."""
        return make_card(
            self.record,
            self.exit,
            samples=self._examiner.samples,
            window=window_of_run(self.config.data),
            files=files,
            folding_error=folding_error,
            software=software_versions((*PACKAGES, *WRITERS)),
        )

    def _will_do(self, file: CardFile) -> bool:
        return -_seen(file).ap_change <= self.wish.max_ap_drop

    def _is_shown_to_lose(self, file: CardFile) -> bool:
        """Return whether the test split shows a loss above what is wished: its whole interval, where it has one."""
        change = file.accuracy_change["ap"]
        highest = change.basis.type_a.high if change.basis.type_a else change.value or 0.0
        return not -highest <= self.wish.max_ap_drop

    def _refusal(self, file: CardFile) -> str:
        return self._too_much(file, file.accuracy_change["ap"].in_points(), "test split")

    def _unfit(self, file: CardFile) -> str:
        seen = _seen(file)
        return self._too_much(file, f"{100 * seen.ap_change:+.2f} points", f"{seen.images} validation images")

    def _too_much(self, file: CardFile, change: str, where: str) -> str:
        kept = file.calibration.kept_in_float if file.calibration else []
        tried = f", also with {', '.join(kept)} in float" if kept else ""
        return (
            f"{file.file}: AP is {change} off the network's in float32 on the {where}{tried};"
            f" {100 * self.wish.max_ap_drop:g} may be lost: --max-ap-drop allows more, --calibration takes more images"
        )

    @cached_property
    def net(self) -> ExitNetwork:
        """The network that files hold."""
        return fold_batchnorm(self.trained) if self.wish.folded else self.trained

    @cached_property
    def _splits(self) -> dict[str, Samples]:
        asked = {kind.precision for kind in self.wish.kinds}
        more = (["train"] if "int8" in asked else []) + (["val"] if asked != {"fp32"} else [])
        return load_splits(self.config.data, only=[*more, "test"])

    @cached_property
    def _examiner(self) -> Examiner:
        samples = self._splits["test"]
        boxes = load_boxes(self.config.data, samples)
        return Examiner(samples=samples, boxes=None if boxes is None else boxes.samples)

    @cached_property
    def _reference(self) -> Examined:
        return self._examined(self.trained)

    @cached_property
    def _validation_reference(self) -> ExitPredictions:
        return self._predicted(self.trained, self._splits["val"])

    def _examined(self, net: ExitNetwork) -> Examined:
        """Return what torch says with a network in float32, and how good that is."""
        boxes = None if self._examiner.boxes is None else self._predicted(net, self._examiner.boxes)
        return self._examiner.judged(self._predicted(net, self._examiner.samples), boxes)

    def _predicted(self, net: ExitNetwork, samples: Samples) -> ExitPredictions:
        return predict(net, samples, batch=self.config.train.batch)[self.exit]

    @cached_property
    def _calibration(self) -> tuple[np.ndarray, int]:
        return calibration_crops(self._splits["train"], self.wish.calibration)

    @cached_property
    def _without_norms(self) -> ExitNetwork:
        return fold_batchnorm(self.trained)

    @cached_property
    def _costliest(self) -> list[str]:
        return costliest_layers(self._without_norms, self._calibration[0])

    @cached_property
    def _onnx(self) -> bytes:
        """The network as an ONNX model, norms folded: runtimes do so when they load it, and quantisers want it."""
        return onnx_model(self._without_norms, _noise(self.config))

    def _made(self, kind: Kind, in_float: float = 0.0) -> CardFile:
        """Return the entry of a file after writing it, with a share of its layers, the costliest, in float."""
        self.kept[kind] = self._costliest[: math.ceil(in_float * len(self._costliest))] if in_float else []
        path = self.place / kind.name(self.exit)
        MAKERS[kind.format](self, kind, path)
        return self._entry(kind, path)

    def _validated(self, file: CardFile) -> CardFile:
        """Return the entry of a file with what it does to the validation patients."""
        samples, path = self._splits["val"], self.place / file.file
        if file.format == "safetensors":
            found = self._predicted(self._filled(path), samples)
        else:
            artefact = self._artefact(file)
            found = predictions(open_model(artefact), artefact, samples)
        return file.model_copy(update={"validation": validated(found, self._validation_reference, samples)})

    def _judged(self, file: CardFile) -> CardFile:
        """Return the entry of a file with what it does to the test split."""
        if file.format == "safetensors":
            judged = self._examined(self._filled(self.place / file.file))
            return self._with_accuracy(file, judged, "weights loaded into torch's network")
        artefact = self._artefact(file)
        model = open_model(artefact)
        if file.precision == "fp32":
            file = file.model_copy(update={"error": self._error(model, file)})
        file = file.model_copy(update={"arithmetic": f"{model.arithmetic}: {model.evidence}"})
        return self._with_accuracy(file, self._examiner.judge(model, artefact), f"run by {model.runtime}")

    def _artefact(self, file: CardFile) -> Artefact:
        return Artefact(folder=self.place, card=self.card([file], folding_error=None), file=file)

    def _error(self, model: Callable[[np.ndarray], np.ndarray], file: CardFile) -> float:
        reference = _runner(self.trained)
        if file.outputs == "keypoints":
            error = difference(lambda x: model(x)[..., 2], lambda x: reference(x).max((-1, -2)), self._examiner.crops())
        else:
            error = difference(model, reference, self._examiner.crops())
        if not error <= TOLERANCE:
            said = f"the {file.format} file differs from the network by {error:.1g} of its output"
            raise ExportError([f"{file.file}: {said}; at most {TOLERANCE:g} is rounding"])
        return error

    def _with_accuracy(self, file: CardFile, judged: Examined, how: str) -> CardFile:
        same, near = peaks_kept(judged.found, self._reference.found)
        found = {
            "accuracy": accuracy_of(judged, how),
            "accuracy_change": change_of(judged, self._reference, self._examiner),
            "peaks_same": same,
            "peaks_near": near,
        }
        return file.model_copy(update=found)

    def _entry(self, kind: Kind, path: Path) -> CardFile:
        weights = path.with_suffix(".bin") if kind.format == "openvino" else None
        parts = [path, *([weights] if weights else [])]
        digests = [hashlib.sha256(part.read_bytes()).hexdigest() for part in parts]
        is_int8, is_decoded = kind.precision == "int8", self.wish.with_decoding and kind.format in DECODED
        kept = self.kept.get(kind, [])
        return CardFile(
            file=path.name,
            format=kind.format,
            precision=kind.precision,
            runtime=kind.runtime,
            bytes=sum(part.stat().st_size for part in parts),
            sha256=digests[0],
            weights=weights.name if weights else None,
            weights_sha256=digests[1] if weights else None,
            outputs="keypoints" if is_decoded else "heatmaps",
            arithmetic="float32: torch's own network" if kind.format == "safetensors" else "",
            accuracy={},
            accuracy_change={},
            calibration=calibrated_on(kind.format, *self._calibration, kept) if is_int8 else None,
        )

    def _filled(self, path: Path) -> ExitNetwork:
        """Return a network with the tensors of a file, in float32."""
        net = fold_batchnorm(self.trained) if self.wish.folded else copy.deepcopy(self.trained)
        net.load_state_dict({name: tensor.to(net.state_dict()[name].dtype) for name, tensor in load_file(path).items()})
        return net

    def make_safetensors(self, kind: Kind, path: Path) -> None:
        """Write the weights."""
        to_safetensors(self.net, kind, path)

    def make_pt2(self, kind: Kind, path: Path) -> None:
        """Write a program of torch.export."""
        to_pt2(InBfloat16(self.net) if kind.precision == "bf16" else self.net, _noise(self.config), path)

    def make_onnx(self, kind: Kind, path: Path) -> None:
        """Write an ONNX model."""
        onnx = self._onnx
        if kind.precision == "int8":
            onnx = quantised_onnx(onnx, self._calibration[0], self.kept.get(kind, []), self.place)
        path.write_bytes(decoded_onnx(onnx, self._decoder) if self.wish.with_decoding else onnx)

    def make_openvino(self, kind: Kind, path: Path) -> None:
        """Write an OpenVINO model and its weights."""
        model = openvino_model(self._onnx, self.place)
        if kind.precision == "int8":
            model = quantised_openvino(model, self._calibration[0], self.kept.get(kind, []))
        to_openvino(
            decoded_openvino(model, self._decoder, self.place) if self.wish.with_decoding else model, kind, path
        )

    @cached_property
    def _decoder(self) -> bytes:
        with torch.inference_mode():
            heatmaps: Tensor = self.trained(_noise(self.config))
        return decoder_model(heatmaps.clone())


MAKERS: dict[str, Callable[[_Work, Kind, Path], None]] = {
    "safetensors": _Work.make_safetensors,
    "pt2": _Work.make_pt2,
    "onnx": _Work.make_onnx,
    "openvino": _Work.make_openvino,
}
"""How a file of each format is made."""


def _seen(file: CardFile) -> Validated:
    assert file.validation is not None, "only float32 is not validated"
    return file.validation


def _keeps_peaks(file: CardFile) -> bool:
    seen = _seen(file)
    return file.precision != "int8" or (seen.peaks_same >= PEAKS_SAME and seen.peaks_near >= PEAKS_NEAR)


def _runner(net: Any) -> Callable[[np.ndarray], np.ndarray]:
    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            heatmaps: np.ndarray = net(torch.from_numpy(images)).numpy()
        return heatmaps

    return run


def _plain_layout(net: ExitNetwork) -> ExitNetwork:
    """Return the network in the layout that every format knows; whoever loads it may choose another."""
    return net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload,no-any-return]  # torch's stubs


def _noise(config: Experiment) -> Tensor:
    """Return two noise images: a batch of one would be traced as such."""
    width, height = config.data.input_size
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))
