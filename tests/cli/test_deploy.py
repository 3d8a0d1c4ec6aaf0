"""`greenpose export`, `greenpose policy` and `greenpose retest` as a user calls them."""

import json
from inspect import unwrap

import pytest

from greenpose.cli.console import PLAIN
from greenpose.cli.export import export
from greenpose.cli.policy import policy
from greenpose.cli.retest import DecodingKind, retest
from greenpose.errors import GreenPoseError
from greenpose.grid import worker_environment
from greenpose.run.retest import price_of_mirrors
from greenpose.store import RunFolder, artefact_costs
from tests.cli.running import greenpose
from tests.run.measuring import finished_run
from tests.run.test_measure_artefacts import small_run


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deployed")
    finished_run(folder / "tiny-00c0ffee")
    return folder


def test_an_exit_is_exported_with_its_card(workplace):
    done = greenpose(
        *("export", "tiny-00c0ffee", "--exit", 2, "--to", "safetensors", "--fold-bn", "-o", "deploy"), cwd=workplace
    )
    assert done.code == 0, done.err
    assert done.out.split() == ["deploy/exit2.safetensors", "deploy/card.json", "deploy/card.md"]
    assert all((workplace / name).is_file() for name in done.out.split())


def test_a_policy_is_written_beside_the_record_and_the_report_draws_it(workplace):
    done = greenpose("policy", "tiny-00c0ffee", "--no-measure", "--ap", 0, "--json", cwd=workplace)
    assert done.code == 0, done.err
    assert done.json["schema"] == "greenpose.policy/1"
    assert done.json["wanted_ap"] == 0
    assert (workplace / "tiny-00c0ffee" / "policy.json").is_file()
    done = greenpose("report", "tiny-00c0ffee", "-o", "page.html", cwd=workplace)
    assert done.code == 0, done.err
    assert "Leaving early" in (workplace / "page.html").read_text()


def test_exits_are_judged_by_another_decoding_and_their_runs_stay_as_they_are(workplace, capsys):
    run = RunFolder(workplace / "tiny-00c0ffee")
    before = sorted((file, file.stat().st_mtime_ns) for file in run.path.rglob("*"))
    unwrap(retest)([run.path], manner=PLAIN._replace(json=True))
    ((_, document), *_) = json.loads(capsys.readouterr().out).items()
    assert [one["exit"] for one in document[0]["exits"]] == [2, 3]
    for one in document[0]["exits"]:
        assert one["ap_change"] == pytest.approx(one["ap"]["dark"] - one["ap"]["quarter"])
        assert one["resampled"] == {"patients": 3}
    unwrap(retest)([run.path, run.path], exits=[3])
    lines = capsys.readouterr().out.splitlines()
    unwrap(retest)([run.path], exits=[2], flip=True, measured=False, manner=PLAIN._replace(json=True))
    (flipped,) = json.loads(capsys.readouterr().out)["runs"][0]["exits"]
    assert [*flipped["ap"]] == ["quarter", "quarter+flip"]
    (price,) = price_of_mirrors(run.experiment(), run, [2]).values()
    assert 1 < price.ratios["cpu_s_per_item"].known < 4
    assert [line.split()[:3] for line in lines[1:3]] == [["tiny-00c0ffee", "3", "quarter"]] * 2
    assert sorted((file, file.stat().st_mtime_ns) for file in run.path.rglob("*")) == before


def test_an_export_is_measured_beside_its_run_where_that_is_asked_for(tmp_path, monkeypatch, capsys):
    """In this process, which has the environment of a pinned one, so that nothing starts again."""
    run = small_run(tmp_path / "tiny-00c0ffee")
    for asked in ("of_exit", "of_artefact"):  # a process that loads torch for each file
        monkeypatch.setattr(f"greenpose.run.peak_memory.{asked}", lambda *_, **__: 10**8)
    monkeypatch.setattr("greenpose.cli.export.PATIENT", ("measure.max_blocks=2", "measure.max_seconds=1"))
    for name, value in worker_environment(run.experiment().process, workers=1).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(GreenPoseError, match="--measure: safetensors hold weights only"):
        unwrap(export)(run.path, exit_=2, to="safetensors", measured=True)
    assert not (run.path / "exported").exists()
    unwrap(export)(run.path, exit_=2, to="pt2", measured=True, manner=PLAIN._replace(json=True))
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "greenpose.card/2"
    assert document["measured"]["kept"] == str(run.artefacts)
    (known,) = artefact_costs([run.path])
    assert [each.file for each in known.measurements[0].files] == ["exit2.pt2"]
    assert known.measurements[0].files[0].sha256 == document["files"][0]["sha256"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda run: unwrap(export)(run, exit_=4), "--exit 4: this network has exits 2, 3"),
        (lambda run: unwrap(export)(run, to="tflite"), "--to tflite: unknown"),
        (
            lambda run: unwrap(policy)(run, exits=[3]),
            "leaving early takes two exits or more, and there is only exit 3",
        ),
        (lambda run: unwrap(retest)([run], decode=DecodingKind.QUARTER), "is decoded so already"),
        (lambda run: unwrap(retest)([run], decode=DecodingKind.UDP), "crops of udp are cut otherwise"),
        (lambda run: unwrap(retest)([run, run / "no"]), "tiny-00c0ffee/no: no such folder"),
    ],
)
def test_what_cannot_be_had_is_refused_in_words_and_nothing_is_written(workplace, call, words):
    run = workplace / "tiny-00c0ffee"
    before = sorted(run.rglob("*"))
    with pytest.raises(GreenPoseError, match=words):
        call(run)
    assert sorted(run.rglob("*")) == before
