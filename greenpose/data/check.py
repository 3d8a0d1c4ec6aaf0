"""A data folder's check: which file is which split, what is wrong in each, what two share, and its checksums."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from greenpose.data.coco import Split, inspect_split
from greenpose.data.findings import DataFinding, Level, Notebook, errors, first_few
from greenpose.data.images import Window, decode_stored, read_bytes
from greenpose.data.instances import Instance, Profile, load_profile, profile_names
from greenpose.errors import DataError
from greenpose.schema import nearest

FILE = "SHA256SUMS"


def sha256(data: bytes) -> str:
    """Return the SHA-256 of some bytes in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sums_text(sums: Mapping[str, str]) -> str:
    """Return the text of a file of sums, from each file's sum by its path below the folder."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))


def verify_sums(root: Path) -> list[DataFinding]:
    """Return a warning where files are no longer what `SHA256SUMS` says; nothing where the folder has none."""
    file = root / FILE
    if not file.is_file():
        return []
    notebook = Notebook(str(file))
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    told = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    changed = [name for name, digest in told.items() if not _is(root / name, digest)]
    notebook.count("warning", changed, "{n} files are not, or no longer, what they were when the folder was made")
    return notebook.findings


def _is(file: Path, digest: str) -> bool:
    return file.is_file() and sha256(file.read_bytes()) == digest


SPLITS = ("train", "val", "test")
"""The splits of a data set: to train on, to choose the best epoch by, to report."""
_WORDS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
"""What a split is called in names of files and folders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderCheck:
    """What a data folder amounts to."""

    splits: dict[str, Split]
    """Each split that is there, with its counts."""
    findings: tuple[DataFinding, ...]
    """What is wrong or odd, file by file, then between the splits."""

    @property
    def usable(self) -> bool:
        """Return whether nothing forbids use."""
        return not errors(self.findings)

    @property
    def trains(self) -> bool:
        """Return whether a run can begin with it: usable, and every split is there."""
        return self.usable and all(split in self.splits for split in SPLITS)

    def verdict(self, profile: str | None = None) -> str:
        """Return in one line whether it trains, with which profile and what has to be set besides.

        Without the name of a profile that it was checked by, a packaged one with the files' keypoints is named.
        """
        if not self.usable:
            number = len(errors(self.findings))
            given = f" with profile {profile}" if profile else ""
            return f"not usable{given}: {number} error{'s' * (number > 1)}"
        absent = [split for split in SPLITS if split not in self.splits]
        if absent:
            return f"does not train as it is: no annotation file for {' and '.join(absent)}"
        keypoints = {split.keypoints for split in self.splits.values()}
        known = (
            [profile] if profile else [name for name in profile_names() if {load_profile(name).keypoints} == keypoints]
        )
        if not known:
            return "sound, but no packaged profile has these keypoints: greenpose init FOLDER writes one"
        windowless = (
            any(split.depth for split in self.splits.values()) and len({*windows_of(self.splits).values()}) != 1
        )
        settings = " and data.depth_window_mm: [NEAR, FAR]" if windowless else ""
        warnings = sum(finding.level == "warning" for finding in self.findings)
        first = f"; read the {warnings} warning{'s' * (warnings > 1)} first" if warnings else ""
        return f"fine: trains with profile {known[0]}{settings}{first}"


def check_folder(
    root: Path,
    *,
    profile: Profile | None = None,
    images: str = "images",
    named: Mapping[Any, str] | None = None,
    decode: bool = False,
) -> FolderCheck:
    """Return what is in a folder with `annotations/*.json` and `images/`, and what is wrong with it.

    With `decode` every image is read whole, which takes some milliseconds each, and held against `SHA256SUMS` where the
    folder has one; else only headers and ends of files are looked at.

    Raises:
        DataError: there is no such folder or annotation file, or it is not clear which split one belongs to.
    """
    if not root.is_dir():
        raise DataError([f"{root}: {'is a file; give the folder' if root.exists() else 'no such folder'}{_near(root)}"])
    files = split_files(root, named=named, required=())
    if not files:
        text = "no annotation file found; their names must hold train, val or test, as person_keypoints_train.json"
        raise DataError([f"{root / 'annotations'}: {text}"])
    splits = {split: inspect_split(file, root / images, profile) for split, file in files.items()}
    between = [*_absent(root, splits), *_between(root, files, splits)]
    between += [replace(finding, level="warning") for finding in windows(root, splits)]
    findings = [finding for found in splits.values() for finding in found.findings]
    inside = [*_undecodable(root, splits), *verify_sums(root)] if decode else []
    return FolderCheck(splits=splits, findings=(*findings, *between, *inside))


