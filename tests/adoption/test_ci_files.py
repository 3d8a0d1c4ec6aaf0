"""The files that other projects' pipelines use, run as they would, with a `greenpose` that answers as it is told."""

import json
import os
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from greenpose.cli.check import WHEN
from greenpose.cli.check_outputs import WRITERS
from tests.pages import PAGES, blocks

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / ".ci/action/action.yml").read_text())
GITLAB = yaml.safe_load((ROOT / ".ci/gitlab.yml").read_text())[".greenpose"]
FAKE = """#!/usr/bin/env bash
printf '%s\\n' "$@" >"$SEEN"
rm -rf results
mkdir results
[ "$CODE" = 2 ] || printf '{\\n "outcome": "%s"\\n}\\n' "$OUTCOME" >results/quick.json
echo '{"schemaVersion": 1}' >results/quick.shields.json
echo '[]' >results/quick.codequality.json
exit "$CODE"
"""


@pytest.fixture
def pipeline(tmp_path):
    """Return a function that runs a script with a fake greenpose; it returns code, arguments and GitHub's outputs."""
    program = tmp_path / "bin" / "greenpose"
    program.parent.mkdir()
    program.write_text(FAKE)
    program.chmod(0o755)

    def run(script, *, code=0, outcome="ok", **settings):
        seen, outputs = tmp_path / "seen", tmp_path / "outputs"
        environment = {
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "SEEN": str(seen),
            "CODE": str(code),
            "OUTCOME": outcome,
            "GITHUB_OUTPUT": str(outputs),
            "CANDIDATE": "quick.yaml",
            "RESULTS": "results",
        }
        command = ["bash", "-c", script] if "\n" in script else ["bash", script]
        done = subprocess.run(command, cwd=tmp_path, env=environment | settings, check=False, capture_output=True)
        said = outputs.read_text() if outputs.exists() else ""
        return done.returncode, seen.read_text().splitlines(), said.strip()

    return run


@pytest.mark.parametrize(
    ("code", "outcome", "strict", "exit_code", "verdict"),
    [
        (0, "ok", "false", 0, "ok"),
        (0, "improved", "false", 0, "improved"),
        (1, "regressed", "false", 1, "regressed"),
        (2, "", "false", 2, "error"),
        (3, "inconclusive", "false", 0, "inconclusive"),
        (3, "incomparable", "false", 0, "incomparable"),
        (3, "inconclusive", "true", 1, "inconclusive"),
        (0, "incomparable", "false", 0, "incomparable"),
        (1, "incomparable", "false", 1, "incomparable"),
        (130, "ok", "false", 130, "ok"),
    ],
)
def test_the_action_fails_where_the_footprint_regressed_and_warns_where_nobody_knows(
    pipeline, code, outcome, strict, exit_code, verdict
):
    script = str(ROOT / ".ci/check.sh")
    found, _, said = pipeline(script, code=code, outcome=outcome, STRICT=strict)
    assert (found, said) == (exit_code, f"verdict={verdict}")


def test_the_script_passes_on_what_was_given_and_nothing_else(pipeline):
    script = str(ROOT / ".ci/check.sh")
    _, bare, _ = pipeline(script)
    assert bare[:2] == ["check", "quick.yaml"]
    assert not {"--baseline", "--budgets", "--against", "--train", "--data", "--name"} & set(bare)
    assert "--lenient" in bare
    for told in ({"OTHER_TASK": "warn"}, {"STRICT": "true"}):
        assert "--lenient" not in pipeline(script, **told)[1]
    _, full, _ = pipeline(
        script, BASELINE="b c.json", BUDGETS="l.yaml", AGAINST="origin/main", NAME="pose", TRAIN="true"
    )
    pairs = dict(pairwise(full))
    assert (pairs["--baseline"], pairs["--budgets"]) == ("b c.json", "l.yaml")
    assert (pairs["--against"], pairs["--name"]) == ("origin/main", "pose")
    assert ("--train" in full, "--data" in full) == (True, False)


def test_what_the_pages_give_to_the_action_and_to_the_job_they_take():
    said = [part for page in PAGES for block in blocks(page, "yaml") for part in _parts(yaml.safe_load(block.text))]
    given = [part["with"] for part in said if "/.ci/action@" in part.get("uses", "")]
    assert len(given) == 2
    assert not [name for one in given for name in one if name not in ACTION["inputs"]]
    (job,) = [part for part in said if part.get("extends") == ".greenpose"]
    assert set(job["variables"]) <= {*GITLAB["variables"], "CANDIDATE"}


def _parts(node):
    """Yield every mapping of a YAML file, from the outside in."""
    if isinstance(node, dict):
        yield node
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _parts(part)


def test_words_of_a_pull_request_never_become_part_of_a_script():
    scripts = [step["run"] for step in ACTION["runs"]["steps"] if "run" in step]
    assert scripts
    assert not [script for script in scripts if "${{" in script]


