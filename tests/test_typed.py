"""What README and documentation tell people to type does what they say, typed in order as it stands there."""

import itertools
import re
import shutil
import subprocess

import cv2
import numpy as np
import pytest
import yaml

from tests.cli.running import greenpose
from tests.data.raw import exports
from tests.init import folders
from tests.pages import PAGES, ROOT, blocks, blocks_of, shell, type_line, type_page

NOT_TYPED = {
    "make test": "what runs all of this",
    "source ": "the environment that runs this",
    "--device cuda": "a GPU, BabyPose, and its weights",
    "--grid quick --launcher slurm": "a cluster: `make test-slurm`",
    "--log ": "packages of other people: `make test-trackers`",
}
"""Pieces of lines that are not typed, each with what such a line wants that is not to be had here."""
FEW = "".join(f" --set data.synthetic.patients.{split}=3" for split in ("train", "val", "test"))
SHORTER = {
    "run": f"--set train.epochs=1 --set train.milestones=[] {FEW} --set measure.min_window_seconds=0.005"
    " --set measure.max_seconds=1 --set measure.max_blocks=1 --set measure.step_blocks=1",
    "measure": "--set measure.min_window_seconds=0.005 --max-seconds 1",
    "estimate": f"--seconds 1 {FEW}",
    "init": "--seconds 1",
}
"""What commands that begin so are given besides in a clone, so that they take less time."""
LONG = ("own_network.md", "profile.md", "tutorial.md")
"""Pages whose lines train networks: only `make test-slow` types them."""
LINES = {page: [line for block in blocks(page, "sh") for line in block.text.splitlines()] for page in PAGES}
SHELL_PAGES = [page for page, lines in LINES.items() if any(not any(p in line for p in NOT_TYPED) for line in lines)]
IN_A_CLONE = [page for page in SHELL_PAGES if page.name in {"README.md", "deploy.md", "gate.md"}]
IN_A_FOLDER = [page for page in SHELL_PAGES if page not in IN_A_CLONE]


def test_a_line_that_is_not_typed_is_there():
    said = "\n".join(itertools.chain(*LINES.values()))
    assert [piece for piece in NOT_TYPED if piece not in said] == []


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[pytest.mark.slow] * (page.name in LONG), id=page.name) for page in IN_A_FOLDER],
)
def test_a_page_works_as_it_is_typed_in_a_folder_of_ones_own(page, tmp_path):
    _give(page, tmp_path)
    type_page(page, tmp_path, {}, NOT_TYPED)
    assert _lacking(page, tmp_path) == []


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone of the repository as it was committed, with a remote of its own to push to."""
    top = tmp_path_factory.mktemp("typed")
    for words in (
        f"clone -q --bare {ROOT} origin.git",
        "-C origin.git branch -f main HEAD",
        "-C origin.git tag v1.0 main~2",
        "clone -q -b main origin.git clone",
        "-C clone config user.name a",
        "-C clone config user.email a@b",
    ):
        subprocess.run(["git", *words.split()], cwd=top, check=True)
    return top / "clone"


@pytest.fixture
def demonstrated(clone, tmp_path):
    """The clone once `make demo` has been typed."""
    folder = shutil.copytree(clone, tmp_path / "clone", symlinks=True)
    (block, *_) = blocks_of("README.md", "sh")
    assert type_line(block.text.splitlines()[0], folder, SHORTER)[0] == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", IN_A_CLONE, ids=lambda page: page.name)
def test_a_page_works_as_it_is_typed_in_a_clone(page, demonstrated):
    _give(page, demonstrated)
    said = type_page(page, demonstrated, SHORTER, NOT_TYPED)
    assert _lacking(page, demonstrated) == []
    if page.name == "deploy.md":
        (shown,) = [block for block in blocks_of("deploy.md", "text") if "images/s" in block.text]
        (printed,) = [text for line, text in said.items() if "predict bedside frames/" in line]
        assert _kinds(shown.text) == _kinds(printed)
    if page.name == "gate.md":
        _do_the_jobs_of_a_history(demonstrated)


def _lacking(page, folder):
    """Return what a page promises that did not come."""
    return [name for name in LEFT[page.name] if not any(path.stat().st_size > 500 for path in folder.glob(name))]


def _kinds(text: str) -> set[str]:
    """Return the lines that were printed, in any order of the two streams, without numbers and what hangs on them."""
    lines = re.sub(r"[\d.]*\d", "0", re.sub(r"-[0-9a-f]{8}\b|[≈†]", "", text.replace("\xa0", " "))).splitlines()
    return {line.strip() for line in lines if "other processes used" not in line}


def _do_the_jobs_of_a_history(folder):
    """Do what the page's jobs on GitHub and on GitLab do, but for checking out, installing and publishing."""
    github, gitlab = (yaml.safe_load(one.text) for one in blocks_of("gate.md", "yaml") if "--history" in one.text)
    jobs = [
        (step["run"], step.get("working-directory", "")) for step in github["jobs"]["history"]["steps"] if "run" in step
    ]
    jobs = [job for job in jobs if " pip " not in job[0]] + [("\n".join(gitlab["pages"]["script"]), "")]
    settings = "set -e; export GITHUB_SHA=1a2b3c4 CANDIDATE=experiments/quick.yaml"
    assert shell("git worktree add -q history footprint-history", folder)[0] == 0
    assert [said for one, where in jobs for code, said in [shell(f"{settings}\n{one}", folder / where)] if code] == []
    assert len((folder / "history/quick.jsonl").read_text().splitlines()) > 20
    for page in ("site/index.html", "public/index.html"):
        assert "<svg" in (folder / page).read_text()


