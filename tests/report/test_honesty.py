"""What the page promises of every number, walked over all of it: its mark, its digits, why it is missing."""

import re

import pytest

from greenpose.report import render
from tests.report.html_tree import read
from tests.report.records import failure, paper_grid, record, with_making

CONSTANT = {"title": "Honesty", "generated_at": "2025-06-01T12:00:00+00:00", "version": "0.1.0"}
GRID = ("HRNet2", "HRNet3", "HRNet4", "HRNet4-OKD-DS", "HRNet4-COKD-DS")
SEEDS = {"one seed": (1,), "two seeds": (1, 2), "three seeds": (1, 2, 3)}
ENERGY_UNIT = re.compile(r"(?<![\w%])(k|m)?(Wh|J|W|g|gCO2eq)(?!\w)")
MARKED = re.compile("[≈∼≥]|not measured|not applicable|none")
METERED = (
    "Latency",
    "CPU time",
    "Gross energy",
    "Net energy",
    "CO2eq",
    "Operation",
    "Making the machine",
    "SCI",
    "Use",
)
"""How columns of what the meter saw of an exit begin."""
ANOTHER_TOOLS = "Its energy"
"""The one column whose kind nobody recorded: what another tool says of itself stands in its note."""


@pytest.fixture(scope="module", params=SEEDS)
def page(request):
    runs = [with_making(run) for run in paper_grid(SEEDS[request.param], GRID)]
    return read(render([*runs, failure(), failure(seed=2, reason="interrupted")], **CONSTANT))


def cells(page):
    """Yield the table's id, the column's heading and unit, and the cell, for every cell below a column."""
    for table in page.all("table"):
        heads = table.all("thead")[0].all("th")
        for row in table.all("tr")[1:]:
            found = row.all("td")
            for head, cell in zip(heads[len(heads) - len(found) :], found, strict=True):
                unit = " ".join(each.text for each in head.all("span") if each.attributes["class"] == "unit")
                yield table.attributes["id"], head.text, unit, cell


def decimals(text):
    return len(text.partition(".")[2])


def test_modelled_joules_watts_and_grams_are_marked_in_every_table(page):
    bare = [
        (table, head, cell.text)
        for table, head, unit, cell in cells(page)
        if ENERGY_UNIT.search(unit) and not head.startswith(ANOTHER_TOOLS) and not MARKED.match(cell.text.strip())
    ]
    assert bare == []
    assert not any("†" in cell.text for _, _, _, cell in cells(page)), "nothing else was at work"
    assert sum(bool(ENERGY_UNIT.search(unit)) for _, _, unit, _ in cells(page)) > 100


def test_modelled_joules_and_grams_are_marked_in_every_chart_and_its_words(page):
    said = [each.text for svg in page.all("svg") for each in svg.all("text", "title", "desc")]
    said += [each.text for each in page.all("figcaption", "p") if each.attributes.get("class") != "absent"]
    unit = r"[km]?Wh|J|g|gCO2eq)(?!\w|/kWh"
    amounts = [
        found
        for text in said
        for found in re.findall(rf"(\S+)(?:[ \u00a0]±\S+|[ \u00a0]\[\S+\])?[ \u00a0](?:{unit})", text)
    ]
    assert len(amounts) > 10
    assert [each for each in amounts if not each.lstrip("(").startswith(("≈", "∼"))] == []


def test_no_number_has_more_digits_than_its_interval(page):
    checked = 0
    for table, head, _, cell in cells(page):
        value, _, interval = cell.text.strip("≈∼ \u202f").partition("\n")
        if interval.startswith("±"):
            half = interval[1:]
            one_digit = len(value.replace("−", "").replace(".", "").lstrip("0")) == 1
            assert decimals(value) <= decimals(half) or one_digit, f"{table}, {head}: {cell.text}"
            checked += 1
    assert checked > 20 or not page.all("table")


@pytest.mark.usefixtures("undrawn")
def test_every_number_that_is_missing_leads_to_its_reason():
    page = read(render([record("HRNet4-OKD", evaluated=False, metered=False)], **CONSTANT))
    reasons = 0
    for table in page.all("table"):
        beyond = table.parent.parent.children
        after = beyond[beyond.index(table.parent) :]
        notes = next((each for each in after if getattr(each, "tag", "") == "ol"), None)
        for cell in table.all("td"):
            if cell.attributes.get("class") == "m":
                assert notes is not None
                note = notes.all("li")[int(cell.all("sup")[0].text) - 1]
                assert len(note.text) > len("not measured: ")
                reasons += 1
            assert cell.text.strip(), "a cell is blank"
    assert reasons > 20
    absent = [each.text for each in page.all("p") if each.attributes.get("class") == "absent"]
    assert absent
    assert all(len(each) > len("Not measured: .") for each in absent)


