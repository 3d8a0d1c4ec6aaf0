"""The tables' numbers against the records."""

import pytest

from greenpose.metrics import ENERGY, Metric
from greenpose.record import Basis
from greenpose.report.figures.exits import (
    COUNTERS,
    counter_sentences,
    counters_table,
    means_table,
    runs_table,
    shares_table,
)
from greenpose.report.figures.repeated_runs import precision, quality_table, warnings
from greenpose.report.figures.training import allocation_table
from greenpose.report.figures.what_if import scenario_table
from greenpose.report.labels import setting_facts
from greenpose.report.method_limits import limits
from greenpose.report.quantities import prefixed
from greenpose.report.study import ComparisonSide, side_by_side, study
from greenpose.tables import (
    NOT_MEASURED,
    Column,
    Section,
    Table,
    TableRow,
    figure_column,
    markdown_table,
    missing_cell,
)
from tests.report.exits import MISSING_AP, MISSING_ENERGY
from tests.report.records import failure, paper_grid, record

BARE = Basis(unit="J", kind="modelled", method="a model")
"""A basis without intervals."""


def cell(table, row, head, section=0):
    heads = [column.head for column in table.columns]
    return table.sections[section].rows[row].cells[heads.index(head)]


def test_every_exit_has_a_line():
    found = study([*paper_grid((1, 2)), failure()])
    for table in (means_table(found), allocation_table(found), quality_table(found)):
        assert table.num_rows == len(found.points), table.id
    assert runs_table(found).num_rows == sum(len(run.exits) for run in found.records)


def test_runs_of_two_sides_with_one_name_and_time_keep_their_own_numbers():
    sides = [
        ComparisonSide(name=name, entries=(record("HRNet3", ap={3: ap}),)) for name, ap in (("a", 0.8), ("b", 0.9))
    ]
    table = runs_table(side_by_side(*sides))
    assert [cell(table, 0, "AP", section).value for section in (0, 1)] == ["80.0", "90.0"]


def test_accuracy_prints_in_percent_points_with_its_interval():
    table = means_table(study([record("HRNet3", ap={3: 0.925})]))
    assert (cell(table, 0, "AP").value, cell(table, 0, "AP").interval) == ("92.5", "[91.1–93.6]")


def test_modelled_energy_is_marked_in_the_cell_and_named_in_the_heading():
    table = means_table(study([record("HRNet3")]))
    assert cell(table, 0, "Gross energy").value.startswith("≈")
    heading = next(column for column in table.columns if column.head == "Gross energy")
    assert heading.unit == "J/image"
    assert heading.notes == ("≈ modelled", "syst. ×0.5–2")


def test_the_heading_holds_the_widest_systematic_error_and_every_kind_of_its_column():
    found = study([record("HRNet3", grade="C"), record("HRNet4", grade="B")])
    heading = figure_column(ENERGY, [point.figure(ENERGY) for point in found.points])
    assert heading.notes == ("≈ modelled", "∼ estimated", "syst. ×0.5–2")


def test_measured_energy_carries_no_mark():
    found = study([record("HRNet3", grade="A")])
    assert "≈" not in cell(means_table(found), 0, "Gross energy").value
    assert figure_column(ENERGY, [found.points[0].figure(ENERGY)]).notes == ()


def test_missing_numbers_say_why():
    table = means_table(study([record("HRNet3", evaluated=False, metered=False)]))
    assert (cell(table, 0, "AP").value, cell(table, 0, "AP").missing) == (NOT_MEASURED, MISSING_AP)
    assert cell(table, 0, "Gross energy").missing == MISSING_ENERGY
    assert table.notes == (f"not measured: {MISSING_AP}", f"not measured: {MISSING_ENERGY}")


def test_shares_are_of_the_final_exit_of_the_same_run():
    run = record("HRNet4-OKD", ap={3: 0.90, 4: 0.95})
    table = shares_table(study([run]))
    assert cell(table, 0, "AP").value == "94.7"
    assert cell(table, 0, "MACs").value == "61.3"
    assert cell(table, 0, "Params").value == "26.9"
    share = 100 * run.exit(3).relative_to_final["latency_s"]
    assert cell(table, 0, "Latency").value == f"{share:.1f}"
    assert cell(table, 1, "AP").value == "100"


