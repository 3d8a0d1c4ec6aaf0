"""From a folder of labels to the files of an experiment: read, divided, copied where it must be, proposed, written."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from greenpose.config.profile import Profile
from greenpose.data.findings import first_few
from greenpose.data.folders import Source, fill_coco, whole_folder
from greenpose.data.images import decode_stored, read_bytes
from greenpose.data.instances import Instance
from greenpose.errors import DataError, GreenPoseError
from greenpose.files import write_parts, write_text
from greenpose.init.coco_files import check_in_place, depth_window, read_coco
from greenpose.init.keypoints import propose_profile
from greenpose.init.labelled_set import Labelled, ThreeSplits, divided, num_labelled
from greenpose.init.layouts import LAYOUTS, MADE_BY, find_layout
from greenpose.init.proposal import Circumstances, Proposal, propose, propose_input
from greenpose.init.sleap_files import read_through_sleap_io
from greenpose.init.yaml_texts import experiment_text, profile_text
from greenpose.init.yolo_files import read_yolo

PROFILE, EXPERIMENT, COPY = "profile.yaml", "experiment.yaml", "coco"
"""What is written."""
DEPTH_IMAGES = 20
"""Raw depth images whose depths are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surveyed:
    """What a folder amounts to."""

    layout: str
    """Name of its layout."""
    root: Path
    """The folder, or the one of the file that was named."""
    labelled: Labelled
    """Its labels."""
    division: ThreeSplits
    """Its three splits."""
    profile: Profile
    """What is proposed of its keypoints."""
    reasons: Mapping[str, str]
    """Why, by key of the profile."""

    @property
    def in_place(self) -> bool:
        """Return whether it is read where it lies."""
        return self.labelled.in_place is not None and not self.division.made

    @property
    def origin(self) -> str:
        """Return in words what was read."""
        first, *others = (file.relative_to(self.root).as_posix() for file in self.labelled.files)
        more = f" and {len(others)} more" if others else ""
        return f"{self.root.resolve().name} ({LAYOUTS[self.layout].title}: {first}{more})"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Made:
    """What was written, and what it will take."""

    profile: Path
    """`profile.yaml`."""
    experiment: Path
    """`experiment.yaml`."""
    copy: Path | None
    """The COCO copy; None where the folder is read as it lies."""
    proposal: Proposal
    """The experiment."""


def look(folder: Path, *, name: str, layout: str | None, category: str | None, anew: bool) -> Surveyed:
    """Return what a folder, or a single file of labels, holds.

    Raises:
        DataError: with all of its faults.
    """
    found, files = find_layout(folder, wanted=layout)
    root = folder if folder.is_dir() else folder.parent
    if found == "coco":
        labelled = read_coco(root, files, category=category)
    elif found == "yolo":
        labelled = read_yolo(root, files, category=category)
    else:
        labelled = read_through_sleap_io(root, files, layout=found, category=category)
    profile, reasons = propose_profile(labelled, name=name)
    return Surveyed(
        layout=found,
        root=root,
        labelled=labelled,
        division=divided(labelled.splits, anew=anew),
        profile=profile,
        reasons=reasons,
    )


