"""What readers do with it, by keyboard alone: sort, filter, highlight, choose the axis, suppose, share."""

import csv
import json
import random

import pytest

from greenpose.record import dumps
from greenpose.report.figures.what_if import Scenario, outcomes, shown_outcomes, uses
from greenpose.report.study import study
from greenpose.tables import quantity_cell
from tests.browser.conftest import GRID
from tests.pages import blocks_of
from tests.report.records import record

pytestmark = pytest.mark.browser
VIEW = """() => ({
    tables: [...document.querySelectorAll("table")].filter(each => each.checkVisibility()).map(each => each.innerText),
    sorted: [...document.querySelectorAll("[aria-sort]")].map(each => each.innerText + each.ariaSort),
    on: [...document.querySelectorAll("tr.on, .on text, text.on, .point.on")].map(each => each.textContent),
    figures: [...document.querySelectorAll("figure")].filter(each => each.checkVisibility()).map(each => each.id),
    fields: [...document.querySelectorAll("[name]:not(meta)")].map(({ checked, value }) => [checked, value]),
})"""
"""Everything that a view consists of."""
CELLS = "rows => rows.map(row => [...row.cells].map(each => each.textContent))"
PRINTED = """() => [...document.querySelectorAll("#runs tbody")].flatMap(body => [...body.rows].map(row =>
    [...(row.querySelector(".group") ? [] : [body.querySelector(".group")]), ...row.cells].map(each => each.textContent)
))"""
"""Lines of a table as it was printed, each with its group's head."""


def column(page, table, index):
    return page.eval_on_selector_all(
        f"#{table} tbody tr", f"rows => rows.map(row => row.cells[{index}].firstChild.textContent.split('\\n')[0])"
    )


def numbers(texts):
    return [float(each.translate({0x2248: "", 0x202F: "", 0x20: ""})) for each in texts if each[0] in "≈0123456789"]


def type_into(page, text):
    page.keyboard.press("Control+A")
    page.keyboard.type(text)


def test_a_browser_reads_the_records_that_the_page_holds(visit):
    (block,) = blocks_of("report.md", "js")
    typed = f"async () => {{ {block.text} return records; }}"
    assert visit("one run").evaluate(typed) == [json.loads(dumps(record("HRNet4-OKD")))]


def test_tables_sort_by_value_down_up_and_back_as_printed(visit, tab_to):
    page = visit()
    printed = page.inner_text("#exits tbody")
    tab_to(page, "#exits th:nth-of-type(13) button")
    page.keyboard.press("Enter")
    values = numbers(column(page, "exits", 12))
    assert len(values) == 9
    assert values == sorted(values, reverse=True)
    assert page.evaluate("[...document.querySelectorAll('[aria-sort]')].map(each => each.ariaSort)") == ["descending"]
    assert "highest first" in page.inner_text("#said")
    page.keyboard.press("Enter")
    assert numbers(column(page, "exits", 12)) == sorted(values)
    assert page.evaluate("document.activeElement.closest('th').ariaSort") == "ascending"
    page.keyboard.press("Enter")
    assert page.inner_text("#exits tbody") == printed
    assert page.query_selector("[aria-sort]") is None


def test_lines_that_are_sorted_apart_keep_their_names_and_numbers(visit):
    page = visit(fragment="#runs=5d")
    page.locator("details.fold:has(#runs) > summary").click()
    page.locator("#runs tbody:not(:has([rowspan]))").first.wait_for()
    lines = page.eval_on_selector_all("#runs tbody tr", CELLS)
    assert len({len(line) for line in lines}) == 1
    assert page.locator("#runs tbody [rowspan]").count() == 0
    page.goto(page.url.split("#")[0])
    page.locator("details.fold:has(#runs) > summary").click()
    printed = page.evaluate(PRINTED)
    assert sorted(lines) == sorted(printed)
    assert lines != printed


def test_missing_numbers_come_last_either_way(visit):
    for direction in ("", "d"):
        page = visit(fragment=f"#scenario=6{direction}")
        known = [each[0].isdigit() or each[0] == "∼" for each in column(page, "scenario", 6)]
        assert known == sorted(known, reverse=True)
        assert set(known) == {True, False}


