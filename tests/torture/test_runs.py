"""A grid that is killed, raced or written to a broken disk, and then started once more by the same command."""

import contextlib
import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from fnmatch import fnmatch

import psutil
import pytest

from tests.torture import SEED, SIZES, conclude, dice, size
from tests.torture.nursery import GRID, RUN, Child

JUDGED = ("exit", "ap", "ap50", "ap75", "ar", "pck", "best_epoch", "params", "macs")
TRAINING = ("train", "validate", "checkpoint")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
ERRORS = {
    "ENOSPC": ("open", "write", "mkdir", "fsync", "rename", "link"),
    "EIO": ("open", "write", "mkdir", "fsync", "rename", "link", "unlink"),
    "EACCES": ("open", "mkdir", "rename", "link", "unlink"),
}
"""What each error can meet."""


class Place:
    """A folder with the tiny grid, and what a kill must not change."""

    def __init__(self, root, only="*"):
        self.root, self.only = root, only
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        (root / "t.yaml").write_text(GRID)

    def start(self, *options, **how):
        return Child(*RUN, "--only", self.only, *options, cwd=self.root, **how)

    def files(self, name):
        return {file.parent.name: file for file in sorted(self.root.glob(f"runs/t/*/{name}"))}

    def notes(self):
        """Return what may only grow from now on: finished records, and every whole line of the windows."""
        records = {name: file.read_bytes() for name, file in self.files("record.json").items()}
        return records, {name: lines_of(file) for name, file in self.files("windows.jsonl").items()}

    def result(self):
        """Return weights and accuracy of each cell."""
        found = {}
        for name, file in self.files("record.json").items():
            weights = {best.name: tensors_of(best) for best in sorted(file.parent.glob("best-*.safetensors"))}
            record = json.loads(file.read_text())
            found[name] = weights, [[entry[key] for key in JUDGED] for entry in record["exits"]]
        return found

    def faults(self, notes, result):
        """Return what the last command, which ended well, has lost, doubled or changed."""
        records, windows = notes
        faults = [f"{name}: finished record lost" for name, text in records.items() if self.read(name) != text]
        for name, file in self.files("windows.jsonl").items():
            lines = lines_of(file)
            if lines[: len(windows.get(name, []))] != windows.get(name, []):
                faults.append(f"{name}: windows lost")
            faults += [f"{name}: {fault}" for fault in doubled(lines, json.loads(self.read(name) or b"null"))]
        if self.result() != {name: cell for name, cell in result.items() if fnmatch(name, self.only)}:
            faults.append(f"other weights or accuracy, or no record: {[*self.result()]}")
        left = [path.name for path in self.root.glob("runs/t/*/*") if path.name[0] == "." or "tmp" in path.name]
        left += [f.name for pattern in ("running.json", "checkpoint.pt") for f in self.root.glob(f"runs/t/*/{pattern}")]
        return faults + [f"rubbish: {name}" for name in left]

    def read(self, name):
        file = self.root / "runs" / "t" / name / "record.json"
        return file.read_bytes() if file.exists() else b""


def tensors_of(file):
    """Return what a file of weights says of itself, whose order means nothing, and every bit of its tensors."""
    content = file.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    return (json.loads(content[8:end]), content[end:]) if len(content) > end else content


def lines_of(file):
    """Return the lines that are whole."""
    return file.read_bytes().split(b"\n")[:-1]


def doubled(lines, record):
    """Yield windows that are there twice, and a record that does not hold their sum."""
    windows = [entry for entry in map(parsed, lines) if entry and "schema" not in entry]
    keys = Counter((window["attempt"], window["id"]) for window in windows)
    yield from (f"window {key} is there {number} times" for key, number in keys.items() if number > 1)
    roots = [window for window in windows if (window["attempt"], window["parent"]) not in keys]
    trained = sum(window["seconds"] for window in roots if window["name"].split("/")[0] in TRAINING)
    if record and record["train_seconds"] != pytest.approx(trained):
        yield f"record says {record['train_seconds']} s of training, its windows {trained}"


