"""Two grids, or one at two dates, side by side."""

import math

import pytest

from greenpose.intervals import Bounds
from greenpose.quantity import Quantity
from greenpose.report import render_study
from greenpose.report.comparison import changes
from greenpose.report.differences import difference
from greenpose.report.page import answer
from greenpose.report.study import ComparisonSide, alike, side_by_side, study
from tests.report.html_tree import read
from tests.report.records import HOST, OTHER_HOST, paper_grid, record

GRID = ("HRNet3", "HRNet4-OKD")


def cells(table):
    """Return the cells of a table by the words of their line and column."""
    found = {}
    for section in table.sections:
        for row in section.rows:
            for column, cell in zip(table.columns, row.cells, strict=True):
                found[(*([section.head] if section.head else []), row.head, column.head)] = cell
    return found


def compared(first, second):
    return changes(
        side_by_side(
            ComparisonSide(name="old", entries=tuple(first)), ComparisonSide(name="new", entries=tuple(second))
        )
    )


def again(run, *, energy=1.0, ap=0.0, **update):
    """Return a run once more, with other figures of energy and accuracy at every exit."""
    exits = []
    for entry in run.exits:
        basis = dict(entry.basis)
        for name, factor, shift in (("energy_j_per_image", energy, 0.0), ("ap", 1.0, ap)):
            a = basis[name].type_a
            moved = a.model_copy(update={"low": a.low * factor + shift, "high": a.high * factor + shift})
            basis[name] = basis[name].model_copy(update={"type_a": moved})
        numbers = {"energy_j_per_image": entry.energy_j_per_image * energy, "ap": entry.ap + ap, "basis": basis}
        exits.append(entry.model_copy(update=numbers))
    return run.model_copy(update={"exits": exits, **update})


def test_the_same_runs_on_both_sides_differ_in_nothing():
    found = compared(paper_grid((1, 2), GRID), paper_grid((1, 2), GRID))
    assert found.circumstances is None
    assert {cell.value for table in (found.exits, found.training) for cell in cells(table).values()} == {"same"}
    assert found.summary == "From the first side to the second: of 27\u00a0numbers on both, 27 are exactly the same."
    assert found.sentences == ()


def test_numbers_that_moved_beyond_their_intervals_are_told_with_sign_and_interval():
    runs = paper_grid((1,), GRID)
    found = cells(compared(runs, [again(run, energy=1.5, ap=-0.08) for run in runs]).exits)
    energy = found["HRNet3", "3", "Gross energy"]
    assert energy.value == "≈+50"
    half = 1.5 * math.hypot(0.03, 0.03) * 100
    assert energy.interval == f"±{half:.0f}"
    summary = compared(runs, [again(run, energy=1.5, ap=-0.08) for run in runs]).summary
    assert "6 differ beyond their intervals (3 AP and 3 energy per image)" in summary
    points = found["HRNet3", "3", "AP"]
    assert points.value == "−8.0"
    assert found["HRNet3", "3", "MACs"].value == "same"


def test_overlapping_intervals_are_not_distinguishable():
    runs = paper_grid((1,), GRID)
    found = cells(compared(runs, [again(run, energy=1.02, ap=0.002) for run in runs]).exits)
    for column in ("Gross energy", "AP"):
        cell = found["HRNet4-OKD", "4", column]
        assert cell.value == "not distinguishable"
        assert "±" in cell.interval


@pytest.mark.parametrize(
    ("update", "refused", "kept"),
    [
        ({"host": OTHER_HOST}, {"CPU time", "Latency", "Gross energy", "CO2eq"}, {"Params", "MACs", "AP"}),
        ({"process": {"torch_threads": 4}}, {"CPU time", "Latency", "Gross energy", "CO2eq"}, {"Params", "MACs", "AP"}),
        ({"components": []}, {"Gross energy", "CO2eq"}, {"Params", "MACs", "AP", "CPU time", "Latency"}),
        ({"carbon": "FRA"}, {"CO2eq"}, {"Params", "MACs", "AP", "CPU time", "Latency", "Gross energy"}),
        ({"images": {"test": 12}}, {"AP"}, {"Params", "MACs", "CPU time", "Latency", "Gross energy", "CO2eq"}),
    ],
)
def test_what_cannot_be_compared_is_not_subtracted_and_the_reason_is_said(update, refused, kept):
    first = record("HRNet3")
    if "carbon" in update:
        update = {"carbon": first.carbon.model_copy(update={"country": "FRA", "intensity_g_per_kwh": 44.0})}
    elif "process" in update:
        update = {"process": first.process | update["process"]}
    found = compared([first], [first.model_copy(update=update)])
    assert {column.head for column in found.exits.columns} == kept
    said = " ".join(found.sentences)
    words = {
        "CPU time": "CPU time per image", "Latency": "latency per image", "Gross energy": "energy per image",
        "CO2eq": "emissions per 1000 images", "AP": "AP",
    }  # fmt: skip
    assert "Not subtracted" in said
    assert all(words[name] in said for name in refused)
    assert "second side" in said


