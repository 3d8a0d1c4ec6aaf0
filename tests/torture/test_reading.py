"""Damaged files of every kind that a command reads: it ends in words that name file and place, or takes them."""

import json
import os
import re
import resource
import shutil
import subprocess
import traceback
from collections import Counter
from pathlib import Path

import pytest

from greenpose.config import ProcessConfig
from greenpose.grid import worker_environment
from tests.torture import SEED, SIZES, conclude, dice, size
from tests.torture.nursery import Child, Forking, HangError, command, nursery, settings

PLACE = re.compile(r"(line|column|char|byte|position|row|key|entry) \d+|:\d+|\[\d+\]|\d+ bytes")
WHOLE = re.compile(
    r"no such file|empty|not (valid )?(JSON|YAML|UTF-8)|cannot be read|schema is|a mapping|no mapping|mapping of|"
    r"is missing|no list|merge|holds|too deep|nest|not a baseline|not what",
    re.IGNORECASE,
)
"""Words for what is wrong with a file as a whole, which has no place."""
SOUND_FILES, SOUND_READ = {}, set()
SOUND = (0, 3)
"""Codes of sound files."""
BINARY = ("png", "jpeg", "state", "tensors")
HANG_SECONDS = 2
ROOM = 3 << 30
"""Bytes that a process may take beyond what it has."""


def complaint(kind, code, said, fault, keys):
    """Return what is wrong with how a command ended, in few words; nothing where it ended well."""
    if isinstance(fault, HangError):
        return "hang"
    if fault is not None:
        frames = [frame for frame in traceback.extract_tb(fault.__traceback__) if "/greenpose/" in frame.filename]
        where = f"{'/'.join(Path(frames[-1].filename).parts[-2:])}:{frames[-1].name}" if frames else "?"
        return f"{type(fault).__name__} in {where}: {str(fault)[:90]!r}"
    if code not in (0, 1, 2, 3, 4) or "Traceback" in said:
        return f"code {code}: {said[-200:]!r}"
    if code != 2:
        return ""
    words = " ".join(said.split())
    if Path(kind.file).name not in words:
        return f"file not named: {words[:160]!r}"
    ways = {way for key in keys[-3:] for way in spellings(key)}
    named = any(way in words for way in ways) or PLACE.search(words) or WHOLE.search(words)
    return "" if kind.form in BINARY or not keys or named else f"place {keys} not named: {words[:160]!r}"


def spellings(key):
    """Return how words may name a key: a letter or a number alone would be found in any sentence."""
    if isinstance(key, int) or len(key) == 1:
        return [f"[{key}]", f" {key}: ", f".{key}: ", f"{key!r}"]
    return [key, repr(key)[1:-1], repr(key)[1:-1].replace("\\", "\\\\")] if key else ["''", '""']


def torment(sound, folder, tasks, told):
    """Try some kinds so often each, in this process, and write down how each way of failing was reached first."""
    from tests.torture.kinds import kinds

    shutil.copytree(sound, folder)
    os.chdir(folder)
    os.environ.update(worker_environment(ProcessConfig(), workers=1) | settings(folder))  # nobody starts again, pinned
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
    found = kinds(Path("run.txt").read_text())
    codes, faults, left = Counter(), {}, [*tasks]
    while left:
        name, number, end = left.pop(0)
        if number < end:
            left.insert(0, (name, number + 1, end))
            told.write_text(json.dumps({"codes": codes, "faults": faults, "left": left}))
            torment_once(name, found[name], number, codes, faults.setdefault(name, {}))
    told.write_text(json.dumps({"codes": codes, "faults": faults, "left": []}))


def torment_once(name, kind, number, codes, faults):
    """Damage one file and let it be read; whoever does so first reads the sound one."""
    from tests.torture.mutating import mutate

    file, rolled = Path(kind.file), dice(f"{name} {number}")
    if name not in SOUND_FILES:
        SOUND_FILES[name] = {path: path.read_bytes() for path in file.parent.iterdir() if path.is_file()}
    before = SOUND_FILES[name]
    damaged, keys = mutate(before[file], kind.form, rolled)
    reader = rolled.choice(kind.readers)
    if (name, str(reader)) not in SOUND_READ:
        SOUND_READ.add((name, str(reader)))
        ended = ask(kind, reader)
        if (ended[0] not in SOUND and not kind.refused) or ended[2]:
            faults["sound"] = [[-1, f"a sound file ended so: {ended}"]]
    restore(before)
    file.write_bytes(damaged)
    code, said, fault = ask(kind, reader)
    restore(before)
    codes[f"code {code}"] += fault is None
    wrong = complaint(kind, code, said, fault, keys)
    if wrong and not (kind.refused and "CUDA" in said):  # damaged in what does not matter: refused as the sound one is
        faults.setdefault(re.sub(r"\d+|0x\w+", "#", wrong)[:60], []).append([number, wrong])


