"""The layouts in which a folder of pose labels is known: what tells each, and which one a folder has."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from greenpose.config.yaml_files import YAML
from greenpose.data.findings import first_few
from greenpose.errors import DataError
from greenpose.schema import near

DEEPEST = 4
"""Levels of folders that are looked through."""
MADE_BY = "greenpose init"
"""What a copy that was made here says of itself; it is not taken for labels."""
IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
"""How the names of images end."""


class Layout(NamedTuple):
    """One way in which labels are kept."""

    title: str
    """What it is called by people."""
    told_by: str
    """What is looked for."""
    tells: Callable[[Path, Path], bool]
    """Whether a file, below the folder that was named, is one of its label files."""


def _content(file: Path) -> Any:
    """Return what a JSON file holds; None where it is none, which its reader tells."""
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def _is_coco(file: Path, root: Path) -> bool:
    del root
    if file.suffix != ".json":
        return False
    content = _content(file)
    named = "coco" in file.name or "keypoints" in file.name  # damaged ones are named, not passed over
    if not isinstance(content, dict):
        return content is None and named
    info = content.get("info")
    return {"images", "annotations"} <= content.keys() and (info or {}).get("made_by") != MADE_BY


def _is_label_studio(file: Path, root: Path) -> bool:
    del root
    if file.suffix != ".json":
        return False
    content = _content(file)
    first = content[0] if isinstance(content, list) and content else None
    return (
        isinstance(first, dict) and bool({"annotations", "completions"} & first.keys()) and "category_id" not in first
    )


def settings_in(file: Path) -> Mapping[str, Any]:
    """Return the keys of another tool's YAML; none where it is no YAML or no mapping."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _is_yolo(file: Path, root: Path) -> bool:
    if file.suffix not in YAML or file.parent != root:
        return False
    content = settings_in(file)
    named = file.name == "data.yaml" and not content  # damaged
    return named or ("names" in content and bool({"train", "val"} & content.keys()))


def _is_table(file: Path) -> bool:
    """Return whether a CSV begins as DeepLabCut's and Lightning Pose's do, and its rows are named by images."""
    try:
        with file.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
            rows = [row for row, _ in zip(csv.reader(lines), range(6), strict=False)]
    except (OSError, csv.Error):
        return False
    heads = [row[0] for row in rows if row]
    return heads[:1] == ["scorer"] and "coords" in heads and any(_names_image(row) for row in rows[3:])


def _names_image(row: list[str]) -> bool:
    return any(cell.lower().endswith(IMAGES) for cell in row[:3])


def _is_deeplabcut(file: Path, root: Path) -> bool:
    del root
    return file.suffix == ".csv" and file.parent.parent.name == "labeled-data" and _is_table(file)


def _is_lightning(file: Path, root: Path) -> bool:
    return (
        file.suffix == ".csv" and file.parent.parent.name != "labeled-data" and file.parent == root and _is_table(file)
    )


def _is_sleap(file: Path, root: Path) -> bool:
    del root
    return file.suffix == ".slp"


LAYOUTS: Mapping[str, Layout] = {
    "coco": Layout("COCO", "*.json with images and annotations, e.g. annotations/keypoints_train.json", _is_coco),
    "yolo": Layout("YOLO-pose", "data.yaml with names, train and val", _is_yolo),
    "deeplabcut": Layout("DeepLabCut", "labeled-data/*/CollectedData_*.csv", _is_deeplabcut),
    "lightning": Layout("Lightning Pose", "CollectedData.csv beside labeled-data/", _is_lightning),
    "sleap": Layout("SLEAP", "*.slp and *.pkg.slp", _is_sleap),
    "labelstudio": Layout(
        "Label Studio", "*.json exported as JSON: a list of tasks with annotations", _is_label_studio
    ),
}
"""Every layout that is read, by its name on the command line."""


def find_layout(root: Path, *, wanted: str | None = None) -> tuple[str, tuple[Path, ...]]:
    """Return the name of the layout that a folder, or a single file of labels, has, and its label files.

    Raises:
        DataError: there is no such folder, no layout is known in it, or several are and none is `wanted`.
    """
    if wanted is not None and wanted not in LAYOUTS:
        raise DataError([f"--layout {wanted}: is not known; {near(wanted, list(LAYOUTS))}"])
    if not root.exists():
        raise DataError([f"{root}: no such folder; give the one that holds the labels and images"])
    below = root if root.is_dir() else root.parent
    files = list(_files(root)) if root.is_dir() else [root]
    found = {
        name: tuple(file for file in files if layout.tells(file, below))
        for name, layout in LAYOUTS.items()
        if wanted in (None, name)
    }
    found = {name: its for name, its in found.items() if its}
    if len(found) == 1:
        return next(iter(found.items()))
    raise DataError([_several(root, found) if found else _none(root, files, wanted)])


def _files(root: Path, depth: int = DEEPEST) -> Iterator[Path]:
    """Yield the files below a folder, not those of hidden folders, level by level."""
    entries = sorted(entry for entry in root.iterdir() if not entry.name.startswith("."))
    yield from (entry for entry in entries if entry.is_file())
    for folder in entries if depth > 1 else ():
        if folder.is_dir():
            yield from _files(folder, depth - 1)


def _several(root: Path, found: Mapping[str, tuple[Path, ...]]) -> str:
    each = "; ".join(
        f"{LAYOUTS[name].title} ({first_few(file.relative_to(root) for file in files)}): --layout {name}"
        for name, files in found.items()
    )
    return f"{root}: holds labels in {len(found)} layouts, and which one is meant? {each}"


def _none(root: Path, files: list[Path], wanted: str | None) -> str:
    kinds = Counter(file.suffix or "no suffix" for file in files)
    there = ", ".join(f"{number} {suffix}" for suffix, number in kinds.most_common(5)) or "nothing"
    looked = [layout for name, layout in LAYOUTS.items() if wanted in (None, name)]
    sought = "; ".join(f"{layout.title}: {layout.told_by}" for layout in looked)
    levels = f"in it and down to {DEEPEST} levels below" if root.is_dir() else "in it"
    return f"{root}: no known layout of pose labels was found. Looked for, {levels}: {sought}. There: {there}"