def test_a_final_exit_without_a_number_is_not_called_a_hundred_percent():
    table = shares_table(study([record("HRNet4-OKD", evaluated=False)]))
    assert cell(table, 1, "AP").missing == MISSING_AP


def test_single_exits_have_no_shares():
    assert shares_table(study([record("HRNet3")])) is None


def test_each_counter_shows_its_figure_and_its_distance_from_the_macs():
    found = study(paper_grid((1,), ("HRNet3", "HRNet4-OKD")))
    table = counters_table(found)
    assert [row.head for row in table.sections[0].rows] == ["exit 3", "exit 4"]
    assert cell(table, 0, "In").value == "HRNet3 and HRNet4-OKD"
    assert cell(table, 0, "torch").interval == "equal"
    assert cell(table, 0, "thop").interval == "+1.21\u00a0%"
    assert len(counter_sentences(found)) == 4


def test_memory_at_its_peak_is_shown_where_any_run_followed_it():
    run, older = record("HRNet3"), record("HRNet4")
    entry = run.exits[0].model_copy(update={"peak_bytes": 12_345_678})
    table = counters_table(study([run.model_copy(update={"exits": [entry]}), older]))
    assert cell(table, 0, "Memory at its peak").value == "12.3"
    assert cell(table, 1, "Memory at its peak").value == NOT_MEASURED
    assert "Memory at its peak" not in [column.head for column in counters_table(study([older])).columns]


def test_a_counter_that_counts_two_per_mac_is_said_to_do_so():
    run = record("HRNet3")
    entry = run.exits[0].model_copy(update={"macs_by_counter": {"flops": 2 * run.exits[0].macs}})
    found = study([run.model_copy(update={"exits": [entry]})])
    assert cell(counters_table(found), 0, "flops").interval == "×2 exactly"


def test_every_counter_in_use_is_explained():
    from greenpose.counting.counters import FORMULAE

    assert set(COUNTERS) == set(FORMULAE)


def test_an_unknown_counter_is_admitted():
    run = record("HRNet3")
    entry = run.exits[0].model_copy(update={"macs_by_counter": {"abacus": run.exits[0].macs}})
    found = study([run.model_copy(update={"exits": [entry]})])
    assert counter_sentences(found) == ["abacus: this version of the report does not know its convention."]
    assert cell(counters_table(found), 0, "abacus").interval == "equal"


def test_how_sure_tells_blocks_convergence_and_disturbance():
    table = quality_table(study([record("HRNet3", seed=1), record("HRNet3", seed=2, converged=False)]))
    assert cell(table, 0, "Seeds").value == "1, 2"
    assert cell(table, 0, "Test subjects").value == "12"
    assert cell(table, 0, "Precise as asked").value == "1 of 2 runs"
    assert cell(table, 0, "Other processes").value == "3.0"


def test_unsettled_metering_and_warnings_name_their_exits():
    found = study([record("HRNet4-OKD", converged=False)])
    assert precision(found).endswith("HRNet4-OKD exit 3 and HRNet4-OKD exit 4.")
    assert warnings(found)[0].endswith("(HRNet4-OKD exit 3 and HRNet4-OKD exit 4)")
    assert precision(study([record("HRNet3")])) == "Metering of every exit became as precise as was asked."
    assert "do not say" in precision(study([record("HRNet3", metered=False)]))