def test_the_action_installs_the_greenpose_that_it_is_part_of_unless_told_otherwise(pipeline, tmp_path):
    step = next(step for step in ACTION["runs"]["steps"] if step["name"] == "Install GreenPose")
    assert (ROOT / ".ci/action" / ".." / ".." / "pyproject.toml").exists()
    fake = tmp_path / "bin" / "python"
    fake.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$@" >"$SEEN"\n')
    fake.chmod(0o755)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "record.json").touch()
    here = {"INSTALL": "", "CANDIDATE": "experiments/mine.yaml", "AGAINST": "", "GITHUB_ACTION_PATH": "/action/here"}
    for changed, installed in (
        ({}, "/action/here/../..[train]"),
        ({"CANDIDATE": str(tmp_path / "run")}, "/action/here/../.."),
        ({"CANDIDATE": "a b/record.json"}, "/action/here/../.."),
        ({"CANDIDATE": str(tmp_path / "run"), "AGAINST": "origin/main"}, "/action/here/../..[train]"),
        ({"INSTALL": "greenpose==0.1", "CANDIDATE": str(tmp_path / "run")}, "greenpose==0.1"),
    ):
        code, seen, _ = pipeline(f"\n{step['run']}\n", **(here | changed))
        assert (code, seen[-1]) == (0, installed)


def test_every_input_of_the_action_is_used_and_every_variable_of_the_script_is_set():
    step = next(step for step in ACTION["runs"]["steps"] if step.get("id") == "check")
    text = yaml.safe_dump(ACTION["runs"])
    assert not [name for name in ACTION["inputs"] if f"inputs.{name} " not in text and f"inputs.{name}\n" not in text]
    script = (ROOT / ".ci/check.sh").read_text()
    assert {"CANDIDATE", "BASELINE", "BUDGETS", "AGAINST", "TRAIN", "DATA", "STRICT", "NAME", "RESULTS"} <= set(
        step["env"]
    )
    read_by_greenpose = {"GITHUB_TOKEN"}
    assert all(name in script for name in step["env"].keys() - read_by_greenpose)


def test_a_comment_is_asked_for_by_the_word_that_was_given_and_the_token_stands_in_no_argument(pipeline):
    script, (gitlab,) = str(ROOT / ".ci/check.sh"), GITLAB["script"]
    for one in (script, gitlab):
        told = dict.fromkeys(GITLAB["variables"], "") | {"RESULTS": "results"}
        told |= dict.fromkeys(("GITHUB_TOKEN", "GITLAB_TOKEN"), "s3cret")
        assert "--comment" not in pipeline(one, **told)[1]
        _, seen, _ = pipeline(one, **(told | {"COMMENT": "on-change"}))
        assert dict(pairwise(seen))["--comment"] == "on-change"
        assert "s3cret" not in " ".join(seen)
    assert ACTION["inputs"]["comment"]["default"] in WHEN


def test_every_report_of_the_gitlab_job_is_a_file_that_the_formats_make(pipeline):
    formats = re.search(r"--format (\S+)", GITLAB["script"][0])[1].split(",")
    endings = {WRITERS[one][0] for one in formats}
    assert {report.removeprefix("$RESULTS/*") for report in GITLAB["artifacts"]["reports"].values()} <= endings


def test_the_gitlab_job_lets_an_inconclusive_check_warn_and_shows_junit(pipeline):
    (script,) = GITLAB["script"]
    defaults = {name: str(value) for name, value in GITLAB["variables"].items()} | {"RESULTS": "results"}
    defaults["CANDIDATE"] = "quick.yaml"
    for given, outcome in ((3, "inconclusive"), (0, "inconclusive"), (0, "incomparable")):
        code, seen, _ = pipeline(script, code=given, outcome=outcome, **defaults)
        assert code in GITLAB["allow_failure"]["exit_codes"]
        assert seen[:2] == ["check", "quick.yaml"]
        assert "--strict" not in seen
        assert "--lenient" in seen
    for given, outcome in ((0, "ok"), (0, "improved"), (1, "regressed"), (1, "incomparable"), (2, "")):
        assert pipeline(script, code=given, outcome=outcome, **defaults)[0] == given
    assert "--lenient" not in pipeline(script, **(defaults | {"OTHER_TASK": "warn"}))[1]
    assert GITLAB["artifacts"]["reports"]["junit"] == "$RESULTS/*.xml"
    _, strict, _ = pipeline(script, **(defaults | {"STRICT": "true", "AGAINST": "origin/main"}))
    assert strict[-3:] == ["--against", "origin/main", "--strict"]


def test_the_commit_hook_runs_the_exact_gate_where_a_network_may_have_changed():
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["entry"] == "greenpose check --lenient"
    assert hook["language"] == "system"  # with the torch that is there; an environment of its own takes gigabytes
    for file in ("greenpose/model/hrnet.py", "src/pose/backbone.py", "net.py", "configs/a.yml", "quick.yaml", "b.json"):
        assert re.search(hook["files"], file), file
    assert not re.search(hook["files"], "README.md")


def test_our_own_job_holds_the_default_grid_to_its_baseline():
    assert "--baseline .ci/baseline.json" in (ROOT / "Makefile").read_text()
    assert json.loads((ROOT / ".ci/baseline.json").read_text())["schema"] == "greenpose.baseline/1"