def _give(page, folder):
    """Put into a folder what a page's lines name and do not make."""
    text = "\n".join(LINES[page])
    for name, put in THEIRS.items():
        if re.search(rf"(?<![\w/-]){re.escape(name)}\b", text) and f"synth {name}" not in text:
            put(folder / name)


def _open_field(folder):
    """Make a folder of labels with the joints of the open field."""
    names = {"nose": "snout", "left_ear": "leftear", "right_ear": "rightear", '"tail"': '"tailbase"'}
    folders.coco(folder)
    for path in (folder / "annotations").iterdir():
        path.write_text(re.sub("|".join(names), lambda name: names[name[0]], path.read_text()))


def _frames(folder):
    """Make 8 frames of depth."""
    greenpose("data", "synth", folder, "--patients", 2, 1, 1, "--frames", 2, 2, 2, cwd=folder.parent)


def _frame(file):
    """Write one frame of depth."""
    cv2.imwrite(str(file), np.full((480, 640), 900, np.uint16))


def _film(file):
    """Write a film in which a disc moves."""
    film = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 10, (320, 240))
    for number in range(6):
        film.write(cv2.circle(np.zeros((240, 320, 3), np.uint8), (100 + 20 * number, 120), 40, (200, 200, 200), -1))
    film.release()


THEIRS = {
    "FOLDER": _open_field,
    "LABELS": folders.yolo,
    "RAW": exports.write_tree,
    "mice": folders.coco,
    "train.py": lambda file: file.write_text("print(sum(range(10**6)))\n"),
    "RUNS": lambda folder: shutil.copytree(ROOT / "reports/quick", folder),
    "frames": _frames,
    "frame.png": _frame,
    "night.mp4": _film,
}
"""What people who read the pages have, and how it is made."""
LEFT = {
    "scale.md": ("all.csv",),
    "slurm.md": ("runs/quick/.slurm/block-1.sh",),
    "README.md": ("both.html", "deploy/card.json", "BABYPOSE/SHA256SUMS", "poses/overlays/*", "runs/train/record.json"),
    "deploy.md": ("bedside/*.pt2", "poses/overlays/*", "night/night.mp4", "runs/quick/*/artefacts.json"),
    "gate.md": ("greenpose-baseline.json",),
    "meter.md": ("runs/train/record.json",),
    "own_network.md": ("reports/own.html", "runs/own/own-*/exported/*.pt2"),
    "profile.md": ("reports/*.html", "runs/*/*/record.json"),
    "tutorial.md": ("reports/mine.html", "poses/overlays/*"),
}
"""What is there once a page has been typed."""