def test_words_and_an_exit_filter_tables_and_charts(visit, tab_to):
    page = visit()
    tab_to(page, "#view [name=find]")
    page.keyboard.type("ds okd")
    assert set(column(page, "exits", 0)) == {"HRNet3-OKD-DS", "HRNet4-OKD-DS", "HRNet4-COKD-DS"}
    tab_to(page, "#view [name=exit]")
    page.keyboard.press("3")
    assert column(page, "exits", 1) == ["3", "3", "3"]
    assert "lines match" in page.inner_text("#count")
    dim = page.eval_on_selector_all(
        ".chosen .point.off title", "all => all.map(each => each.textContent.split(':')[0])"
    )
    assert len(dim) == 6
    assert "HRNet4" in dim
    tab_to(page, "#view .reset")
    page.keyboard.press("Enter")
    assert len(column(page, "exits", 0)) == 9
    assert page.inner_text("#count") == ""


def test_one_chart_is_shown_at_a_time_and_arrows_choose_its_cost(visit, tab_to):
    page = visit()
    shown = """[...document.querySelectorAll("#tradeoff ~ figure, .multiples figure")]
        .filter(each => each.checkVisibility()).map(each => each.id)"""
    assert page.evaluate(shown) == ["chart-energy-j-per-image-figure"]
    tab_to(page, "[name=axis]")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(shown) == ["chart-macs-figure"]
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert len(page.evaluate(shown)) == 7


def test_what_is_picked_is_highlighted_in_charts_and_tables(visit, tab_to):
    page = visit()
    tab_to(page, "#view [name=pick]")
    page.keyboard.type("HRNet4-OKD-DS")
    names = page.eval_on_selector_all(
        "#exits tr.on", "rows => rows.map(row => row.closest('tbody').querySelector('.group').textContent)"
    )
    assert names == ["HRNet4-OKD-DS", "HRNet4-OKD-DS"]
    assert page.locator(".chosen .point.on").count() == 2
    assert page.locator("#flows-svg text.on").all_text_contents() == ["HRNet4-OKD-DS"]
    assert page.locator("#slopes-figure .canvas.on").count() == 1
    assert page.locator("#scenario tr.on").count() == 2


def test_a_run_that_is_picked_stands_for_itself_and_its_experiment(visit):
    run = GRID[0].name
    page = visit(fragment=f"#pick={run}")
    page.locator("details.fold:has(#runs) > summary").click()
    page.locator("#runs tr.on").first.wait_for()  # the browser says that it opened when it has the time
    assert page.locator("#runs tr.on").count() == 1
    assert page.locator("#exits tr.on").count() == 1


def test_arrows_walk_the_points_of_a_chart_and_enter_keeps_one(visit, tab_to):
    page = visit()
    tab_to(page, ".chosen .point")
    walked = []
    for _ in range(9):
        walked.append(page.evaluate("document.activeElement.ariaLabel"))
        assert page.locator("#exits tr.on").count() >= 1
        page.keyboard.press("ArrowRight")
    assert len(set(walked)) == 9
    assert page.evaluate("document.activeElement.ariaLabel") == walked[0]
    page.keyboard.press("Enter")
    kept = page.input_value("[name=pick]")
    assert walked[0].startswith(kept)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Tab")
    assert page.locator("#exits tr.on").count() >= 1
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.ariaLabel") == walked[-1], "one stop for each chart, where it was left"
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    assert page.locator("tr.on").count() == 0


def test_a_click_on_a_name_highlights_it_and_another_lets_go(visit):
    page = visit()
    head = page.locator("#exits th.group", has_text="HRNet4-COKD-DS")
    head.click()
    assert page.input_value("[name=pick]") == "HRNet4-COKD-DS"
    head.click()
    assert page.input_value("[name=pick]") == ""


