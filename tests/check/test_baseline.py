import json

import pytest

from greenpose.check import Acceptance, Selection, accept, dumps, read_baseline
from greenpose.errors import CheckError
from tests.check.candidates import profiled

ACCEPTANCE = Acceptance(reason="first", at="2026-11-25T08:00:00+00:00", commit=None, version="0.1.0")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "b.json"
    path.write_text(dumps(accept(None, [profiled(3)], only=Selection(), acceptance=ACCEPTANCE)))
    return path


@pytest.fixture
def refused(file):
    """Return a function that edits the file and returns every fault that reading it names."""

    def read(edit) -> tuple[str, ...]:
        document = json.loads(file.read_text())
        edit(document)
        file.write_text(json.dumps(document, indent=1, sort_keys=True))
        with pytest.raises(CheckError) as error:
            read_baseline(file)
        return error.value.faults

    return read


def test_every_value_knows_its_line(file):
    lines = file.read_text().splitlines()
    filed = read_baseline(file)
    for key, value in filed.baseline.values.items():
        assert f'"{key}": {value}' in lines[filed.lines[key] - 1]


def test_a_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(CheckError, match=r"no such file; make one: .*--update --reason"):
        read_baseline(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a baseline"),
        ("[]", "schema is None"),
        ('{"schema": "greenpose.baseline/9"}', "schema is 'greenpose.baseline/9'; this version reads"),
        ('{"a": 1, "a": 2}', "'a' is given twice"),
        ("{\n<<<<<<< HEAD\n}", "merge conflict"),
        ("\x00\xff", "not a baseline"),
        ("[" * 50_000, "nested too deeply"),
        ("\n" + "9" * 5000, "line 2: .*value has 5000 digits$"),
        ('{"schema": "\\ud800"}', "half of a character"),
    ],
)
def test_a_damaged_file_is_refused_in_words(file, text, says):
    file.write_text(text)
    with pytest.raises(CheckError, match=says):
        read_baseline(file)


def test_bytes_that_are_no_text_are_refused_in_words(file):
    file.write_bytes(b"\xff\xfe{}")
    with pytest.raises(CheckError, match="cannot be read"):
        read_baseline(file)


def test_all_faults_of_a_layout_come_together(refused, file):
    def edit(document):
        document["reasn"] = document.pop("reason")
        document["margins"]["ap"] = -1
        document["values"]["exit3.macs"] = "many"
        document["experiments"]["HRNet4"]["inptu"] = "64x64"

    faults = "\n".join(refused(edit))
    for fault in (
        "reasn: unknown key; did you mean reason?",
        "reason: is missing",
        "margins.ap",
        "values.exit3.macs: is not a number (got 'many')",
        "inptu: unknown key; did you mean input?",
    ):
        assert fault in faults
    assert faults.count("values.exit3.macs") == 1
    line = 1 + ['"exit3.macs"' in line for line in file.read_text().splitlines()].index(True)
    assert f"{file}:{line}: values.exit3.macs" in faults


def test_all_values_that_mean_nothing_are_named_at_their_lines(refused, file):
    def edit(document):
        document["values"] |= {
            "exit3.mac": 1,
            "exit9.macs": 1,
            "exit3.operations": 1,
            "exit3.params.more": 1,
            "b/exit3.params": 1,
            "exit3.ap": 1.2,
            "exit3.macs": -1,
            "macs": 1,
        }

    faults = refused(edit)
    assert len(faults) == 7
    for key, says in {
        "exit3.mac": "did you mean macs",
        "exit3.operations": "exit3.operations.OPERATOR",
        "exit3.params.more": "no further part",
        "b/exit3.params": "no experiment b above",
        "exit3.ap": "1.2 is out of range",
        "exit3.macs": "-1 is out of range",
        "macs": "write exit3.macs",
    }.items():
        (fault,) = (one for one in faults if f"values.{key}:" in one)
        assert says in fault
        number = int(fault.removeprefix(f"{file}:").split(":")[0])
        assert f'"{key}"' in file.read_text().splitlines()[number - 1]


def test_with_one_experiment_its_name_is_left_out_and_with_several_it_is_needed(refused):
    (fault,) = refused(lambda document: document["values"].update({"HRNet4/exit3.macs": 1}))
    assert "leave the experiment out" in fault

    def edit(document):
        document["experiments"]["b"] = document["experiments"]["HRNet4"]
        document["values"] = {"exit3.macs": 1, "b/exit3.macs": 1}

    (fault,) = refused(edit)
    assert "begin with the experiment, e.g. HRNet4/" in fault


def test_true_is_no_number(refused):
    assert refused(lambda document: document["values"].update({"exit3.macs": True}))