def _near(root: Path) -> str:
    siblings = [each.name for each in root.parent.glob("*/")] if root.parent.is_dir() and not root.exists() else []
    hint = nearest(root.name, siblings)
    return f"; {hint}" if hint else ""


def _absent(root: Path, splits: Mapping[str, Split]) -> list[DataFinding]:
    """Return a warning where splits are missing: a run needs all of them."""
    absent = [split for split in SPLITS if split not in splits]
    text = f"there is no annotation file for {' and '.join(absent)}; a run needs {', '.join(SPLITS)}"
    return [DataFinding(level="warning", where=str(root), message=text)] if absent else []


def _undecodable(root: Path, splits: Mapping[str, Split]) -> list[DataFinding]:
    """Return as an error which images look whole from outside and are not."""
    notebook = Notebook(str(root))
    broken: list[str] = []
    for file in sorted({instance.image for found in splits.values() for instance in found.instances}):
        try:
            decode_stored(read_bytes(file), file, thorough=True)
        except DataError as error:
            broken += error.faults
    notebook.count("error", broken, "{n} images cannot be decoded", field="images")
    return notebook.findings


def _between(root: Path, files: Mapping[str, Path], splits: Mapping[str, Split]) -> list[DataFinding]:
    """Return what the splits have in common; validating and testing on one file is allowed, and said."""
    alone = {split: found.instances for split, found in splits.items()}
    by_frame = all(found.by_frame for found in splits.values())
    areas = _areas(root, splits)
    if "val" not in files or files["val"] != files.get("test"):
        return [*shared(str(root), alone, by_frame=by_frame), *areas]
    del alone["test"]
    text = "is both validation and test split: the accuracy is that of images that chose the epoch"
    both = DataFinding(level="warning", where=str(files["val"]), message=text)
    return [*shared(str(root), alone, by_frame=by_frame), both, *areas]


def windows_of(splits: Mapping[str, Split]) -> dict[str, Window]:
    """Return the depth window in mm that each split's file recommends, of those that do."""
    return {split: found.window for split, found in splits.items() if found.window}


def windows(root: Path, splits: Mapping[str, Split]) -> list[DataFinding]:
    """Return an error where files recommend different depth windows: a split would be seen through another's."""
    own = windows_of(splits)
    if len(set(own.values())) < 2:
        return []
    told = ", ".join(f"{split} {near:g} to {far:g}" for split, (near, far) in own.items())
    text = f"files recommend different depth windows in mm ({told}); one must hold for all: set data.depth_window_mm"
    return [DataFinding(level="error", where=str(root), message=text)]


def _areas(root: Path, splits: Mapping[str, Split]) -> list[DataFinding]:
    """Return a warning where OKS would judge by areas of two kinds."""
    boxes = {split: found.num_box_areas for split, found in splits.items()}
    others = {split: len(found.instances) - boxes[split] for split, found in splits.items()}
    if not any(boxes.values()) or not any(others.values()):
        return []
    counts = ", ".join(f"{split} {boxes[split]} and {others[split]}" for split in splits)
    text = f"areas are of two kinds, the box's and a silhouette's: {counts}; OKS is more lenient with the larger"
    return [DataFinding(level="warning", where=str(root), message=text)]


