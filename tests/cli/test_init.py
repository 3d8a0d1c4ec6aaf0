"""`greenpose init`, as a newcomer meets it."""

import json
import os
import pty
import select

import yaml

from greenpose.data import load_profile
from greenpose.init import proposal
from tests.cli import running
from tests.cli.running import COMMAND
from tests.init import folders
from tests.torture.nursery import forked

QUICK = ("--seconds", 1, "--hours", 0.005)
LEAST = {"exits": [3, 4], "width": 4, "stem_width": 4, "modules": [1, 1, 1], "blocks": 1}


def with_least_network(words):
    """Be the command line where `init` proposes no larger network: the trial steps of those take seconds."""
    proposal.NETWORKS = {"HRNet-W4": (LEAST, 2.0e-3)}
    return COMMAND(words)


def greenpose(*words, cwd):
    return running.greenpose(*words, cwd=cwd, act=with_least_network)


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_that_trains_as_it_lies_is_not_copied(tmp_path):
    folders.coco(tmp_path / "mice")
    done = greenpose("init", "mice", "--country", "ITA", *QUICK, cwd=tmp_path)
    assert done.code == 0, done.err
    assert files(tmp_path) - {path for path in files(tmp_path) if path.startswith(("mice/", "cache/"))} == {
        "profile.yaml",
        "experiment.yaml",
    }
    lines = [line.rstrip() for line in done.out.splitlines()]
    assert lines[0].startswith("found mice (COCO: annotations/keypoints_test.json and 2 more): mouse, 4 keypoints")
    assert [line.split()[:3] for line in lines[2:5]] == [["train", "12", "12"], ["val", "4", "4"], ["test", "4", "4"]]
    takes = next(line for line in lines if line.startswith("takes"))
    assert all(word in takes for word in ("min", "Wh", "CO2eq in ITA", "["))
    assert [line.split(maxsplit=1) for line in lines[-2:]] == [
        ["next", "greenpose run experiment.yaml"],
        ["then", "open reports/mice.html"],
    ]
    assert "note: GUESSED from the names: left_ear and right_ear" in done.err
    brief = ("train.epochs=1", "measure.max_blocks=1", "measure.min_window_seconds=0.005", "measure.step_blocks=1")
    ran = greenpose("run", "experiment.yaml", *(word for each in brief for word in ("--set", each)), cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert (tmp_path / "reports/mice.html").exists()
    assert load_profile(tmp_path / "profile.yaml").keypoints == folders.NAMES
    assert yaml.safe_load((tmp_path / "experiment.yaml").read_text())["carbon"] == {"country": "ITA"}


def test_another_layout_is_copied_and_the_country_is_said_to_be_missing(tmp_path):
    folders.yolo(tmp_path / "mice")
    done = greenpose("init", "mice", "--out", "out", "--name", "my mice", "--json", *QUICK, cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    found = done.json
    assert (found["schema"], found["layout"], found["missing"]) == ("greenpose.init/1", "yolo", ["carbon.country"])
    assert set(found["whole"]) == {"seconds", "energy_kwh"}
    assert found["splits"]["train"] == {"images": 12, "instances": 12}
    text = (tmp_path / "out/experiment.yaml").read_text()
    assert "MISSING: where the electricity comes from" in text
    assert yaml.safe_load(text)["carbon"] == {"country": None}
    assert yaml.safe_load(text)["name"] == "my_mice"
    image = next((tmp_path / "out/coco/images/train").rglob("*.png"))
    assert image.stat().st_nlink == 2  # a link, which takes no room
    alone = greenpose("run", "out/experiment.yaml", "--dry-run", cwd=tmp_path)
    assert (alone.code, "give country (e.g. ITA)" in alone.err) == (2, True)
    assert greenpose("run", "out/experiment.yaml", "--country", "ITA", "--dry-run", cwd=tmp_path).code == 0
    before = files(tmp_path / "out")
    again = greenpose("init", "mice", "--out", "out", *QUICK, cwd=tmp_path)
    assert again.code == 2
    assert "profile.yaml, experiment.yaml, coco already there; --force replaces them" in again.err
    forced = greenpose("init", "mice", "--out", "out", "--force", "--name", "other", *QUICK, cwd=tmp_path)
    assert (forced.code, files(tmp_path / "out")) == (0, before)
    assert yaml.safe_load((tmp_path / "out/experiment.yaml").read_text())["name"] == "other"
    assert "Which country" not in forced.err  # nobody sits there
    assert any(line.startswith("missing") and "country" in line for line in forced.out.splitlines())
    assert "greenpose run out/experiment.yaml --country XXX" in forced.out


def test_all_faults_are_told_together_and_nothing_is_written(tmp_path):
    folders.yolo(tmp_path / "mice")
    lines = sorted((tmp_path / "mice/train/labels").glob("*.txt"))
    lines[0].write_text("0 0.5\n")
    (tmp_path / "profile.yaml").write_text("mine")
    done = greenpose("init", "mice", "--country", "Italy", cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 3
    for said in ("profile.yaml already there", "--country: ", "ITA", "kpt_shape makes it 17"):
        assert said in done.err
    assert (tmp_path / "profile.yaml").read_text() == "mine"
    assert {path for path in files(tmp_path) if not path.startswith(("mice/", "cache/"))} == {"profile.yaml"}


def test_a_copy_that_would_not_train_is_not_left(tmp_path):
    folders.yolo(tmp_path / "mice")
    image = min((tmp_path / "mice/train/images").iterdir())
    twin = tmp_path / "mice/valid/images" / image.name
    twin.write_bytes(image.read_bytes())
    label = tmp_path / "mice/train/labels" / f"{image.stem}.txt"
    (tmp_path / "mice/valid/labels" / label.name).write_text(label.read_text())
    done = greenpose("init", "mice", "--out", "out", *QUICK, cwd=tmp_path)
    assert done.code == 2
    assert "out/coco" in done.err
    assert "in another split" in done.err
    assert "--resplit divides them anew" in done.err
    assert ".unfinished" not in done.err
    assert not (tmp_path / "out").exists() or files(tmp_path / "out") == set()


def test_what_is_the_users_is_never_written_over(tmp_path):
    folders.coco(tmp_path / "coco", layout="pooled")
    done = greenpose("init", "coco", "--force", *QUICK, cwd=tmp_path)
    assert (done.code, "coco: is the data itself, and is not written over" in done.err) == (2, True)
    (tmp_path / "out/coco").mkdir(parents=True)
    (tmp_path / "out/coco/mine.txt").write_text("mine")
    done = greenpose("init", "coco", "--out", "out", "--force", *QUICK, cwd=tmp_path)
    assert (done.code, "was not made by greenpose init" in done.err) == (2, True)
    assert (tmp_path / "out/coco/mine.txt").read_text() == "mine"
    done = greenpose("init", "coco", "--out", "coco/labels.json", *QUICK, cwd=tmp_path)
    assert (done.code, "labels.json: is a file; --out takes a folder" in done.err) == (2, True)


def test_a_terminal_is_asked_for_the_country_until_it_names_one(tmp_path):
    folders.coco(tmp_path / "mice")
    mine, theirs = pty.openpty()
    told = {**os.environ, "GREENPOSE_CACHE": str(tmp_path / "cache"), "TERM": "dumb", "NO_COLOR": "1"}
    streams = dict.fromkeys(("stdin", "out", "err"), os.ttyname(theirs))
    process = forked(
        ["init", "mice", *map(str, QUICK)], cwd=tmp_path, environment=told, act=with_least_network, **streams
    )
    said, answers = b"", [b"italy\n", b"ita\n"]
    while mine in select.select([mine, process.sentinel], [], [], 120)[0]:
        said += os.read(mine, 4096)
        if answers and said.count(b"Which country") > 2 - len(answers):
            os.write(mine, answers.pop(0))
    process.join(60)
    assert process.exitcode == 0, said.decode()
    for end in (mine, theirs):
        os.close(end)
    assert said.count(b"Which country") == 2
    assert yaml.safe_load((tmp_path / "experiment.yaml").read_text())["carbon"] == {"country": "ITA"}


def test_raw_depth_gets_a_window_that_is_said_to_be_guessed(tmp_path):
    made = greenpose(
        "data", "synth", "infants", "--patients", 2, 1, 1, "--frames", 3, 2, 2, "--size", 160, 120, cwd=tmp_path
    )
    assert made.code == 0, made.err
    for file in (tmp_path / "infants/annotations").iterdir():
        document = json.loads(file.read_text())
        del document["info"]["depth_window_mm"]
        file.write_text(json.dumps(document))
    done = greenpose("init", "infants", "--country", "ITA", *QUICK, cwd=tmp_path)
    assert done.code == 0, done.err
    text = (tmp_path / "experiment.yaml").read_text()
    near, far = yaml.safe_load(text)["data"]["depth_window_mm"]
    assert 200 < near < far < 1500
    assert "GUESSED: between these mm" in text
