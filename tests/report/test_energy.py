"""Where the energy went: every cut sums to the whole."""

import pytest

from greenpose.formatting import NBSP
from greenpose.report.conclusions.caveats import caveats
from greenpose.report.drawing import CHARACTER, FONT
from greenpose.report.figures import energy
from greenpose.report.figures.energy import (
    REST,
    bill,
    bill_table,
    by_activity,
    by_component,
    by_purpose,
    flows,
    flows_table,
)
from greenpose.report.figures.totals import grand_total
from greenpose.report.study import study
from tests.report.exits import IDLE_WATTS
from tests.report.html_tree import read
from tests.report.records import failure, paper_grid, record


@pytest.mark.parametrize("cut", [by_purpose, by_component, by_activity])
def test_every_cut_sums_to_all_that_the_run_drew(cut):
    run = record("HRNet4-OKD")
    assert sum(cut(run).values()) == pytest.approx(sum(phase.energy_kwh for phase in run.phases))


def test_phases_without_a_purpose_of_their_own_are_the_rest():
    run = record("HRNet3")
    named = {phase.name: phase.energy_kwh for phase in run.phases}
    rest = sum(named[name] for name in ("data", "count", "checkpoint", "other"))
    assert by_purpose(run)[REST] == pytest.approx(rest)


def test_idle_is_idle_power_times_the_time_and_never_more_than_the_whole():
    run = record("HRNet3")
    seconds = sum(phase.seconds for phase in run.phases)
    assert by_activity(run)["Idle"] == pytest.approx(IDLE_WATTS * seconds / 3.6e6)
    entry = run.exits[0].model_copy(update={"measurement": {"idle_watts": 1e6}})
    assert by_activity(run.model_copy(update={"exits": [entry]}))["Beyond idle"] == 0


def test_a_run_without_idle_power_says_so_instead_of_showing_none():
    found = flows(study([record("HRNet3", metered=False), record("HRNet4")]))
    assert [bar.parts[2] is None for bar in found.bars] == [True, False]
    assert flows_table(found).notes == ("not measured: the record has no idle power",)


def test_a_bar_is_the_mean_over_the_runs_of_an_experiment():
    runs = [record("HRNet3", seed=seed) for seed in (1, 2, 3)]
    found = flows(study(runs))
    whole = sum(phase.energy_kwh for run in runs for phase in run.phases) / 3
    assert found.bars[0].total.value == pytest.approx(1000 * whole)
    assert [sum(parts) for parts in found.bars[0].parts] == [pytest.approx(1000 * whole)] * 3


def test_parts_that_no_run_has_are_neither_drawn_nor_named():
    assert flows(study([record("HRNet3")])).cuts[1].parts == ("CPU", "Memory")


def test_training_that_a_run_took_over_was_paid_once():
    first = record("HRNet3", exits=(3,))
    second = first.model_copy(update={"name": "HRNet3-elsewhere", "trained_in": first.name, "config_hash": "0" * 64})
    found = study([first, second])
    named = {phase.name: phase for phase in first.phases}
    own = [named[name] for name in ("test", "inference", "segments", "other") if name in named]
    assert len(own) > 1
    total = grand_total(found)
    assert total.energy_kwh == pytest.approx(sum(each.energy_kwh for each in (*first.phases, *own)))
    assert total.seconds == pytest.approx(sum(each.seconds for each in (*first.phases, *own)))
    assert bill(found).total / bill(found).figure.scale == pytest.approx(total.energy_kwh)
    assert f"1{NBSP}run took over another one's training, which was paid once" in caveats(found)
    alone = study([second])
    assert grand_total(alone).energy_kwh == pytest.approx(sum(each.energy_kwh for each in second.phases))
    assert not any("took over" in clause for clause in caveats(alone))


def test_a_run_that_lost_a_part_of_its_log_is_named_among_the_caveats():
    held = record("HRNet3").model_copy(update={"gaps": ["1 of 2 windows are not there any more; the totals hold them"]})
    lost = record("HRNet3", seed=2).model_copy(update={"gaps": ["of 8 epochs the windows of 2 are lost: 1-2"]})
    told = f"1{NBSP}run lost a part of the log, so that totals there are too small"
    assert told in caveats(study([held, lost]))
    assert told not in caveats(study([held]))


def test_the_bill_is_the_grand_total_and_names_what_did_not_finish():
    found = study([*paper_grid((1,)), failure(), failure(seed=2, reason="lost")])
    spent = bill(found)
    assert spent.total == pytest.approx(1000 * grand_total(found).energy_kwh)
    assert list(spent.parts)[-2:] == ["Runs that failed", "Runs that got lost"]
    shares = [float(row.cells[1].value) for row in bill_table(spent).sections[0].rows]
    assert sum(shares) == pytest.approx(100, abs=0.3)


@pytest.mark.parametrize("name", ["HRNet3", "HRNet3-OKD-DS with a name as long as sweeps have it (second)"])
def test_names_beside_the_bars_begin_inside_the_drawing(name):
    svg = read(energy.draw(flows(study([record(name, exits=(3,))]))).svg)
    (label,) = [each for each in svg.all("text") if each.text == name]
    right = float(label.attributes["x"])  # names end there
    assert right - CHARACTER * FONT * len(name) >= 0