def split_files(
    root: Path, *, named: Mapping[Any, str] | None = None, required: Sequence[str] = SPLITS
) -> dict[str, Path]:
    """Return the annotation file of each split: the `named` ones below `root`, else those that the names tell.

    Under `annotations/` a file belongs to the one split that its name tells in a word of its own; else the files of the
    folder `train`, `valid` or `test` are taken, as Roboflow lays them out. Where there are several, those with
    "keypoints" in their names go first, since COCO keeps captions and boxes beside them.

    Raises:
        DataError: a required split has no file, or a split has several.
    """
    own = named or {}
    files: dict[str, Path] = {}
    faults: list[str] = []
    folder = root / "annotations"
    for split in SPLITS:
        found = [root / own[split]] if split in own else _candidates(folder, split)
        if len(found) == 1:
            files[split] = found[0]
        elif found:
            names = first_few(file.name for file in found)
            faults.append(f"{folder}: several files may be the {split} split: {names}; name the right one")
        elif split in required:
            faults.append(f"{folder}: no file for the {split} split; expected a name such as keypoints_{split}.json")
    if faults:
        raise DataError(faults)
    return files


def _candidates(folder: Path, split: str) -> list[Path]:
    found = [file for file in sorted(folder.glob("*.json")) if splits_in(file.stem) == {split}]
    found = found or [file for word in _WORDS[split] for file in sorted((folder.parent / word).glob("*.json"))]
    return [file for file in found if "keypoints" in file.stem.lower()] or found


def splits_in(name: str) -> set[str]:
    """Return the splits that a name tells in a word of its own: "interval" and "latest" tell none."""
    words = {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}
    return {split for split, known in _WORDS.items() if words & {*known}}


def shared(where: str, splits: Mapping[str, Sequence[Instance]], *, by_frame: bool = False) -> list[DataFinding]:
    """Return as errors which patients and which images are in more than one split, and a note where nobody knows.

    Such a split is not a test of anything new: on synthetic infants, new frames of patients that were trained on gave
    an AP of .99, new patients .54. Where the files say themselves that they were split by frame, it is a warning.
    """
    files = {name: {instance.image for instance in found} for name, found in splits.items()}
    patients = _in_several({name: {i.subject for i in found} - {""} for name, found in splits.items()})
    pictures = _in_several(files)
    copies = [] if pictures else _copies(files)
    level: Level = "warning" if by_frame else "error"
    remedy = "split by frame, it tells nothing of new ones" if by_frame else "a patient belongs to one split, whole"
    findings = [_shared(where, "patients are", patients, f"; {remedy}", level)] if patients else []
    findings += [_shared(where, "images are", pictures, "", "error")] if pictures else []
    if copies:
        text = f"{len(copies)} images have a byte-identical copy in another split: {first_few(copies)}"
        findings.append(DataFinding(level=level, where=where, message=text))
    if len(splits) > 1 and not all(instance.subject for found in splits.values() for instance in found):
        text = "not every image tells its patient, so that nobody can check that the splits have none in common"
        findings.append(DataFinding(level="warning", where=where, message=text))
    return findings


def _shared(where: str, what: str, several: Mapping[str, list[str]], remedy: str, level: Level) -> DataFinding:
    named = first_few(f"{Path(name).name} in {' and '.join(splits)}" for name, splits in sorted(several.items()))
    return DataFinding(level=level, where=where, message=f"{len(several)} {what} in several splits: {named}{remedy}")


def _in_several(members: Mapping[str, set[str]]) -> dict[str, list[str]]:
    places: defaultdict[str, list[str]] = defaultdict(list)
    for split, names in members.items():
        for name in names:
            places[name].append(split)
    return {name: splits for name, splits in places.items() if len(splits) > 1}


def _copies(files: Mapping[str, set[str]]) -> list[str]:
    """Return files of different splits that hold the same bytes; only files of one size are read."""
    alike: defaultdict[int, list[tuple[str, Path]]] = defaultdict(list)
    for split, names in files.items():
        for path in sorted(Path(name) for name in names):
            if path.is_file():  # generated frames are no files
                alike[path.stat().st_size].append((split, path))
    copies: defaultdict[str, list[tuple[str, Path]]] = defaultdict(list)
    for members in alike.values():
        if len({split for split, _ in members}) > 1:
            for split, path in members:
                copies[sha256(path.read_bytes())].append((split, path))
    return [
        " = ".join(f"{split} {path.name}" for split, path in members)
        for members in copies.values()
        if len({split for split, _ in members}) > 1
    ]
