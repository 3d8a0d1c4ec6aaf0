import inspect
import json
import os
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
import typer

from greenpose.cli.app import app
from tests.cli.running import greenpose
from tests.run.tiny import write_grid

HEAVY = ("torch", "pandas", "matplotlib", "codecarbon", "thop", "ptflops")
NAMES = (
    "init",
    "run",
    "status",
    "estimate",
    "report",
    "profile",
    "measure",
    "retest",
    "policy",
    "export",
    "predict",
    "check",
    "meter",
    "doctor",
    "data",
)
ALONE = tuple([name] for name in NAMES)
COMMANDS = (*ALONE, ["data", "prepare"], ["data", "synth"], ["data", "check"])


@pytest.fixture(scope="module")
def helped():
    """What every command's help says, by its words, and what that loaded, in one process."""
    code = (
        "import contextlib, io, json, sys\n"
        "from greenpose.cli.app import app\n"
        "said = {}\n"
        f"for words in {[*COMMANDS, ['worker'], []]!r}:\n"
        "    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as text:\n"
        "        app([*words, '--help'])\n"
        "    said[' '.join(words)] = ' '.join(text.getvalue().split())\n"
        "print(json.dumps([said, list(sys.modules)]))\n"
    )
    env = {**os.environ, "COLUMNS": "400", "NO_COLOR": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    return json.loads(done.stdout)


def test_help_of_every_command_imports_nothing_heavy(helped):
    said, loaded = helped
    assert all("Usage" in text for text in said.values())
    assert not {*HEAVY} & {*loaded}


def test_help_keeps_its_brackets_and_has_no_stray_blanks_where_others_were(helped):
    commands = typer.main.get_command(app).commands
    commands |= {f"data {name}": command for name, command in commands["data"].commands.items()}
    for name, command in commands.items():
        said = helped[0][name]
        assert not re.search(r" ;| \.(?!\.\.)", said), name
        written = [
            inspect.cleandoc(command.help or ""),
            *(getattr(each, "help", None) or "" for each in command.params),
        ]
        for bracket in re.findall(r"\[[^\[\]]*\]", " ".join(written)):
            assert bracket.replace("\\", "") in said, (name, bracket)


def ended(*flags: str, words: list[list[str]], cwd: Path) -> tuple[list[int], str, str]:
    """Give command lines to one process, one after the other; return each one's code, and all that they said."""
    code = (
        "import json, pathlib, sys\n"
        "from greenpose.cli.app import main\n"
        "codes = []\n"
        f"for sys.argv in {[['greenpose', *line] for line in words]!r}:\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as end:\n"
        "        codes.append(end.code)\n"
        "pathlib.Path('codes').write_text(json.dumps(codes))\n"
    )
    done = subprocess.run([sys.executable, *flags, "-c", code], cwd=cwd, capture_output=True, text=True, check=True)
    return json.loads((cwd / "codes").read_text()), done.stdout, done.stderr


def test_help_is_whole_without_docstrings(tmp_path):
    words = [[*command, "--help"] for command in ([], ["run"], ["data", "check"])]
    whole, least = (ended(*flags, words=words, cwd=tmp_path) for flags in ([], ["-OO"]))
    assert whole == least
    assert whole[1].count("Usage") == len(words)


@pytest.mark.parametrize("words", [[], ["run"], ["data", "check"]])
def test_help_is_also_asked_for_by_a_letter(tmp_path, words):
    short, long = (greenpose(*words, option, cwd=tmp_path) for option in ("-h", "--help"))
    assert (short.code, short.out) == (0, long.out)


def test_help_lists_what_works_and_nothing_else(tmp_path):
    lines = greenpose("--help", cwd=tmp_path).out.splitlines()
    listed = [words[1] for line in lines if len(words := line.split()) > 2 and words[0] == "│" and line[2] != " "]
    assert [[name] for name in listed if not name.startswith("-")] == list(ALONE)
    assert "Exit codes" in " ".join(lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu"], "Did you mean 'run'"),
        (["run", "--sed", "1"], "--sed"),
        (["run", "missing.yaml"], "missing.yaml: no such file"),
        (["report", "nowhere", "-o", "x.html"], "nowhere"),
        (["run", "--country", "Italy", "--dry-run"], "did you mean ITA"),
        (["run", "--country", "Itly"], "did you mean ITA (Italy)"),
        (["run", "--set", "train.epoch=3", "--dry-run"], "did you mean epochs?"),
        (["run", "--set", "data.profile=babypos", "--dry-run"], "babypose"),
        (["run", "--only", "HRNet5", "--dry-run"], "matches no run"),
        (["run", "--set", "model.weights=none.pth", "--dry-run"], "none.pth: no such file"),
        (["measure", "nowhere"], "nowhere: no such folder"),
        (["data", "check", "nowhere"], "nowhere"),
        (["data", "synth", "x", "--patients", "0", "1", "1"], "patients.train"),
        (["run", "--set", "data.profile=coco", "--dry-run"], "use babypose"),
        (["run", "--set", "data.input_size=[64, 48]", "--dry-run"], "nearest: [64, 64]"),
    ],
)
def test_a_mistake_ends_in_words_and_code_two(tmp_path, arguments, message):
    done = greenpose(*arguments, cwd=tmp_path)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert done.out == ""
    assert not (tmp_path / "runs").exists()


