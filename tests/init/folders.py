"""Made-up folders of labels, in every layout that is read, with the joints that were put into them."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd

NAMES = ("nose", "left_ear", "right_ear", "tail")
EDGES = ((0, 1), (0, 2), (0, 3))
SIZE = (128, 64)
"""Width and height: six digits of a share, as sleap-io writes YOLO, are exact for even pixels."""


class Label(NamedTuple):
    """What was labelled in one image."""

    image: str
    joints: np.ndarray
    """x and y."""
    visibility: np.ndarray


def labels(count: int, *, prefix: str = "", films: int = 1, hidden: bool = False, whole: bool = False) -> list[Label]:
    """Subjects of an image each, the last joint of every third one not labelled, the first of every fifth `hidden`."""
    rng = np.random.default_rng(len(prefix) + count)
    found = []
    for number in range(count):
        center = rng.uniform((30, 22), (SIZE[0] - 30, SIZE[1] - 22))
        spread = np.array([[0, -14], [-12, -4], [11, -3], [6, 15]]) * rng.uniform(0.8, 1.2)
        joints = center + spread + rng.uniform(-2, 2, (4, 2))
        visibility = np.array([1 if hidden and number % 5 == 0 else 2, 2, 2, 0 if number % 3 == 0 else 2])
        film = f"film{number * films // count}/" if films > 1 else ""
        joints = 2 * np.round(joints / 2) if whole else joints
        found.append(Label(f"{prefix}{film}img{number:03d}.png", joints * (visibility > 0)[:, None], visibility))
    return found


def draw(folder: Path, found: list[Label]) -> None:
    """Write the images: dark noise with a bright disc at each joint."""
    for seed, label in enumerate(found):
        rng = np.random.default_rng([seed, len(label.image)])
        image = rng.integers(0, 60, (SIZE[1], SIZE[0]), dtype=np.uint8)
        for place, (point, flag) in enumerate(zip(label.joints, label.visibility, strict=True)):
            if flag:
                cv2.circle(image, tuple(map(round, point.tolist())), 3, 255 - 45 * place, -1)
        file = folder / label.image
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), image)


def coco_document(found: list[Label], *, names: tuple[str, ...] = NAMES, category: str = "mouse") -> Any:
    """A COCO document, file names as in the labels."""
    annotations = []
    for number, label in enumerate(found, start=1):
        points = label.joints[label.visibility > 0]
        low, high = points.min(0) - 6, points.max(0) + 6
        rows = np.column_stack([label.joints, label.visibility])
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": 1,
                "bbox": [*low.tolist(), *(high - low).tolist()],
                "area": float(np.prod(high - low)),
                "iscrowd": 0,
                "num_keypoints": int((label.visibility > 0).sum()),
                "keypoints": [v for x, y, flag in rows.tolist() for v in (x, y, int(flag))],
            }
        )
    kind: dict[str, Any] = {"id": 1, "name": category}
    if names:
        kind |= {"keypoints": list(names), "skeleton": [[a + 1, b + 1] for a, b in EDGES]}
    images = [
        {"id": number, "file_name": label.image, "width": SIZE[0], "height": SIZE[1]}
        for number, label in enumerate(found, start=1)
    ]
    return {"images": images, "annotations": annotations, "categories": [kind]}


SPLITS = {"train": 12, "val": 4, "test": 4}


def split_labels(**options: Any) -> dict[str, list[Label]]:
    return {split: labels(count, prefix=f"{split}_", **options) for split, count in SPLITS.items()}


def put(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))


def coco(root: Path, *, layout: str = "annotations", **options: Any) -> dict[str, list[Label]]:
    """COCO: `annotations`, `roboflow`, `official` (train2017 beside annotations), `flat`, `pooled` or `half`."""
    wanted = split_labels(**options)
    if layout == "pooled":
        everything = [label for found in wanted.values() for label in found]
        draw(root / "images", everything)
        put(root / "labels.json", coco_document(everything))
        return {"": everything}
    if layout == "half":
        del wanted["test"]
    for split, found in wanted.items():
        word = "valid" if split == "val" and layout == "roboflow" else split
        images, file = {
            "roboflow": (root / word, root / word / "_annotations.coco.json"),
            "official": (root / f"{word}2017", root / "annotations" / f"person_keypoints_{word}2017.json"),
            "flat": (root, root / f"{word}.json"),
        }.get(layout, (root / "images", root / "annotations" / f"keypoints_{word}.json"))
        draw(images, found)
        put(file, coco_document(found))
    return wanted


def yolo_line(label: Label, *, values: int = 3) -> str:
    """A line of YOLO-pose, with all digits."""
    points = label.joints[label.visibility > 0]
    low, high = points.min(0) - 6, points.max(0) + 6
    numbers = [*((low + high) / 2 / SIZE), *((high - low) / SIZE)]
    for point, flag in zip(label.joints / SIZE, label.visibility, strict=True):
        numbers += [*point.tolist(), *([int(flag)] if values == 3 else [])]
    return " ".join(["0", *(repr(float(n)) if not isinstance(n, int) else str(n) for n in numbers)])


def yolo(root: Path, *, layout: str = "split/images", values: int = 3, **options: Any) -> dict[str, list[Label]]:
    """YOLO-pose: `split/images` as Roboflow exports it, or `images/split` as Ultralytics has it."""
    wanted = split_labels(**options)
    lines = [f"kpt_shape: [4, {values}]", "flip_idx: [0, 2, 1, 3]", "names: [mouse]", "nc: 1"]
    for split, found in wanted.items():
        word = "valid" if split == "val" and layout == "split/images" else split
        images = root / word / "images" if layout == "split/images" else root / "images" / word
        texts = root / word / "labels" if layout == "split/images" else root / "labels" / word
        draw(images, found)
        for label in found:
            put(texts / label.image.replace(".png", ".txt"), yolo_line(label, values=values) + "\n")
        lines.append(f"{split}: {'../' + word + '/images' if layout == 'split/images' else 'images/' + word}")
    lines += [f"kpt_names: {{0: [{', '.join(NAMES)}]}}", "skeleton: [[0, 1], [0, 2], [0, 3]]"]
    put(root / "data.yaml", "\n".join(lines) + "\n")
    return wanted


def table(found: list[Label], *, places: list[Any], individuals: tuple[str, ...] = ()) -> pd.DataFrame:
    """DeepLabCut's own frame of labels, as its labelling tool writes it by `to_csv`."""
    heads = [("mice", name, xy) for name in NAMES for xy in "xy"]
    levels = ["scorer", "bodyparts", "coords"]
    rows = [np.where((label.visibility > 0)[:, None], label.joints, np.nan).ravel() for label in found]
    if individuals:
        heads = [("mice", one, name, xy) for one in individuals for name in NAMES for xy in "xy"]
        levels.insert(1, "individuals")
        rows = [np.concatenate([row + 3 * number for number in range(len(individuals))]) for row in rows]
    columns = pd.MultiIndex.from_tuples(heads, names=levels)
    index = pd.MultiIndex.from_tuples(places) if isinstance(places[0], tuple) else places
    return pd.DataFrame(np.array(rows), columns=columns, index=index)


