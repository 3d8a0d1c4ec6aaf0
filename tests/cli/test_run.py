"""Under torchrun the first process does the work, for as many as there are."""

import json
import os
import subprocess
import sys

import pytest

from greenpose.cli.run import is_spare, replicas
from greenpose.errors import GreenPoseError
from greenpose.metering import read_windows
from greenpose.store import collect
from tests.cli.running import greenpose
from tests.run.tiny import write_grid


def started(rank, size, here=None):
    """The variables that torchrun gives a process."""
    return {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(here or size)}


def test_how_many_processes_it_starts_is_how_many_train_together():
    assert replicas(started(0, 4)) == ["process.replicas=4"]
    assert replicas(started(0, 1)) == replicas({}) == []


def test_only_the_first_process_works():
    assert [is_spare(started(rank, 3)) for rank in range(3)] == [False, True, True]
    assert not is_spare({})


def test_several_machines_are_refused():
    with pytest.raises(GreenPoseError, match="4 processes on several machines"):
        replicas(started(0, 4, here=2))


def test_a_spare_process_says_and_leaves_nothing(tmp_path):
    done = greenpose("run", "--grid", "nowhere.yaml", "--json", cwd=tmp_path, **started(1, 2))
    assert (done.code, done.out) == (0, "")
    assert not (tmp_path / "runs").exists()


def test_more_processes_than_images_of_a_batch_are_refused_before_anything_is_trained(tmp_path):
    write_grid(tmp_path)
    done = greenpose("run", "--grid", "tiny.yaml", "--json", cwd=tmp_path, **started(0, 5))
    assert done.code == 2
    assert "a batch of 4 has no image for each of 5 processes" in done.json["error"][0]


@pytest.mark.slow
def test_two_processes_leave_one_record_of_what_both_cost(tmp_path):
    write_grid(tmp_path)
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "greenpose", "run"]
    options = ["--grid", "tiny.yaml", "--only", "HRNet3-OKD-DS", "--json", "--no-report"]
    done = subprocess.run(
        [sys.executable, *command, *options],
        cwd=tmp_path,
        env=os.environ | {"GREENPOSE_CACHE": str(tmp_path / "cache"), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert [run["state"] for run in json.loads(done.stdout)["runs"]] == ["done"]
    [record] = collect([tmp_path / "runs"])
    assert record.config["process"]["replicas"] == 2
    assert record.epochs == 2
    windows = read_windows(next((tmp_path / "runs").glob("*/*/windows.jsonl")))
    assert [w.items for w in windows if w.name.startswith("train/epoch") and w.parent is None] == [12, 12]