def test_a_country_takes_the_place_of_a_files_own_hourly_grid(tmp_path):
    (tmp_path / "own.yaml").write_text("carbon: {hourly: grid.csv, label: roof}\n")
    assert greenpose("run", "own.yaml", "--dry-run", cwd=tmp_path).code == 2
    assert greenpose("run", "own.yaml", "--country", "ITA", "--dry-run", cwd=tmp_path).code == 0


def test_a_skeleton_without_partners_is_refused_where_images_are_to_be_mirrored(tmp_path):
    babypose = (files("greenpose") / "data/profiles/babypose.yaml").read_text()
    (tmp_path / "own.yaml").write_text(re.sub(r"flip_pairs: .*\n", "", babypose))
    (tmp_path / "e.yaml").write_text("carbon: {country: ITA}\ndata: {profile: own.yaml}\ntrain: {recipe: green}\n")
    done = greenpose("run", "e.yaml", "--dry-run", cwd=tmp_path)
    assert done.code == 2
    assert "train.mirror: profile babypose: has no flip_pairs" in done.err
    assert greenpose("run", "e.yaml", "--set", "train.mirror=0", "--dry-run", cwd=tmp_path).code == 0


def test_augmentations_that_data_or_skeleton_do_not_bear_are_refused_together_and_so_are_ranges_and_names(tmp_path):
    babypose = (files("greenpose") / "data/profiles/babypose.yaml").read_text()
    (tmp_path / "own.yaml").write_text(re.sub(r"(flip_pairs|upper_body): .*\n", "", babypose))
    train = "{mirror: 0.5, augment: {half_body: 0.3, contrast: [0.8, 1.2]}}"
    (tmp_path / "e.yaml").write_text(
        f"carbon: {{country: ITA}}\ndata: {{profile: own.yaml}}\ntrain: {train}\ntest: {{flip: true}}\n"
    )
    done = greenpose("run", "e.yaml", "--dry-run", cwd=tmp_path)
    assert done.code == 2
    for fault in (
        "train.augment.half_body: profile babypose: has no upper_body",
        "train.augment: contrast: is for 8-bit images, and these are depth, seen from 350 to 900 mm",
        "train.mirror: profile babypose: has no flip_pairs",
        "test.flip: profile babypose: has no flip_pairs",
    ):
        assert fault in done.err
    settings = ["train.augment.rotations=9", "train.augment.scale=[2, 1]", "train.augment.shift=7"]
    done = greenpose("run", "e.yaml", "--dry-run", *(w for s in settings for w in ("--set", s)), cwd=tmp_path)
    assert done.code == 2
    for fault in ("rotations: unknown key; did you mean rotation?", "[2, 1] is the wrong way round; write [1, 2]"):
        assert fault in done.err
    assert "train.augment.shift: must be at most 1" in done.err
    good = (
        "--set",
        "train.mirror=0",
        "--set",
        "test.flip=false",
        "--set",
        "train.augment={half_body: 0, contrast: [1, 1], depth_noise_mm: 4}",
    )
    assert greenpose("run", "e.yaml", *good, "--dry-run", cwd=tmp_path).code == 0


def test_a_fault_found_beforehand_names_the_file_and_the_setting_or_the_option(tmp_path):
    (tmp_path / "e.yaml").write_text("carbon: {country: ITA}\nmodel: {weights: none.pth}\n")
    for words in (["run", "e.yaml", "--dry-run"], ["measure", "e.yaml", "--set", "carbon.country=Itly"]):
        done = greenpose(*words, cwd=tmp_path)
        assert done.code == 2
    assert "error: --set carbon.country: " in done.err
    done = greenpose("run", "e.yaml", "--dry-run", cwd=tmp_path)
    assert done.err.startswith("error: e.yaml: model.weights: none.pth: no such file")


