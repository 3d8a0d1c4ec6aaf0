"""A damaged folder is one line; the others of its grid go on."""

from collections.abc import Callable

import pytest
import yaml

from greenpose.config import Grid, expand
from greenpose.errors import ConfigError
from greenpose.grid import plan
from greenpose.store import RunFolder, State
from tests.cli.running import greenpose
from tests.run.tiny import TINY, write_grid, written


def cells():
    return expand(Grid.model_validate(yaml.safe_load(TINY)), where="tiny")


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "no UTF-8": lambda text: b"\xff\xfe" + text,
    "cut": lambda text: text[: len(text) // 2] + b": [",
    "empty": lambda _: b"",
    "list": lambda _: b"- 1\n",
    "of another version": lambda text: text.replace(b"padding:", b"margin:"),
    "without its experiment": lambda _: b"name: x\nconfig_hash: y\n",
    "nested": lambda _: b"experiment: " + b"[" * 500,
    "holds itself": lambda _: b"experiment: &a {x: *a}\n",
    "digits": lambda _: b"experiment: " + b"7" * 5000,
    "axes are a list": lambda text: text.replace(b"axes: {}", b"axes: [1]"),
    "no carbon": lambda text: text.replace(b"carbon:", b"wiring:", 1),
    "training taken over, as text": lambda text: text + b"trained_in: HRNet2\n",
    "training taken over, cut": lambda text: text + b"trained_in: {run: HRNet2-1, epochs: 2}\n",
    "training taken over from anywhere": lambda text: (
        text + b"trained_in: {run: ../x, epochs: 2, stopped: epochs, best: {2: 1}}\n"
    ),
    "half a character": lambda text: text.replace(b"ITA", b'"\\ud800"'),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=list(DAMAGE))
def test_a_damaged_configuration_is_told_with_its_file_and_the_plan_goes_on(tmp_path, damage):
    first, second = cells()
    folder = RunFolder(tmp_path / first.name)
    folder.path.mkdir()
    assert plan([first], tmp_path)[0].damage is None
    folder.config.write_bytes(yaml.safe_dump(written(first)).encode())
    assert plan([first], tmp_path)[0].damage is None
    folder.config.write_bytes(damage(yaml.safe_dump(written(first)).encode()))
    planned = plan([first, second], tmp_path)
    assert [one.state for one in planned] == [State.TODO, State.TODO]
    assert planned[0].damage.startswith(f"{folder.config}: ")
    assert planned[1].damage is None
    with pytest.raises(ConfigError) as caught:
        folder.experiment()
    assert caught.value.faults[0] == planned[0].damage


def test_commands_name_it_and_end_with_two(tmp_path):
    write_grid(tmp_path)
    first, second = cells()
    for cell in (first, second):
        (tmp_path / "runs" / cell.name).mkdir(parents=True)
    (tmp_path / "runs" / first.name / "config.yaml").write_bytes(b"\xff")
    (tmp_path / "runs" / first.name / "record.json").write_text("{}")
    done = greenpose("run", "tiny.yaml", "--out", "runs", "--dry-run", "--only", "HRNet3*", cwd=tmp_path)
    assert done.code == 0, done.err
    done = greenpose("measure", f"runs/{first.name}", cwd=tmp_path)
    assert done.code == 2
    assert done.err == f"error: runs/{first.name}/config.yaml: is not UTF-8 text (byte 0); save it as UTF-8\n"
    (tmp_path / "runs" / first.name / "record.json").unlink()
    done = greenpose("worker", f"runs/{first.name}", cwd=tmp_path)
    assert done.code == 2
    assert f"runs/{first.name}/config.yaml: is not UTF-8 text" in done.err
    assert "Traceback" not in done.err


def test_of_a_finished_run_that_has_its_files_where_it_had_them_no_setting_is_read(tmp_path):
    first, _ = cells()
    folder = RunFolder(tmp_path / first.name)
    folder.path.mkdir()
    folder.record.write_text("{}")
    folder.config.write_text("[" * 500)
    (done,) = plan([first], tmp_path)
    assert (done.state, done.damage) == (State.DONE, None)