def deeplabcut(root: Path, *, films: int = 4, flat: bool = False) -> dict[str, list[Label]]:
    """A DeepLabCut project: a table beside the images of each film; older ones have the path in one cell."""
    found = labels(20, films=films) if films > 1 else labels(20, prefix="film0/")
    draw(root / "labeled-data", found)
    by_film: dict[str, list[Label]] = {}
    for label in found:
        by_film.setdefault(label.image.partition("/")[0], []).append(label)
    for film, its in by_film.items():
        places = [("labeled-data", *label.image.split("/")) for label in its]
        frame = table(its, places=["/".join(place) for place in places] if flat else places)
        frame.to_csv(root / "labeled-data" / film / "CollectedData_mice.csv")
    names = "\n".join(f"- {name}" for name in NAMES)
    films_told = "\n".join(f"  /films/{film}.mp4: {{crop: '0, 128, 0, 64'}}" for film in by_film)
    pairs = "\n".join(f"- [{NAMES[a]}, {NAMES[b]}]" for a, b in EDGES)
    text = f"Task: mouse\nscorer: mice\nvideo_sets:\n{films_told}\nbodyparts:\n{names}\nskeleton:\n{pairs}\n"
    put(root / "config.yaml", text)
    return {"": found}


def lightning(root: Path) -> dict[str, list[Label]]:
    """A Lightning Pose folder: one table beside `labeled-data`."""
    found = labels(20, films=4)
    draw(root / "labeled-data", found)
    root.mkdir(exist_ok=True)
    table(found, places=[f"labeled-data/{label.image}" for label in found]).to_csv(root / "CollectedData.csv")
    return {"": found}