def parsed(line):
    try:
        return json.loads(line)
    except ValueError:
        return None


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What an uninterrupted grid gives, and the seconds that it takes."""
    place = Place(tmp_path_factory.mktemp("whole") / "work")
    assert Child("--version", cwd=place.root).wait() == 0  # from here on the nursery is warm
    began = time.monotonic()
    child = place.start()
    assert child.wait() == 0, child.said
    took = time.monotonic() - began
    assert not place.faults(place.notes(), place.result())
    return place.result(), took


def again(place, result, notes, *, label):
    """Give the same command once more and return what is wrong then."""
    child = place.start()
    code = child.wait()
    said = [f"{label}: then code {code}: {child.said[-300:]}"] if code or "Traceback" in child.said else []
    return said + [f"{label}: {fault}" for fault in place.faults(notes, result)]


def orphans(processes, seconds=30):
    """Wait for processes to end and return how many do not; those are ended then."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=seconds)
    return len(alive)


@SIZES
def test_kills_at_any_moment_lose_and_double_nothing(tmp_path, whole, full):
    result, took = whole
    rolled, faults, unfinished = dice("kills"), [], 0
    number, cells = size(full, short=3, whole=200), "*" if full else "A*"
    for turn in range(number):
        place = Place(tmp_path / "work", cells)
        cold = full and turn % 10 == 9
        child = place.start(cold=cold)
        whom = rolled.choice(("tree", "parent", "worker"))
        time.sleep(rolled.uniform(0, 1.1 if full else 0.5) * (took + 6 * cold))
        tree = child.tree()
        victims = {"tree": tree, "parent": tree[:1], "worker": tree[1:2]}[whom]
        for process in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        code = child.wait()
        left = orphans(tree[1:]) if whom == "parent" else 0
        unfinished += len(place.files("record.json")) < (len(result) if full else 1)
        label = f"kill {turn} ({whom})"
        faults += [f"{label}: its worker trained on"] if left else []
        if whom == "worker" and victims and code not in (0, 4):
            faults.append(f"{label}: the grid ended with {code}: {child.said[-300:]}")
        faults += again(place, result, place.notes(), label=label)
    conclude("kills", number, faults, in_the_middle=unfinished)


@SIZES
def test_signals_lose_nothing_and_leave_nobody_at_work(tmp_path, whole, full):
    result, took = whole
    rolled, faults, codes = dice("signals"), [], Counter()
    number = size(full, short=2, whole=28)
    for turn in range(number):
        place, sign = Place(tmp_path / "work"), SIGNALS[turn % len(SIGNALS)]
        child = place.start()
        time.sleep(rolled.uniform(0.1, 1) * took)
        tree = child.tree()
        if tree:
            os.kill(tree[0].pid, sign)
        code = child.wait()
        codes[code] += 1
        label = f"signal {turn} ({sign.name})"
        faults += [f"{label}: its worker trained on"] if orphans(tree[1:]) else []
        faults += [f"{label}: traceback: {child.said[-400:]}"] if "Traceback" in child.said else []
        faults += [f"{label}: code {code}"] if code not in (0, 130, -sign) else []
        faults += again(place, result, place.notes(), label=label)
    conclude("signals", number, faults, **{f"times_code_{code}": many for code, many in codes.items()})


