"""What people write, and what they are told when it cannot be meant."""

import contextlib
import string
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from greenpose.config import expand, load_experiment, load_grid
from greenpose.config.yaml_files import MOST_OPENED, experiment_file, parse_yaml, read_yaml
from greenpose.errors import ConfigError

TRUE = "YAML reads yes, on and true as the truth value true"
FALSE = "YAML reads no, off and false as the truth value false"
UNREADABLE = "that can be read; put it in quotes if it is text"
PLACE = "carbon: {country: ITA}\n"


def refused(tmp_path, text, *, name="e.yaml", load=load_experiment, settings=()):
    """Return every fault of a file."""
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        expand(load(file, settings=settings), where=str(file))
    return [fault.replace(f"{tmp_path}/", "") for fault in caught.value.faults]


def nested(levels):
    return "name: " + "[" * levels + "]" * levels + "\n"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("model: {exits: 3}\n", "model.exits: must be a list; write [3]"),
        ("process: {device: gpu}\n", "process.device: 'gpu' is no device; write cpu, cuda or cuda:N"),
        ("model: {width: wide}\n", "model.width: must be a whole number (got 'wide')"),
        ("train: {batch: 1.5}\n", "train.batch: must be a whole number (got 1.5)"),
        ("train: {lr: fast}\n", "train.lr: must be a number (got 'fast')"),
        ("train: {lr: .inf}\n", "train.lr: must be a finite number (got inf)"),
        ("train: {epochs: 0}\n", "train.epochs: must be at least 1 (got 0)"),
        ("train: {warmup: 1}\n", "train.warmup: must be below 1 (got 1)"),
        ("train: {schedule: step}\n", "train.schedule: must be 'steps' or 'one-cycle' (got 'step')"),
        ("loss: {detach_teacher: maybe}\n", "loss.detach_teacher: must be true or false (got 'maybe')"),
        ("train: fast\n", "train: is 'fast'; it takes keys and values, or {} for none"),
        ("train:\n", "train: holds nothing; it takes keys and values, or {} for none"),
        ("model: {modules: [1, 2]}\n", "model.modules: [1, 2] is not one count for each of stages 2, 3 and 4, such as "
         "[1, 4, 3]"),
        ("learning_rate: 1\n", "learning_rate: unknown key; did you mean train.lr?"),
        ("train: {learning_rate: 1}\n", "train.learning_rate: unknown key; did you mean lr?"),
        ("epochs: 5\n", "epochs: unknown key; did you mean train.epochs?"),
        ("train: {width: 5}\n", "train.width: unknown key; did you mean model.width?"),
        ("train: {mirror: on}\n", f"train.mirror: must be a number; {TRUE}"),
        ("train: {epochs: yes}\n", f"train.epochs: must be a number; {TRUE}"),
        ("model: {exits: [yes]}\n", f"model.exits[0]: must be a number; {TRUE}"),
        ("name: off\n", f'name: must be text; {FALSE}: put it in quotes, e.g. "no"'),
        ("name: 2024\n", 'name: must be text; 2024 is a number: put it in quotes, e.g. "2024"'),
        ("name: my run\n", "name: 'my run' cannot name a folder: take letters, digits, . _ + and -, a letter or digit "
         "first, e.g. my_run"),
        ("train: {recipe: green}\nmodel: {exits: 3}\n", "model.exits: must be a list; write [3]"),
    ],
)  # fmt: skip
def test_a_fault_is_told_in_the_words_of_who_wrote_it(tmp_path, text, fault):
    assert refused(tmp_path, PLACE + text) == [f"e.yaml: {fault}"]


def test_norway_is_no_truth_value(tmp_path):
    said = 'carbon.country: YAML reads NO, no and off as the truth value false; Norway is "NOR" (ISO 3166 alpha-3)'
    assert refused(tmp_path, "carbon: {country: NO}\n") == [f"e.yaml: {said}"]


@pytest.mark.parametrize("word", ["yes", "no", "on", "Off", "true", "~"])
def test_an_experiment_called_by_a_word_of_yamls_is_explained(tmp_path, word):
    text = f"name: g\nbase: {{{PLACE.strip()}}}\nexperiments:\n  {word}: {{}}\n"
    (fault,) = refused(tmp_path, text, load=load_grid)
    what = "nothing" if word == "~" else "a truth value"
    assert fault == (
        f"e.yaml: not valid YAML: line 4, column 3: YAML reads the key {word} as {what}; put it in quotes: {word!r}"
    )


def test_a_file_whose_name_cannot_be_a_folders_is_told_what_to_write(tmp_path):
    (fault,) = refused(tmp_path, PLACE, name="my first run.yaml")
    assert fault.endswith("letter or digit first, e.g. my_first_run")
    assert "^[A-Z" not in fault


