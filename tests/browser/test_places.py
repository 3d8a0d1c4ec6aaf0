"""Where it is read: without scripts, on a phone, on a wall, on paper."""

import re
import subprocess

import pytest

from tests.browser.conftest import SETS

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("name", SETS)
def test_without_scripts_all_tables_and_figures_are_there_and_no_dead_control(visit, name):
    page = visit(name, javascript=False)
    assert page.locator("table").count() > 0
    hidden = [each for each in page.locator("main > section").all() if not each.is_visible()]
    assert hidden == []
    assert [each for each in page.locator("button, input, select").all() if each.is_visible()] == []
    if name != "no run":
        assert "Wh" in page.inner_text("#scenario thead")
        assert re.search(r"\d", page.inner_text("#scenario tbody"))
        assert all(each.is_visible() for each in page.locator("#tradeoff ~ figure, .multiples figure").all())


@pytest.mark.parametrize("name", SETS)
def test_the_page_never_scrolls_sideways(visit, name):
    page = visit(name, fragment="#axis=all")
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    for width in (320, 360, 768, 1280, 2560, 3840):
        page.set_viewport_size({"width": width, "height": 900})
        beyond = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert beyond <= 0, f"at {width} px"


def test_what_a_phone_cuts_off_has_an_edge_that_says_so(visit):
    page = visit("published table1_small", width=360)
    for css in (".scroll:has(#exits)", "figure.large .canvas"):
        box = page.locator(css).first
        assert box.evaluate("box => box.scrollWidth > box.clientWidth")
        assert box.evaluate("box => getComputedStyle(box).backgroundImage").count("linear-gradient") == 4
        assert "local" in box.evaluate("box => getComputedStyle(box).backgroundAttachment")


def text_of(page, folder):
    target = folder / "page.pdf"
    page.pdf(path=target, prefer_css_page_size=True)
    sizes = subprocess.run(["pdfinfo", "-l", "999", target], capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"size:\s+(\S+ x \S+) pts", sizes)) <= {"594.96 x 841.92", "841.92 x 594.96"}, "A4 only"
    return subprocess.run(["pdftotext", "-layout", target, "-"], capture_output=True, text=True, check=True).stdout


def plain(text):
    """Return text without blanks: names break at their hyphens."""
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize("javascript", [True, False])
@pytest.mark.parametrize("name", SETS)
def test_a_print_has_every_section_on_a4_with_details_open(visit, name, javascript, tmp_path):
    page = visit(name, javascript=javascript, color_scheme="dark")
    printed = plain(text_of(page, tmp_path))
    for heading in page.locator("h1, h2, h3").all_inner_texts():
        assert plain(heading) in printed
    for caption in page.locator("caption").all_text_contents():
        assert plain(caption)[:40] in printed
    assert "Copy" not in printed.replace("Copyforapaper", "")
    assert "Skipto" not in printed


def test_the_heads_of_a_long_table_are_printed_on_each_of_its_pages(visit, tmp_path):
    sheets = text_of(visit(), tmp_path).split("\f")
    begin = next(index for index, sheet in enumerate(sheets) if "Every exit of every run" in sheet)
    end = next(index for index, sheet in enumerate(sheets) if "What teaching changes" in sheet)
    assert end - begin > 1
    assert all("AP50" in sheet and "latency" in sheet.lower() for sheet in sheets[begin:end])


def test_a_print_is_light_repeats_heads_and_splits_no_line(visit):
    page = visit(color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    style = """css => (({ display, breakInside, backgroundColor }) => [display, breakInside, backgroundColor])(
        getComputedStyle(document.querySelector(css)))"""
    assert page.evaluate(style, "thead")[0] == "table-header-group"
    assert page.evaluate(style, "tbody tr")[1] == "avoid"
    after = "css => getComputedStyle(document.querySelector(css)).breakAfter"
    assert [page.evaluate(after, css) for css in ("thead", "caption", "#distillation + p")] == ["avoid"] * 3
    assert page.evaluate(style, "body")[2] == "rgb(255, 255, 255)"


def test_nothing_moves_for_those_who_asked_for_it(visit):
    page = visit(reduced_motion="reduce")
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    page = visit(reduced_motion="no-preference")
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "smooth"
