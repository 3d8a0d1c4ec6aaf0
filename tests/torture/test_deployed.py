"""Exports, predictions and costs of artefacts on a broken disk: the old files or the new ones, words, and code 2."""

import hashlib
import json
import shutil

import pytest

from greenpose.artefact import read_artefact
from greenpose.errors import GreenPoseError
from greenpose.record.artefacts import ArtefactCosts
from tests.predict import planted
from tests.run.measuring import finished_run
from tests.torture import SIZES, conclude, dice, size
from tests.torture.nursery import Child
from tests.torture.test_runs import ERRORS

RUN = "tiny-00c0ffee"
COMMANDS = {
    "export": ("export", RUN, "--exit", "2", "--to", "safetensors,pt2", "-o", "there"),
    "another": ("export", RUN, "--exit", "2", "--to", "pt2", "-o", "old"),
    "predict": ("predict", "lights", "images", "-o", "poses", "--overlay"),
    "measure": ("measure", "old", RUN),
}
"""What is tried, and in `old` an export that was there before."""
KEPT = ("there", "old", "poses", f"{RUN}/artefacts.json")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """What the commands find; warm from here on."""
    root = tmp_path_factory.mktemp("sound") / "work"
    root.mkdir()
    finished_run(root / RUN)
    planted.artefact(root / "lights")
    for number, joints in enumerate(planted.some_joints(2)):
        planted.write(root / f"images/{number}.png", planted.lights(joints))
    child = Child("export", RUN, "--exit", "2", "--to", "pt2", "--fold-bn", "-o", "old", cwd=root)
    assert child.wait() == 0, child.said
    return root


def tried(sound, tmp_path, name, **plan):
    """Give a command in a copy of what it finds, watched; return the copy, how it ended and what it changed."""
    work, log = tmp_path / "work", tmp_path / "changes.jsonl"
    shutil.rmtree(work, ignore_errors=True)
    log.unlink(missing_ok=True)
    shutil.copytree(sound, work)
    child = Child(*COMMANDS[name], cwd=work, plan={"who": COMMANDS[name][0], "log": str(log)} | plan)
    code = child.wait()
    return work, code, child.said, [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def contents(work):
    """Return the digest of every file that a command may leave or change."""
    files = [
        file for name in KEPT for place in [work / name] for file in ([place] if place.is_file() else place.rglob("*"))
    ]
    return {
        str(file.relative_to(work)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()
    }


def broken(work):
    """Yield what is there and cannot be used."""
    for place in (work / "there", work / "old"):
        if place.exists():
            try:
                read_artefact(place)
            except GreenPoseError as error:
                yield str(error)
    costs = work / RUN / "artefacts.json"
    if costs.exists():
        ArtefactCosts.model_validate_json(costs.read_text())
    if (work / "poses").exists():
        json.loads((work / "poses/bill.json").read_text())
    yield from (
        f"rubbish: {path.name}" for path in work.rglob(".*") if ".lock" not in path.name and path.name != ".cache"
    )


@SIZES
def test_each_write_that_fails_leaves_the_old_or_the_new_and_says_so(sound, tmp_path, full):
    before, faults, cases = contents(sound), [], []
    for name in COMMANDS if full else ("another", "predict"):
        work, code, said, changes = tried(sound, tmp_path, name)
        assert code == 0, said
        assert not [*broken(work)]
        sites = {tuple(list(change.values())[:3]): change for change in changes}
        cases += [
            (name, {key: change[key] for key in ("operation", "file", "place")}, error)
            for change in sites.values()
            for error, met in ERRORS.items()
            if change["operation"] in met
        ]
    rolled = dice("deployed")
    rolled.shuffle(cases)
    for name, change, error in cases[: size(full, short=4, whole=len(cases))]:
        fail = {**change, "error": error, "lasting": False}
        work, code, said, _ = tried(sound, tmp_path, name, fail=fail)
        label = f"{name}: {error} at {' '.join(change.values())}"
        faults += [f"{label}: traceback: {said[-500:]}"] if "Traceback" in said else []
        faults += [f"{label}: code {code}: {said[-200:]}"] if code not in (0, 2) else []
        faults += [f"{label}: {fault}" for fault in broken(work)]
        if code == 2 and contents(work) != before:
            faults.append(f"{label}: changed {set(contents(work).items()) ^ set(before.items())}")
    conclude(
        "failing writes of exports", min(len(cases), size(full, short=4, whole=len(cases))), faults, sites=len(cases)
    )


@SIZES
def test_a_kill_leaves_the_old_the_new_or_what_every_reader_refuses_in_words(sound, tmp_path, full):
    before, faults, names = contents(sound), [], [*COMMANDS] if full else ["another"]
    number = size(full, short=2, whole=40)
    rolled = dice("killed exports")
    changed = {name: tried(sound, tmp_path, name)[3] for name in names}
    for turn in range(number):
        name = names[turn % len(names)]
        changes = changed[name]
        work, code, said, _ = tried(sound, tmp_path, name, kill=rolled.randint(1, len(changes)))
        label = f"{name}, kill {turn}"
        faults += [f"{label}: code {code}: {said[-200:]}"] if code not in (-9, 0) else []
        said_so = ("rubbish", "export the run again", "there/card.json: cannot be read: No such file")  # no export yet
        refused = [each for each in broken(work) if not any(words in each for words in said_so)]
        faults += [f"{label}: {each}" for each in refused]
        if name == "predict" and contents(work) != before and not (work / "poses/bill.json").is_file():
            faults.append(f"{label}: half of a prediction")
    conclude("killed exports", number, faults)
