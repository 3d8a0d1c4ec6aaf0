"""The bill's numbers against the records: training, phases, allocation, totals, other tools."""

import pytest

from greenpose.record import Interval
from greenpose.report.figures.exits import emissions_table
from greenpose.report.figures.totals import grand_total, run_total, totals_table
from greenpose.report.figures.training import (
    allocation_table,
    crosscheck_sentences,
    crosscheck_table,
    phases_table,
    training_table,
)
from greenpose.report.method_limits import limits
from greenpose.report.study import study
from tests.report.records import failure, paper_grid, record, with_making
from tests.report.test_tables import cell


def test_the_bill_has_components_and_says_which_are_not_covered():
    run = record("HRNet3")
    covered = run.components[0]
    absent = covered.model_copy(update={"component": "gpu", "kind": "not_covered", "method": "no GPU counter"})
    kwh = run.train_energy_kwh_by_component | {"gpu": 0.0}
    run = run.model_copy(update={"components": [*run.components, absent], "train_energy_kwh_by_component": kwh})
    table = training_table(study([run]))
    assert cell(table, 0, "GPU").missing == "gpu: no GPU counter"
    assert cell(table, 0, "CPU").value == f"≈\u202f{1000 * kwh['cpu']:.2f}"


def test_allocated_shares_sum_to_the_run():
    table = allocation_table(study([record("HRNet4-COKD")]))
    shares = [float(row.cells[0].value) for row in table.sections[0].rows]
    assert sum(shares) == pytest.approx(100, abs=0.2)
    assert "airport rule" in table.caption


def test_sums_in_another_order_are_no_spread():
    runs = [record("HRNet4-OKD", seed=seed) for seed in (1, 2, 3)]
    cells = [row.cells[0] for row in allocation_table(study(runs)).sections[0].rows]
    assert [each.interval for each in cells] == ["", ""]


def test_the_total_includes_runs_that_did_not_finish():
    runs, failures = paper_grid((1,), ("HRNet3", "HRNet4")), [failure(), failure(seed=2, co2eq_g=None)]
    total = grand_total(study([*runs, *failures]))
    phases = [phase for run in runs for phase in run.phases]
    assert total.runs == 4
    assert total.seconds == pytest.approx(sum(phase.seconds for phase in phases) + 824)
    assert total.energy_kwh == pytest.approx(sum(phase.energy_kwh for phase in phases) + 2 * 0.00126)
    assert total.co2eq_g == pytest.approx(sum(phase.energy_kwh for phase in phases) * 331 + 0.4167)
    assert total.unknown == 1
    assert cell(totals_table(study([*runs, *failures])), 2, "CO2eq").value.startswith("≥")


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (2.6, "at 2.6 times our energy (1 run): more than twice ours"),
        (0.4, "less than half of ours"),
        (1.13, "within 13 % of ours"),
        (0.8, "within 25 % of ours"),
    ],
)
def test_the_distance_of_another_tool_is_said_in_words(ratio, expected):
    run = record("HRNet3")
    check = run.crosscheck[0].model_copy(update={"ratio": ratio})
    found = study([run.model_copy(update={"crosscheck": [check]})])
    assert expected in crosscheck_sentences(found)[0].replace("\u00a0", " ")


def test_a_tool_that_failed_says_why():
    run = record("HRNet3")
    check = run.crosscheck[0].model_copy(update={"energy_kwh": None, "ratio": None, "note": "no RAPL"})
    found = study([run.model_copy(update={"crosscheck": [check]})])
    assert crosscheck_sentences(found) == ["codecarbon 3.3.2 gave no figure. Its note: no RAPL."]
    assert cell(crosscheck_table(found), 0, "Its energy").missing == "no RAPL"


def test_making_the_machine_is_shown_where_it_is_known_and_adds_up():
    run = record("HRNet3")
    assert emissions_table(study([run])) is None
    known = with_making(run)
    table = emissions_table(study([known]))
    parts = [float(cell(table, 0, head).value.strip("≈\u202f")) for head in ("Operation", "Making the machine", "SCI")]
    assert parts[0] + parts[1] == pytest.approx(parts[2], abs=0.02)
    heads = [column.head for column in training_table(study([known])).columns]
    assert heads[-3:] == ["Training CO2eq", "Making the machine", "SCI"]


def test_the_energy_of_large_runs_is_in_kwh():
    run = record("HRNet3")
    basis = dict(run.basis)
    basis["train_energy_kwh"] = basis["train_energy_kwh"].model_copy(update={"type_b": Interval(low=6.0, high=24.0)})
    table = training_table(study([run.model_copy(update={"train_energy_kwh": 12.0, "basis": basis})]))
    heading = next(column for column in table.columns if column.head == "Training energy")
    assert (heading.unit, cell(table, 0, "Training energy").value) == ("kWh", "≈\u202f12.0")


