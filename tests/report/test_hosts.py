"""Several hosts in one report: their joules never meet, ratios on one host do, and every run is told apart."""

import csv
import itertools
import json
import math
import random
import re
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenpose.intervals import Bounds, t_interval
from greenpose.metrics import AP, ENERGY, LATENCY, OF_TRAINING, ON_PAGE
from greenpose.quantity import Quantity
from greenpose.report import render, study
from greenpose.report.conclusions.caveats import caveats
from greenpose.report.deployment import chosen
from greenpose.report.figures.ablations import ablation_pictures
from greenpose.report.figures.exits import runs_table
from greenpose.report.figures.hosts import hosts_picture, hosts_table, hosts_tables
from greenpose.report.figures.totals import paid, run_total
from greenpose.report.figures.tradeoff import scatters
from greenpose.report.hosts import across_hosts, mean_of_hosts, over_hosts, ratios_by_host, reference
from greenpose.report.many_runs import latest
from greenpose.report.other_formats import to_latex, to_markdown
from greenpose.report.page import answer, view_data
from greenpose.report.ranking import cost_figure, energy_share, preference
from greenpose.report.study import Point, run_names, short_name
from greenpose.report.tidy_csv import tidy_lines
from tests.artefact_costs import cost, known_of, turns
from tests.report.conclusions.recommended import first_screen, next_steps
from tests.report.html_tree import read
from tests.report.published import published
from tests.report.records import record
from tests.report.several_hosts import on_host, table_1

NAMES = ("HRNet3", "HRNet4", "HRNet4-OKD-DS")
CONSTANT = {"title": "Hosts", "generated_at": "2025-06-01T12:00:00+00:00", "version": "0.1.0"}
PUBLISHED = tuple(table_1(names=NAMES))
HOSTS = "ABC"


@cache
def run_on(place, host, factor):
    return on_host(PUBLISHED[place], host, factor)


def grid(assigned, factors):
    """Return the study of the runs as each host ran those that are assigned to it, in order of PUBLISHED."""
    return study([run_on(place, host, factors[host]) for place, host in assigned])


def blocks(factors):
    """Return a grid as Slurm spreads it: all experiments of a seed on one host."""
    return grid([(place, HOSTS[run.seed - 1]) for place, run in enumerate(PUBLISHED)], factors)


def shares(found):
    """Return the mean ratio of every exit beside the reference, by its name."""
    together = across_hosts(found)
    held = reference(together)
    return {short_name(point): over_hosts(ratios_by_host(point, held)) for point in together.points if point != held}


def test_a_host_that_takes_three_times_the_energy_for_everything_changes_no_ratio():
    alone = study(list(PUBLISHED))
    both = study([on_host(run, host, factor) for run in PUBLISHED for host, factor in (("A", 1.0), ("B", 3.0))])
    whole = Point(group=next(group for group in alone.groups if group.label == "HRNet4"), exit=4)
    found = shares(both)
    assert set(found) == {"HRNet3", "HRNet4-OKD-DS\u00a0·\u00a03", "HRNet4-OKD-DS\u00a0·\u00a04"}
    for point in alone.points:
        if point.group != whole.group:
            expected = point.figure(ENERGY).known / whole.figure(ENERGY).known
            assert found[short_name(point)].value == pytest.approx(expected), point.label


@settings(max_examples=25, deadline=None)
@given(
    assigned=st.lists(st.sampled_from(HOSTS), min_size=len(PUBLISHED), max_size=len(PUBLISHED)),
    exponents=st.tuples(*[st.sampled_from((-2, 0, 1, 5))] * 3),
)
def test_what_is_told_of_all_hosts_never_follows_which_host_draws_how_much(assigned, exponents):
    """Whichever host ran which cell: factors as large as hosts never are move no mean, rank, verdict or answer."""
    plain, scaled = (
        grid(list(enumerate(assigned)), dict(zip(HOSTS, factors, strict=True)))
        for factors in ((1.0, 1.0, 1.0), tuple(2.0**each for each in exponents))
    )
    for one, other in ((latest(plain), latest(scaled)),):
        assert [point.label for point in one.points] == [point.label for point in other.points]
        assert (preference(one).best.label, preference(one).verdict) == (
            preference(other).best.label,
            preference(other).verdict,
        )
        for part, whole in itertools.permutations(range(len(one.points)), 2):
            first, second = (energy_share(each, each.points[part], each.points[whole]) for each in (one, other))
            assert (first.value or 0.0) == pytest.approx(second.value or 0.0, rel=1e-9)
            assert first.missing == second.missing
    if len(set(assigned)) > 1:
        first, second = (hosts_picture(each) for each in (plain, scaled))
        assert (first and first.data) == (second and second.data)
        assert cost_figure(latest(scaled)).name == "macs"


