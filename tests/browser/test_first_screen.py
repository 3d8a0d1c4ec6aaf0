"""Without scrolling: the answer, the tiles, the chart and the lights; chapters that are closed open when asked for."""

import re
import subprocess

import pytest

from tests.browser.conftest import FOLDED, SETS

pytestmark = pytest.mark.browser
BOTTOM = "css => Math.max(...[...document.querySelectorAll(css)].map(each => each.getBoundingClientRect().bottom))"
CROSSED = """svg => {
  const arrow = [...svg.querySelectorAll("path")].find(each => each.getAttribute("d").includes("Q"));
  const boxes = [...svg.querySelectorAll("text")].map(each => [each.textContent, each.getBoundingClientRect()]);
  const inside = (x, y, box) => x > box.left && x < box.right && y > box.top + 3 && y < box.bottom - 3;
  const between = (a, b) => a.left < b.right && a.top + 3 < b.bottom - 3;
  const steps = arrow ? [...Array(101).keys()].map(n => arrow.getPointAtLength(n * arrow.getTotalLength() / 100)
    .matrixTransform(arrow.getScreenCTM())) : [];
  const met = (one, other) => between(one[1], other[1]) && between(other[1], one[1]);
  return [!!arrow, boxes.filter(([, box]) => steps.some(({x, y}) => inside(x, y, box))).map(([words]) => words),
    boxes.flatMap((one, n) => boxes.slice(n + 1).filter(each => met(one, each)).map(each => one[0] + " / " + each[0]))];
}"""
CHAPTERS = "[...document.querySelectorAll('.chapter')].map(each => [each.querySelector('.inside').id, each.open])"


@pytest.mark.parametrize("name", SETS)
def test_the_answer_fits_on_the_first_screen_and_on_one_and_a_half_of_a_phone(visit, name):
    page = visit(name + FOLDED, height=800)
    assert page.evaluate(BOTTOM, ".answer h2, .tiles, .lights, .first > figure") <= 800
    phone = visit(name + FOLDED, width=360, height=800)
    assert phone.evaluate(BOTTOM, ".answer h2, .tiles, .first > figure .canvas") <= 1200
    said = phone.locator(".levels")
    levels = [each.split(":")[0].split(" ")[0] for each in page.locator(".lights strong").all_inner_texts()]
    assert said.count() == bool(levels)
    assert not levels or (said.is_visible() and said.locator("strong").all_inner_texts() == levels)
    assert not page.locator(".levels").is_visible() or not levels


@pytest.mark.parametrize("name", [name for name in SETS if name != "no run"])
@pytest.mark.parametrize(("width", "chart"), [(1280, "#choice-svg"), (360, "#choice-narrow-svg")])
def test_neither_the_arrow_nor_a_label_lies_on_the_words_of_the_chart(visit, name, width, chart):
    assert visit(name + FOLDED, width=width).locator(chart).evaluate(CROSSED) == [True, [], []]


@pytest.mark.parametrize("javascript", [True, False])
def test_a_link_to_a_closed_chapter_opens_it(visit, javascript):
    page = visit("grid" + FOLDED, javascript=javascript)
    assert dict(page.evaluate(CHAPTERS)) == {
        "networks": True, "what-if": False, "went": False, "sure": False, "method": False, "disclosures": False
    }  # fmt: skip
    assert len(page.locator("nav a").all()) == 6
    page.locator("nav a", has_text="What if").click()
    assert page.locator("#scenario").is_visible()


def test_a_term_is_explained_under_the_pointer_with_the_focus_and_when_tapped(visit):
    page = visit("grid" + FOLDED)
    term = page.locator(".tiles .term", has_text="AP").first
    tip = term.locator(".tip")
    assert not tip.is_visible()
    term.hover()
    assert tip.is_visible()
    page.mouse.move(0, 0)
    assert not tip.is_visible()
    term.focus()
    assert tip.is_visible()
    phone = visit("grid" + FOLDED, width=360, has_touch=True)
    tapped = phone.locator(".tiles .term", has_text="AP").first
    tapped.tap()
    assert tapped.locator(".tip").is_visible()


@pytest.mark.parametrize("name", [name for name in SETS if name != "no run"])
def test_no_table_needs_sideways_scrolling_at_1280_pixels(visit, name):
    page = visit(name)
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    beyond = "box => box.scrollWidth - box.clientWidth > 1 && box.querySelector('table').id"
    wide = [each for box in page.locator(".scroll").all() if (each := box.evaluate(beyond))]
    assert wide == []


def test_the_quick_grid_prints_on_six_pages_at_most_after_the_first_screen_chart_and_table(visit, tmp_path):
    page = visit("published quick" + FOLDED)
    printed = page.pdf(path=tmp_path / "page.pdf", prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) <= 6
    words = subprocess.run(
        ["pdftotext", "-layout", tmp_path / "page.pdf", "-"], capture_output=True, text=True, check=True
    )
    first, second, *_ = words.stdout.split("\f")
    assert "for now" in first
    assert "Accuracy against footprint" in second
    assert "On the front" in second
    assert "What to do next" not in first + second
