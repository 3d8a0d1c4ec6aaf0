"""`greenpose measure ARTEFACT`: which run it finds, what it refuses, what it prints, and the command itself."""

import io
import json
import re
from inspect import unwrap
from pathlib import Path
from shutil import copytree

import pytest
import yaml
from rich.console import Console

from greenpose.artefact import read_artefact
from greenpose.cli.artefact_costs import arithmetic_note, print_turns, run_beside, split_sources
from greenpose.cli.measure import measure
from greenpose.errors import ConfigError
from greenpose.run import peak_memory
from tests.artefact_costs import cost, turns
from tests.cli.running import COMMAND, greenpose
from tests.export.exporting import exported
from tests.report.records import record
from tests.run.measuring import EXPERIMENT
from tests.run.test_measure_artefacts import small_run
from tests.store.test_artefact_costs import TORCH

BRIEF = ("--set", "measure.min_window_seconds=0.01", "--set", "measure.max_blocks=2", "--max-seconds", 1, "--batch", 2)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A run with an artefact inside, and a copy of the artefact elsewhere."""
    folder = tmp_path_factory.mktemp("measured")
    run = small_run(folder / "tiny-00c0ffee")
    exported(run, "pt2", output=run.path / "exported")
    copytree(run.path / "exported", folder / "alone")
    return folder


def printed(found, kept=Path("runs/tiny/artefacts.json"), width=100):
    console = Console(width=width, file=io.StringIO(), highlight=False)
    print_turns(found, kept, console)
    return console.file.getvalue().replace("\u00a0", " ")


def rows(text, head):
    """The cells of every row that begins so: files that do not fit beside one another follow below."""
    lines = [line.removeprefix(head) for line in text.splitlines() if line.startswith(head)]
    return "".join(lines).split()


def with_known_memory(words):
    """Be the command line where nobody asks a process of its own, which loads torch, for what each file holds."""
    peak_memory.of_exit = peak_memory.of_artefact = lambda *_, **__: 10**8
    return COMMAND(words)


def test_the_command_measures_beside_the_run_around_the_artefact_and_keeps_what_it_found(workplace):
    done = greenpose("measure", "tiny-00c0ffee/exported", *BRIEF, "--json", cwd=workplace, act=with_known_memory)
    assert done.code == 0, done.err
    assert done.json["kept"] == "tiny-00c0ffee/artefacts.json"
    kept = json.loads((workplace / "tiny-00c0ffee/artefacts.json").read_text())
    assert kept["measurements"] == [done.json["turns"]]
    assert [each["file"] for each in kept["measurements"][0]["costs"]][2:] == ["exit2.pt2"]
    assert kept["measurements"][0]["process"]["pinned"]
    assert {each["memory_bytes"] for each in kept["measurements"][0]["costs"]} == {10**8}


def test_the_run_is_found_around_the_artefact_by_its_hash_only(workplace):
    inside, alone = (read_artefact(workplace / place) for place in ("tiny-00c0ffee/exported", "alone"))
    assert run_beside(inside).resolve() == workplace / "tiny-00c0ffee"
    assert run_beside(alone) is None
    foreign = inside[0].card.model_copy(update={"config_hash": "another"})
    assert run_beside([type(inside[0])(folder=inside[0].folder, card=foreign, file=inside[0].file)]) is None


def test_artefacts_are_told_from_the_run_whatever_their_order(workplace):
    inside, alone, run = (
        workplace / "tiny-00c0ffee/exported",
        workplace / "alone/exit2.pt2",
        workplace / "tiny-00c0ffee",
    )
    assert split_sources([inside, run, alone]) == ([inside, alone], run)
    assert split_sources([run]) == ([], run)
    assert split_sources([]) == ([], None)
    with pytest.raises(ConfigError, match="one run or experiment, and artefacts of it; an artefact is a folder with"):
        split_sources([run, workplace / "other"])


def test_options_that_say_nothing_to_an_artefact_are_refused(workplace):
    with pytest.raises(ConfigError, match="--exit and --device: an artefact is one exit, on the CPU"):
        unwrap(measure)([workplace / "alone"], exits=[2], device="cuda")


def test_an_experiment_is_no_run_to_hold_an_artefact_against(workplace):
    (workplace / "tiny.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    with pytest.raises(ConfigError, match="give the folder of a finished run"):
        unwrap(measure)([workplace / "alone", workplace / "tiny.yaml"])


@pytest.mark.parametrize("width", [80, 100, 200])
def test_every_file_has_every_number_and_nothing_is_wider_than_the_terminal(width):
    found = turns(
        [*TORCH, cost("onnx", "int8", share=0.16), cost("openvino", share=0.45)], record("tiny", exits=(3, 4))
    )
    text = printed(found, width=width)
    assert max(map(len, text.splitlines())) <= width
    shares = [float(each) for each in rows(text, "Gross energy, % of torch, exit 4")[::2]]
    assert shares == [60, 100, 16, 45]
    assert [float(word) for word in rows(text, "Gross energy, mJ/image") if word[0].isdigit()] == shares
    assert rows(text, "File, MB") == ["4.00"] * 4
    assert rows(text, "Memory of its process, MB") == ["200"] * 4
    assert "exit3-int8.onnx" in text
    assert re.search("^kept +runs/tiny/artefacts.json", text, re.MULTILINE)


def test_without_a_run_nothing_is_kept_and_no_share_is_shown():
    text = printed(turns([cost("onnx")], record("tiny", exits=(3, 4))), kept=None)
    assert re.search("^kept +nowhere: no run was named", text, re.MULTILINE)
    assert "% of" not in text


def test_another_arithmetic_than_was_asked_for_is_called_attention_to():
    assert not arithmetic_note(cost("onnx", "int8")).style
    note = arithmetic_note(cost("openvino", "bf16", arithmetic="float32"))
    assert note.style == "yellow"
    assert note.says.startswith("bf16 was asked for; openvino 2026.4.1 computes in float32")