def restore(before):
    """Put a folder back as it was, but for what a command made anew beside it."""
    folder = next(iter(before)).parent
    for path, was in before.items():
        if not path.exists() or path.read_bytes() != was:
            path.write_bytes(was)
    for extra in {*folder.glob("failure*"), *folder.glob("running.json")} - before.keys():
        extra.unlink()


def ask(kind, reader):
    """Return code, words and fault of a reader; a worker's words are those that it leaves in its folder."""
    if callable(reader):
        return command(call=lambda: reader(Path.cwd()), seconds=HANG_SECONDS)
    code, said, fault = command(*reader, seconds=HANG_SECONDS)
    if reader[0] == "worker" and code in (1, 2) and fault is None:
        note = Path(reader[1]) / "failure.json"
        code, said = 2, said + (note.read_text() if note.exists() else "")
    return code, said, fault


def prepare(folder):
    """Leave one sound file of each kind."""
    from tests.torture.kinds import make

    subprocess.Popen = Forking
    os.chdir(folder)
    os.environ.update(settings(folder))
    Path("run.txt").write_text(make(Path(folder)))


def at_work(function, *arguments, seconds=3000):
    process = nursery().Process(target=function, args=arguments)
    process.start()
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
    return process.exitcode


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    assert at_work(prepare, str(folder)) == 0
    return folder


@SIZES
def test_damaged_files_end_in_words_that_name_file_and_place(tmp_path, sound, full):
    from tests.torture.kinds import kinds

    found = kinds((sound / "run.txt").read_text())
    chosen = os.environ.get("GREENPOSE_TORTURE_KINDS", "").split(",") if full else [""]
    found = {name: kind for name, kind in found.items() if chosen == [""] or name in chosen}
    shares = sum(kind.share for kind in found.values())
    number = size(full, short=110, whole=50_000)
    tasks = [(name, 0, max(1, round(number * kind.share / shares))) for name, kind in found.items()]
    tried, left, codes, faults = sum(end for _, _, end in tasks), tasks, Counter(), []
    while left:
        folder = tmp_path / f"work {len(left)} {left[0][1]}"
        ended = at_work(torment, str(sound), folder, left, folder.with_suffix(".json"))
        told = json.loads(folder.with_suffix(".json").read_text())
        left = told["left"]
        codes += told["codes"]
        for name, ways in told["faults"].items():
            faults += [f"{name} {way[0][0]} (and {len(way) - 1} more): {way[0][1]}" for way in ways.values()]
        if ended:
            faults.append(f"{left[0][0]} {left[0][1] - 1}: the process ended with {ended}")
    conclude(f"mutations of {len(found)} kinds (seed {SEED})", tried, faults, **dict(sorted(codes.items())))


@SIZES
def test_a_process_of_its_own_ends_in_words_as_well(tmp_path, sound, full):
    from tests.torture.kinds import kinds
    from tests.torture.mutating import mutate

    found = kinds((sound / "run.txt").read_text())
    spoken = [(name, kind, reader) for name, kind in found.items() for reader in kind.readers if not callable(reader)]
    faults, rolled = [], dice("cold")
    for name, kind, reader in rolled.sample(spoken, len(spoken) if full else 1):
        place = shutil.copytree(sound, tmp_path / name / "work", dirs_exist_ok=True)
        damaged, keys = mutate((place / kind.file).read_bytes(), kind.form, rolled)
        (place / kind.file).write_bytes(damaged)
        child = Child(*reader, cwd=place, cold=True)
        code = child.wait()
        note = place / reader[1] / "failure.json"
        said = child.said + (note.read_text() if note.exists() else "")
        faults += [f"{name}: {wrong}" for wrong in [complaint(kind, code, said, None, keys)] if wrong]
    conclude("processes of their own", len(spoken) if full else 1, faults)
