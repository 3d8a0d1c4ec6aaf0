"""`greenpose predict` as a user runs it: without torch, ended early, on a full disk; what it says and leaves."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.cli.running import COMMAND, begun, greenpose
from tests.predict.planted import artefact, coco, lights, results, some_joints, write

BARRED = ("torch", "torchvision", "pandas", "matplotlib", "codecarbon", "pycocotools", "scipy", "thop", "ptflops")
WITHOUT = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BARRED!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
from greenpose.cli import main
sys.argv[0] = "greenpose"
main()
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return artefact(tmp_path_factory.mktemp("model") / "exported")


def without_torch(*words, cwd):
    """Run a command in an interpreter that has nothing but the light packages."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"GREENPOSE_CACHE": str(cwd / "cache")},
    )


def test_an_artefact_needs_no_torch_for_pictures_films_and_a_bill(model, tmp_path):
    file = coco(tmp_path / "data", some_joints(3))
    done = without_torch("predict", model, file, "--overlay", "--video", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    names = ["bill.json", "images.mp4", "overlays", "poses.csv", "poses.json"]
    assert [name.rpartition("/")[2] for name in told["files"]] == names
    assert sorted(path.name for path in (tmp_path / "poses").iterdir()) == names
    assert (told["images"], told["poses"], told["interrupted"], told["unreadable"]) == (3, 3, False, [])
    assert told["bill"] == json.loads((tmp_path / "poses/bill.json").read_text())
    assert "float32 by onnxruntime" in done.stderr


def test_the_bill_says_how_each_number_was_obtained_and_what_it_is_over(model, tmp_path):
    file = coco(tmp_path / "data", some_joints(3))
    bill = greenpose("predict", model, file, "--json", "--country", "ITA", cwd=tmp_path).json["bill"]
    for name in ("energy_j_per_1000_images", "co2eq_g_per_1000_images"):
        basis = bill["basis"][name]
        assert basis["kind"] in ("measured", "estimated", "modelled")
        assert basis["type_b"]["low"] < bill[name] < basis["type_b"]["high"]
        assert "over 3 images x 1000" in basis["method"]
    assert bill["carbon"]["country"] == "ITA"
    kwh = bill["energy_j_per_1000_images"] / 3.6e6
    assert bill["co2eq_g_per_1000_images"] == pytest.approx(kwh * bill["carbon"]["intensity_g_per_kwh"])
    assert bill["energy_j"] > bill["energy_j_per_1000_images"] * 3 / 1000
    assert bill["model"]["runtime"].startswith("onnxruntime")
    assert bill["model"]["arithmetic"] == "float32"


def test_without_a_country_there_are_joules_and_the_reason_why_no_grams(model, tmp_path):
    write(tmp_path / "a.png", lights(some_joints(1)))
    done = greenpose("predict", model, "a.png", cwd=tmp_path)
    assert done.code == 0
    assert "1\xa0pose in 1\xa0image" in done.out
    assert "J per 1000 images (" in done.out
    assert "gCO2eq per 1000 images: no electricity grid was named; --country ITA, say, gives grams" in done.out


def test_unreadable_files_are_named_at_the_end_with_a_code_of_its_own(model, tmp_path):
    write(tmp_path / "frames/a.png", lights(some_joints(1)))
    (tmp_path / "frames/b.png").write_text("none")
    done = greenpose("predict", model, "frames", "--quiet", cwd=tmp_path)
    assert done.code == 2
    assert done.err == "frames/b.png: cannot be decoded; it is broken or no image\n"
    assert [pose["file_name"] for pose in results(tmp_path / "poses")] == ["frames/a.png"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--policy", "p.json"],
            "--policy: {model} is an artefact: an artefact is one exit, run on the CPU; name the run",
        ),
        (["--exit", "3"], "--exit 3: {model} is exit 1; leave --exit out, or export exit 3"),
        (["--boxes", "none.json"], "none.json: cannot be read: No such file or directory"),
        (["--country", "XXX"], "country 'XXX' is not a three-letter ISO code"),
    ],
)
def test_what_cannot_be_done_is_told_and_nothing_is_left(model, tmp_path, words, said):
    write(tmp_path / "a.png", lights(some_joints(1)))
    done = greenpose("predict", model, "a.png", *words, cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert said.format(model=model) in done.err
    assert not (tmp_path / "poses").exists()


def test_what_is_no_model_is_told(model, tmp_path):
    write(tmp_path / "a.png", lights(some_joints(1)))
    (tmp_path / "empty").mkdir()
    lacking = shutil.copytree(model, tmp_path / "lacking")
    (lacking / "card.json").unlink()
    cases = {"empty": "empty: holds no run", "absent": "absent: no such folder"} | dict.fromkeys(
        ("lacking", "lacking/exit1.onnx"), "lacking/card.json: cannot be read: No such file"
    )
    for given, said in cases.items():
        done = greenpose("predict", given, "a.png", cwd=tmp_path)
        assert done.code == 2
        assert said in done.err


def test_ctrl_c_keeps_what_is_done(model, tmp_path):
    image = write(tmp_path / "frames/0.png", lights(some_joints(1)))
    for number in range(1, 4000):
        (tmp_path / f"frames/{number}.png").symlink_to(image)
    process = begun("predict", model, "frames/*.png", "--batch", 2, cwd=tmp_path)
    unfinished = tmp_path / ".poses.unfinished/poses.json"
    deadline = time.monotonic() + 120
    while not (unfinished.exists() and unfinished.stat().st_size):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    process.join(120)
    said = process.err.read_text()
    assert process.exitcode == 130, said
    kept = results(tmp_path / "poses")
    assert 2 <= len(kept) < 4000
    assert "Traceback" not in said
    assert json.loads((tmp_path / "poses/bill.json").read_text())["interrupted"] is True


def limited(words):
    """Be the command line whose files end at so many bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    return COMMAND(words)


@pytest.mark.parametrize(("option", "name"), [("--overlay", "overlays/000001-a.png"), ("--video", "images.mp4")])
def test_a_disk_that_takes_no_more_leaves_nothing_half_written(model, tmp_path, option, name):
    noise = np.random.default_rng(0).integers(0, 255, (480, 640), dtype=np.uint8)
    write(tmp_path / "a.png", noise)
    done = greenpose("predict", model, "a.png", option, cwd=tmp_path, act=limited)
    assert done.code == 2, done.err
    assert f"{name}: cannot be written" in done.err
    assert "Traceback" not in done.err
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "cache") == ["a.png"]


def test_memory_is_flat_in_the_number_of_images(model, tmp_path):
    image = write(tmp_path / "image.png", lights(some_joints(1)))
    peaks = {}
    for number in (100, 1000):
        folder = tmp_path / f"frames{number}"
        folder.mkdir()
        for place in range(number):
            (folder / f"{place:04d}.png").symlink_to(image)
        code = (
            "import resource, sys\nfrom greenpose.cli.app import app\n"
            f"try:\n    app(['predict', {str(model)!r}, {folder.name!r}, '-o', 'poses{number}', '--quiet'])\n"
            "except SystemExit as end:\n    assert not end.code\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
        peaks[number] = int(done.stdout.splitlines()[-1])
        assert len(results(tmp_path / f"poses{number}")) == number
    assert peaks[1000] < 1.05 * peaks[100]
