"""Poses by the model beside this file: python run.py IMAGE_OR_FOLDER [x,y,width,height ...]; by default all of it."""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

HERE = Path(__file__).resolve().parent


def open_model(card: Any, name: str | None = None, threads: int = 1) -> tuple[Any, Any]:
    """Return what the card says of a model file, by default of the fastest that runs here, and what runs it."""
    known = sorted(card["files"], key=lambda x: "int8 fp32 bf16".find(x["precision"]) + (x["format"] == "onnx"))
    runtimes = [each for each in ("openvino", "onnxruntime") if importlib.util.find_spec(each)]
    fits = (each for each in known if name in {None, each["file"]} and each["runtime"] in runtimes)
    file = next(fits, None) or sys.exit(f"{HERE}: no model here can be run: pip install openvino onnxruntime")
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # it would call home
    runtime = importlib.import_module(file["runtime"])
    if file["format"] == "openvino":
        hint = "bf16" if file["precision"] == "bf16" else "f32"
        settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": hint}
        compiled = runtime.Core().compile_model(HERE / file["file"], "CPU", settings)
        return file, lambda images: compiled([images])[0]
    (options := runtime.SessionOptions()).intra_op_num_threads = threads
    options.add_session_config_entry("optimization.disable_specified_optimizers", "WeightBiasQuantization")
    session = runtime.InferenceSession(HERE / file["file"], options, providers=["CPUExecutionProvider"])
    return file, lambda images: session.run(None, {"images": images})[0]


def read_image(path: Path, window: Any) -> Any:
    """Return an image as RGB; 16-bit depth through a window of nearest and farthest mm, near dark, no return 0."""
    image: Any = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None or (image.dtype == np.uint16 and not window):
        sys.exit(f"{path}: is no image, or one of depth, for which this model has no window")
    if image.dtype == np.uint16:
        share = np.clip((image - window[0]) / (window[1] - window[0]), 0, 1)
        image = np.where(image, np.rint(1 + 254 * share), 0).astype(np.uint8)
    return np.stack([image] * 3, -1) if image.ndim == 2 else np.ascontiguousarray(image[..., 2::-1])


def keypoints(image: Any, box: Any, card: Any, model: tuple[Any, Any]) -> Any:
    """Return x, y in image pixels and confidence of each keypoint [keypoint, 3] in a box x, y, width, height."""
    size, rule, grown = np.array(card["input"]["shape"][:1:-1]), card["normalisation"], card["crop"]
    x, y = max(0.0, box[0]), max(0.0, box[1])  # the box is moved into the image, and its far corner is its last pixel
    width, height = min(image.shape[1] - 1 - x, box[2] - 1), min(image.shape[0] - 1 - y, box[3] - 1)
    reach = size - (card["decoding"]["method"] == "udp")  # which reckons from the first pixel's middle to the last's
    zoom = reach / grown["padding"] / (max(width, height * grown["aspect"]), max(height, width / grown["aspect"]))
    shift = reach / 2 - zoom * (x + width / 2, y + height / 2)
    crop = cv2.warpAffine(image, np.column_stack([np.diag(zoom), shift]), size.tolist(), flags=cv2.INTER_LINEAR)
    output = model[1](((crop * rule["scale"] - rule["mean"]) / rule["std"]).transpose(2, 0, 1)[None].astype("f4"))[0]
    found = output if model[0]["outputs"] == "keypoints" else np.array([decoded(each, card, reach) for each in output])
    return np.column_stack([(found[:, :2] - shift) / zoom, found[:, 2]]).round(3)


def decoded(heat: Any, card: Any, reach: Any) -> Any:
    """Return x, y in the crop, and the highest value: its pixel, moved by a quarter or to the maximum of a Gaussian."""
    (row, column), sigma = np.unravel_index(heat.argmax(), heat.shape), card["decoding"].get("sigma", 0)
    place, peak, wide = np.array([column, row], float), heat[row, column], 1 - 2 * int(-2.5 * sigma // 1)
    if (not sigma) < min(row, column) and column < heat.shape[1] - 1 and row < heat.shape[0] - 1:
        near = np.log(np.maximum(cv2.GaussianBlur(heat, (wide, wide), sigma, borderType=0), 1e-10)) if sigma else heat
        (a, b, c), (d, e, f), (g, h, i) = near[row - 1 : row + 2, column - 1 : column + 2]
        slope, across = np.array([f - d, h - b]) / 2, (i - g - c + a) / 4
        bend = np.array([[f - 2 * e + d, across], [across, h - 2 * e + b]])
        if not sigma or bend[0, 0] < 0 < np.linalg.det(bend):
            place += np.clip(-np.linalg.solve(bend, slope), -1, 1) if sigma else 0.25 * np.sign(slope)
    return *(place * reach / (np.array(heat.shape[::-1]) - (card["decoding"]["method"] == "udp")) * (peak > 0)), peak


if __name__ == "__main__":
    card, given = json.loads((HERE / "card.json").read_bytes()), Path(*sys.argv[1:2] or sys.exit(__doc__))
    opened, boxes = open_model(card), [[*map(float, text.split(","))] for text in sys.argv[2:]]
    for each in sorted(given.iterdir()) if given.is_dir() else [given]:
        picture = read_image(each, card["depth_window_mm"])
        for one in boxes or [[0.0, 0.0, *picture.shape[1::-1]]]:
            poses = keypoints(picture, one, card, opened).tolist()
            print(json.dumps({"image": str(each), "box": one, "keypoints": poses}))