def target_faults(out: Path, *, force: bool, root: Path) -> list[str]:
    """Return in words what is in the way of writing into a folder."""
    if out.exists() and not out.is_dir():
        return [f"{out}: is a file; --out takes a folder"]
    there = next(each for each in (out.absolute(), *out.absolute().parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return [f"{out}: cannot be written to; give another folder with --out"]
    names = [name for name in (PROFILE, EXPERIMENT, COPY) if (out / name).exists()]
    if COPY in names and not _is_copy(out / COPY):
        why = "is the data itself" if (out / COPY).resolve() == root.resolve() else "was not made by greenpose init"
        return [f"{out / COPY}: {why}, and is not written over; give another folder with --out"]
    if names and not force:
        return [f"{out}: {first_few(names)} already there; --force replaces them, --out FOLDER writes elsewhere"]
    return []


def _is_copy(folder: Path) -> bool:
    """Return whether a folder is a copy that was made here, and holds nothing else."""
    files = sorted(folder.glob("annotations/*.json"))
    try:
        infos = [json.loads(file.read_bytes()).get("info", {}) for file in files]
    except (OSError, ValueError, AttributeError):
        return False
    own = {each.name for each in folder.iterdir()} <= {"annotations", "images"}
    return bool(infos) and own and all(info.get("made_by") == MADE_BY for info in infos)


def make(seen: Surveyed, out: Path, *, given: Circumstances, tell: Callable[[str], object]) -> Made:
    """Return what was written for a data set: a copy where one is needed, its profile, its experiment; all, or nothing.

    Raises:
        DataError: with the faults by which the data would not train.
    """
    with ExitStack() as stack:
        if seen.in_place:
            settings, copy = dict(seen.labelled.in_place or {}), None
            checked: Mapping[str, Any] = settings
        else:
            copy = out / COPY
            stack.enter_context(_set_aside(copy))
            tell("copying")
            checked = {"root": str(_copied(seen, stack.enter_context(whole_folder(copy)).path))}
            settings = {"root": str(copy.absolute())}
        tell("checking")
        faults, is_depth = check_in_place(checked, seen.profile)
        if faults:
            raise DataError([_by_its_name(fault, checked["root"], settings["root"]) for fault in faults])
        proposal = _proposal(seen, settings, root=checked["root"], is_depth=is_depth, given=given, tell=tell)
        _write(seen, out, proposal, country=given.country)
    return Made(profile=out / PROFILE, experiment=out / EXPERIMENT, copy=copy, proposal=proposal)


def _by_its_name(fault: str, root: str, name: str) -> str:
    several = (
        "; greenpose init --resplit divides them anew" if "several splits" in fault or "another split" in fault else ""
    )
    return fault.replace(root, name) + several


@contextmanager
def _set_aside(folder: Path) -> Iterator[None]:
    """Put an older copy aside for the block; it comes back if that fails."""
    if not folder.exists():
        yield
        return
    old = folder.with_name(f".{folder.name}.replaced")
    folder.rename(old)
    try:
        yield
    except BaseException:
        old.rename(folder)
        raise
    shutil.rmtree(old)


def _copied(seen: Surveyed, root: Path) -> Path:
    """Return the folder, once annotations and images are in it."""
    pixels = seen.labelled.pixels

    def source(instances: tuple[Instance, ...]) -> Source:
        return ((one, pixels(one)) for one in instances)

    info = {"made_by": MADE_BY} | ({"split_by": "frame"} if seen.division.shares_subjects else {})
    splits = {split: source(its) for split, its in seen.division.splits.items()}
    fill_coco(root, splits, profile=seen.profile, info=info)
    return root


def _proposal(
    seen: Surveyed,
    settings: Mapping[str, Any],
    *,
    root: str,
    is_depth: bool,
    given: Circumstances,
    tell: Callable[[str], object],
) -> Proposal:
    size, why_size = propose_input(seen.labelled.instances)
    data: dict[str, Any] = {**settings, "root": root, "input_size": size}
    reasons = {"data.input_size": why_size, "data": _about_data(seen)}
    if is_depth:
        files = [
            Path(place) for one in seen.division.splits["train"] if isinstance(place := seen.labelled.pixels(one), Path)
        ]
        data["depth_window_mm"] = depth_window(
            files[:: max(1, len(files) // DEPTH_IMAGES)], lambda file: decode_stored(read_bytes(file), file)
        )
        reasons["data.depth_window_mm"] = "GUESSED: between these mm lie 98 % of the depths of some training images."
    counts = {split: num_labelled(its) for split, its in seen.division.splits.items()}
    found = propose(data, seen.profile, name=seen.profile.name, counts=counts, given=given, tell=tell)
    placed = found.experiment.data.model_copy(update={"root": settings["root"]})
    experiment = found.experiment.model_copy(update={"data": placed})
    return replace(found, experiment=experiment, reasons=reasons | dict(found.reasons))


def _about_data(seen: Surveyed) -> str:
    counts = ", ".join(f"{len({one.image for one in its})} {split}" for split, its in seen.division.splits.items())
    return f"Images: {counts}; {seen.division.how}."


def _write(seen: Surveyed, out: Path, proposal: Proposal, *, country: str | None) -> None:
    """Write both files, or neither."""
    texts = {
        PROFILE: profile_text(seen.profile, seen.reasons, origin=seen.origin),
        EXPERIMENT: experiment_text(
            proposal.experiment, proposal.reasons, profile=PROFILE, country=country, origin=seen.origin
        ),
    }
    before = {name: (out / name).read_bytes() if (out / name).exists() else None for name in texts}
    try:
        for name, text in texts.items():
            write_text(out / name, text)
    except GreenPoseError:
        for name, content in before.items():
            if content is None:
                (out / name).unlink(missing_ok=True)
            else:
                write_parts(out / name, [content])
        raise