def test_a_fault_of_an_option_names_the_option(tmp_path):
    assert refused(tmp_path, PLACE, settings=["epochs=5"]) == ["--set epochs: unknown key; did you mean train.epochs?"]
    assert refused(tmp_path, PLACE, settings=["train.epochs=yes"]) == [f"--set train.epochs: must be a number; {TRUE}"]
    assert refused(tmp_path, PLACE, settings=["train.epochs=[", "model.width="]) == [
        "--set train.epochs: not valid YAML: line 1, column 2: while parsing a flow node expected the node content, "
        "but found '<stream end>'"
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "is empty; it takes keys and values, e.g. train: {epochs: 5}"),
        ("# only a comment\n", "is empty; it takes keys and values, e.g. train: {epochs: 5}"),
        ("- 1\n", "holds a list, not keys and values, e.g. train: {epochs: 5}"),
        ("7\n", "holds 7, not keys and values, e.g. train: {epochs: 5}"),
        (b"name: \xff\n", "is not UTF-8 text (byte 6); save it as UTF-8"),
        (nested(500), "is nested deeper than 50 levels"),
        (nested(60), "is nested deeper than 50 levels, or holds itself by an alias"),
        ("name: &a [*a]\n", "is nested deeper than 50 levels, or holds itself by an alias"),
        ("train: &a\n  x: *a\n", "is nested deeper than 50 levels, or holds itself by an alias"),
        ('name: "\\ud800"\n', "'\\ud800' holds a character that no text, path or name can have"),
        ('data: {root: "a\\0"}\n', "'a\\x00' holds a character that no text, path or name can have"),
        ("seed: " + "9" * 5000 + "\n",
         f"not valid YAML: line 1, column 7: {'9' * 40}... (5000 characters) is no int {UNREADABLE}"),
        ("name: 2024-13-45\n",
         f"not valid YAML: line 1, column 7: 2024-13-45 is no timestamp {UNREADABLE}"),
        ("name: !!timestamp x\n",
         f"not valid YAML: line 1, column 7: x is no timestamp {UNREADABLE}"),
        ("name: !!python/name:os.system x\n",
         "not valid YAML: line 1, column 7: could not determine a constructor for the tag "
         "'tag:yaml.org,2002:python/name:os.system'"),
        ("seed: 1\nseed: 2\n", "not valid YAML: line 2, column 1: key 'seed' is given twice"),
    ],
)  # fmt: skip
def test_a_file_that_nobody_meant_is_refused_with_its_place(tmp_path, text, fault):
    assert refused(tmp_path, text) == [f"e.yaml: {fault}"]


def test_aliases_that_multiply_are_refused_soon(tmp_path):
    lines = ["a0: &a0 [1, 1]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    assert refused(tmp_path, "\n".join(lines)) == [
        "e.yaml: holds more than 100,000 values, those that aliases repeat included"
    ]


def test_a_file_larger_than_any_settings_is_refused_unread(tmp_path):
    assert refused(tmp_path, "# " + "x" * 1_000_001) == [
        "e.yaml: is larger than 1,000,000 bytes, and no file of settings"
    ]


def test_a_folder_is_told_apart_and_its_files_named(tmp_path):
    (tmp_path / "e.yaml").write_text(PLACE)
    with pytest.raises(ConfigError) as caught:
        read_yaml(tmp_path)
    assert str(caught.value) == f"{tmp_path}: is a folder; give a file in it: e.yaml"


def test_a_byte_order_mark_is_taken(tmp_path):
    file = tmp_path / "e.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + PLACE.encode())
    (cell,) = expand(load_experiment(file), where="e")
    assert cell.config.carbon.country == "ITA"


def test_a_packaged_experiment_goes_by_its_name_and_a_file_of_ones_own_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_grid(experiment_file(tmp_path.__class__("quick"))).name == "quick"
    with pytest.raises(ConfigError, match=r"qick: no such file; of those that ship, did you mean quick\?"):
        read_yaml(experiment_file(tmp_path.__class__("qick")))
    (tmp_path / "quick").write_text(PLACE)
    assert experiment_file(tmp_path.__class__("quick")).read_text() == PLACE


def test_the_home_folder_is_written_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / "e.yaml"
    settings = "data: {source: coco, root: ~/set}\nmodel: {weights: ~/w.pth}\ncarbon: {hourly: ~/grid.csv}\n"
    file.write_text(settings)
    (cell,) = expand(load_experiment(file), where="e")
    config = cell.config
    assert [config.data.root, config.model.weights, config.carbon.hourly] == [
        f"{tmp_path}/{name}" for name in ("set", "w.pth", "grid.csv")
    ]
    (fault,) = refused(tmp_path, PLACE + "model: {weights: ~nobody-of-that-name/w.pth}\n")
    assert fault.endswith("this machine knows no such home folder; write the whole path")


@given(st.text(alphabet=string.printable + "é\ufeff\u2028\U0001f40c", max_size=80))
def test_whatever_text_is_read_or_refused_in_words(text):
    with contextlib.suppress(ConfigError):
        parse_yaml(text, where="e.yaml")


@pytest.mark.parametrize(
    "file", sorted(Path(__file__).parents[2].glob("experiments/*.yaml")), ids=lambda file: file.name
)
def test_yaml_says_the_same_to_both_loaders(file):
    text = file.read_text()
    assert parse_yaml(text, where="x") == yaml.safe_load(text)
    assert parse_yaml(f"{text}\n#{'[' * MOST_OPENED}\n", where="x") == yaml.safe_load(text)


@pytest.mark.parametrize("opens", ["[", "{a: ", "- ", "? "])
def test_text_so_deep_that_libyaml_would_crash_is_a_fault_as_any_other(opens):
    with pytest.raises(ConfigError, match="deeper than 50 levels"):
        parse_yaml(opens * 300_000, where="x")