def test_one_experiment_that_moved_to_another_machine_is_refused_alone():
    first = paper_grid((1,), GRID)
    second = [first[0].model_copy(update={"host": OTHER_HOST}), first[1]]
    found = compared(first, second)
    by_place = cells(found.exits)
    cell = by_place["HRNet3", "3", "Gross energy"]
    assert (cell.value, cell.interval) == ("not subtracted", "another machine")
    assert by_place["HRNet4-OKD", "4", "Gross energy"].value == "same"
    assert any("of HRNet3, since the second side has another machine" in sentence for sentence in found.sentences)


def test_two_hosts_of_one_make_are_not_subtracted_and_said_to_differ():
    first = record("HRNet3")
    found = compared([first], [first.model_copy(update={"host": HOST | {"host": "another"}})])
    assert ("HRNet3", "3", "Gross energy") not in cells(found.exits)
    assert any(each.endswith("since the second side has another host of that make.") for each in found.sentences)
    assert [row.head for row in found.circumstances.sections[0].rows] == ["Host"]
    older = first.model_copy(update={"host": {key: each for key, each in HOST.items() if key != "host"}})
    assert cells(compared([first], [older]).exits)["HRNet3", "3", "Gross energy"].value == "same"


def test_what_differs_around_the_runs_is_listed_and_the_rest_is_not():
    first = record("HRNet3")
    second = first.model_copy(
        update={
            "software": first.software | {"torch": "2.14.0"},
            "git": {"commit": "f00dfeed00d5", "dirty": False},
            "host": HOST | {"fingerprint": "another", "cpu": "Intel Xeon"},
            "config": first.config | {"train": first.config["train"] | {"epochs": 61}},
        }
    )
    table = compared([first], [second]).circumstances
    rows = {row.head: [cell.value for cell in row.cells] for row in table.sections[0].rows}
    assert [column.head for column in table.columns] == ["First: old", "Second: new"]
    assert set(rows) == {"Code", "Host", "Machine", "Software", "Configuration of HRNet3"}
    assert rows["Configuration of HRNet3"] == ["train.epochs: 60", "train.epochs: 61"]
    assert "torch\u00a02.13.0" in rows["Software"][0]
    assert "torch\u00a02.14.0" in rows["Software"][1]


def test_experiments_of_one_side_are_named():
    found = compared(paper_grid((1,), ("HRNet3", "HRNet4")), paper_grid((1,), ("HRNet3", "HRNet2")))
    assert "On the first side only: HRNet4." in found.sentences
    assert "On the second side only: HRNet2." in found.sentences
    assert {key[0] for key in cells(found.exits)} == {"HRNet3"}


def test_a_missing_number_says_on_which_side():
    first = record("HRNet3")
    cell = cells(compared([first], [record("HRNet3", evaluated=False)]).exits)["HRNet3", "3", "AP"]
    assert cell.missing.startswith("on the second side: no test split")


def test_runs_of_the_two_sides_are_never_pooled_nor_paired():
    runs = [*paper_grid((1,), ("HRNet3", "HRNet4")), record("HRNet4-OKD")]
    both = side_by_side(ComparisonSide(name="old", entries=tuple(runs)), ComparisonSide(name="new", entries=(runs[2],)))
    assert [(group.label, len(group.runs)) for group in both.groups] == [
        ("HRNet3 (first)", 1), ("HRNet4 (first)", 1), ("HRNet4-OKD (first)", 1), ("HRNet4-OKD (second)", 1),
    ]  # fmt: skip
    from greenpose.report.figures.ablations import ablation_charts

    exits = {pair.name.partition("\u00a0")[0] for chart in ablation_charts(both) for pair in chart.pairs}
    assert exits <= {"HRNet4-OKD (first)"}


def test_only_the_same_experiment_and_seed_make_two_sides():
    assert alike(paper_grid((1,), GRID), paper_grid((1, 2), GRID))
    assert not alike(paper_grid((1,), GRID), paper_grid((2,), GRID))
    assert not alike(paper_grid((1,), ("HRNet3",)), paper_grid((1,), ("HRNet4",)))


def test_a_page_of_one_set_has_no_changes():
    assert changes(study(paper_grid((1,), GRID))) is None