def test_no_users_fault_rests_on_an_assertion(tmp_path):
    """Each of these mistakes ends in the same words with assertions and without."""
    (tmp_path / "e.yaml").write_text("carbon: {country: ITA}\nmodel: {exits: 3}\n")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "record.json").write_text("{}")
    words = [["run", "e.yaml"], ["report", "run"], ["measure", "run"], ["check", "run", "--baseline", "e.yaml"]]
    codes, _, err = ended("-O", words=words, cwd=tmp_path)
    assert codes == [2] * len(words), err
    assert err == "".join(greenpose(*line, cwd=tmp_path).err for line in words)
    assert err.count("error: ") == len(words)
    assert "Traceback" not in err


def test_with_json_a_mistake_is_a_document_too(tmp_path):
    done = greenpose("run", "missing.yaml", "--json", cwd=tmp_path)
    assert done.code == 2
    assert done.json == {"error": ["missing.yaml: no such file"]}
    assert greenpose("run", "missing.yaml", "--only=--json", cwd=tmp_path).out == ""


def test_every_command_takes_the_same_manners():
    commands = typer.main.get_command(app).commands
    for command in (*commands.values(), *commands["data"].commands.values()):
        options = [option for param in command.params for option in param.opts]
        assert command is commands["data"] or {"--json", "--quiet", "-q", "--verbose", "-v"} <= {*options}, command.name


def test_the_plan_of_the_packaged_grid_has_four_runs_to_do(tmp_path):
    done = greenpose("run", "--dry-run", "--json", cwd=tmp_path)
    assert [run["state"] for run in done.json["runs"]] == ["to do"] * 4
    names = {run["name"].rsplit("-", 1)[0] for run in done.json["runs"]}
    assert names == {"HRNet2", "HRNet3", "HRNet4", "HRNet4-OKD-DS"}


def test_doctor_is_strict_only_when_asked(tmp_path):
    relaxed = greenpose("doctor", "--json", cwd=tmp_path)
    assert relaxed.code == 0
    assert {"machine", "measured", "findings"} <= relaxed.json.keys()
    strict = greenpose("doctor", "--strict", "--json", cwd=tmp_path)
    assert strict.code == (0 if strict.json["measured"] else 1)


def test_synthetic_data_can_be_written_checked_and_refused_twice(tmp_path):
    written = greenpose("data", "synth", "infants", "--patients", 2, 1, 1, "--frames", 2, 1, 1, "--json", cwd=tmp_path)
    assert written.code == 0
    checked = greenpose("data", "check", "infants", "--profile", "babypose", "--json", cwd=tmp_path)
    assert checked.code == 0
    assert {name: split["images"] for name, split in checked.json["splits"].items()} == {
        "train": 4,
        "val": 1,
        "test": 1,
    }
    again = greenpose("data", "synth", "infants", cwd=tmp_path)
    assert again.code == 2
    assert "in use" in again.err


def test_a_weight_by_hand_on_another_size_is_warned_of_once_for_all_seeds(tmp_path):
    write_grid(tmp_path)
    plan = ("run", "--grid", "tiny.yaml", "--dry-run", "--seed", 1, "--seed", 2)
    assert "kd_weight" not in greenpose(*plan, cwd=tmp_path).err
    done = greenpose(*plan, "--set", "loss.kd_weight=2000", cwd=tmp_path)
    assert done.code == 0
    assert done.err.count("note: loss.kd_weight is 2000 on heatmaps of 8x8, where 41.7") == 1
    assert done.err.count("note:") == 1


LATE = """
import atexit, os, signal, sys
from greenpose.cli.app import main
sys.argv = ["greenpose", "--version"]
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if not os.fork():
        atexit.register(os.kill, os.getpid(), number)
        main()
    print(number.name, os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


def test_a_signal_when_all_is_said_shows_no_traceback_and_changes_no_code():
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1::2] == ["SIGINT 0", "SIGTERM 0", "SIGHUP 0"]
    assert done.stdout.count("greenpose ") == 3
    assert done.stderr == ""


DEAF = """
import os, signal, sys, time
import greenpose.cli.app as command_line

class Destructor:
    def __del__(self):
        os.kill(os.getpid(), number)
        time.sleep(1)

def work():
    Destructor()
    time.sleep(20)
    sys.stdout.write("worked on")

command_line.app = work
for number in (signal.SIGINT, signal.SIGTERM):
    if not os.fork():
        try:
            command_line.main()
        except KeyboardInterrupt:
            os.write(1, b"heard ")
        os._exit(0)
    os.wait()
"""


def test_a_signal_at_which_a_destructor_runs_is_heard_after_it():
    done = subprocess.run([sys.executable, "-c", DEAF], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("heard heard ", "")
