"""What a job does on its node, and the plain files for sbatch."""

import os
import signal
import subprocess
import threading
import time

import pytest

from greenpose.config.launcher import Launcher
from greenpose.launch import Block, blocks_of, write_scripts
from greenpose.store import State
from tests.fakes.cells import NOBODY_CARES, planned, shell, starts


def block(runs, shared=False, **scripts):
    return Block(runs=runs, command=shell(**scripts), budget=NOBODY_CARES, shared=shared)


def test_a_block_has_all_experiments_of_a_seed_in_an_order_that_chance_sets_once(tmp_path):
    every = planned(tmp_path, "A B C D E F G H", seeds=3)
    blocks = blocks_of(every)
    assert [{one.cell.config.seed for one in each} for each in blocks] == [{1}, {2}, {3}]
    orders = [[one.cell.experiment for one in each] for each in blocks]
    assert [sorted(order) for order in orders] == [[*"ABCDEFGH"]] * 3
    assert len(set(map(tuple, orders))) == 3
    assert blocks_of(every) == blocks


def test_a_job_that_starts_again_does_not_try_again_what_failed_in_it(tmp_path):
    every = planned(tmp_path)
    for _ in range(2):
        block(every, B="exit 3")()
    assert [one.folder.state() for one in every] == [State.DONE, State.FAILED, State.DONE]
    assert [starts(one) for one in every] == [1, 1, 1]


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM])
@pytest.mark.parametrize(
    ("trap", "left"), [("trap 'touch stopped; exit 130' TERM", State.INTERRUPTED), ("true", State.TODO)]
)
def test_a_job_that_is_told_to_stop_stops_its_run_and_is_queued_again_before_its_time_is_over_only(
    tmp_path, number, trap, left
):
    every = planned(tmp_path)
    queued: list[int] = []
    before = signal.signal(signal.SIGUSR2, lambda *heard: queued.append(heard[0]))
    waits = f"{trap}; touch began; while :; do sleep 0.05; done"

    def tell():
        while not (every[1].folder.path / "began").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=tell)
    thread.start()
    try:
        with pytest.raises(SystemExit) as caught:
            block(every, B=waits)()
    finally:
        thread.join()
        signal.signal(signal.SIGUSR2, before)
    assert caught.value.code == 128 + number
    assert queued == [signal.SIGUSR2] * (number == signal.SIGUSR2)
    assert (every[1].folder.path / "stopped").exists() == (trap != "true")
    assert [one.folder.state() for one in every] == [State.DONE, left, State.TODO]
    block(every)()
    assert {one.folder.state() for one in every} == {State.DONE}


def test_a_job_that_is_told_to_stop_as_a_run_ends_begins_no_other(tmp_path, monkeypatch):
    first, second = planned(tmp_path, "A B")
    monkeypatch.setattr("greenpose.launch.block._ended", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit):
        block([first, second])()
    assert first.folder.state() is State.DONE
    assert not second.folder.path.exists()


def test_on_a_shared_node_every_worker_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setenv("GREENPOSE_SHARED_NODE", "")
    (one,) = planned(tmp_path, "A")
    block([one], shared=True, A='echo "{\\"shared\\": \\"$GREENPOSE_SHARED_NODE\\"}" > record.json')()
    assert one.folder.record.read_text() == '{"shared": "1"}\n'


def test_scripts_hold_what_sbatch_is_to_know_and_one_line_a_run(tmp_path):
    every = planned(tmp_path, "A B", seeds=2)
    asked = {"partition": "gpu", "time": "2-00", "slurm": {"gres": "gpu:1", "no-kill": True}}
    launcher = Launcher(kind="script", setup=["module load cuda"], exclusive=False, **asked)
    scripts = write_scripts(every, tmp_path, launcher, shell(B="exit 1"))
    assert [script.name for script in scripts] == ["block-1.sh", "block-2.sh"]
    lines = scripts[0].read_text().splitlines()
    assert lines[:11] == [
        "#!/bin/bash",
        "#SBATCH --partition=gpu",
        "#SBATCH --time=2-00",
        "#SBATCH --requeue",
        "#SBATCH --job-name=greenpose-1",
        f"#SBATCH --output={tmp_path}/.slurm/%j.log",
        "#SBATCH --open-mode=append",
        "#SBATCH --gres=gpu:1",
        "#SBATCH --no-kill",
        "#SBATCH --export=ALL,GREENPOSE_SHARED_NODE=1",
        "module load cuda",
    ]
    assert [line.startswith("/bin/sh -c ") for line in lines[12:]] == [True, True]
    assert subprocess.run(["bash", scripts[1]], check=False, capture_output=True).returncode == 1
    assert sum(starts(one) for one in every) == 0  # there is no module here
    write_scripts(every, tmp_path, Launcher(kind="script", time="10"), shell(B="exit 1"))
    for script in scripts:
        subprocess.run(["bash", script], check=False)
    assert [one.folder.state() for one in every] == [State.DONE, State.TODO, State.DONE, State.TODO]
    assert [one.folder.config.exists() for one in every] == [True] * 4
