"""All numbers as one tidy table."""

import csv
import math
import re

import pytest

from greenpose.report.tidy_csv import COLUMNS, tidy_lines
from tests.report.exits import MISSING_AP
from tests.report.records import failure, paper_grid, record, with_making


@pytest.fixture(scope="module")
def table():
    runs = [with_making(run) for run in paper_grid((1, 2), ("HRNet3", "HRNet4-COKD-DS"))]
    return runs, read([*runs, failure(co2eq_g=None)])


def read(entries):
    return list(csv.DictReader(tidy_lines({"": entries})))


def value_of(rows, run, quantity, exit_=""):
    (found,) = [row for row in rows if (row["run"], row["quantity"], row["exit"]) == (run.name, quantity, str(exit_))]
    return found


def test_the_heading_is_the_documented_one(table):
    assert tuple(table[1][0]) == COLUMNS
    assert COLUMNS[:6] == ("experiment", "run", "seed", "status", "exit", "quantity")


def test_numbers_are_those_of_the_record_to_the_last_digit(table):
    runs, rows = table
    for run in runs:
        assert float(value_of(rows, run, "train_energy_kwh")["value"]) == run.train_energy_kwh
        for entry in run.exits:
            found = value_of(rows, run, "energy_j_per_image", entry.exit)
            basis = entry.basis["energy_j_per_image"]
            assert float(found["value"]) == entry.energy_j_per_image
            assert (float(found["a_low"]), float(found["a_high"])) == (basis.type_a.low, basis.type_a.high)
            assert (float(found["b_low"]), float(found["b_high"])) == (basis.type_b.low, basis.type_b.high)
            assert (found["unit"], found["kind"]) == ("J", "modelled")
            assert int(value_of(rows, run, "macs", entry.exit)["value"]) == entry.macs


def test_a_run_s_phases_and_allocation_sum_as_in_the_record(table):
    runs, rows = table
    for run in runs:
        of_run = [row for row in rows if row["run"] == run.name]
        phases = [row for row in of_run if row["quantity"].startswith("phases.") and row["quantity"].endswith("kwh")]
        assert len(phases) == len(run.phases)
        assert math.fsum(float(row["value"]) for row in phases) == pytest.approx(
            math.fsum(phase.energy_kwh for phase in run.phases)
        )
        shares = [float(row["value"]) for row in of_run if row["quantity"] == "allocation.energy_kwh"]
        assert math.fsum(shares) == pytest.approx(run.train_energy_kwh)


def test_a_number_is_there_or_its_reason_is(table):
    for row in [*table[1], *read([record("HRNet4-OKD", evaluated=False, metered=False)])]:
        assert bool(row["value"]) != bool(row["missing"]), row
        assert row["unit"], row
        assert (row["kind"] == "not_covered") == bool(row["missing"]), row


def test_the_reason_is_the_record_s():
    run = record("HRNet4-OKD", evaluated=False)
    assert value_of(read([run]), run, "ap", 4)["missing"] == MISSING_AP


def test_no_number_is_listed_twice(table):
    keys = [(row["run"], row["exit"], row["quantity"]) for row in table[1]]
    assert len(keys) == len(set(keys))


def test_runs_that_did_not_finish_have_their_lines(table):
    lost = {row["quantity"]: row for row in table[1] if row["status"] == "failed"}
    assert set(lost) == {"seconds", "energy_kwh", "co2eq_g"}
    assert float(lost["energy_kwh"]["value"]) == failure().energy_kwh
    assert lost["co2eq_g"]["missing"] == "it ended before the grid intensity was known"


def test_entries_are_taken_one_at_a_time():
    taken = []

    def entries():
        for seed in (1, 2):
            taken.append(seed)
            yield record("HRNet3", seed=seed)

    lines = tidy_lines({"": entries()})
    next(lines)
    assert taken == []
    next(lines)
    assert taken == [1]


def test_the_side_of_every_number_is_told_where_there_are_two():
    old, new = (paper_grid((1,), ("HRNet3",)) for _ in range(2))
    rows = list(csv.DictReader(tidy_lines({"first": old, "second": new})))
    half = len(rows) // 2
    assert [row["side"] for row in rows] == ["first"] * half + ["second"] * half
    assert {row["side"] for row in read(old)} == {""}


@pytest.mark.parametrize(
    "evil", ["=HYPERLINK(1)", "@SUM(A1)", "-2+3", "+1", "\t=1", " =1", "a\r9,9,9", "a\x1b]8;;x\x07", "\u202eab"]
)
def test_no_name_is_a_formula_a_line_of_its_own_or_steers_what_shows_it(evil):
    text = list(tidy_lines({"": [record(evil, exits=(3,)), failure(evil)]}))
    found = list(csv.DictReader(text))
    assert {len(row) for row in found} == {len(COLUMNS)}
    assert not any(re.search("[\r\x00-\x09\x0b-\x1f\u202e]", line) for line in text)
    names = {row["experiment"] for row in found}
    assert len(names) == 1
    assert all(name.lstrip()[0] not in "=+-@" for name in names)
    assert all(float(row["value"]) is not None for row in found if row["value"])


def test_a_negative_number_stays_a_number():
    run = record("HRNet3")
    entry = run.exits[0].model_copy(update={"net_energy_j_per_image": -0.5})
    rows = read([run.model_copy(update={"exits": [entry]})])
    assert value_of(rows, run, "net_energy_j_per_image", 3)["value"] == "-0.5"
