"""The manifests of docs/scale.md: what they tell other schedulers to start is every run of a grid once."""

import os
import subprocess

import pytest
import yaml

from tests.cli.running import greenpose
from tests.pages import blocks_of
from tests.run.tiny import TINY

KUBERNETES, SKYPILOT = (yaml.safe_load(block.text) for block in blocks_of("scale.md", "yaml"))
CONTAINER = KUBERNETES["spec"]["template"]["spec"]["containers"][0]
SHARES = {
    "Kubernetes": (
        [*CONTAINER["command"], *CONTAINER["args"]],
        [{"JOB_COMPLETION_INDEX": str(index)} for index in range(KUBERNETES["spec"]["completions"])],
    ),
    "SkyPilot": (
        ["bash", "-c", SKYPILOT["run"]],
        [
            {"SKYPILOT_NODE_RANK": str(rank), "SKYPILOT_NUM_NODES": str(SKYPILOT["num_nodes"])}
            for rank in range(SKYPILOT["num_nodes"])
        ],
    ),
}
"""What a scheduler starts, and the variables that it gives to each of its pods or machines."""
NOTES = '#!/bin/sh\necho "$*" >> noted\n! grep -q "^$2$" failing 2>/dev/null\n'
"""In the place of greenpose: notes what it is to do, and fails where it is told to."""


@pytest.fixture
def written(tmp_path):
    """The folders of a grid's 26 runs, none of them begun, in a volume that is called as on the page."""
    (tmp_path / "quick.yaml").write_text(TINY.replace("tiny", "quick") + f"axes: {{seed: {list(range(13))}}}\n")
    told = greenpose("run", "--grid", "quick.yaml", "--launcher", "script", "--time", 60, cwd=tmp_path)
    assert (told.code, len(told.out.splitlines())) == (0, 13)
    program = tmp_path / "bin" / "greenpose"
    program.parent.mkdir()
    program.write_text(NOTES)
    program.chmod(0o755)
    return tmp_path


def done(folder, command, variables):
    environment = {**os.environ, **variables, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    return subprocess.run(command, cwd=folder, env=environment, check=False).returncode


@pytest.mark.parametrize(("command", "shares"), SHARES.values(), ids=list(SHARES))
def test_every_run_is_started_once_and_a_failure_ends_its_share_last(written, command, shares):
    assert {done(written, command, variables) for variables in shares} == {0}
    noted = (written / "noted").read_text().splitlines()
    folders = sorted(f"runs/quick/{path.name}/" for path in (written / "runs/quick").glob("HRNet*"))
    assert len(folders) == 26
    assert sorted(noted) == [f"worker {folder}" for folder in folders]
    (written / "noted").unlink()
    (written / "failing").write_text(folders[0] + "\n")
    assert sorted(done(written, command, variables) for variables in shares) == [0] * (len(shares) - 1) + [1]
    assert sorted((written / "noted").read_text().splitlines()) == [f"worker {folder}" for folder in folders]


def test_the_worker_that_they_start_does_its_run_and_ends_at_once_where_it_is_done(written):
    done(written, *SHARES["Kubernetes"][0:1], SHARES["Kubernetes"][1][1])
    words = (written / "noted").read_text().splitlines()[0].split()
    variables = {each["name"]: each["value"] for each in CONTAINER["env"]}
    first = greenpose(*words, cwd=written, **variables)
    record = written / words[1] / "record.json"
    text = record.read_text()
    assert (first.code, '"shared_node": true' in text) == (0, True)
    again = greenpose(*words, cwd=written, **variables)
    assert (again.code, "done already" in again.err, record.read_text()) == (0, True, text)


def test_their_volumes_lie_where_their_lines_look():
    assert CONTAINER["volumeMounts"][0]["mountPath"] == f"{CONTAINER['workingDir']}/runs"
    names = {volume["name"] for volume in KUBERNETES["spec"]["template"]["spec"]["volumes"]}
    assert {mount["name"] for mount in CONTAINER["volumeMounts"]} == names
    assert list(SKYPILOT["file_mounts"]) == ["~/sky_workdir/runs"]
