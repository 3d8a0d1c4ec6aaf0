"""`greenpose check` as a CI job calls it."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from torch import nn, zeros
from typer.testing import CliRunner

from greenpose.cli.check import check as command
from greenpose.counting import FORMULAE, census
from greenpose.errors import GreenPoseError
from greenpose.model import HRNet
from greenpose.record import dumps
from tests.check.candidates import counts
from tests.cli.running import Done, greenpose
from tests.fakes.forge import CREDENTIAL, Forge
from tests.report.records import failure, record
from tests.report.test_own_metric import TOP1, own

APP = typer.Typer(pretty_exceptions_enable=False)
APP.command()(command)
EXPERIMENT = """
name: tiny
data: {input_size: [64, 32]}
model: {exits: [1, 2], width: 8, stem_width: 8, modules: [1, 1, 1], blocks: 1}
wiring: {supervise: [1, 2]}
carbon: {country: ITA}
"""


def write_run(folder: Path, *, macs: int = 0, **settings) -> Path:
    """Write a fake run, `macs` more at exit 3 than usual, and return its record."""
    run = record("HRNet4-OKD", **settings)
    exits = [
        entry.model_copy(
            update={
                "peak_bytes": 5,
                "operations": counts(entry.exit)["operations"],
                "macs": entry.macs + macs * (entry.exit == 3),
            }
        )
        for entry in run.exits
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "record.json").write_text(dumps(run.model_copy(update={"exits": exits})))
    return folder / "record.json"


@pytest.fixture
def place(tmp_path) -> Path:
    """A folder with a run, accepted as the baseline."""
    write_run(tmp_path / "run")
    done = check(tmp_path, "run", "--update", "--reason", "first")
    assert done.code == 0, done.err
    return tmp_path


def check(place: Path, *arguments: object, **environment: str) -> Done:
    """Run the command in this process, which saves a second each time, and return what it left."""
    with contextlib.chdir(place):
        result = CliRunner().invoke(APP, [*map(str, arguments)], env=environment)
    if isinstance(result.exception, GreenPoseError):
        return Done(2, result.stdout, result.stderr + str(result.exception))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Done(result.exit_code, result.stdout, result.stderr)


def test_a_record_is_checked_without_torch(place):
    code = (
        "import sys\n"
        "from greenpose.cli.app import app\n"
        "try:\n"
        "    app(['check', 'run/record.json', '--format', 'markdown'])\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0, end.code\n"
        "print([name for name in ('torch', 'pandas', 'matplotlib', 'codecarbon', 'cv2') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_what_was_accepted_is_ok_by_folder_and_by_file(place):
    for candidate in ("run", "run/record.json"):
        done = check(place, candidate)
        assert done.code == 0, done.err
        assert "12\u00a0quantities unchanged" in done.out


@pytest.mark.parametrize(("more", "code", "outcome"), [(0, 0, "ok"), (1, 1, "regressed"), (-1, 0, "improved")])
def test_the_exit_code_is_the_verdict(place, more, code, outcome):
    write_run(place / "run", macs=more)
    done = check(place, "run", "--json")
    assert (done.code, done.json["outcome"]) == (code, outcome)
    changed = [one["name"] for one in done.json["findings"] if one["outcome"] != "ok"]
    assert changed == (["exit3.macs"] if more else [])


@pytest.mark.parametrize(
    ("settings", "outcome"), [({"ap": {3: 0.9}, "half": 0.05}, "inconclusive"), ({}, "incomparable")]
)
def test_what_is_not_known_well_enough_is_three_and_one_when_strict(place, settings, outcome):
    if outcome == "incomparable":
        text = (place / "greenpose-baseline.json").read_text()
        (place / "greenpose-baseline.json").write_text(text.replace('"torch": "2.13"', '"torch": "2.12"'))
    write_run(place / "run", **settings)
    done = check(place, "run", "--json")
    assert (done.code, done.json["outcome"]) == (3, outcome)
    assert check(place, "run", "--strict").code == 1


def test_an_update_needs_a_reason_and_is_ok_afterwards(place):
    write_run(place / "run", macs=5)
    refused = check(place, "run", "--update")
    assert (refused.code, refused.out) == (2, "")
    assert "--reason" in refused.err
    assert check(place, "run").code == 1
    done = check(place, "run", "--update", "--reason", "a wider fuse, see #12")
    assert done.code == 0
    assert "exit3.macs: 4,685,955,072 → 4,685,955,077" in done.out
    assert json.loads((place / "greenpose-baseline.json").read_text())["reason"] == "a wider fuse, see #12"
    assert check(place, "run").code == 0


def test_an_update_that_changes_nothing_leaves_the_file_alone(place):
    before = (place / "greenpose-baseline.json").read_bytes()
    assert check(place, "run", "--update", "--reason", "again").code == 0
    assert (place / "greenpose-baseline.json").read_bytes() == before


def test_nothing_inconclusive_is_accepted_but_the_rest_can_be(place):
    write_run(place / "run", macs=5, ap={3: 0.9}, half=0.05)
    refused = check(place, "run", "--update", "--reason", "why not")
    assert refused.code == 2
    assert "exit3.ap: cannot be accepted" in refused.err
    assert check(place, "run", "--update", "--reason", "why not", "--only", "exit3.macs").code == 0


def test_a_run_that_failed_is_neither_checked_nor_accepted(place):
    folder = place / "bad"
    folder.mkdir()
    (folder / "failure.json").write_text(dumps(failure()))
    for options in ([], ["--update", "--reason", "no"]):
        done = check(place, "bad", *options)
        assert done.code == 2
        assert "failed: loss is not finite" in done.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "CANDIDATE"),
        (["nowhere"], "nowhere: no such file or folder"),
        (["run", "--baseline", "none.json"], "none.json: no such file; make one"),
        (["run", "--budgets", "none.yaml"], "none.yaml: no such file"),
        (["run", "--only", "exit3.mac"], "did you mean exit3.macs"),
        (["run", "--only", "HRNet3"], "an exit or a quantity, as exit3 or exit3.activation_bytes"),
        (["run", "--strict", "--lenient"], "--lenient: means the opposite of --strict"),
        (["run", "--against", "HEAD", "--only", "exit3.macs"], "--only exit3.macs: selects nothing that is measured"),
        (["run", "--against", "HEAD", "--train", "--only", "exit3.macs"], "--only exit3.macs: selects nothing"),
        (["run", "--train"], "--train: belongs to --against REF or --against-env PATH"),
        (["run", "--data"], "--data: belongs to --against REF or --against-env PATH"),
        (["greenpose-baseline.json", "--against", "HEAD", "--train"], "schema is 'greenpose.baseline/1'"),
        (["run", "--format", "jnuit"], "did you mean junit"),
        (["run", "--format", "json,junit"], "cannot share stdout"),
        (["run", "--format", "json,junit", "-o", "x.json"], "do not go into one file"),
        (["run", "--name", "a b"], "--name a b: use letters"),
        (["--history", "nowhere"], "holds no history"),
        (["run", "--reason", "because"], "--reason: belongs to --update"),
        (["--history", "past", "--strict"], "--strict: means nothing here; --history without a CANDIDATE only shows"),
        (["--self-test", "--baseline", "b.json"], "--baseline: means nothing here; --self-test compares"),
    ],
)
def test_a_mistake_ends_in_words_and_code_two(place, arguments, says):
    done = check(place, *arguments)
    assert (done.code, done.out) == (2, "")
    assert says in " ".join(done.err.split())


def test_as_a_process_too_a_mistake_is_told_in_words_on_stderr(place):
    file = place / "greenpose-baseline.json"
    file.write_text(file.read_text().replace('"exit3.macs"', '"exit3.mac"').replace('"exit4.params"', '"exit4.parms"'))
    done = greenpose("check", "run", cwd=place)
    assert (done.code, done.out) == (2, "")
    lines = done.err.splitlines()
    assert [line.startswith("error: greenpose-baseline.json:") for line in lines] == [True, True]
    assert "did you mean macs" in done.err
    assert "did you mean params" in done.err


def test_without_anything_to_hold_it_against_a_candidate_is_not_checked(tmp_path):
    write_run(tmp_path / "run")
    done = check(tmp_path, "run")
    assert done.code == 2
    assert "--baseline FILE, --budgets FILE or --against REF" in done.err


def test_several_runs_of_one_experiment_are_refused(tmp_path):
    for seed in (1, 2):
        write_run(tmp_path / "runs" / str(seed), seed=seed)
    done = check(tmp_path, "runs", "--update", "--reason", "all")
    assert done.code == 2
    assert "several runs of HRNet4-OKD" in done.err


def test_every_format_goes_to_its_file_and_a_jobs_summary_is_appended_to(place):
    write_run(place / "run", macs=5)
    (place / "summary.md").write_text("before\n")
    formats = "text,json,junit,sarif,github,markdown,codequality,openmetrics,badge"
    done = check(place, "run", "--format", formats, "-o", "out", "--name", "mine", GITHUB_STEP_SUMMARY="summary.md")
    assert done.code == 1
    endings = (".json", ".xml", ".sarif", ".md", ".shields.json", ".codequality.json", ".metrics.txt")
    names = {f"mine{ending}" for ending in endings}
    assert {file.name for file in (place / "out").iterdir()} == names
    assert "::error file=greenpose-baseline.json,line=" in done.out
    assert "exit3.macs" in done.out
    summary = (place / "summary.md").read_text()
    assert summary == "before\n" + (place / "out" / "mine.md").read_text()
    assert summary.splitlines()[-1] == "<!-- greenpose:mine -->"


@pytest.fixture
def job(place):
    """The environment of a job on GitHub about pull request 7, and the forge on this machine that it talks to."""
    (place / "event.json").write_text(json.dumps({"pull_request": {"number": 7, "head": {"sha": "c1"}}}))
    with Forge() as forge:
        yield (
            forge,
            {
                "GITHUB_REPOSITORY": "pose/net",
                "GITHUB_API_URL": forge.root,
                "GITHUB_TOKEN": CREDENTIAL,
                "GITHUB_EVENT_PATH": "event.json",
                "GITHUB_WORKSPACE": ".",
                "GITHUB_STEP_SUMMARY": "summary.md",
            },
        )


def test_a_verdict_is_posted_where_that_is_asked_for_and_annotations_come_once(place, job):
    forge, environment = job
    write_run(place / "run", macs=5)
    assert "::error" in check(place, "run", "--format", "github", **environment).out
    assert forge.requests == []
    done = check(place, "run", "--format", "github", "--comment", "on-change", **environment)
    assert (done.code, done.out) == (1, "")
    (comment,), (found,) = forge.comments, forge.checks
    assert comment["body"].startswith("### ❌ Regressed: exit3.macs rose")
    assert (found["conclusion"], found["annotations"][0]["path"]) == ("failure", "greenpose-baseline.json")


@pytest.mark.parametrize("macs", [0, 5])
def test_where_nothing_may_be_posted_the_summary_takes_its_place_and_the_code_stays_the_verdict_s(place, job, macs):
    forge, environment = job
    forge.may_write = False
    write_run(place / "run", macs=macs)
    done = check(place, "run", "--comment", "always", **environment)
    assert done.code == (1 if macs else 0)
    refused = "POST /repos/pose/net/check-runs: 403 Resource not accessible by integration; jobs of forks may only read"
    assert f"warning: the check run could not be posted: {refused}" in done.err
    assert done.err.count("the summary of this job takes its place\n") == 2
    assert CREDENTIAL not in done.out + done.err
    summary = (place / "summary.md").read_text()
    assert summary.count("<!-- greenpose") == 1
    assert "the comment could not be posted" in summary
    assert not [file for file in place.rglob("*") if file.is_file() and CREDENTIAL in file.read_text(errors="replace")]


def test_without_a_forge_the_verdict_is_not_posted_and_stands(place):
    done = check(place, "run", "--comment", "always", GITHUB_REPOSITORY="", CI_API_V4_URL="")
    assert done.code == 0
    assert "the comment could not be posted: this is no job of GitHub" in done.err
    assert "the log of this job takes its place" in done.err
    assert "did you mean always?" in check(place, "run", "--comment", "allways").err


def test_a_jobs_summary_that_points_nowhere_is_a_warning_that_names_it(place):
    done = check(place, "run", "--format", "github", GITHUB_STEP_SUMMARY="no/such/summary.md")
    assert done.code == 0, done.err
    told = "warning: GITHUB_STEP_SUMMARY no/such/summary.md: cannot be written: No such file or directory"
    assert done.err == f"{told}; the job has no summary\n"


def test_a_jobs_summary_is_left_alone_by_other_formats(place):
    check(place, "run", GITHUB_STEP_SUMMARY="summary.md")
    assert not (place / "summary.md").exists()


def test_one_format_goes_into_one_file(place):
    done = check(place, "run", "--format", "junit", "-o", "results.xml")
    assert (done.code, done.out) == (0, "")
    assert (place / "results.xml").read_text().startswith("<?xml")


def test_json_on_stdout_goes_with_files_of_other_formats(place):
    done = check(place, "run", "--json", "--format", "junit", "-o", "out")
    assert done.json["outcome"] == "ok"
    assert (place / "out" / "HRNet4-OKD.xml").exists()


def test_quiet_says_one_sentence(place):
    assert check(place, "run", "-q").out == "ok: of 12 checked, nothing worse\n"


def test_budgets_are_held_beside_a_baseline_that_lies_there(place):
    (place / "budgets.yaml").write_text("budgets: [exit3.macs <= 5e9]\n")
    write_run(place / "run", macs=1)
    done = check(place, "run", "--budgets", "budgets.yaml", "--json")
    assert (done.code, done.json["against"]) == (1, "greenpose-baseline.json and budgets.yaml")
    assert {one["way"] for one in done.json["findings"]} == {"exact", "budget"}


def test_a_loop_of_ones_own_has_budgets_by_its_metrics_own_name(place):
    (place / "greenpose-baseline.json").unlink()
    (place / "run" / "record.json").write_text(dumps(own(TOP1, {3: 0.902, 4: 0.91}, half=0.002)))
    for limits, code in (("exit3.top1 >= 0.95", 1), ("exit3.score >= 0.95", 1), ("final.top1 >= 0.9", 0)):
        (place / "budgets.yaml").write_text(f"budgets: [{limits}]\n")
        assert check(place, "run", "--budgets", "budgets.yaml").code == code, limits
    (place / "budgets.yaml").write_text("budgets: [exit3.top5 >= 0.95]\n")
    done = check(place, "run", "--budgets", "budgets.yaml")
    assert done.code == 2
    assert "exit3.top5 >= 0.95: top5 is unknown" in done.err


def test_budgets_alone_are_enough_and_a_ratchet_tightens_them(place):
    (place / "greenpose-baseline.json").unlink()
    (place / "budgets.yaml").write_text("budgets:\n  - {budget: exit3.macs <= 5e9, ratchet: true}  # ours\n")
    done = check(place, "run", "--budgets", "budgets.yaml", "--json")
    assert (done.code, [one["name"] for one in done.json["findings"]]) == (0, ["exit3.macs"])
    done = check(place, "run", "--budgets", "budgets.yaml", "--update", "--reason", "got there")
    assert done.code == 0
    assert (place / "budgets.yaml").read_text() == (
        "budgets:\n  - {budget: exit3.macs <= 4685955072, ratchet: true}  # ours\n"
    )
    write_run(place / "run", macs=1)
    assert check(place, "run", "--budgets", "budgets.yaml").code == 1


def test_each_check_is_appended_to_its_history_and_the_trend_shown(place):
    for more in [0] * 7 + [10**8] * 5:
        write_run(place / "run", macs=more)
        check(place, "run", "--history", "past", "--only", "*.macs")
    done = check(place, "--history", "past", "--json")
    (exit3, exit4) = done.json["courses"]
    assert (exit3["quantity"], len(exit3["points"])) == ("exit3.macs", 12)
    assert ([step["index"] for step in exit3["steps"]], exit4["steps"]) == ([7], [])
    done = check(place, "--history", "past", "-o", "trend.html")
    assert "4.69 GMACs → 4.79 GMACs" in " ".join(done.out.split())
    assert (place / "trend.html").read_text().startswith("<!doctype html>")


def test_the_page_of_a_history_tells_why_a_change_was_accepted(place):
    check(place, "run", "--history", "past")
    write_run(place / "run", macs=10**8)
    check(place, "run", "--history", "past")
    check(place, "run", "--update", "--reason", "a wider stem pays")
    check(place, "run", "--history", "past")
    check(place, "--history", "past", "-o", "trend.html")
    page = (place / "trend.html").read_text()
    assert "<strong>a wider stem pays</strong>" in page
    assert "exit3.macs 4.69\u00a0GMACs → 4.79\u00a0GMACs (+2.1\u00a0%)" in page
    assert page.count("<strong>") == 1


@pytest.fixture(scope="module")
def profiled(tmp_path_factory) -> Path:
    """A folder with an experiment, accepted as it was profiled."""
    folder = tmp_path_factory.mktemp("profiled")
    (folder / "tiny.yaml").write_text(EXPERIMENT)
    done = check(folder, "tiny.yaml", "--update", "--reason", "first")
    assert done.code == 0, done.err
    return folder


def test_the_baseline_of_an_experiment_holds_the_closed_numbers_of_each_exit(profiled):
    values = json.loads((profiled / "greenpose-baseline.json").read_text())["values"]
    net = HRNet(width=8, num_joints=12, exits=(1, 2), stem_width=8, modules=(1, 1, 1), blocks=1).eval()
    for number in (1, 2):
        sub = net.truncate(number).eval()
        convolutions = [module for module in sub.modules() if isinstance(module, nn.Conv2d)]
        assert values[f"exit{number}.params"] == sum(parameter.numel() for parameter in sub.parameters())
        assert values[f"exit{number}.macs"] == FORMULAE["torch"].macs(census(sub, zeros(1, 3, 32, 64)))
        assert values[f"exit{number}.operations.convolution"] == len(convolutions)


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        (" width: 8", " width: 10", "width 8 → 10"),
        ("modules: [1, 1, 1]", "modules: [2, 1, 1]", "modules 1/1/1 → 2/1/1"),
    ],
)
def test_a_wider_or_deeper_network_has_regressed_with_its_figures(profiled, tmp_path, before, after, line):
    assert check(profiled, "tiny.yaml").code == 0
    (tmp_path / "tiny.yaml").write_text(EXPERIMENT.replace(before, after))
    baseline = profiled / "greenpose-baseline.json"
    done = check(tmp_path, "tiny.yaml", "--baseline", baseline, "--json")
    assert (done.code, done.json["outcome"]) == (1, "regressed")
    macs = next(one for one in done.json["findings"] if one["name"] == "exit2.macs")
    accepted = json.loads(baseline.read_text())["values"]["exit2.macs"]
    assert (macs["outcome"], macs["base"]) == ("regressed", accepted)
    assert macs["head"] > accepted
    assert done.json["notes"] == [f"tiny: the configuration is not the baseline's: {line}"]


def test_a_narrower_network_is_an_improvement(profiled, tmp_path):
    (tmp_path / "tiny.yaml").write_text(EXPERIMENT.replace(" width: 8", " width: 6"))
    done = check(tmp_path, "tiny.yaml", "--baseline", profiled / "greenpose-baseline.json", "--json")
    assert (done.code, done.json["outcome"]) == (0, "improved")


def test_another_task_is_incomparable_and_fails_a_lenient_check_where_another_torch_does_not(profiled, tmp_path):
    text = (profiled / "greenpose-baseline.json").read_text()
    torch = json.loads(text)["experiments"]["tiny"]["torch"]
    (tmp_path / "greenpose-baseline.json").write_text(text)
    (tmp_path / "older.json").write_text(text.replace(f'"torch": "{torch}"', '"torch": "2.1"'))
    (tmp_path / "larger.yaml").write_text(EXPERIMENT.replace("[64, 32]", "[96, 64]"))
    (tmp_path / "renamed.yaml").write_text(EXPERIMENT.replace("name: tiny", "name: other"))
    (tmp_path / "tiny.yaml").write_text(EXPERIMENT)
    other_torch = ["tiny.yaml", "--baseline", "older.json"]
    for arguments, code in ((other_torch, 0), (["larger.yaml"], 1), (["renamed.yaml"], 1)):
        assert check(tmp_path, *arguments).code == 3
        assert check(tmp_path, *arguments, "--lenient").code == code
    seen = {one["name"]: one["outcome"] for one in check(tmp_path, "larger.yaml", "--json").json["findings"]}
    assert {name for name, outcome in seen.items() if outcome == "incomparable"} == {
        f"exit{k}.{metric}" for k in (1, 2) for metric in ("macs", "activation_bytes", "peak_bytes")
    }
    assert seen["exit2.params"] == seen["exit2.operations"] == "ok"


def test_a_network_that_fails_is_told_as_a_mistake_and_not_as_a_regression(profiled, monkeypatch):
    monkeypatch.setattr(HRNet, "forward", lambda *_, **__: zeros(1).reshape(7))
    done = check(profiled, "tiny.yaml")
    assert (done.code, done.out) == (2, "")
    assert "tiny: cannot be counted: it fails on one image in evaluation mode: RuntimeError: shape '[7]'" in done.err


def test_a_grid_is_checked_network_by_network(tmp_path):
    (tmp_path / "grid.yaml").write_text(
        "name: few\n"
        "base:\n"
        "  data: {input_size: [32, 32]}\n"
        "  model: {stem_width: 8, modules: [1, 1, 1], blocks: 1}\n"
        "  carbon: {country: ITA}\n"
        "experiments:\n"
        "  one: {model.exits: [1]}\n"
        "  two: {model.exits: [2]}\n"
        "axes: {model.width: [8, 12], seed: [1, 2]}\n"
    )
    done = check(tmp_path, "grid.yaml", "--update", "--reason", "first", "--json")
    assert done.code == 0, done.err
    assert done.json["name"] == "few"
    experiments = json.loads((tmp_path / "greenpose-baseline.json").read_text())["experiments"]
    assert experiments.keys() == {f"{name}-model.width={width}" for name in ("one", "two") for width in (8, 12)}
    assert check(tmp_path, "grid.yaml", "--only", "two-model.width=8/*").code == 0
