"""Leaving early on the page: there where a curve belongs to a run, and no trace of it where none does."""

import pytest

from greenpose.metrics import ENERGY, MACS
from greenpose.report import render, render_study, study
from greenpose.report.figures.early_exit import draw, early_exit_charts, early_exit_table
from tests.report.html_tree import read
from tests.report.policies import policy_of
from tests.report.records import record

CONSTANT = {"title": "Leaving", "generated_at": "2025-06-01T12:00:00+00:00", "version": "0.1.0"}
RUN, OTHER = record("HRNet4-COKD-DS"), record("HRNet4-OKD", seed=2)


def page(*policies):
    return render_study(study([RUN, OTHER], policies=policies), **CONSTANT)


@pytest.mark.usefixtures("undrawn")
def test_a_page_without_curves_has_no_trace_of_them():
    without = page()
    assert without == render([RUN, OTHER], **CONSTANT)
    assert "early" not in without


@pytest.mark.parametrize(
    "changes", [{"run": "another"}, {"config_hash": "0" * 64}, {"run_finished_at": "2020-01-01T00:00:00+00:00"}]
)
def test_a_curve_of_another_record_is_not_shown(changes):
    curves = [policy_of(OTHER), policy_of(RUN).model_copy(update=changes)]
    assert [chart.curve.run for chart in early_exit_charts(study([RUN, OTHER], policies=curves))] == [OTHER.name]


def test_each_curve_is_a_drawing_with_the_choice_the_exits_and_their_intervals():
    (chart,) = early_exit_charts(study([RUN, OTHER], policies=[policy_of(RUN)]))
    assert chart.metric is ENERGY
    assert [place.exit for place in chart.exits] == [2, 3, 4]
    assert chart.chosen is chart.points[4]
    texts = [each.text for each in read(draw(chart).svg).all("text")]
    assert {"exit 2", "exit 3", "exit 4", "early", "AP (%)"} <= set(texts)
    assert "Energy per image (J), ≈ modelled" in texts
    assert "6\u00a0choices of thresholds" in draw(chart).description


def test_without_energy_compute_is_drawn_and_energy_is_said_to_be_missing():
    (chart,) = early_exit_charts(study([RUN], policies=[policy_of(RUN, metered=False)]))
    assert chart.metric is MACS
    assert "MACs (GMACs)" in [each.text for each in read(draw(chart).svg).all("text")]
    table = early_exit_table([chart])
    assert table.notes == ("not measured: energy was not asked for (--no-measure)",)


def test_the_table_has_every_exit_and_every_choice_with_what_it_loses():
    table = early_exit_table(early_exit_charts(study([RUN], policies=[policy_of(RUN)])))
    heads = [row.head for row in table.sections[0].rows]
    assert heads[:4] == ["all at exit 2", "all at exit 3", "all at exit 4", "2 from 0.200"]
    assert heads[7] == "2 from 0.600 (chosen)"
    assert len(heads) == 9
    first = table.sections[0].rows[3]
    assert first.cells[0].value == "2: 100\u00a0%, 3: 0\u00a0%, 4: 0\u00a0%"
    assert first.cells[3].value == "−26.2"


@pytest.mark.parametrize(("curves", "metered"), [([RUN], True), ([RUN, OTHER], False)])
def test_the_page_stays_well_formed(curves, metered):
    found = read(page(*(policy_of(run, metered=metered) for run in curves)))
    ids = [element.attributes["id"] for element in found if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    assert {"early", "leaving-figure", "leaving-data", "leaving-1-svg"} <= set(ids)
    assert ("leaving-2-svg" in ids) is (len(curves) == 2)
    (figure,) = [each for each in found.all("figure") if each.attributes["id"] == "leaving-figure"]
    assert figure.all("table")
    assert any(link.attributes.get("href") == "#networks" for link in found.all("a"))
    (table,) = [each for each in found.all("table") if each.attributes["id"] == "leaving-data"]
    for row in table.all("tr")[1:]:
        joules = row.all("td")[-1].text
        assert joules.startswith("≈" if metered else "not measured")
