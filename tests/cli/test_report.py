"""`greenpose report` in its forms."""

import csv
import html
import json
import os
import shutil
import subprocess
import sys

import pytest

from greenpose.metrics import MARGIN
from greenpose.record import dumps
from greenpose.report.study import FLOOR
from greenpose.tables import plain_text
from tests.cli.running import greenpose
from tests.report.records import failure, paper_grid, record
from tests.report.several_hosts import on_host, table_1
from tests.report.undrawn import without_drawings


def written(folder, entries):
    for entry in entries:
        (folder / entry.name).mkdir(parents=True)
        (folder / entry.name / "record.json").write_text(dumps(entry))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = written(tmp_path_factory.mktemp("runs"), paper_grid((1,), ("HRNet3", "HRNet4-OKD")))
    lost = folder / failure().name / "failure.json"
    lost.parent.mkdir()
    lost.write_text(dumps(failure()))
    return folder


@pytest.fixture(scope="module")
def twice(runs, tmp_path_factory):
    """The same report in every form with its charts, made by the same command in two folders."""
    forms = ("-o", "x/a.html", "-o", "x/a.md", "-o", "x/a.csv", "-o", "x/a.tex", "--figures", "charts", "--json")
    folders = [tmp_path_factory.mktemp("report") for _ in range(2)]
    for folder in folders:
        done = greenpose("report", runs, *forms, "--date", "2025-06-01T12:00:00Z", cwd=folder)
        assert done.code == 0, done.err
    return folders, done.json


def test_the_ending_of_a_file_says_the_form(runs, twice):
    (folder, _), _ = twice
    beginnings = {
        "a.html": "<!doctype html>",
        "a.md": f"# {runs.name}\n",
        "a.csv": "experiment,run,",
        "a.tex": "% GreenPose",
    }
    for name, beginning in beginnings.items():
        assert (folder / "x" / name).read_text().startswith(beginning), name
    with (folder / "x/a.csv").open() as file:
        assert {row["status"] for row in csv.DictReader(file)} == {"finished", "failed"}


def test_without_a_file_a_page_is_written_that_is_called_as_the_runs(runs, tmp_path):
    done = greenpose("report", runs, cwd=tmp_path, act=without_drawings)
    assert (done.code, done.out) == (0, f"reports/{runs.name}.html\n"), done.err
    page = (tmp_path / "reports" / f"{runs.name}.html").read_text()
    assert f"<title>{runs.name}</title>" in page


def test_a_wrong_path_is_named_before_anything_else_with_the_nearest(runs, tmp_path):
    (tmp_path / "quick").mkdir()
    for arguments in ([], ["-o", "a.doc"]):
        done = greenpose("report", "qick", runs, "nowhere/at/all", *arguments, cwd=tmp_path)
        assert done.code == 2
        assert done.err.splitlines() == [
            "error: qick: no such file or folder; did you mean quick?",
            "error: nowhere/at/all: no such file or folder; give run folders, folders of runs, or record files",
        ]


def test_json_names_every_file_and_nothing_else_is_printed(twice):
    (_, folder), document = twice
    assert document["report"] == "x/a.html"
    assert document["files"][:4] == ["x/a.html", "x/a.md", "x/a.csv", "x/a.tex"]
    assert all((folder / name).is_file() for name in document["files"])
    assert {name.rpartition(".")[2] for name in document["files"][4:]} == {"svg", "png"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "a.doc"], "-o a.doc: no form of the report ends in '.doc'"),
        (["-o", "report"], "-o report: no form of the report ends in ''"),
    ],
)
def test_a_form_that_does_not_exist_is_refused_before_anything_is_written(runs, tmp_path, arguments, message):
    done = greenpose("report", runs, "-o", "a.html", *arguments, cwd=tmp_path)
    assert done.code == 2
    assert message in done.err
    assert list(tmp_path.glob("*.html")) == []


def test_a_pdf_without_a_browser_ends_in_words(runs, tmp_path):
    done = greenpose("report", runs, "-o", "a.pdf", cwd=tmp_path, PATH=str(tmp_path))
    assert done.code == 2
    assert "a PDF is printed by Chromium" in done.err
    assert not (tmp_path / "a.pdf").exists()


def test_only_what_a_form_needs_is_loaded(runs, tmp_path):
    code = (
        "import sys; sys.argv = ['greenpose', 'report', *sys.argv[1:]]\n"
        "from greenpose.cli.app import app\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'matplotlib', 'jinja2', 'pandas') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(runs), "-o", "a.md", "-o", "a.csv", "-o", "a.tex"],
        cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]"


LATER = {"started_at": "2025-07-01T08:00:00Z", "finished_at": "2025-07-01T09:30:00Z"}


