"""`greenpose report` in its forms."""

import csv
import os
import subprocess
import sys

import pytest

from greenpose.record import dumps
from tests.cli.running import greenpose
from tests.report.records import failure, paper_grid


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for entry in [*paper_grid((1,), ("HRNet3", "HRNet4-OKD")), failure()]:
        (folder / entry.name).mkdir()
        name = "failure.json" if entry.name == failure().name else "record.json"
        (folder / entry.name / name).write_text(dumps(entry))
    return folder


def test_the_ending_of_a_file_says_the_form(runs, tmp_path):
    done = greenpose("report", runs, "-o", "a.html", "-o", "a.md", "-o", "a.csv", "-o", "a.tex", cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.out.split() == ["a.html", "a.md", "a.csv", "a.tex"]
    beginnings = {"a.html": "<!doctype html>", "a.md": "# a\n", "a.csv": "experiment,run,", "a.tex": "% GreenPose"}
    for name, beginning in beginnings.items():
        assert (tmp_path / name).read_text().startswith(beginning), name
    with (tmp_path / "a.csv").open() as file:
        assert {row["status"] for row in csv.DictReader(file)} == {"finished", "failed"}


def test_json_names_every_file_and_nothing_else_is_printed(runs, tmp_path):
    done = greenpose("report", runs, "-o", "x/a.md", "--figures", "charts", "--json", cwd=tmp_path)
    assert done.json["report"] == "x/a.md"
    assert done.json["files"][0] == "x/a.md"
    assert all((tmp_path / name).is_file() for name in done.json["files"])
    assert {name.rpartition(".")[2] for name in done.json["files"][1:]} == {"svg", "png"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "a.doc"], "-o a.doc: no form of the report ends in '.doc'"),
        (["-o", "report"], "-o report: no form of the report ends in ''"),
        ([], "nothing to write; name a file"),
    ],
)
def test_a_form_that_does_not_exist_is_refused_before_anything_is_written(runs, tmp_path, arguments, message):
    done = greenpose("report", runs, "-o", "a.html", *arguments, cwd=tmp_path) if arguments else None
    done = done or greenpose("report", runs, cwd=tmp_path)
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