def watched(place, tmp_path, **plan):
    """Run the grid with its worker, or itself, watched; return how it ended and the changes that were made."""
    log = tmp_path / "changes.jsonl"
    log.unlink(missing_ok=True)
    child = place.start(plan={"who": "worker", "log": str(log)} | plan)
    child.wait()
    return child, [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


@SIZES
def test_a_crash_before_any_rename_link_removal_fsync_or_write_loses_nothing(tmp_path, whole, full):
    result, _ = whole
    rolled, faults, cell = dice("crashes"), [], "B*" if full else "A*"
    _, changes = watched(Place(tmp_path / "work", cell), tmp_path)
    points = [n for n, change in enumerate(changes, start=1) if change["operation"] not in ("open", "mkdir")]
    other = [n for n in points if changes[n - 1]["operation"] != "write"]
    number = size(full, short=3, whole=40)
    chosen = rolled.sample(other, min(len(other), number // 2))
    chosen += rolled.sample([n for n in points if n not in chosen], number - len(chosen))
    met = Counter()
    for point in chosen:
        place = Place(tmp_path / "work", cell)
        child, made = watched(place, tmp_path, kill=point)
        if len(made) < point:  # the number of windows is not the same each time
            continue
        change = made[point - 1]
        met[change["operation"]] += 1
        label = f"crash before change {point} ({change['operation']} {change['file']} in {change['place']})"
        faults += [f"{label}: the grid said {child.said[-300:]}"] if "Traceback" in child.said else []
        faults += again(place, result, place.notes(), label=label)
    conclude("crash points", number, faults, **met)


@SIZES
def test_rivals_on_one_folder_train_every_cell_once_and_all_end_well(tmp_path, whole, full):
    result, _ = whole
    faults, rounds, rivals = [], size(full, short=1, whole=10), 8 if full else 4
    for turn in range(rounds):
        place = Place(tmp_path / "work")
        children = [place.start() for _ in range(rivals)]
        codes = [child.wait() for child in children]
        said = [child.said[-400:] for child, code in zip(children, codes, strict=True) if code]
        faults += [f"round {turn}: codes {codes}: {said}"] if any(codes) else []
        for name, file in place.files("record.json").items():
            record = json.loads(file.read_text())
            trained = Counter(
                w["name"]
                for w in map(parsed, lines_of(place.root / f"runs/t/{name}/windows.jsonl"))
                if w and w.get("name", "").startswith("train/") and w["parent"] is None
            )
            if record["attempts"] != 1 or set(trained.values()) != {1}:
                faults.append(f"round {turn}: {name}: {record['attempts']} attempts, epochs {dict(trained)}")
        faults += [f"round {turn}: {fault}" for fault in place.faults(place.notes(), result)]
    conclude("rivals", rounds, faults, processes_each=rivals)


@SIZES
def test_each_write_that_fails_ends_in_words_that_name_the_file_and_is_made_up_for(tmp_path, whole, full):
    result, _ = whole
    faults, unmet, sites = [], [], {}
    for cells in ("*", "B*") if full else ("A*",):  # what one cell meets needs no second one
        for who in ("run", "worker"):
            _, changes = watched(Place(tmp_path / "work", cells), tmp_path, who=who)
            for change in changes:
                del change["struck"]
                sites[who, *change.values()] = change, cells
    cases = [
        (site, change, error, lasting, "*" if lasting and full else cells)
        for site, (change, cells) in sorted(sites.items())
        for error, met in ERRORS.items()
        if change["operation"] in met
        for lasting in ((False, True) if error == "ENOSPC" else (False,))
    ]
    number = min(len(cases), size(full, short=3, whole=len(cases)))
    random.Random("disks").shuffle(cases)
    first = SEED * number % len(cases)  # seeds that follow one another try shares that do
    for site, change, error, lasting, cells in (cases * 2)[first : first + number]:
        place = Place(tmp_path / "work", cells)
        fail = {**change, "error": error, "lasting": lasting}
        child, made = watched(place, tmp_path, who=site[0], fail=fail)
        label = f"{error}{' from then on' if lasting else ''} at {' '.join(site)}"
        if not any(one["struck"] for one in made):
            unmet.append(label)
        code, said = child.process.exitcode, child.said
        faults += [f"{label}: traceback: {said[-500:]}"] if "Traceback" in said else []
        names = {one["file"].removesuffix(".next") for one in made if one["struck"]}
        stays = {f"rubbish: {name}" for name in names if site[1] == "unlink"}  # until the same command is given again
        without = code == 0 and not {*place.faults(place.notes(), result)} - stays  # caches: nothing hangs on them
        if not without and not any(name in said for name in names):
            faults.append(f"{label}: code {code}, and no word of {names}: {said[-300:]}")
        faults += again(place, result, place.notes(), label=label)
    conclude("failing writes", number, [*faults, *(f"never met: {label}" for label in unmet)], sites=len(sites))