def test_a_phase_has_the_spread_of_its_runs_and_no_more_digits_than_that_bears():
    runs = [record("HRNet3", seed=seed) for seed in (1, 2, 3)]
    scaled = [
        run.model_copy(
            update={
                "phases": [
                    phase.model_copy(update={"energy_kwh": factor * 1e-3, "seconds": factor * 100.0})
                    for phase in run.phases
                    if phase.name == "train"
                ]
            }
        )
        for run, factor in zip(runs, (1.0, 2.0, 3.0), strict=True)
    ]
    train = cell(phases_table(study(scaled)), 0, "Train")
    assert train.value == "≈\u202f2.0"
    assert train.interval.split("\n") == [
        "[0.0–4.5]",
        "200\u00a0[0–450]\u00a0s",
    ]  # ±2.5 and ±250 would reach below nothing
    assert cell(phases_table(study([*scaled, record("HRNet4")])), 0, "Validate").value == "none"


def test_the_total_charges_each_phase_as_the_run_did_and_not_by_trainings_hours():
    run = record()
    grams = {phase.name: 7.0 if phase.name == "test" else 0.5 for phase in run.phases}
    kept = [phase.model_copy(update={"co2eq_g": grams[phase.name]}) for phase in run.phases]
    assert run_total(run.model_copy(update={"phases": kept})).co2eq_g == pytest.approx(sum(grams.values()))


def test_the_total_of_an_earlier_hourly_record_charges_what_is_no_training_with_the_files_mean():
    run = record()
    carbon = run.carbon.model_copy(update={"country": "hourly", "intensity_g_per_kwh": 100.0, "mean_g_per_kwh": 400.0})
    kwh = {phase.name: phase.energy_kwh for phase in run.phases}
    trained = sum(kwh.get(name, 0.0) for name in ("train", "validate", "checkpoint"))
    expected = 100 * trained + 400 * (sum(kwh.values()) - trained)
    assert run_total(run.model_copy(update={"carbon": carbon})).co2eq_g == pytest.approx(expected)


def test_the_total_has_a_line_for_each_way_of_ending_and_bars_that_are_shares():
    found = study([record("HRNet3"), failure(), failure(seed=2, reason="interrupted"), failure(seed=3)])
    lines = {row.head: row.cells for row in totals_table(found).sections[0].rows}
    assert {head: cells[0].value for head, cells in lines.items()} == {
        "Finished": "1",
        "Failed": "2",
        "Interrupted": "1",
        "All": "4",
    }
    bars = {head: cells[2].bar for head, cells in lines.items()}
    assert bars["All"] == 1
    assert bars["Failed"] == pytest.approx(2 * bars["Interrupted"])
    assert bars["Finished"] + bars["Failed"] + bars["Interrupted"] == pytest.approx(1)


def test_runs_that_did_not_finish_stand_in_the_bill_with_what_they_took():
    found = study([with_making(record("HRNet3")), failure(), failure(seed=2, reason="lost", phase="", co2eq_g=None)])
    first, second = training_table(found).sections[0].rows[-2:]
    table = training_table(found)
    assert (first.head, cell(table, 1, "Epochs").value, cell(table, 1, "Epochs").interval) == (
        "HRNet4-COKD-seed=1-0badc0de",
        "failed",
        "in train",
    )
    assert [cell(table, 1, head).value for head in ("Time", "Training energy", "Training CO2eq")] == [
        "412",
        "≈\u202f1.26",
        "≈\u202f0.417",
    ]
    assert cell(table, 0, "Training energy").bar == 1
    run = found.records[0]
    assert cell(table, 1, "Training energy").bar == pytest.approx(0.00126 / run.train_energy_kwh)
    assert cell(table, 2, "Training CO2eq").missing
    assert "stand last" in table.caption
    assert second.cells[0].value == "lost"


def test_the_allocation_names_its_rules_and_costs_without_brackets():
    run = record("HRNet3")
    other = run.allocation.model_copy(update={"cost": "MACs of each exit (backward passes are proportional)"})
    said = dict(limits(study([run, record("HRNet4").model_copy(update={"allocation": other})])))["Allocation"]
    assert said.startswith(
        "By the airport rule, from MACs of each exit or joules of each segment of the training step."
    )
    assert "(" not in said


def test_phases_of_small_trainings_read_in_milliwatt_hours():
    run = record("HRNet3")
    spent = {"train": 0.1e-3, "test": 2e-6}
    phases = [phase.model_copy(update={"energy_kwh": spent.get(phase.name, 1e-6)}) for phase in run.phases]
    table = phases_table(study([run.model_copy(update={"phases": phases})]))
    assert {column.unit for column in table.columns} == {"mWh; s below"}
    assert [cell(table, 0, head).value for head in ("Train", "Test")] == ["≈\u202f100", "≈\u202f2.00"]
