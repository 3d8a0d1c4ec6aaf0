"""Charts: which points, which front, deterministic drawings, labels that keep off each other."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenpose.metrics import ENERGY, MACS, TRAIN_ENERGY
from greenpose.report.drawing import overlap_area, place, ticks
from greenpose.report.figures.tradeoff import data_table, draw, front_table, scatter, scatters
from greenpose.report.study import study
from tests.report.html_tree import read
from tests.report.records import OTHER_HOST, paper_grid, record


def metered_at(run, joules):
    """Return a run of one exit that takes so many joules."""
    entry = run.exits[0].model_copy(update={"energy_j_per_image": joules})
    return run.model_copy(update={"exits": [entry]})


def test_every_footprint_quantity_is_charted_and_the_ranking_one_leads():
    charts = scatters(study(paper_grid((1,), ("HRNet3", "HRNet4-OKD"))))
    names = {chart.figure.name for chart in charts}
    assert charts[0].figure is ENERGY
    assert names == {
        "params", "macs", "latency_s", "energy_j_per_image", "co2eq_g_per_1000_images", "train_energy_kwh",
        "train_co2eq_g",
    }  # fmt: skip


def test_the_front_holds_what_no_other_exit_beats():
    runs = [record("HRNet3", ap={3: 0.91}), record("HRNet4-OKD", ap={3: 0.90, 4: 0.95})]
    chart = scatter(study(runs), MACS)
    assert {mark.label: mark.front for mark in chart.marks} == {
        "HRNet3": True, "HRNet4-OKD\u00a0·\u00a03": False, "HRNet4-OKD\u00a0·\u00a04": True,
    }  # fmt: skip
    assert "HRNet3 (4.69\u00a0GMACs, AP 91.0" in chart.description
    assert [row.cells[-1].value for row in data_table(chart).sections[0].rows] == ["yes", "no", "yes"]


def test_training_cost_is_that_of_the_whole_run_for_each_of_its_exits():
    run = record("HRNet4-COKD")
    chart = scatter(study([run]), TRAIN_ENERGY)
    assert {mark.x.value for mark in chart.marks} == {1000 * run.train_energy_kwh}
    assert [mark.label for mark in chart.marks if mark.front] == ["HRNet4-COKD\u00a0·\u00a04"]


def test_no_front_is_drawn_across_machines_for_what_depends_on_them():
    found = study([record("HRNet3"), record("HRNet4", host=OTHER_HOST)])
    assert not any(mark.front for mark in scatter(found, ENERGY).marks)
    assert any(mark.front for mark in scatter(found, MACS).marks)
    assert [column.head for column in front_table(found).columns] == ["AP", "AP kept", "MACs"]


def test_the_front_beside_the_answer_says_what_each_exit_keeps_and_saves_of_the_most_accurate():
    run = record("HRNet4-COKD", ap={2: 0.8, 3: 0.935, 4: 0.94})
    table = front_table(study([run]))
    assert [column.head for column in table.columns] == ["AP", "AP kept", "Gross energy", "Energy saved", "MACs"]
    best, alike, worse = table.sections[0].rows
    assert best.cells[1].value == best.cells[3].value == "reference"
    assert alike.cells[1].value == "99.5"
    assert alike.cells[1].interval.endswith("not distinguishable")
    assert worse.cells[1].value.startswith("85.1")
    assert "not distinguishable" not in worse.cells[1].interval
    saved = 100 * (1 - run.exit(3).relative_to_final["energy_j_per_image"])
    assert alike.cells[3].value == f"≈\u202f{saved:.1f}"


def test_the_front_beside_the_answer_has_five_exits_the_answers_among_them_and_says_what_is_cut():
    runs = [metered_at(record(f"E{index}", exits=(4,), ap={4: 0.5 + index / 20}), index + 1.0) for index in range(8)]
    table = front_table(study(runs))
    assert [row.head for row in table.sections[0].rows] == ["E7", "E6", "E5", "E4", "E3"]
    assert table.caption.endswith("5 of 8 are shown, the chart below has all.")


def test_the_exits_that_the_answer_names_are_named_in_the_chart_off_the_front_too():
    best = metered_at(record("HRNet4", ap={4: 0.945}), 1.0)
    dear = metered_at(record("HRNet3", ap={3: 0.94}), 2.0)
    chart = scatters(study([best, dear]))[0]
    assert {mark.label: (mark.named, mark.front) for mark in chart.marks} == {
        "HRNet4": (True, True),
        "HRNet3": (True, False),
    }
    labels = re.findall(r"<text[^>]*>(HRNet\d)</text>", draw(chart).svg)
    assert sorted(labels) == ["HRNet3", "HRNet4"]


def test_exits_without_a_number_are_left_out_and_counted():
    chart = scatter(study([record("HRNet3"), record("HRNet4", metered=False)]), ENERGY)
    assert (len(chart.marks), chart.left_out) == (1, 1)
    empty = scatter(study([record("HRNet4", metered=False)]), ENERGY)
    assert empty.absent == "no component's energy could be read"


@pytest.fixture(scope="module")
def drawing():
    return draw(scatter(study(paper_grid((1, 2), ("HRNet3", "HRNet4-OKD"))), ENERGY)).svg


def test_small_numbers_on_axes_stay_what_they_are():
    runs = [record("HRNet4-COKD")]
    entries = [
        entry.model_copy(update={"energy_j_per_image": 1e-4 * entry.exit**2, "basis": {}}) for entry in runs[0].exits
    ]
    svg = draw(scatter(study([runs[0].model_copy(update={"exits": entries})]), ENERGY)).svg
    texts = [each.text for each in read(svg).all("text")]
    assert {"0.5", "1", "1.5"} <= set(texts)
    assert any(text.startswith("Energy per image (mJ)") for text in texts)
    assert "0.0" not in texts


def test_every_point_has_its_tooltip(drawing):
    (svg,) = read(drawing).children
    named = {title.text.split(":")[0] for title in svg.all("title")[1:]}
    assert named == {"HRNet3", "HRNet4-OKD\u00a0·\u00a03", "HRNet4-OKD\u00a0·\u00a04"}


def test_a_name_is_drawn_as_it_is():
    hostile = "<b>$\\frac{1}{$&"
    svg = draw(scatter(study([record(hostile, exits=(3,))]), MACS)).svg
    assert "<b>" not in svg
    assert hostile in read(svg).text


@given(st.floats(1e-6, 1e6), st.floats(1.5, 1e6))
def test_ticks_are_few_round_and_inside(low, factor):
    found = ticks(low, low * factor)
    assert len(found) <= 8 or factor > 1e7
    assert all(low <= tick <= low * factor for tick in found)


POSITIONS = st.lists(st.tuples(st.floats(40, 560), st.floats(40, 360)), min_size=1, max_size=8)


@given(POSITIONS)
def test_labels_that_are_not_needed_never_cover_anything(points):
    labels = place(
        ["HRNet4-OKD"] * len(points),
        points,
        needed=[False] * len(points),
        frame=(0, 0, 600, 400),
        obstacles=[(x - 5, y - 5, x + 5, y + 5) for x, y in points],
        size=12,
    )
    boxes = [label.box for label in labels if label]
    assert all(overlap_area(one, other) == 0 for index, one in enumerate(boxes) for other in boxes[index + 1 :])
    assert all(overlap_area(box, (x - 5, y - 5, x + 5, y + 5)) == 0 for box in boxes for x, y in points)


@given(POSITIONS)
def test_needed_labels_are_always_placed(points):
    labels = place(
        ["x"] * len(points), points, needed=[True] * len(points), frame=(0, 0, 600, 400), obstacles=[], size=12
    )
    assert all(labels)


def test_points_that_were_metered_beside_much_load_are_hollow():
    def drawn_beside(share):
        run = record("HRNet3")
        seen = run.exits[0].measurement | {"foreign_cpu_share": share}
        entry = run.exits[0].model_copy(update={"measurement": seen})
        chart = scatter(study([run.model_copy(update={"exits": [entry]}), record("HRNet4")]), ENERGY)
        return draw(chart).svg

    assert "fill:var(--paper)" in drawn_beside(0.9)
    assert "fill:var(--paper)" not in drawn_beside(0.05)


def test_the_error_bars_of_a_point_stand_in_its_own_group_so_that_they_are_filtered_with_it():
    chart = scatter(study(paper_grid((1, 2), ("HRNet3", "HRNet4-OKD"))), ENERGY)
    groups = re.findall(r"<g><title>([^<]*):.*?</title>(.*?)</g>", draw(chart).svg)
    assert [name for name, _ in groups] == [mark.label for mark in chart.marks]
    for _, body in groups:
        (bars,) = re.findall(r'<path d="([^"]*)" class="s\d+"/>', re.sub("<defs>.*?</defs>", "", body))
        ((x, y),) = re.findall(r'<use [^>]*x="([\d.]+)" y="([\d.]+)"', body)
        left, level, right, centre, *ends = re.match(
            r"M([\d.]+) ([\d.]+)H([\d.]+)H([\d.]+)V([\d.]+)V([\d.]+)$", bars
        ).groups()
        assert (centre, level) == (x, y)
        assert float(left) < float(x) < float(right)
        assert float(ends[1]) < float(y) < float(ends[0])