def test_the_same_experiments_in_two_folders_are_set_side_by_side(tmp_path):
    old = written(tmp_path / "old", paper_grid((1,), ("HRNet3", "HRNet4")))
    new = written(tmp_path / "new", paper_grid((1,), ("HRNet3", "HRNet2")))
    done = greenpose("report", "old", "new", "-o", "both.html", cwd=tmp_path, act=without_drawings)
    assert done.code == 0, done.err
    page = (tmp_path / "both.html").read_text()
    assert "What changed" in page
    assert "On the first side only: HRNet4." in page
    assert "HRNet3 (first)" in page
    assert all(name in page for name in (f">{old.name}<", f">{new.name}<"))


def test_no_form_pools_two_sides(tmp_path):
    written(tmp_path / "old", paper_grid((1,), ("HRNet3", "HRNet4")))
    written(tmp_path / "new", [run.model_copy(update=LATER) for run in paper_grid((1,), ("HRNet3", "HRNet4"))])
    forms = [word for ending in ("md", "tex", "csv") for word in ("-o", f"x.{ending}")]
    done = greenpose("report", "old", "new", *forms, "--figures", "charts", cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.out.split()[:3] == ["x.md", "x.tex", "x.csv"]
    for name in ("x.md", "x.tex", "charts/chart-energy-j-per-image.svg"):
        text = (tmp_path / name).read_text()
        assert "HRNet3 (first)" in text, name
        assert "HRNet3 (second)" in text, name
    with (tmp_path / "x.csv").open() as file:
        assert {row["side"] for row in csv.DictReader(file)} == {"first", "second"}


def test_with_a_date_the_same_command_gives_the_same_bytes(twice):
    first, second = (sorted(path for path in folder.rglob("*") if path.is_file()) for folder in twice[0])
    assert [path.name for path in first] == [path.name for path in second]
    assert [path.name for one, path in zip(first, second, strict=True) if one.read_bytes() != path.read_bytes()] == []
    assert "made 2025-06-01T12:00:00Z by GreenPose" in (twice[0][0] / "x/a.html").read_text()


def test_the_date_may_come_from_the_environment_and_must_be_one(runs, tmp_path):
    assert (
        greenpose(
            "report", runs, "-o", "a.html", cwd=tmp_path, act=without_drawings, SOURCE_DATE_EPOCH="1748779200"
        ).code
        == 0
    )
    assert "made 2025-06-01T12:00:00+00:00 by GreenPose" in (tmp_path / "a.html").read_text()
    for wrong in ("yesterday", "9" * 30):
        done = greenpose("report", runs, "-o", "b.html", "--date", wrong, cwd=tmp_path, act=without_drawings)
        assert (done.code, f"--date {wrong}: neither ISO 8601" in done.err) == (2, True), done.err
    assert not (tmp_path / "b.html").exists()


def test_other_seeds_or_experiments_in_two_folders_stay_one_set(tmp_path):
    written(tmp_path / "one", paper_grid((1,), ("HRNet3",)))
    written(tmp_path / "two", paper_grid((2,), ("HRNet3",)))
    assert greenpose("report", "one", "two", "-o", "both.html", cwd=tmp_path, act=without_drawings).code == 0
    page = (tmp_path / "both.html").read_text()
    assert "What changed" not in page
    assert "2\u00a0finished" in page


def test_folders_of_three_hosts_are_one_report_wherever_their_copies_lie(tmp_path):
    runs = table_1(seeds=(1,), names=("HRNet3", "HRNet4"))
    for host, factor in (("A", 1.0), ("B", 3.0), ("C", 3.3)):
        written(tmp_path / "all" / host, [on_host(run, host, factor) for run in runs])
    written(tmp_path / "again", [on_host(run, "A") for run in runs])
    constant = ("--title", "Hosts", "--date", "2025-06-01T12:00:00Z")
    for name, places in (
        ("named", [f"all/{host}" for host in "ABC"]),
        ("together", ["all"]),
        ("copies", ["all", "again"]),
    ):
        done = greenpose("report", *places, "-o", f"{name}.md", *constant, cwd=tmp_path)
        assert done.code == 0, done.err
    texts = {(tmp_path / f"{name}.md").read_text() for name in ("named", "together", "copies")}
    assert len(texts) == 1
    (text,) = texts
    assert "6\u00a0finished runs" in text
    assert all(digest in text for digest in ("aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"))


def test_a_verdict_is_shown_on_the_page_and_a_wrong_file_is_refused(runs, tmp_path):
    finding = {"name": "exit3.macs", "verdict": "ok", "says": "as it was", "unit": "MACs", "base": 7, "head": 7}
    verdict = {
        "schema": "greenpose.verdict/1",
        "subject": "quick",
        "against": "base.json",
        "summary": "ok: of 1 checked, nothing worse",
        "findings": [finding],
    }
    (tmp_path / "verdict.json").write_text(json.dumps(verdict))
    assert (
        greenpose("report", runs, "--verdict", "verdict.json", "-o", "a.html", cwd=tmp_path, act=without_drawings).code
        == 0
    )
    page = (tmp_path / "a.html").read_text()
    assert "Verdict of the check" in page
    assert "exit3.macs" in page
    for name, message in (("a.html", "a.html: not JSON"), ("none.json", "none.json: no such file")):
        done = greenpose("report", runs, "--verdict", name, "-o", "b.html", cwd=tmp_path, act=without_drawings)
        assert (done.code, message in done.err) == (2, True), done.err


def test_a_run_that_is_named_by_a_link_its_file_or_a_copy_is_one_run_and_a_page_beside_it_is_left_out(tmp_path):
    runs = written(tmp_path / "runs", paper_grid((1, 2, 3), ("HRNet3",)))
    folders = sorted(runs.iterdir())
    (runs / "latest").symlink_to(folders[-1].name)
    shutil.copytree(folders[0], runs / "backup")
    (runs / "index.html").write_text("<!doctype html>")
    (runs / "charts").mkdir()
    once = greenpose("report", *folders, "-o", "once.md", "-o", "once.csv", cwd=tmp_path)
    files = [folder / "record.json" for folder in folders]
    done = greenpose("report", *sorted(runs.iterdir()), *files, "-o", "all.md", "-o", "all.csv", cwd=tmp_path)
    assert (once.code, done.code) == (0, 0), done.err
    assert f"left out: {runs / 'index.html'}: not JSON" in done.err
    assert f"left out: {runs / 'charts'}: no record.json" in done.err
    assert (tmp_path / "all.csv").read_text() == (tmp_path / "once.csv").read_text()
    assert "3\u00a0finished runs" in (tmp_path / "all.md").read_text()


@pytest.mark.parametrize("second", ["link", "file", "copy"])
def test_two_names_of_one_run_are_no_two_sides(tmp_path, second):
    (run,) = written(tmp_path / "runs", paper_grid((1,), ("HRNet3",))).iterdir()
    names = {"link": tmp_path / "latest", "file": run / "record.json", "copy": tmp_path / "copy"}
    names["link"].symlink_to(run)
    shutil.copytree(run, names["copy"])
    assert greenpose("report", run, names[second], "-o", "a.md", cwd=tmp_path).code == 0
    page = (tmp_path / "a.md").read_text()
    assert "1\u00a0finished run took" in page
    assert "HRNet3 (first)" not in page


def test_a_record_with_impossible_numbers_is_named_everywhere_and_averaged_in_nowhere(tmp_path):
    good, bad = paper_grid((1, 2), ("HRNet3",))
    worse = bad.exits[0].model_copy(update={"ap": 42.0, "params": -7})
    written(tmp_path / "runs", [good, bad.model_copy(update={"exits": [worse]})])
    done = greenpose("report", "runs", "-o", "a.html", "-o", "a.md", "-o", "a.csv", cwd=tmp_path, act=without_drawings)
    assert done.code == 0, done.err
    place = f"runs/{bad.name}/record.json: exits[0]"
    for fault in (f"{place}.ap: 42.0; it lies between 0 and 1", f"{place}.params: -7; it lies between 0 and 1e+30"):
        assert f"left out: {fault}" in done.err
        assert fault in (tmp_path / "a.html").read_text()
        assert fault.replace("_", "\\_").replace("[", "\\[").replace("]", "\\]") in (tmp_path / "a.md").read_text()
    assert "1\u00a0finished run took" in (tmp_path / "a.md").read_text()
    assert bad.name not in (tmp_path / "a.csv").read_text()


def test_where_no_record_can_be_used_or_a_path_does_not_exist_nothing_is_written(tmp_path):
    (run,) = paper_grid((1,), ("HRNet3",))
    written(tmp_path / "runs", [run.model_copy(update={"train_seconds": -1.0})])
    written(tmp_path / "good", [run])
    for paths, said in (
        (["runs"], "train_seconds: -1.0"),
        (["good", "goood"], "goood: no such file or folder; did you mean good?"),
    ):
        done = greenpose("report", *paths, "-o", "a.html", cwd=tmp_path)
        assert (done.code, said in done.err) == (2, True), done.err
        assert not (tmp_path / "a.html").exists()


def test_the_terminal_says_what_page_and_markdown_answer_by_the_margin_and_floor_that_were_given(tmp_path):
    run = record("HRNet4-OKD", ap={3: 0.5, 4: 0.55})
    written(tmp_path / "runs", [run])
    beginnings = {
        (): "Deploy HRNet4-OKD exit 4 for",
        ("--margin", "9"): "Deploy HRNet4-OKD exit 3: at",
        ("--floor", "60"): "No exit",
    }
    for options, beginning in beginnings.items():
        done = greenpose("report", "runs", "-o", "a.html", "-o", "a.md", *options, cwd=tmp_path, act=without_drawings)
        (answer, *_) = done.err.splitlines()
        assert answer.startswith(beginning)
        assert html.escape(answer, quote=False) in (tmp_path / "a.html").read_text()
        assert plain_text(answer) in (tmp_path / "a.md").read_text()
    assert greenpose("report", "runs", "-o", "b.md", "--margin", "nan", cwd=tmp_path, act=without_drawings).code == 2
    said = greenpose("report", "--help", cwd=tmp_path).out
    assert f"[{MARGIN:g}]" in said
    assert f"[{FLOOR:g}]" in said
