"""Terminals that are narrow, closed or gone, and words that would steer one."""

import io
import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from rich.text import Text

from greenpose.cli.console import PLAINER, err
from greenpose.cli.progress import RunProgress
from tests.cli.running import COMMAND, greenpose
from tests.cli.test_check import check, write_run

EXPERIMENT = """
name: tiny
data:
  input_size: [32, 32]
  synthetic: {size: [64, 48], patients: {train: 2, val: 1, test: 1}, frames: {train: 3, val: 2, test: 2}}
model: {exits: [1], width: 8, stem_width: 8, modules: [1, 1, 1], blocks: 1}
carbon: {country: ITA}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a run, accepted as the baseline, and the same run a little costlier."""
    folder = tmp_path_factory.mktemp("place")
    write_run(folder / "run")
    write_run(folder / "costlier", macs=10**9)
    done = check(folder, "run", "--update", "--reason", "die Größe, siehe №1 → 😀")
    assert done.code == 0, done.err
    (folder / "tiny.yaml").write_text(EXPERIMENT)
    return folder


def shell(place: Path, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which `greenpose` is this GreenPose."""
    program = f'greenpose() {{ "{sys.executable}" -m greenpose "$@"; }}\n'
    told = {**os.environ, "NO_COLOR": "1", "GREENPOSE_CACHE": str(place / "cache"), **environment}
    return subprocess.run(
        ["bash", "-c", program + line], cwd=place, env=told, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.mark.parametrize(
    ("candidate", "code", "encoding"),
    [("run", 0, "ascii"), *(("costlier", 1, encoding) for encoding in ("cp1252", "utf-8"))],
)
def test_what_a_terminal_cannot_show_is_put_plainer_and_moves_no_verdict(place, encoding, candidate, code):
    done = greenpose("check", candidate, "--verbose", cwd=place, encoding=encoding, PYTHONIOENCODING=encoding)
    assert (done.code, done.err) == (code, "")
    assert "4.69 GMACs" in done.out.replace("\u00a0", " ")
    assert "\\u" not in done.out


@pytest.mark.parametrize("command", [["--help"], ["check", "--help"], ["doctor"], ["run", "--dry-run"]])
def test_every_kind_of_output_fits_an_ascii_terminal(place, command):
    done = greenpose(*command, cwd=place, PYTHONIOENCODING="ascii")
    assert (done.code, done.err) == (0, "")
    assert done.out.isascii()
    assert "\\u" not in done.out


def test_json_is_whole_whatever_the_terminal_can_show(place):
    file = {"budgets": [{"budget": "exit3.macs <= 9e9", "reason": "die Größe, siehe №1 → 😀"}]}
    (place / "budgets.yaml").write_text(json.dumps(file, ensure_ascii=False), encoding="utf-8")
    for encoding in ("ascii", "utf-8"):
        budgets = ("--budgets", "budgets.yaml", "--json")
        done = greenpose("check", "run", *budgets, cwd=place, PYTHONIOENCODING=encoding)
        assert done.code == 0
        assert file["budgets"][0]["reason"] in done.json["findings"][-1]["says"]


def test_signs_of_ours_have_plainer_ones_that_any_terminal_can_show():
    sources = "".join(
        file.read_text() for file in Path("greenpose").rglob("*.py") if "output/markdown" not in str(file)
    )
    ours = {sign for sign in sources if not sign.isascii()} - set("öü")  # names of people and places
    assert not [sign for sign in ours if ord(sign) not in PLAINER]
    assert all(plainer.isascii() for plainer in PLAINER.values() if isinstance(plainer, str))


def elsewhere(streams, words):
    """Be the command line some of whose streams are a file, a pipe that nobody reads (|), or closed (None)."""
    for number, where in streams.items():
        if where is None:
            os.close(number)
            continue
        reads, writes = os.pipe()
        os.dup2(writes if where == "|" else os.open(where, os.O_WRONLY), number)
        os.close(reads)
        os.close(writes)
    return COMMAND(words)


@pytest.mark.parametrize("candidate", ["run", "costlier"])
def test_an_answer_that_nobody_could_read_is_no_verdict(place, candidate):
    done = greenpose("check", candidate, "--verbose", cwd=place, act=partial(elsewhere, {1: "|"}))
    assert done.code == 2
    assert "standard output: Broken pipe before the answer was out" in done.err


def test_a_closed_stream_changes_nothing_but_what_is_seen(place):
    for closed in (1, 2):
        done = greenpose("check", "costlier", cwd=place, act=partial(elsewhere, {closed: None}))
        assert (done.code, bool(done.out)) == (1, closed == 2)
    assert shell(place, "greenpose check costlier <&- >&- 2>&-").returncode == 1
    full = greenpose("check", "run", cwd=place, act=partial(elsewhere, {1: "/dev/full"}))
    assert full.code == 2
    assert "No space left on device before the answer was out" in full.err


def test_a_run_goes_on_to_its_end_without_anybody_to_tell(place):
    few = ("--set", "train.epochs=1", "--set", "measure.max_seconds=0.2", "--set", "measure.min_window_seconds=0.005")
    done = greenpose("run", "tiny.yaml", *few, "--out", "out", cwd=place, act=partial(elsewhere, {2: "|", 1: None}))
    assert done.code == 0
    assert len([*(place / "out").glob("*/record.json")]) == 1
    assert (place / "out" / "tiny.html").exists()


def crashing(fault, words):
    """Be the command line where the machine cannot be examined."""
    from greenpose.cli import doctor

    def examine(**_):
        raise fault

    doctor.examine = examine
    return COMMAND(words)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (KeyError("gone"), "nothing was compared"),
        (MemoryError(), "nothing was compared"),
        (ModuleNotFoundError("No", name="greenpose.gone"), "nothing was compared"),
        (EOFError("Ran out of input"), "something read ended before it was whole: Ran out of input"),
        (BrokenPipeError(32, "Broken pipe"), "another process ended before it was told everything"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_crash_inside_a_command_ends_with_a_code_that_is_no_verdict(place, fault, words):
    done = greenpose("doctor", cwd=place, act=partial(crashing, fault))
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    if isinstance(fault, KeyError):
        assert "KeyError: 'gone'" in done.err
        assert done.err.rstrip().endswith(words)


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ("raise ImportError('libtorch: cannot open shared object', name='torch')", "error: torch cannot be imported"),
        ("raise ModuleNotFoundError('No', name='torch')", "error: torch, which this needs, is not installed"),
        ("raise OSError('libtorch_cpu.so: undefined symbol')", "error: input/output: libtorch_cpu.so"),
        ("raise RuntimeError('no such CPU')", "greenpose failed by a fault of its own"),
    ],
)
def test_a_torch_that_cannot_be_imported_is_no_regression(place, tmp_path, says, words):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(says)
    done = shell(place, "greenpose check tiny.yaml", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


def test_a_library_that_is_missing_is_no_regression_either(place, tmp_path):
    (tmp_path / "pydantic.py").write_text("raise ImportError('broken')")
    done = shell(place, "greenpose check run", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: GreenPose cannot start: broken; install it again\n"


def test_ctrl_c_while_it_is_still_being_loaded_ends_in_silence(place, tmp_path):
    (tmp_path / "pydantic.py").write_text("import signal; signal.raise_signal(signal.SIGINT)")
    done = shell(place, "greenpose check run", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("name", ["[/x]", "[bold]b", "[red", ":smile:", "a\\[/b]"])
def test_no_markup_is_read_in_a_path_or_name(place, name):
    missing = greenpose("check", f"{name}.yaml", cwd=place)
    assert (missing.code, missing.out) == (2, "")
    assert missing.err.startswith(f"error: {name}.yaml: no such file")
    planned = greenpose("run", "tiny.yaml", "--dry-run", "--out", name, cwd=place)
    assert planned.code == 0, planned.err
    assert name in planned.out
    write_run(place / name / "run")
    done = greenpose("check", f"{name}/run", cwd=place)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"HRNet4-OKD: {name}/run against")


def test_nothing_that_is_the_users_steers_the_terminal_or_a_jobs_log(place):
    hostile = "x\x1b]8;;https://evil.example\x07y\u202ez\n::error::w ##[error]v"
    done = greenpose("check", hostile, cwd=place)
    assert done.code == 2
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", done.err + done.out)
    assert not re.search(r"^\s*::|##\[", done.err, re.MULTILINE)
    assert r"x\x1b]8;;" in done.err
    assert r"y\u202ez" in done.err


# rich itself drops the bell.
HOSTILE = "x\x1b]8;;https://evil.example\x07y\x1b[2J\u202ez [/x] [bold]b"
SHOWN = r"x\x1b]8;;https://evil.exampley\x1b[2J\u202ez [/x] [bold]b"


class Terminal(io.StringIO):
    """A terminal that keeps what is drawn on it."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("kind", ["status", "bar"])
def test_nothing_steers_the_terminal_from_a_status_line_or_a_bar(monkeypatch, kind):
    """What is drawn over and over passes the same place as what is printed, before it, beside it and after it."""
    drawn = Terminal()
    monkeypatch.setattr(sys, "stderr", drawn)
    for name, value in {"TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "200"}.items():
        monkeypatch.setenv(name, value)
    console = err()
    assert console.is_interactive
    if kind == "status":
        with console.status(Text(HOSTILE)) as status:
            console.print(HOSTILE)
            status.update(Text(HOSTILE))
            console.print("beside it")
    else:
        with RunProgress(console) as progress:
            progress.phase(HOSTILE, 10)
            progress.say(HOSTILE)
            progress.step(1, HOSTILE)
            progress.say("done")
    console.print(HOSTILE)
    assert drawn.getvalue().count(SHOWN) >= 4
    assert not re.search("\x07|\u202e|\x1b[^\\[]|\x1b\\[2J", drawn.getvalue())
    assert drawn.getvalue().endswith(SHOWN + "\n")
