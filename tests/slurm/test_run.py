"""`greenpose run --launcher` on a real Slurm: a record from there is one from here but for what is measured."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.run.tiny import write_grid
from tests.slurm.test_array import REVOKED_SECONDS

pytestmark = pytest.mark.slurm
METERED = re.compile(
    r"seconds|_s([._]|$)|energy|co2eq|sci_g|watts|measurement|break_even|_at$|^(allocation|crosscheck|training_step)\b"
)
"""What no two runs on one machine have in common."""
RUN = (sys.executable, "-m", "greenpose", "run", "--grid", "tiny.yaml", "--no-report", "--out")


def started(*arguments, folder):
    environment = os.environ | {"GREENPOSE_CACHE": str(folder / "cache"), "NO_COLOR": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*RUN, *arguments], cwd=folder, env=environment, **pipes)


def records(folder):
    return {file.parent.name: json.loads(file.read_text()) for file in folder.glob("*/record.json")}


def leaves(value, path=()):
    """Every value of a document with its path; of lists the numbers of their entries count as keys."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if inner is None:
        return {path: value}
    return {at: leaf for key, each in inner for at, leaf in leaves(each, (*path, key)).items()}


def test_ctrl_c_leaves_the_jobs_at_work_and_the_same_command_comes_back_to_the_same_records_as_here(slurm, tmp_path):
    write_grid(tmp_path)
    there = ("there", "--launcher", "slurm", "--time", "10", "--partition", "tests")
    run = started(*there, folder=tmp_path)
    said = next(line for line in run.stderr if "submitted" in line)
    run.send_signal(signal.SIGINT)
    _, rest = run.communicate(timeout=60)
    number = said.split()[-1]
    assert run.returncode == 130
    assert f"note: the jobs go on: the same command comes back to them, `scancel {number}` ends them" in rest
    again = started(*there, folder=tmp_path)
    out, err = again.communicate(timeout=300)
    assert (again.returncode, out) == (0, ""), err
    assert f"note: 2 runs are under way already, in Slurm's jobs {number}" in err
    here = started("here", folder=tmp_path)
    _, err = here.communicate(timeout=300)
    assert here.returncode == 0, err
    ours, theirs = (records(tmp_path / name) for name in ("here", "there"))
    assert list(ours) == list(theirs)
    for name, record in ours.items():
        ours_of, theirs_of = leaves(record), leaves(theirs[name])
        differ = [path for path in ours_of | theirs_of if ours_of.get(path, path) != theirs_of.get(path, path)]
        assert [path for path in differ if not METERED.search(".".join(map(str, path)))] == []
        assert ("exits", 0, "ap") in ours_of


def test_jobs_of_a_grid_that_waits_for_clean_hours_begin_when_it_says(slurm, tmp_path):
    write_grid(tmp_path)
    begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    grams = {hour: 100 if hour in (4, 5) else 400 for hour in range(-24, 24)}
    lines = [f"{begin + timedelta(hours=hour):%Y-%m-%dT%H:%MZ},{value}" for hour, value in grams.items()]
    (tmp_path / "grid.csv").write_text("\n".join(["datetime,g_per_kwh", *lines]))
    cluster = ("--launcher", "slurm", "--time", "10", "--partition", "tests")
    clean = ("--intensity", "grid.csv", "--start-below", "200", "--takes", "1")
    run = started("there", *cluster, *clean, folder=tmp_path)
    said = [next(run.stderr) for _ in range(2)]
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=60)
    number = said[1].split()[-1]
    try:
        shown = ("scontrol", "show", "job", "--oneliner", number)
        told = subprocess.run(shown, check=True, capture_output=True, text=True).stdout
        (start,) = set(re.findall(r"StartTime=(\S+)", told))
        assert "JobState=PENDING" in told
        assert datetime.fromisoformat(start).astimezone(UTC) == begin + timedelta(hours=4)
        assert said[0].startswith(f"waits until {begin + timedelta(hours=4):%Y-%m-%d %H:%M} UTC")
    finally:
        subprocess.run(["scancel", number], check=True)


def test_a_file_for_sbatch_leaves_the_same(slurm, tmp_path):
    write_grid(tmp_path)
    run = started("there", "--launcher", "script", "--time", "10", "--only", "HRNet2", folder=tmp_path)
    typed, _ = run.communicate(timeout=60)
    sbatch, file = typed.split()
    subprocess.run([sbatch, "--wait", file], cwd=tmp_path, check=True, timeout=300)
    ((name, record),) = records(tmp_path / "there").items()
    assert name.startswith("HRNet2-")
    assert (record["process"]["pinned"], record["process"]["concurrent_workers"]) == (True, 1)


def test_a_training_that_is_queued_again_goes_on_from_its_last_epoch_and_says_that_its_node_is_shared(slurm, tmp_path):
    write_grid(tmp_path)
    longer = ("--only", "HRNet2", "--set", "train.epochs=100", "--set", "train.patience=100")
    run = started("there", "--launcher", "slurm", "--time", "10", "--share", *longer, folder=tmp_path)
    number = next(line for line in run.stderr if "submitted" in line).split()[-1]
    while not any(len(file.read_text().splitlines()) > 3 for file in tmp_path.glob("there/*/epochs.jsonl")):
        time.sleep(0.05)
    subprocess.run(["scancel", "--signal=USR2", number], check=True)
    while run.poll() is None:
        time.sleep(REVOKED_SECONDS)
        hurry = ["scontrol", "update", f"JobId={number}", "StartTime=now"]
        subprocess.run(hurry, check=False, capture_output=True)
    _, err = run.communicate()
    assert run.returncode == 0, err
    (record,) = records(tmp_path / "there").values()
    assert (record["attempts"], record["epochs"], record["process"]["shared_node"]) == (2, 100, True)
    epochs = [
        json.loads(line)["epoch"] for line in next(tmp_path.glob("there/*/epochs.jsonl")).read_text().splitlines()
    ]
    assert list(dict.fromkeys(epochs)) == [*range(1, 101)]
    assert len(epochs) <= 101, "one epoch may be noted and have no checkpoint yet, and is trained again"
    (failure,) = tmp_path.glob("there/*/failure-1.json")
    assert json.loads(failure.read_text())["reason"] == "interrupted"