def sleap_labels(folder: Path, found: list[Label]) -> Any:
    """The labels as sleap-io has them, a film of images for each folder."""
    import sleap_io

    skeleton = sleap_io.Skeleton(nodes=list(NAMES), edges=[(NAMES[a], NAMES[b]) for a, b in EDGES])
    skeleton.add_symmetry("left_ear", "right_ear")
    films: dict[str, list[str]] = {}
    for label in found:
        films.setdefault(str(Path(label.image).parent), []).append(str(folder / label.image))
    videos = {film: sleap_io.Video.from_filename(files) for film, files in films.items()}
    frames = []
    for label in found:
        film = str(Path(label.image).parent)
        points = np.where((label.visibility > 0)[:, None], label.joints, np.nan)
        subject = sleap_io.Instance.from_numpy(points, skeleton=skeleton)
        number = films[film].index(str(folder / label.image))
        frames.append(sleap_io.LabeledFrame(video=videos[film], frame_idx=number, instances=[subject]))
    return sleap_io.Labels(labeled_frames=frames, videos=list(videos.values()), skeletons=[skeleton])


def sleap(root: Path, *, embedded: bool = False, films: int = 4) -> dict[str, list[Label]]:
    """A SLEAP project, with its images beside it or embedded in it."""
    import sleap_io

    found = labels(20, films=films)
    images = root / "frames" if not embedded else root.parent / f"{root.name}-frames"
    draw(images, found)
    root.mkdir(parents=True, exist_ok=True)
    file = root / ("labels.pkg.slp" if embedded else "labels.slp")
    its = sleap_labels(images, found)
    sleap_io.save_slp(its, str(file), embed="user" if embedded else False, verbose=False)
    return {"": found}


def label_studio(root: Path, *, through: str = "export") -> dict[str, list[Label]]:
    """Label Studio: as it exports JSON itself, or as `sleap-io` writes it."""
    found = labels(20)
    draw(root / "images", found)
    if through == "sleap-io":
        import sleap_io

        sleap_io.save_labelstudio(sleap_labels(root / "images", found), str(root / "labels.json"))
        return {"": found}
    tasks = []
    for number, label in enumerate(found):
        result = [
            {
                "id": f"k{number}-{place}",
                "type": "keypointlabels",
                "from_name": "kp",
                "to_name": "img",
                "original_width": SIZE[0],
                "original_height": SIZE[1],
                "value": {"x": x / SIZE[0] * 100, "y": y / SIZE[1] * 100, "width": 0.5, "keypointlabels": [name]},
            }
            for place, (name, (x, y), flag) in enumerate(
                zip(NAMES, label.joints.tolist(), label.visibility.tolist(), strict=True)
            )
            if flag
        ]
        image = f"/data/upload/1/{number:08x}-{label.image}"
        tasks.append({"id": number, "data": {"img": image}, "annotations": [{"id": number, "result": result}]})
    put(root / "project-1-at-2026.json", tasks)
    return {"": found}
