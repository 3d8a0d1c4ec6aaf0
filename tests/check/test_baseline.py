""""""

import json

import pytest

from greenpose.check import Selection, accept, dumps, read_baseline
from greenpose.errors import CheckError
from tests.check.candidates import profiled

ACCEPTANCE = {"reason": "first", "at": "2026-11-25T08:00:00+00:00", "commit": None, "version": "0.1.0"}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "b.json"
    path.write_text(dumps(accept(None, [profiled(3)], only=Selection(), **ACCEPTANCE)))
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


def test_the_mark_of_a_byte_order_is_passed_over(file):
    before = read_baseline(file)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert read_baseline(file) == before


def test_values_of_a_file_on_one_line_and_of_one_with_several_on_a_line_have_their_line(file):
    document = json.loads(file.read_text())
    document["experiments"] = {"exit3.macs": document["experiments"]["HRNet4"]}  # a name like a value's
    file.write_text(json.dumps(document))
    assert read_baseline(file).lines == dict.fromkeys(document["values"], 1)
    file.write_text(json.dumps(document).replace('"values": {', '"values":\n\n {'))
    assert read_baseline(file).lines == dict.fromkeys(document["values"], 3)


@pytest.mark.parametrize("value", [1e308, 2**53 + 1, pytest.param(10**400, id="400 digits"), 3.5, -1, 5e-324])
@pytest.mark.parametrize("key", ["exit3.macs", "exit3.operations.convolution"])
def test_a_count_that_no_network_has_is_refused(refused, key, value):
    (fault,) = refused(lambda document: document["values"].update({key: value}))
    assert "is out of range: a count is a whole number between 0 and 9007199254740992" in fault


def test_a_whole_number_with_a_point_is_a_count(file):
    file.write_text(file.read_text().replace('"exit3.params": ', '"exit3.params": 1e6, "exit2.params": '))
    assert read_baseline(file).baseline.values["exit3.params"] == 1_000_000


def test_a_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(CheckError, match=r"no such file; make one: .*--update --reason"):
        read_baseline(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a baseline"),
        ("[]", "schema is None"),
        ('{"schema": "greenpose.baseline/9"}', "schema is 'greenpose.baseline/9'; this version reads"),
        ('{"a": 1, "a": 2}', r"line 1, column 10: a is given twice, first in line 1, column 2; keep one"),
        ('{"values": {"exit3.macs": 1,\n "exit3.macs": 2}}', r"line 2, column 2: values.exit3.macs is given twice"),
        ("{\n<<<<<<< HEAD\n}", "merge conflict"),
        ("\x00\xff", "not a baseline"),
        ("[" * 50_000, "nested too deeply"),
        ("\n" + "9" * 5000, "line 2, column 1: .*value has 5000 digits$"),
        ('{\n"schema": "\\ud83d\\ude00\\ud800"}', "line 2, column 24: half of a character"),
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
        document["margins"][""] = document["schem"] = 0
        document["values"]["exit3.macs"] = "many"
        document["experiments"]["HRNet4"]["inptu"] = "64x64"

    faults = "\n".join(refused(edit))
    for fault in (
        "reasn: unknown key; did you mean reason?",
        "reason: is missing",
        "margins.ap",
        "margins.'': unknown key",
        "schem: unknown key; did you mean schema?",
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


NAMES = ["HRNet4/exit3.macs", "HRNet4/exit4.macs", "b/exit3.macs", "b/exit3.operations.add", "exit2/final.latency_s"]


def selected(*patterns):
    return [name for name in NAMES if name in Selection(patterns)]


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        ((), NAMES),
        (("exit3.macs",), ["HRNet4/exit3.macs", "b/exit3.macs"]),
        (("b/exit3.macs",), ["b/exit3.macs"]),
        (("b/*",), ["b/exit3.macs", "b/exit3.operations.add"]),
        (("exit3.operations",), ["b/exit3.operations.add"]),
        (("exit2/final",), ["exit2/final.latency_s"]),
        (("*.macs", "exit2/*"), ["HRNet4/exit3.macs", "HRNet4/exit4.macs", "b/exit3.macs", "exit2/final.latency_s"]),
        (("exit",), []),
        (("final.latency_s",), []),
        (("b",), ["b/exit3.macs", "b/exit3.operations.add"]),
        (("exit2",), []),
    ],
)
def test_a_pattern_means_a_name_with_or_without_its_experiment_or_what_it_belongs_to(patterns, names):
    assert selected(*patterns) == names


def test_what_selects_nothing_is_told_what_can_be_named():
    for known, words in (
        (["exit3.activation_bytes", "exit3.macs"], "name an exit or a quantity, as exit3 or exit3.activation_bytes"),
        (NAMES, "name an exit or a quantity, as exit3 or exit3.macs, or an experiment: HRNet4 and b"),
    ):
        with pytest.raises(CheckError) as error:
            Selection(("Unheard of",)).require(known)
        assert str(error.value) == f"--only Unheard of: matches no quantity here; {words}"
    with pytest.raises(CheckError, match=r"did you mean HRNet4"):
        Selection(("HRNet3",)).require(NAMES)


def test_patterns_that_select_nothing_are_refused_together():
    with pytest.raises(CheckError) as error:
        Selection(("exit3.macs", "exit3.mac", "exit5")).require(NAMES)
    assert [fault.split(":")[0] for fault in error.value.faults] == ["--only exit3.mac", "--only exit5"]
    Selection(("exit3.macs",)).require(NAMES)
