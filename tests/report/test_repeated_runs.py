"""How far repeated runs lie from their mean, before it is drawn and as it is drawn."""

import re

import pytest

from greenpose.report.figures import repeated_runs, tradeoff
from greenpose.report.figures.repeated_runs import MOST_DOTS, repeats, repeats_table
from greenpose.report.figures.tradeoff import scatters
from greenpose.report.study import study
from greenpose.store import collect
from tests.report.records import paper_grid, record
from tests.test_examples import EXAMPLES


def of_ap(*shares):
    return repeats(study([record("HRNet3", seed=seed, ap={3: share}) for seed, share in enumerate(shares)]))


def test_deviations_are_each_run_less_the_mean_and_sum_to_zero():
    (line,) = of_ap(0.90, 0.92, 0.97).lines
    assert line.runs == 3
    assert line.spreads[0].deviations == pytest.approx([-3.0, -1.0, 4.0])
    for spread in line.spreads:
        assert sum(spread.deviations) == pytest.approx(0, abs=1e-9)
        assert spread.interval[0] < 0 < spread.interval[1]


def test_energy_and_latency_are_off_by_percentages_of_their_mean():
    runs = [record("HRNet3", seed=seed) for seed in (1, 2)]
    (line,) = repeats(study(runs)).lines
    joules = sorted(run.exits[0].energy_j_per_image for run in runs)
    half = 100 * (joules[1] - joules[0]) / (joules[1] + joules[0])
    assert line.spreads[1].deviations == pytest.approx([-half, half])
    assert [each.unit for each in line.spreads] == ["percentage points", "% of the mean", "% of the mean"]


def test_of_many_runs_some_are_drawn_and_the_lowest_and_highest_are_among_them():
    (line,) = of_ap(*(0.5 + 0.001 * index for index in range(300))).lines
    assert len(line.spreads[0].deviations) == MOST_DOTS
    assert (line.spreads[0].deviations[0], line.spreads[0].deviations[-1]) == pytest.approx((-14.95, 14.95))


def test_what_was_run_once_or_never_measured_has_no_line_or_says_so():
    assert repeats(study([record("HRNet3")])).lines == ()
    known = [record("HRNet3", seed=seed) for seed in (1, 2)]
    chart = repeats(study([*known, *(record("HRNet4", seed=seed, metered=False) for seed in (1, 2)), record("HRNet2")]))
    assert [line.name for line in chart.lines] == ["HRNet3", "HRNet4"]
    cells = [row.cells for row in repeats_table(chart).sections[0].rows]
    assert cells[1][4].missing == "no component's energy could be read"
    assert "not measured" in repeated_runs.draw(chart).svg


@pytest.mark.parametrize("entries", [paper_grid((1, 2, 3), ("HRNet3", "HRNet4-OKD")), paper_grid((1, 2, 3, 4))])
def test_every_run_has_its_dot_on_the_side_of_the_mean_where_it_lies(entries):
    chart = repeats(study(entries))
    told = sum(len(run.exits) for run in entries)
    svg = repeated_runs.draw(chart).svg
    paths = re.findall(r' d="((?:M[\d.]+ [\d.]+V[\d.]+)+)"', svg)
    lines = [re.findall(r"M[\d.]+ ([\d.]+)V([\d.]+)", path) for path in paths]
    dots = [[begin for begin, end in found if begin == end] for found in lines]
    assert [len(each) for each in dots if each] == [told, told, told]


@pytest.mark.parametrize("folder", EXAMPLES)
def test_every_number_of_a_published_page_has_its_mark(folder):
    """In each of the three fields a dot for each run of each exit; in each scatter chart a mark for each exit."""
    compared = study(collect([folder]))
    chart = repeats(compared)
    if chart.lines:
        lines = chart.lines[: repeated_runs.MOST_LINES]
        svg = repeated_runs.draw(chart).svg
        drawn = re.findall(r"M([\d.]+ [\d.]+)[VH]", svg)
        dots = re.findall(r"M[\d.]+ ([\d.]+)V\1(?![\d.])", svg)
        assert len(dots) == sum(len(spread.values) for line in lines for spread in line.spreads)
        assert len(drawn) > len(dots)
    for each in scatters(compared):
        svg = tradeoff.draw(each).svg
        groups = re.findall(r"<g><title>.*?</title>(.*?)</g>", svg)
        assert [len(re.findall("<use ", group)) for group in groups] == [1] * len(each.marks)


def test_the_table_gives_the_lowest_middle_and_highest_run():
    table = repeats_table(of_ap(0.90, 0.92, 0.97))
    assert [cell.value for cell in table.sections[0].rows[0].cells[:4]] == ["3", "90.0", "92.0", "97.0"]
