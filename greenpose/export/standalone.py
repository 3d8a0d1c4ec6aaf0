"""Poses by the model beside this file: python run.py IMAGE_OR_FOLDER [x,y,width,height ...]; by default all of it."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

HERE = Path(__file__).resolve().parent


def open_model(card: Any, name: str | None = None, threads: int = 1) -> tuple[Any, Any]:
    """Return what the card says of a model file, by default of the fastest that runs here, and what runs it."""
    known = sorted(card["files"], key=lambda each: ["int8", "fp32", "bf16"].index(each["precision"]))
    runtimes = [each for each in ("openvino", "onnxruntime") if find_spec(each)]
    file = next((each for each in known if name in {None, each["file"]} and each["runtime"] in runtimes), None)
    if file is None:
        sys.exit(f"{HERE}: no model here can be run: pip install openvino onnxruntime")
    if file["format"] == "openvino":
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # it would call home
        import openvino

        hint = "bf16" if file["precision"] == "bf16" else "f32"
        settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": hint}
        compiled = openvino.Core().compile_model(HERE / file["file"], "CPU", settings)
        return file, lambda images: compiled([images])[0]
    import onnxruntime

    (options := onnxruntime.SessionOptions()).intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(HERE / file["file"], options, providers=["CPUExecutionProvider"])
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
    size, rule = np.array(card["input"]["shape"][:1:-1]), card["normalisation"]
    x, y = max(0.0, box[0]), max(0.0, box[1])  # the box is moved into the image, and its far corner is its last pixel
    width, height = min(image.shape[1] - 1 - x, box[2] - 1), min(image.shape[0] - 1 - y, box[3] - 1)
    zoom = size[0] / (max(width, height * card["crop"]["aspect"]) * card["crop"]["padding"])
    shift = size / 2 - zoom * np.array([x + width / 2, y + height / 2])
    crop = cv2.warpAffine(image, np.column_stack([zoom * np.eye(2), shift]), size.tolist(), flags=cv2.INTER_LINEAR)
    pixels = (crop * rule["scale"] - rule["mean"]) / rule["std"]
    output = model[1](pixels.transpose(2, 0, 1)[None].astype(np.float32))[0]
    found = output if model[0]["outputs"] == "keypoints" else np.array([decoded(heatmap, card) for heatmap in output])
    return np.column_stack([(found[:, :2] - shift) / zoom, found[:, 2]])


def decoded(heatmap: Any, card: Any) -> Any:
    """Return x, y in pixels of the crop, and the highest value: its place, a quarter towards the higher neighbour."""
    row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
    place, peak = np.array([column, row], float), heatmap[row, column]
    if 1 < column < heatmap.shape[1] - 1 and 1 < row < heatmap.shape[0] - 1:
        place[0] += 0.25 * np.sign(heatmap[row, column + 1] - heatmap[row, column - 1])
        place[1] += 0.25 * np.sign(heatmap[row + 1, column] - heatmap[row - 1, column])
    return *(place * card["decoding"]["stride"] * (peak > 0)), peak


if __name__ == "__main__":
    the_card = json.loads((HERE / "card.json").read_text(encoding="utf-8"))
    given = Path(sys.argv[1] if sys.argv[1:] else sys.exit(__doc__))
    opened, boxes = open_model(the_card), [[*map(float, text.split(","))] for text in sys.argv[2:]]
    for each in sorted(given.iterdir()) if given.is_dir() else [given]:
        picture = read_image(each, the_card["depth_window_mm"])
        for one in boxes or [[0.0, 0.0, *picture.shape[1::-1]]]:
            poses = keypoints(picture, one, the_card, opened).round(3).tolist()
            print(json.dumps({"image": str(each), "box": one, "keypoints": poses}))
