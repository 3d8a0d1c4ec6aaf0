"""AP and AR in detected boxes are pycocotools' own on the annotation file as it stands: crowds, unlabelled, nobody."""

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from greenpose.data.boxes import load_boxes
from greenpose.data.splits import load_splits
from greenpose.training import ExitPredictions
from greenpose.training.evaluate import detections, oks
from tests.data.planted import PROFILE, document
from tests.data.test_boxes import box, folder

FIGURES = {"ap": 0, "ap50": 1, "ap75": 2, "ar": 5}
"""Where pycocotools' summary has them."""


def crowded(rng):
    """Ten images: subjects on nine, and among them crowds, unlabelled and further subjects; the last shows nobody."""
    content = document(10, first=7, prefix="c")
    content["annotations"].pop()
    for number in range(20):
        x, y, width, height = (float(side) for side in rng.integers((0, 0, 8, 8), (20, 15, 20, 15)))
        joints = (x, y) + rng.random((3, 2)) * (width, height)
        flags = rng.integers(0, 3, 3) * (number % 3 > 0)
        rows = np.column_stack([joints * (flags > 0)[:, None], flags])
        content["annotations"].append(
            {
                "id": 100 + number,
                "image_id": int(rng.integers(7, 16)),
                "category_id": 3,
                "bbox": [x, y, width, height],
                "area": width * height * 0.6,
                "iscrowd": int(number % 6 == 0),
                "num_keypoints": int((flags > 0).sum()),
                "keypoints": rows.ravel().tolist(),
            }
        )
    return content


def raw(content, results):
    """What pycocotools says of the file and the results."""
    with contextlib.redirect_stdout(io.StringIO()):
        wanted = COCO()
        wanted.dataset = content
        wanted.createIndex()
        evaluator = COCOeval(wanted, wanted.loadRes([one | {"category_id": 3} for one in results]), "keypoints")
        evaluator.params.kpt_oks_sigmas = np.array(PROFILE.sigmas)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return {name: evaluator.stats[place] for name, place in FIGURES.items()}


@pytest.mark.parametrize("seed", range(4))
def test_results_are_judged_as_pycocotools_judges_them_on_the_untouched_file(tmp_path, seed):
    rng = np.random.default_rng(seed)
    content = crowded(rng)
    seen = [content["annotations"][index] for index in rng.permutation(len(content["annotations"]))[:24]]
    boxes = [box(one["image_id"], bbox=one["bbox"], score=float(rng.random())) for one in seen]
    boxes += [box(16, score=0.9), box(8, bbox=[30.0, 20.0, 9.0, 9.0], score=0.95)]
    config = folder(tmp_path, boxes, test=json.loads(json.dumps(content)))
    samples = load_boxes(config, load_splits(config)["test"]).samples
    truth = [np.reshape(one["keypoints"], (3, 3))[:, :2] for one in seen] + [np.full((3, 2), 12.0)] * 2
    joints = np.array(truth) + rng.normal(0, 1.5, (len(boxes), 3, 2))
    found = ExitPredictions(joints=joints, peaks=rng.random((len(boxes), 3)), places=np.zeros_like(joints))
    ours = oks(samples, found)
    assert ours == pytest.approx(raw(content, detections(samples, found)), abs=1e-12)
    assert 0.05 < ours["ap"] < 0.95