def test_no_mean_of_a_group_is_of_two_hosts_and_what_is_of_several_has_no_joules():
    found = blocks({"A": 1.0, "B": 3.0, "C": 10.0})
    assert all(len({run.host["host"] for run in group.runs}) == 1 for group in found.groups)
    together = across_hosts(found)
    assert [group.label for group in together.groups] == list(NAMES)
    for point in together.points:
        assert point.figure(AP).repeats == 3
        for metric in (*ON_PAGE, *OF_TRAINING):
            if metric.per_machine:
                assert "several hosts" in point.figure(metric).missing, metric.name


def test_machines_of_one_make_are_two_hosts_and_one_host_is_none_of_this():
    one = study([run_on(0, "B", 1.0), run_on(3, "B", 1.0)])
    two = study([run_on(0, "B", 1.0), run_on(3, "C", 1.0)])
    assert (one.comparable, two.comparable) == (True, False)
    assert across_hosts(one) is one
    assert (hosts_table(one), hosts_picture(one), list(hosts_tables(one))) == (None, None, [])
    assert hosts_table(two).num_rows == 2


def test_a_seed_that_two_hosts_ran_counts_once_for_accuracy():
    both = study([on_host(run, host) for run in PUBLISHED for host in "AB"])
    alone = study(list(PUBLISHED))
    told = {point.label: point.figure(AP) for point in across_hosts(both).points}
    assert told == {point.label: point.figure(AP) for point in alone.points}


def test_the_answer_of_a_grid_in_blocks_is_that_of_its_accuracies_with_energy_as_ratios():
    spread, alone = blocks({"A": 1.0, "B": 3.0, "C": 10.0}), study(list(PUBLISHED))
    found, expected = preference(latest(spread)), preference(alone)
    assert (found.best.label, found.other.label, found.verdict) == (
        expected.best.label,
        expected.other.label,
        expected.verdict,
    )
    told = answer(spread)
    assert "% of the energy per image" in told[0]
    assert not re.search(r"J per image|\(setting", told[0])
    assert (
        "the runs come from 3 different settings, so time, energy and emissions do not compare, but for energy beside "
        "HRNet4 on the same host" in told[2]
    )
    assert "one seed" not in told[2]
    assert "energy per image was not measured" not in told[2]
    pairs = list(zip(ablation_pictures(spread), ablation_pictures(alone), strict=True))
    assert all(several.data == one.data for several, one in pairs if several.id != "pairs-shallower")
    for several, one in ((several.data, one.data) for several, one in pairs if several.id == "pairs-shallower"):
        added = [column.head for column in one.columns].index("Energy of training added")
        for row, same in zip(several.sections[0].rows, one.sections[0].rows, strict=True):
            assert (row.cells[added].missing, same.cells[added].missing) == ("measured in different settings", "")
            assert [*row.cells[:added], *row.cells[added + 1 :]] == [*same.cells[:added], *same.cells[added + 1 :]]


def test_files_of_a_run_that_another_host_ran_too_are_told_and_the_one_to_use_is_found():
    run = record("HRNet4-OKD", ap={3: 0.935, 4: 0.94}, half=0.004)
    here, there = on_host(run, "A"), on_host(run, "B", 3.0)
    files = [
        cost("torch", exit_=4, share=1.0, ap=0.94),
        cost("torch", share=0.6, ap=0.935),
        cost("onnx", share=0.3, ap=0.935),
    ]
    for measured in (here, there):
        found = study([here, there], artefacts=[known_of(measured, turns(files, measured))])
        shown = latest(found)
        assert len(shown.groups) == 1
        assert chosen(shown, preference(shown)).label == "exit\u00a03, float32 in onnxruntime"
        assert first_screen(found)["verdict"].startswith("Use exit\u00a03 of HRNet4-OKD, float32 in onnxruntime: 70")
        assert "energy on the same host −70" in first_screen(found)["tiles"][1]["note"]


def test_the_tile_tells_of_energy_as_a_ratio_and_of_an_exit_beside_itself_nothing():
    (tile,) = [
        each for each in first_screen(blocks({"A": 1.0, "B": 3.0, "C": 10.0}))["tiles"] if "Compute" in each["name"]
    ]
    assert re.match(r"−\d+\u00a0% · energy on the same host −\d+", tile["note"])
    alone = study([on_host(run, HOSTS[run.seed - 1]) for run in PUBLISHED if run.experiment == "HRNet4"])
    (tile,) = [each for each in first_screen(alone)["tiles"] if "Compute" in each["name"]]
    assert tile["note"].startswith("energy: its runs are of several hosts")