def test_measured_energy_is_nowhere_marked_as_modelled():
    runs = [record(name, seed=seed, grade="A") for name in ("HRNet3", "HRNet4") for seed in (1, 2, 3)]
    page = read(render(runs, **CONSTANT))
    texts = [cell.text for table in page.all("table") for cell in table.all("td")]
    texts += [each.text for svg in page.all("svg") for each in svg.all("text")]
    assert [text for text in texts if "≈" in text] == []


def beside_load(run, foreign=0.0, steal=0.0):
    """Return the run as if others had taken these shares of the CPU while its exits were metered."""
    seen = {"foreign_cpu_share": foreign, "steal_share": steal}
    exits = [entry.model_copy(update={"measurement": entry.measurement | seen}) for entry in run.exits]
    return run.model_copy(update={"exits": exits})


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("foreign", "steal"), [(0.9, 0.0), (0.0, 0.3), (0.11, 0.03)])
def test_a_number_that_was_metered_beside_much_load_is_marked_wherever_it_stands(foreign, steal):
    runs = [beside_load(with_making(run), foreign, steal) for run in paper_grid((1, 2), GRID)]
    page = read(render(runs, **CONSTANT))
    found = {
        (table, head): "†" in cell.text
        for table, head, _, cell in cells(page)
        if table in ("exits", "emissions", "runs", "front", "scenario")
        and head.startswith(METERED)
        and cell.attributes.get("class") != "m"
    }
    assert len({table for table, _ in found}) == 5
    assert [where for where, marked in found.items() if not marked] == []
    points = [each.text for svg in page.all("svg") for each in svg.all("title") if "J/image, AP" in each.text]
    assert len(points) == 8
    assert all("†" in each for each in points)
    fixed = [cell.text for _, head, _, cell in cells(page) if head.startswith(("AP", "MACs", "Params", "Training"))]
    assert len(fixed) > 40
    assert [text for text in fixed if "†" in text] == [], "load cannot move these"


@pytest.mark.usefixtures("undrawn")
def test_the_answer_says_how_much_others_took_and_its_own_numbers_are_marked():
    quiet, busy = record("HRNet3", ap={3: 0.9}), beside_load(record("HRNet4", ap={4: 0.5}), 0.9)
    page = read(render([quiet, busy], **CONSTANT))
    (section,) = [each for each in page.all("section") if each.attributes.get("class") == "answer"]
    said = section.text.replace("\u00a0", " ")
    assert "1 of 2 exits was metered while other processes took up to 90 % of the CPU: † marks" in said
    busy_costs = render([beside_load(record("HRNet4"), 0.9)], **CONSTANT).partition('class="lead"')[2][:400]
    assert len(re.findall(r"≈[\d.]+† ±|≈[\d.]+†\u00a0±", busy_costs)) == 2
    assert "† metered while other processes took more than 10 % of the CPU" in page.all("main")[0].text.replace(
        "\u00a0", " "
    )


@pytest.mark.usefixtures("undrawn")
def test_what_the_meter_does_not_warn_of_marks_nothing():
    page = read(render([beside_load(run, 0.1, 0.02) for run in paper_grid((1, 2), GRID)], **CONSTANT))
    assert [cell.text for _, _, _, cell in cells(page) if "†" in cell.text] == []
    assert "other processes took up to" not in page.all("main")[0].text


@pytest.mark.usefixtures("undrawn")
def test_what_is_in_doubt_is_in_the_answer_and_told_run_by_run():
    wrong = "cpu energy is missing in 2 of 8 windows (train 3, train 4): its counter went back by 10 J"
    doubted = record("HRNet3", grade="B", doubts=[wrong, "the date was set in 1 of 8 windows (train 5): <b>back</b>"])
    page = read(render([doubted, record("HRNet4", grade="B")], **CONSTANT))
    (section,) = [each for each in page.all("section") if each.attributes.get("class") == "answer"]
    assert f"something is in doubt in 1 run ({wrong})" in section.text.replace("\u00a0", " ")
    (told,) = [each.text for each in page.all("dd") if wrong in each.text and "the date was set" in each.text]
    assert told.startswith(f"{doubted.name}: ")
    assert "<b>back</b>" in told
    assert "something is in doubt" not in render([record("HRNet4")], **CONSTANT)
