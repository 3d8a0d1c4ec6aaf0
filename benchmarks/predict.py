"""What `greenpose predict` takes beside its network: `python -m benchmarks.predict [MODEL]`, some minutes.

Promised: the wall time is at most 1.15 times that of decoding the images and of running the network on their crops,
each alone, the upper end of the median's interval too; memory is flat in the number of images. Blocks of the same
frames go through all three in random order, which blocks of others follow, several times over.
MODEL is an artefact; without one, exit 3 of the quick profile is trained for an epoch and exported.
"""

import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import cv2
import numpy as np

from benchmarks import conclude
from greenpose.data.crops import normalised
from greenpose.data.samples import stacked
from greenpose.formatting import with_prefix
from greenpose.intervals import order_interval
from greenpose.predict.boxes import Regions, find_regions
from greenpose.predict.estimator import Estimator, of_artefact
from greenpose.predict.inputs import Inputs, find_inputs
from greenpose.predict.outputs import Results
from greenpose.predict.search import search

FRAMES, BLOCK, BATCH, PASSES = 1000, 25, 8, 3
MOST = 1.15
"""Wall time over decoding and network."""
FEW, MANY, FLAT = 100, 10_000, 1.05
"""Images of the memory's two readings, and by how much the second may be above the first."""
MODEL = (
    ["run", "quick", "--only", "HRNet4-OKD-DS", "--set", "train.epochs=1", "--out", "runs", "--no-report"],
    ["export", "runs/HRNet4*", "--exit", "3", "--to", "onnx", "--fold-bn", "-o", "model"],
)
PEAK = """
import resource, sys
from greenpose.cli import main
try:
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def main() -> int:
    """Measure, print, and return 0 if the promise is kept."""
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        model = Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else _model(place)
        coco = _frames(place)
        return conclude([*_wall(of_artefact(model), coco, place), *_memory(model, coco, place)])


def _model(place: Path) -> Path:
    """Return an artefact of a network that has hardly learnt anything, which takes as long as any."""
    for words in MODEL:
        named = [str(path) for word in words for path in (place.glob(word) if "*" in word else [word])]
        subprocess.run([sys.executable, "-m", "greenpose", *named], cwd=place, check=True, capture_output=True)
    return place / "model"


def _frames(place: Path) -> Path:
    """Return the annotation file of synthetic frames of 640 x 480 pixels, 16-bit depth."""
    words = ["data", "synth", "frames", "--patients", "1", "1", str(FRAMES // 20), "--frames", "1", "1", "20"]
    subprocess.run([sys.executable, "-m", "greenpose", *words], cwd=place, check=True, capture_output=True)
    return place / "frames/annotations/person_keypoints_test.json"


def _wall(estimator: Estimator, coco: Path, place: Path) -> list[str]:
    inputs = find_inputs([str(coco)], estimator.profile)
    regions = find_regions(None, inputs, estimator.profile)
    ratios: list[float] = []
    totals = {"decode": 0.0, "network": 0.0, "whole": 0.0}
    for turn, start in product(range(PASSES), range(0, len(inputs.names), BLOCK)):
        some = replace(inputs, names=inputs.names[start : start + BLOCK], ids=inputs.ids[start : start + BLOCK])
        crops = _crops(some, estimator)
        jobs: dict[str, Callable[[], object]] = {
            "decode": partial(_decode, some, estimator),
            "network": partial(_network, estimator, crops),
            "whole": partial(_whole, some, estimator, regions, place / f"results{turn}-{start}"),
        }
        took = {name: _seconds(jobs[name]) for name in random.sample(sorted(jobs), len(jobs))}
        totals = {name: totals[name] + took[name] for name in totals}
        ratios.append(took["whole"] / (took["decode"] + took["network"]))
    found, (low, high) = statistics.median(ratios), order_interval(ratios)
    each = ", ".join(f"{name} {with_prefix(total / len(inputs.names) / PASSES, 's')}" for name, total in totals.items())
    print(f"{estimator.said}: an image takes {each}")
    print(f"wall time over decoding and network: {found:.2f} ({low:.2f} to {high:.2f}), promised at most {MOST}")
    return [f"wall time may be {high:.2f} times decoding and network"] if high > MOST else []


def _crops(inputs: Inputs, estimator: Estimator) -> np.ndarray:
    """Return each image in the size of a crop: what it shows does not change what it takes."""
    images = [view.image for view in inputs.views(estimator.window)]
    size = estimator.framing.input_size
    return stacked([cv2.resize(image, size) for image in images if image is not None])


def _decode(inputs: Inputs, estimator: Estimator) -> None:
    for _ in inputs.views(estimator.window):
        pass


def _network(estimator: Estimator, crops: np.ndarray) -> None:
    for start in range(0, len(crops), BATCH):
        estimator.network(normalised(crops[start : start + BATCH]))


def _whole(inputs: Inputs, estimator: Estimator, regions: Regions, folder: Path) -> None:
    folder.mkdir()
    results = Results(folder, inputs, estimator.profile)
    with results.written():
        search(inputs, estimator, regions, results, batch=BATCH)


def _seconds(job: Callable[[], object]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def _memory(model: Path, coco: Path, place: Path) -> list[str]:
    """Compare the peaks of two processes, of which one sees a hundred times as many images."""
    images = sorted((coco.parent.parent / "images/test").rglob("*.png"))
    peaks = {}
    for number in (FEW, MANY):
        folder = place / f"links{number}"
        folder.mkdir()
        for index in range(number):
            (folder / f"{index:06d}.png").symlink_to(images[index % len(images)])
        words = ["predict", str(model), str(folder), "-o", str(place / f"poses{number}"), "--quiet"]
        done = subprocess.run([sys.executable, "-c", PEAK, *words], capture_output=True, text=True, check=True)
        peaks[number] = int(done.stdout.split()[-1]) * 1024
    found = peaks[MANY] / peaks[FEW]
    shown = ", ".join(f"{number} images {with_prefix(peak, 'B')}" for number, peak in peaks.items())
    print(f"peak memory: {shown}: {found:.3f} times, at most {FLAT}")
    return [f"{MANY} images take {found:.2f} times the memory of {FEW}"] if found > FLAT else []


if __name__ == "__main__":
    sys.exit(main())