def test_a_smaller_exit_is_a_step_to_take_where_every_host_shows_that_it_saves():
    runs = [on_host(run, host, factor) for run in PUBLISHED for host, factor in (("A", 1.0), ("B", 3.0))]
    (step,) = [each for each in next_steps(latest(study(runs))) if each.name == "Leave at a smaller exit"]
    (alone,) = [each for each in next_steps(study(list(PUBLISHED))) if each.name == step.name]
    assert step.state == alone.state
    costs = [each for each in next_steps(latest(study(runs))) if " J" in each.finding]
    assert all(" to " in each.finding for each in costs if "J a training" in each.finding)


def test_a_host_without_the_reference_and_a_shared_node_are_left_out_and_named():
    runs = [on_host(run, host) for run in PUBLISHED for host in "AB"]
    taught = [on_host(run, "C", 2.0) for run in PUBLISHED if run.experiment == "HRNet4-OKD-DS"]
    shared = [on_host(run, "C", 2.0, shared=True) for run in PUBLISHED]
    without = hosts_picture(study([*(run for run in runs if run.experiment != "HRNet4-OKD-DS"), *taught]))
    assert "Left out: setting C, which did not meter HRNet4." in without.notes
    row = next(
        row for section in without.data.sections for row in section.rows if section.head == "HRNet4-OKD-DS (setting C)"
    )
    assert row.cells[1].missing == "no host ran both, so that there is no ratio"
    told = hosts_picture(study([*runs, *shared]))
    assert "Left out: setting B, whose node was shared." in told.notes  # letters follow the circumstances
    assert [column.head for column in told.data.columns][-2:] == ["On A", "On C"]
    assert {row.cells[2].value for section in told.data.sections for row in section.rows} == {"2"}


def test_where_no_two_hosts_ran_one_exit_nothing_is_held_against_it(undrawn):
    runs = [on_host(run, "A" if run.experiment == "HRNet3" else "B") for run in PUBLISHED]
    found = study(runs)
    assert hosts_picture(found) is None
    assert "do not compare;" in "; ".join([*caveats(across_hosts(found)), ""])
    page = render(runs, **CONSTANT)
    assert "No exit was metered on two of these hosts" in page
    assert "HRNet3 (setting A)" in page


def test_a_bill_of_two_hosts_has_their_table_and_no_ratios(undrawn):
    told = {"exits": [], "own": "command", "dataset": {}, "config": {"name": "lab"}}
    runs = [on_host(record().model_copy(update=told), host) for host in "AB"]
    tables = [each.attributes["id"] for each in read(render(runs, **CONSTANT)).all("table")]
    assert "hosts" in tables
    assert "hosts-share-data" not in tables


def test_the_table_of_hosts_says_what_each_measures():
    table = hosts_table(blocks({"A": 1.0, "B": 3.0, "C": 3.3}))
    lines = {row.head: [cell.value for cell in row.cells] for row in table.sections[0].rows}
    assert lines["A"][:4] == [
        "aaaaaaaaaaaa",
        "AMD EPYC 9B14, 2\u00a0logical CPUs",
        "not recorded",
        "none",
    ]
    assert (lines["B"][0], lines["B"][2]) == ("bbbbbbbbbbbb", "AMX")
    assert lines["C"][3] == "NVIDIA H200"
    assert lines["A"][4:8] == ["cpu, ram modelled (cpu)", "×0.34–2", "ITA, PUE 1.00", "2 runs at a time"]
    assert [lines[letter][9] for letter in "ABC"] == ["3", "3", "3"]
    watts = [float(lines[letter][8].removeprefix("≈")) for letter in "AB"]
    assert watts[1] == pytest.approx(3 * watts[0], rel=0.1)


def ratio(value, half=0.0):
    return Quantity(value=value, kind="modelled", type_a=Bounds(value - half, value + half) if half else None)


def test_the_interval_over_hosts_holds_their_spread_and_is_never_narrower_than_their_own():
    assert mean_of_hosts([ratio(0.5, 0.1)]) == ratio(0.5, 0.1)
    assert mean_of_hosts([ratio(0.5, 0.1), ratio(0.6, 0.02)]).type_a == pytest.approx((0.4, 0.62))
    assert mean_of_hosts([ratio(0.5), ratio(0.5), ratio(0.5)]).type_a is None
    spread = [0.5, 0.6, 0.55]
    assert mean_of_hosts([ratio(each, 0.001) for each in spread]).type_a == pytest.approx(t_interval(spread))
    alike = mean_of_hosts([ratio(0.5, 0.03), ratio(0.5, 0.04), ratio(0.5, 0.12)])
    assert alike.type_a == pytest.approx((0.5 - 0.13 / 3, 0.5 + 0.13 / 3))  # 3-4-12-13


