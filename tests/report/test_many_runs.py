"""Pages of very many runs: what they leave out, what they say of it, and that no number changes."""

import gc
import re

import pytest

from greenpose.metrics import ENERGY
from greenpose.record import dumps
from greenpose.report import gathered, render_study, study
from greenpose.report.conclusions.headline import headline
from greenpose.report.figures.exits import means_table
from greenpose.report.figures.tradeoff import MANY_MARKS, MOST_TOLD, data_table, draw, scatter
from greenpose.report.many_runs import MANY_EXPERIMENTS, MANY_RUNS, detailed, is_large, lean, notices
from greenpose.store.similar_records import Alike, AlikeReader
from tests.report.html_tree import read
from tests.report.published import published
from tests.report.records import PAPER, failure, paper_grid, record

CONSTANT = {"title": "Many", "generated_at": "2025-06-01T12:00:00+00:00", "version": "0.1.0"}


@pytest.fixture(scope="module")
def many():
    """One run more than fits a page that tells of each."""
    runs = [record("HRNet3", seed=seed) for seed in range(MANY_RUNS - 1)]
    return [*runs, record("HRNet4-OKD"), record("HRNet4-OKD", seed=2)]


@pytest.fixture(scope="module")
def sweep():
    """More experiments than tables tell of, the most accurate one last by name, each with 2 or 3 exits."""
    kinds = [name for name, (exits, _) in PAPER.items() if len(exits) > 1]
    runs = []
    for index in range(MANY_MARKS // 2 + 5):
        kind, rate = kinds[index % len(kinds)], f"{index:03}"
        run = record(kind, seed=index, axes={"seed": 1, "lr": rate})
        runs.append(run.model_copy(update={"config": run.config | {"lr": rate}}))
    best = record("Zenith", exits=(2, 4), ap={2: 0.99, 4: 0.999}, half=0.0001)
    return study([*runs, best])


@pytest.fixture(scope="module")
def page(many):
    return render_study(study(gathered([*many, failure()])), **CONSTANT)


def test_a_page_of_few_runs_leaves_out_nothing():
    few = study(paper_grid((1, 2)))
    assert notices(few) == []
    assert detailed(few) is few
    assert not is_large(few)


def test_a_page_of_very_many_runs_tells_of_experiments_and_says_so(page):
    tree = read(page)
    tables = {table.attributes["id"] for table in tree.all("table")}
    assert {"exits", "total", "phases", "sureness"} <= tables
    assert not {"runs", "bill", "forecast"} & tables
    assert [each for each in tree.all("script") if each.attributes.get("id") == "greenpose-records"] == []
    said = " ".join(each.text for each in tree.all("p"))
    assert f"tells of {MANY_RUNS + 1} runs by experiment and exit" in said
    assert "greenpose report RUNS -o FILE.csv" in said


def test_its_bill_and_its_answer_hold_every_run(page, many):
    (total,) = [table for table in read(page).all("table") if table.attributes["id"] == "total"]
    assert [row.all("td")[0].text for row in total.all("tbody")[0].all("tr")] == ["501", "1", "502"]
    assert f"{MANY_RUNS + 1}\u00a0finished runs" in headline(study(many))[1]


def test_it_is_no_larger_than_a_page_of_sixty_runs(page):
    assert len(page.encode()) < 500 * 1024
    assert not re.search(r"(?:\d+, ){20}", page), "seeds are not counted out"


@pytest.mark.usefixtures("undrawn")
def test_what_is_left_out_of_records_or_shared_or_alike_changes_no_number(tmp_path):
    runs, known, read = published(experiments=6, seeds=4), {}, AlikeReader(after=1)
    for index, run in enumerate(runs):
        (tmp_path / f"{index:02}").write_text(dumps(run), encoding="utf-8")
    alike = [read(file) for file in sorted(tmp_path.iterdir())]
    assert sum(isinstance(run, Alike) for run in alike) >= len(runs) / 2
    full = study(runs)
    page = render_study(full, **CONSTANT).partition('<h4 id="per-run">')[0]
    for light in (study([lean(run, known) for run in runs]), study(alike)):
        assert headline(light) == headline(full)
        assert means_table(light) == means_table(full)
        assert render_study(light, **CONSTANT).partition('<h4 id="per-run">')[0] == page


def test_few_entries_are_gathered_as_they_are_and_very_many_lean():
    few = paper_grid((1,))
    assert [id(each) for each in gathered(iter(few))] == [id(each) for each in few]
    some = [*[few[0]] * MANY_RUNS, few[1], failure()]
    assert all(entry.forecast is None for entry in gathered(iter(some))[:-1])
    assert gathered(iter(some))[-1] == failure()
    assert gc.isenabled()


def test_of_very_many_experiments_those_that_no_other_beats_are_told_of(sweep):
    shown = detailed(sweep)
    assert len(sweep.groups) > MANY_EXPERIMENTS
    assert len(shown.groups) == MANY_EXPERIMENTS
    assert "Zenith" in {group.label for group in shown.groups}
    assert {id(run) for run in shown.records} <= {id(run) for run in sweep.records}
    assert f"{MANY_EXPERIMENTS} experiments of {len(sweep.groups)}" in " ".join(notices(sweep))


def test_a_crowded_chart_names_its_front_and_draws_the_others_small(sweep):
    chart = scatter(sweep, ENERGY)
    assert len(chart.marks) > MANY_MARKS
    front = [mark.label for mark in chart.marks if mark.front]
    svg = read(draw(chart, large=True).svg)
    named = [title.text.partition(":")[0] for title in svg.all("title")[1:]]
    assert named == front
    labels = [row.head for section in data_table(chart).sections for row in section.rows]
    assert labels == front
    assert len(front) < MOST_TOLD
    assert len(svg.all("use")) > len(front) + 40


def test_a_crowd_from_two_settings_has_points_but_no_front(sweep):
    other = record("HRNet3", process={"torch_threads": 8})
    chart = scatter(study([*sweep.records, other]), ENERGY)
    assert not any(mark.front for mark in chart.marks)
    assert len(chart.told) == MOST_TOLD
    assert draw(chart).svg
