"""Made-up sets of poses to be scored."""

import numpy as np

SIGMAS = (0.05, 0.1, 0.1, 0.08)


def _flat(joints, last):
    return np.column_stack([joints, np.broadcast_to(last, len(joints))]).ravel().tolist()


def poses(count=12, *, per_image=1, seed=0, noise=8.0):
    """Return a ground truth of `count` images and results around it: some near, some off, all scores different."""
    rng = np.random.default_rng(seed)
    images = [{"id": 7 * n + 3, "width": 640, "height": 480} for n in range(count)]
    annotations, results = [], []
    for image in images:
        for _ in range(per_image):
            joints = 100 + 300 * rng.random((4, 2))
            visibility = rng.integers(0, 3, 4)
            visibility[0] = 2
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image["id"],
                    "category_id": 1,
                    "bbox": [100, 100, 300, 300],
                    "area": float(rng.uniform(5e3, 4e4)),
                    "keypoints": _flat(joints, visibility),
                }
            )
            found = joints + rng.normal(0, noise * rng.uniform(0.1, 3), (4, 2))
            score = float(rng.random())
            results.append({"image_id": image["id"], "category_id": 1, "keypoints": _flat(found, 1.0), "score": score})
    category = {"id": 1, "name": "stick", "keypoints": list("abcd")}
    return {"images": images, "annotations": annotations, "categories": [category]}, results


def repeated(ground_truth, results, counts):
    """Return the set with image n in it `counts[n]` times, copies as images of their own next to each other."""
    images, annotations, copies = [], [], []
    for image, times in zip(ground_truth["images"], counts, strict=True):
        for copy in range(times):
            new = {**image, "id": image["id"] * 100 + copy}
            images.append(new)
            annotations += [
                {**a, "image_id": new["id"], "id": len(annotations) + n + 1}
                for n, a in enumerate(a for a in ground_truth["annotations"] if a["image_id"] == image["id"])
            ]
            copies += [{**r, "image_id": new["id"]} for r in results if r["image_id"] == image["id"]]
    return {**ground_truth, "images": images, "annotations": annotations}, copies