@pytest.mark.parametrize("hosts", [3, 5, 8])
@pytest.mark.parametrize(("between", "within"), [(0.05, 0.0), (0.05, 0.02), (0.0, 0.02), (0.01, 0.02)])
def test_nineteen_of_twenty_intervals_over_hosts_hold_the_truth(hosts, between, within):
    chance, held, tries = random.Random(f"{hosts} {between} {within}"), 0, 1500
    for _ in range(tries):
        found = [ratio(chance.gauss(chance.gauss(0.6, between), within), 1.96 * within) for _ in range(hosts)]
        low, high = mean_of_hosts(found).type_a
        held += low <= 0.6 <= high
    assert held / tries > 0.95 - 3 * math.sqrt(0.95 * 0.05 / tries)


def test_two_settings_of_one_host_are_one_host_in_the_mean():
    runs = [run_on(place, "A", 1.0) for place in range(len(PUBLISHED))]
    more = [run.model_copy(update={"process": run.process | {"torch_threads": 2}}) for run in runs]
    other = [run_on(place, "B", 1.0) for place in range(len(PUBLISHED))]
    together = across_hosts(study([*runs, *more, *other]))
    held = reference(together)
    point = next(each for each in together.points if each.group.label == "HRNet3")
    found = ratios_by_host(point, held)
    assert len(found) == 3
    assert over_hosts(found).method == "mean over 2\u00a0hosts of ratios on one host"


def test_runs_of_one_name_are_told_apart_in_every_form(undrawn):
    runs = [on_host(run, host, factor) for run in PUBLISHED for host, factor in (("A", 1.0), ("B", 3.0))]
    found = study(runs)
    names = run_names(found)
    assert len(set(names)) == len(runs)
    assert {section.head for section in runs_table(found).sections} == set(names)
    rows = list(csv.DictReader(tidy_lines({"": runs})))
    numbers = {(row["run"], row["host"], row["exit"]) for row in rows if row["quantity"] == ENERGY.name}
    assert len(numbers) == sum(len(run.exits) for run in runs)
    text = to_markdown(found, **CONSTANT)
    assert "## Beside one exit on the same host" in text
    assert "## Hosts" in text
    assert "HRNet3 (setting A)" in to_latex(found, title="Hosts", version="0")
    alone = study([run_on(place, "A", 1.0) for place in range(3)])
    assert run_names(alone) == [run.name for run in alone.records]


def test_the_filter_knows_experiments_of_all_hosts_and_of_each_and_every_run_by_its_name():
    runs = [on_host(run, host, factor) for run in PUBLISHED for host, factor in (("A", 1.0), ("B", 3.0))]
    found = study(runs)
    told = json.loads(view_data(found))["experiments"]
    assert [label for label, *_ in told[:4]] == [*NAMES, "HRNet3 (setting A)"]
    assert sorted(name for *_, names in told for name in names) == sorted(run_names(found))


def test_charts_of_all_hosts_have_no_joules_of_any():
    charts = {chart.figure.name: chart for chart in scatters(blocks({"A": 1.0, "B": 3.0, "C": 10.0}))}
    assert "several hosts" in charts[ENERGY.name].absent
    assert "several hosts" in charts[LATENCY.name].absent
    assert len(charts["macs"].marks) == 4


def test_a_training_that_was_taken_over_is_that_of_its_own_host():
    first = PUBLISHED[0]
    for host, factor in (("A", 1.0), ("B", 3.0)):
        origin = [on_host(first, "A", 1.0), on_host(first, "B", 3.0)]
        again = on_host(first, host, factor).model_copy(update={"name": "again", "trained_in": first.name})
        (told,) = [run for run in paid([*origin, again]) if run.name == "again"]
        assert min(phase.energy_kwh for phase in told.phases) == 0
        assert run_total(told).energy_kwh > 0
        assert sum(p.energy_kwh for p in told.phases if p.name in ("train", "validate")) == pytest.approx(0, abs=1e-12)


def test_the_order_of_the_runs_changes_nothing():
    runs = [on_host(run, host, factor) for run in PUBLISHED for host, factor in (("A", 1.0), ("B", 3.0))]
    expected = hosts_picture(study(runs)).data
    for seed in range(3):
        shuffled = random.Random(seed).sample(runs, len(runs))
        assert hosts_picture(study(shuffled)).data == expected


@pytest.mark.slow
def test_sixty_runs_of_three_hosts_fit_in_half_a_mebibyte():
    runs = [on_host(run, HOSTS[run.seed - 1], float(run.seed)) for run in published(experiments=20, seeds=3)]
    page = render(runs, **CONSTANT, command="greenpose report runs")
    assert len(page.encode()) <= 500 * 1024
    ids = [each.attributes["id"] for each in read(page).all("table")]
    assert {"hosts", "hosts-share-data"} <= set(ids)
    assert len(ids) == len(set(ids))