def test_a_relative_difference_is_that_of_the_closed_formula():
    first = Quantity(value=2.0, type_a=Bounds(1.9, 2.1), kind="measured")
    second = Quantity(value=3.0, type_a=Bounds(2.7, 3.3), kind="modelled")
    found = difference(first, second).change
    half = 100 * 1.5 * math.hypot(0.05, 0.1)
    assert (found.value, *found.type_a) == pytest.approx((50, 50 - half, 50 + half))
    assert found.kind == "modelled"
    points = difference(first, second, points=True).change
    assert (points.value, *points.type_a) == pytest.approx((1, 1 - math.hypot(0.1, 0.3), 1 + math.hypot(0.1, 0.3)))


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        ((5.0, None), (5.0, None), "same"),
        ((5.0, None), (6.0, None), "bare"),
        ((5.0, 0.8), (6.0, 0.8), "alike"),
        ((5.0, 0.6), (6.0, 0.6), "differs"),
        ((5.0, 0.4), (6.0, 0.4), "differs"),
        ((5.0, 0.4), (6.0, None), "bare"),
        ((5.0, 1.4), (6.0, None), "alike"),
    ],
)
def test_the_verdict_follows_from_the_interval_of_the_difference(first, second, verdict):
    def of(value, half):
        ends = None if half is None else Bounds(value - half, value + half)
        return Quantity(value=value, kind="measured", type_a=ends)

    found = difference(of(*first), of(*second))
    assert found.verdict == verdict
    if None not in (first[1], second[1]):
        assert (found.verdict == "alike") == (found.change.type_a.low <= 0 <= found.change.type_a.high)


def test_what_every_seed_moves_alike_is_no_part_of_a_difference():
    """Means 10 points apart from seed to seed overlap widely; seed by seed all of them rose by a point."""
    first = [record("HRNet3", seed=seed, ap={3: 0.5 + seed / 10}) for seed in (1, 2, 3)]
    moves = {1: 0.010, 2: 0.011, 3: 0.009}
    second = [record("HRNet3", seed=seed, ap={3: 0.5 + seed / 10 + moves[seed]}) for seed in moves]
    cell = cells(compared(first, second).exits)["HRNet3", "3", "AP"]
    assert (cell.value, cell.interval) == ("+1.00", "±0.25")  # t(2) 4.303 times 0.1 over the root of 3
    apart = [record("HRNet3", seed=seed + 3, ap={3: 0.5 + seed / 10 + moves[seed]}) for seed in moves]
    assert cells(compared(first, apart).exits)["HRNet3", "3", "AP"].value == "not distinguishable"


def test_the_answer_about_two_sides_has_three_sentences_at_most():
    runs = paper_grid((1, 2), GRID)
    both = side_by_side(
        ComparisonSide(name="old", entries=tuple(runs)), ComparisonSide(name="new", entries=tuple(runs))
    )
    found = answer(both)
    assert found[0].startswith("From the first side to the second")
    assert "(second)" in found[1]
    assert found[2].startswith("Mind that")
    assert len(found) == 3


def test_counted_numbers_need_no_interval():
    first, second = (Quantity(value=value, kind="counted") for value in (4.0, 5.0))
    assert difference(first, second).verdict == "differs"
    assert difference(first, second).cell.value == "+25"


@pytest.mark.usefixtures("undrawn")
def test_the_page_of_two_sides_begins_with_what_changed_and_answers_for_the_second():
    first, second = (tuple(paper_grid(seeds, GRID)) for seeds in ((1, 2), (2, 1)))
    pages = [
        render_study(
            side_by_side(
                ComparisonSide(name="old", entries=one), ComparisonSide(name="new", entries=tuple(reversed(other)))
            ),
            title="Both", generated_at="2025-06-01", version="0.1.0",
        )
        for one, other in ((first, second), (second, first))
    ]  # fmt: skip
    assert pages[0] == pages[1]
    tree = read(pages[0])
    (lead,) = [each.text for each in tree.all("p") if each.attributes.get("class") == "lead"]
    assert lead.startswith("From the first side to the second: of 27\u00a0numbers")
    (front,) = [each for each in tree.all("table") if each.attributes["id"] == "front"]
    assert "(second)" in front.text
    assert "(first)" not in front.text
    ids = [element.attributes["id"] for element in tree if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    assert "Nothing that is recorded differs around the runs." in tree.text


def test_accuracy_on_other_labels_is_not_subtracted_and_an_unknown_digest_forbids_nothing():
    first = record("HRNet3")
    labelled = [again(first, dataset=first.dataset | {"annotations_sha256": {"test": digest}}) for digest in "ab"]
    for other, refused in ((labelled[1], True), (labelled[0], False), (first, False)):
        found = compared([labelled[0]], [other])
        assert ("AP" not in {column.head for column in found.exits.columns}) == refused
        assert ("other annotations of the test images" in " ".join(found.sentences)) == refused