def test_the_setting_tells_threads_allocator_and_neighbours():
    run = record("HRNet3")
    facts = dict(setting_facts(run))
    assert facts["Threads"] == "1\u00a0torch thread"
    assert facts["Allocator"].startswith("pinned (MALLOC_MMAP_MAX_=0")
    assert facts["Other runs at the same time"] == "none"
    busy = run.model_copy(update={"process": {"concurrent_workers": 3, "pinned": False}})
    assert dict(setting_facts(busy))["Other runs at the same time"].startswith("2:")
    assert dict(setting_facts(busy))["Allocator"].startswith("not pinned")
    shared = run.model_copy(update={"process": run.process | {"shared_node": True}})
    assert dict(setting_facts(shared))["Other runs at the same time"] == "unknown: a shared node"
    assert (study([run]).comparable, study([shared]).comparable, study([run, shared]).comparable) == (
        True,
        False,
        False,
    )


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        ((0.0071, 0.0011), "mJ"),
        ((0.000104, 0.00065), "µJ"),
        ((1.3, 0.35), "J"),
        ((0.2, 900.0), "J"),
        ((4000.0, 1500.0), "kJ"),
        ((3e-7, None, 0.0), "nJ"),
        ((None,), "J"),
    ],
)
def test_a_figure_takes_the_prefix_under_which_its_numbers_read_well(values, unit):
    figure = prefixed(Metric(name="x", label="X", unit="J"), values)
    assert figure.unit == unit
    read = [value * figure.scale for value in values if value]
    assert all(0.1 <= each < 1000 for each in read)


def test_all_tables_of_a_page_give_energy_in_one_unit():
    run = record("HRNet4-OKD")
    small = [
        entry.model_copy(update={"energy_j_per_image": 0.004, "basis": {**entry.basis, "energy_j_per_image": BARE}})
        for entry in run.exits
    ]
    found = study([run.model_copy(update={"exits": small})])
    for table in (means_table(found), runs_table(found)):
        (column,) = [each for each in table.columns if each.head == "Gross energy"]
        assert (column.unit, cell(table, 0, "Gross energy").value) == ("mJ/image", "≈\u202f4.00")


def test_limits_say_what_an_interval_of_one_run_holds_and_whence_those_of_several_come():
    run = record("HRNet3")
    assumed = [each.model_copy(update={"measurement": each.measurement | {"between_runs": 0.12}}) for each in run.exits]
    said = dict(limits(study([run.model_copy(update={"exits": assumed})])))
    assert "assumed to differ, 12\u00a0% (1 standard deviation)" in said["Intervals"]
    assert "assumed" not in dict(limits(study([run])))["Intervals"]
    assert "interval of a single run comes from resampling test subjects" in said["Accuracy"]
    heads = [each.head for each in quality_table(study([run.model_copy(update={"exits": assumed})])).columns]
    assert "Runs differ by, assumed" in heads


def test_what_cannot_be_held_against_anything_is_not_called_unmeasured():
    found = study([record("HRNet4-OKD")])
    table = scenario_table(found)
    line = next(row for row in table.sections[0].rows if row.head.endswith("4"))
    assert line.cells[-1].value == "not applicable"
    assert "not applicable: it is the final exit itself" in table.notes


def test_very_many_assumed_differences_are_told_by_their_ends():
    run = record("HRNet3")
    runs = []
    for seed in range(1, 40):
        seen = run.exits[0].measurement | {"between_runs": 0.02 + seed / 400}
        runs.append(
            run.model_copy(update={"seed": seed, "exits": [run.exits[0].model_copy(update={"measurement": seen})]})
        )
    assert "differ, 2.2\u00a0% to 12\u00a0% (1 standard" in dict(limits(study(runs)))["Intervals"]


class Walked(tuple):
    """Lines that count how often they are gone through."""

    walks = 0

    def __iter__(self):
        type(self).walks += 1
        return super().__iter__()


@pytest.mark.parametrize("lines", [10, 200])
def test_footnotes_are_gathered_once_however_many_cells_are_missing(lines):
    Walked.walks = 0
    rows = Walked(TableRow(head=str(n), cells=(missing_cell(f"reason {n % 3}"),)) for n in range(lines))
    heads = {"id": "t", "caption": "c", "heads": ("Exit",), "columns": (Column(head="AP", unit="%"),)}
    text = markdown_table(Table(**heads, sections=(Section(rows=rows),)))
    assert text.count("[^t-2]") == len(range(1, lines, 3)) + 1
    assert Walked.walks <= 2
