"""Published reports are what the code renders from the records beside them."""

import pytest

from greenpose.record import dumps
from reports import examples, table1
from tests.report.records import paper_grid

MOST_RUNS, MOST_BYTES = 60, 64 * 1024
PUBLISHED = examples.examples()
EXAMPLES = [
    pytest.param(folder, marks=[pytest.mark.slow] * folder.name.startswith("recipes_"), id=folder.name)
    for folder in PUBLISHED
]
"""Those of further recipes have the chapters of the first one's."""


def test_there_are_published_records():
    assert len(EXAMPLES) > 5


@pytest.fixture
def runs(tmp_path):
    """A folder of runs as a grid leaves it."""
    for run in paper_grid((1,), ("HRNet3", "HRNet4")):
        folder = tmp_path / "runs" / "quick" / run.name
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(dumps(run))
        (folder / "log.txt").write_text("not to be published")
    return tmp_path / "runs" / "quick"


@pytest.mark.parametrize("folder", EXAMPLES)
def test_a_published_page_is_what_its_records_give(folder):
    page = (folder / examples.PAGE).read_text(encoding="utf-8")
    assert page == examples.page_of(folder), "the page changed: look at it, then run make examples"


def test_our_table_1_beside_the_papers_is_what_the_records_give():
    page = table1.page()
    assert table1.PAGE.read_text(encoding="utf-8") == page, "run make examples"
    assert "| 7 | HRNet4-OKD-DS |  | 93.58 | 95.13 |" in page
    assert page.count("\n| ") == 1 + 11


@pytest.mark.parametrize("folder", PUBLISHED, ids=[folder.name for folder in PUBLISHED])
def test_published_records_are_few_and_small(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"record.json", examples.PAGE}
    sizes = [path.stat().st_size for path in files if path.name == "record.json"]
    assert len(sizes) <= MOST_RUNS
    assert max(sizes) < MOST_BYTES


def test_taking_over_leaves_the_records_of_the_new_runs_only(runs, tmp_path):
    old = tmp_path / "reports" / "quick" / "old-run"
    old.mkdir(parents=True)
    (old / "record.json").write_text("{}")
    folder = examples.take_over(runs, tmp_path / "reports")
    assert examples.examples(tmp_path / "reports") == [folder]
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in runs.iterdir())
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {"record.json"}


def test_the_date_of_a_page_is_that_of_its_last_run_and_its_command_that_of_its_grid(runs):
    page = examples.page_of(runs)
    assert "2025-06-01T09:30:00Z" in page
    assert "greenpose run --grid experiments/quick.yaml" in page


def test_a_folder_without_runs_is_refused_before_anything_changes(tmp_path, capsys):
    assert examples.main([str(tmp_path / "quick")]) == 2
    assert "no finished run in it" in capsys.readouterr().out