def test_suppositions_compute_what_python_computes_digit_for_digit(visit):
    page = visit()
    known, chance = uses(study(GRID)), random.Random(7)
    figures = shown_outcomes(known)
    printed = page.inner_text("#scenario tbody")
    for _ in range(12):
        n, d, y, g, pue = (
            float(f"{10 ** chance.uniform(*ends):.3g}") for ends in ((-3, 3), (0, 3), (-1, 1.3), (0, 3), (0, 0.4))
        )
        for name, value in {"n": n, "d": d, "y": y, "g": g, "pue": pue}.items():
            page.fill(f"#suppose [name={name}]", f"{value:.6f}")
        wanted = Scenario(images_per_second=n, devices=d, years=y, intensity_g_per_kwh=g, pue=pue)
        parts = page.eval_on_selector_all(
            "#scenario tbody td", "cells => cells.map(each => [...each.childNodes].map(part => part.textContent))"
        )
        cells = [[line for part in cell for line in part.split("\n")] for cell in parts]
        expected = [
            [part for part in (cell.value, cell.interval or ("1" if cell.missing else "")) if part]
            for use in known
            for each, figure in zip(outcomes(use, wanted), figures, strict=True)
            for cell in [quantity_cell(each * figure.scale, figure)]
        ]
        assert cells == expected
    page.locator("#suppose .reset").click()
    assert page.inner_text("#scenario tbody") == printed


def test_suppositions_are_reached_and_changed_by_keyboard(visit, tab_to):
    page = visit()
    before = column(page, "scenario", 1)
    tab_to(page, "#suppose [name=g]")
    type_into(page, "0")
    assert set(column(page, "scenario", 1)) == {"≈\u202f0"}
    type_into(page, "662")
    assert numbers(column(page, "scenario", 1)) == pytest.approx([2 * each for each in numbers(before)], rel=0.1)
    tab_to(page, "#suppose .reset")
    page.keyboard.press("Enter")
    assert column(page, "scenario", 1) == before


def test_nonsense_in_a_field_leaves_the_printed_numbers(visit):
    page = visit(fragment="#g=-5&n=abc&y=0&exits=99&sort=%&pick=nobody&axis=none")
    assert page.inner_text("#scenario tbody") == visit().inner_text("#scenario tbody")


def test_a_link_restores_the_view_that_it_was_made_of(visit):
    page = visit()
    page.fill("[name=find]", "okd")
    page.select_option("[name=exit]", "3")
    page.select_option("[name=pick]", "HRNet3-OKD-DS")
    page.locator("#exits thead button").nth(9).click()
    page.locator("[name=axis][value=chart-latency-s]").check()
    page.fill("#suppose [name=n]", "25000")
    page.wait_for_url("**n=25000*")
    other = visit(fragment=page.evaluate("location.hash"))
    assert other.evaluate(VIEW) == page.evaluate(VIEW)
    assert other.evaluate(VIEW) != visit().evaluate(VIEW)


def test_links_of_the_contents_keep_the_view(visit):
    page = visit(fragment="#find=okd")
    page.locator("nav a", has_text="How sure").click()
    assert page.input_value("[name=find]") == "okd"
    assert len(column(page, "exits", 0)) == 7


@pytest.mark.parametrize("table", ["exits", "scenario"])
def test_a_table_is_copied_as_csv_without_signs_that_a_spreadsheet_stumbles_over(visit, table):
    page = visit(fragment=f"#find=okd&{table}=2d", permissions=["clipboard-read", "clipboard-write"])
    page.locator(f".scroll:has(#{table}) + button").click()
    page.locator("#said", has_text="copied").wait_for()
    rows = list(csv.reader(page.evaluate("navigator.clipboard.readText()").splitlines()))
    assert len(rows) == 8
    assert len({len(row) for row in rows}) == 1
    assert rows[0][0] in {"Experiment", "Exit"}
    assert [row[0] for row in rows[1:]] == [each.replace("\u00a0", " ") for each in column(page, table, 0)]


def test_the_first_interaction_is_timed(visit, capsys):
    page = visit()
    milliseconds = page.evaluate(
        """() => {
            const start = performance.now();
            document.querySelector("#exits th:nth-of-type(5) button").click();
            document.body.getBoundingClientRect();
            return performance.now() - start;
        }"""
    )
    with capsys.disabled():
        print(f"\nfirst interaction, sorting a page of 15 runs: {milliseconds:.1f} ms")
    assert milliseconds > 0
