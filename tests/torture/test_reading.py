"""Damaged files of every kind that a command reads: it ends in words that name file and place, or takes them."""

import json
import os
import re
import resource
import shutil
import traceback
from collections import Counter
from pathlib import Path

import pytest

from tests.torture import LENGTH, SEED, dice, size
from tests.torture.nursery import HangError, command, nursery, settings

PLACE = re.compile(r"(line|column|char|byte|position|row|key|entry) \d+|:\d+|\[\d+\]|\d+ bytes")
WHOLE = re.compile(
    r"no such file|empty|not (valid )?(JSON|YAML|UTF-8)|cannot be read|schema is|a mapping|no mapping|mapping of|"
    r"is missing|no list|merge|holds|too deep|nest|not a baseline|not what",
    re.IGNORECASE,
)
"""Words for what is wrong with a file as a whole, which has no place."""
SOUND = (0, 3)
"""Codes of sound files; the run of another device is refused, in words."""
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
    ways = {way for key in keys[-3:] for way in (str(key), repr(key)[1:-1], repr(key)[1:-1].replace("\\", "\\\\"))}
    named = any(way in words for way in ways) or PLACE.search(words) or WHOLE.search(words)
    return "" if kind.form in BINARY or not keys or named else f"place {keys} not named: {words[:160]!r}"


def torment(sound, folder, name, numbers, told):
    """Try one kind so often, in this process, and write down how each way of ending was reached first."""
    from tests.torture.kinds import kinds
    from tests.torture.mutating import mutate

    shutil.copytree(sound, folder)
    os.chdir(folder)
    os.environ.update(settings(folder))
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
    kind = kinds(Path("run.txt").read_text())[name]
    file, content = Path(kind.file), Path(kind.file).read_bytes()
    before = {path: path.read_bytes() for path in file.parent.iterdir() if path.is_file()}
    codes, faults = Counter(), {}
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders of images talk past Python
    for reader in kind.readers:
        ended = ask(kind, reader)
        if ended[0] not in SOUND or ended[2]:
            faults["sound"] = [[-1, f"{reader}: a sound file ended so: {ended}"]]
    for number in range(*numbers):
        rolled = dice(f"{name} {number}")
        damaged, keys = mutate(content, kind.form, rolled)
        restore(before)
        file.write_bytes(damaged)
        told.write_text(json.dumps({"now": number, "codes": codes, "faults": faults}))
        code, said, fault = ask(kind, rolled.choice(kind.readers))
        codes[f"code {code}"] += fault is None
        wrong = complaint(kind, code, said, fault, keys)
        if wrong:
            faults.setdefault(re.sub(r"\d+|0x\w+", "#", wrong)[:60], []).append([number, wrong])
    told.write_text(json.dumps({"codes": codes, "faults": faults}))


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
    if reader[0] == "worker" and code == 1 and fault is None:
        note = Path(reader[1]) / "failure.json"
        code, said = 2, said + (note.read_text() if note.exists() else "no word of why")
    return code, said, fault


def prepare(folder):
    """Leave one sound file of each kind."""
    from tests.torture.kinds import make

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


@LENGTH
def test_damaged_files_end_in_words_that_name_file_and_place(tmp_path, sound, full):
    from tests.torture.kinds import kinds

    found = kinds((sound / "run.txt").read_text())
    chosen = os.environ.get("GREENPOSE_TORTURE_KINDS", "").split(",") if full else [""]
    found = {name: kind for name, kind in found.items() if chosen == [""] or name in chosen}
    shares = sum(kind.share for kind in found.values())
    codes, faults, tried = Counter(), [], 0
    for name, kind in found.items():
        many = max(1, round(size(full, short=400, whole=50_000) * kind.share / shares))
        begin, told = 0, tmp_path / f"{name}.json"
        while begin < many:
            ended = at_work(torment, str(sound), tmp_path / f"{name} {begin}", name, (begin, many), told)
            left = json.loads(told.read_text()) if told.exists() else {"now": begin, "codes": {}, "faults": {}}
            begin = many if ended == 0 else left["now"] + 1
            codes += left["codes"]
            ways = left["faults"].values()
            faults += [f"{name} {way[0][0]} (and {len(way) - 1} more): {way[0][1]}" for way in ways]
            if ended:
                faults.append(f"{name} {left.get('now')}: the process ended with {ended}")
        tried += many
        print(f"\n{name}: {many} tried, {sum(fault.startswith(f'{name} ') for fault in faults)} ways to fail", end="")
    for fault in faults:
        print(f"\n  {fault}", end="")
    times = {what.replace(" ", "_"): number for what, number in sorted(codes.items())}
    print(f"\nmutations (seed {SEED}): {tried} tried of {len(found)} kinds, {times}, {len(faults)} kinds of faults")
    assert not faults, "\n".join(faults[:20])
