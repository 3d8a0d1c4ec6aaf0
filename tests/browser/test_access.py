"""Whoever reads it: axe's rules in both schemes, the size of targets, a focus that is seen, forced colours."""

import pytest

from tests.browser.conftest import SETS

pytestmark = pytest.mark.browser
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
BUSY = "#find=OKD&pick=HRNet4-OKD-DS&axis=chart-macs&exits=5d&n=250000&g=50"
"""A view in which everything that the script can do has been done."""
OPEN_ALL = "for (const each of document.querySelectorAll('details')) each.open = true"

SMALL = """() => [...document.querySelectorAll("button, select, input, summary, nav a, .point")]
    .filter(each => each.checkVisibility())
    .map(each => [each, each.closest(".axis label") ?? each.querySelector("circle") ?? each])
    .map(([each, target]) => [each, target.getBoundingClientRect()])
    .filter(([each, { width, height }]) => Math.min(width, height) < (each.matches(".point") ? 12 : 24) - 0.01)
    .map(([each, { width, height }]) => `${each.outerHTML.slice(0, 90)} ${width}x${height}`)"""
"""Targets that are too small. Points of charts may be: the list in the bar does the same (WCAG 2.5.8, equivalent)."""


def faults(page, axe):
    page.evaluate(OPEN_ALL)
    page.evaluate(axe)
    found = page.evaluate("rules => axe.run(document, { runOnly: rules })", RULES)
    return [f"{each['id']}: {node['html'][:120]}" for each in found["violations"] for node in each["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", SETS)
def test_axe_finds_no_fault(visit, axe, name, scheme):
    assert faults(visit(name, color_scheme=scheme), axe) == []


@pytest.mark.parametrize(("scheme", "fragment"), [("dark", BUSY), ("light", BUSY), ("dark", "#axis=all&pick=HRNet3")])
def test_axe_finds_no_fault_in_a_view_that_was_worked_on(visit, axe, scheme, fragment):
    assert faults(visit(fragment=fragment, color_scheme=scheme), axe) == []


def test_axe_finds_no_fault_on_a_phone_and_without_scripts_colours_are_forced(visit, axe):
    assert faults(visit(width=360, forced_colors="active"), axe) == []


@pytest.mark.parametrize("width", [360, 1280])
def test_every_target_is_24_pixels_high_and_wide(visit, width):
    page = visit(fragment="#axis=all", width=width)
    page.evaluate(OPEN_ALL)
    small = page.evaluate(SMALL)
    assert small == []


def test_the_focus_is_seen_wherever_the_keyboard_goes(visit):
    page = visit("one run", fragment="#axis=all")
    seen = set()
    for _ in range(400):
        page.keyboard.press("Tab")
        found = page.evaluate(
            """() => {
                const at = document.activeElement;
                const drawn = at.closest(".axis label") ?? at;
                const { outlineStyle, outlineWidth } = getComputedStyle(drawn);
                const circle = at.querySelector(":scope > circle");
                const ring = circle ? parseFloat(getComputedStyle(circle).strokeWidth) : 0;
                const box = at.getBoundingClientRect();
                const bar = document.querySelector("#view").getBoundingClientRect();
                const hidden = !at.closest("#view") && box.bottom <= bar.bottom && box.bottom > bar.top && bar.top < 1;
                return [at.tagName, at.outerHTML.slice(0, 80), hidden ? "under the bar" : "",
                    (outlineStyle != "none" && parseFloat(outlineWidth) >= 2) || ring >= 2];
            }"""
        )
        if found[0] == "BODY":
            break
        assert found[3], f"no focus is seen on {found[1]}"
        assert not found[2], f"{found[1]} has the focus below the bar"
        seen.add(found[0])
    assert {"A", "INPUT", "SELECT", "BUTTON", "DIV", "SUMMARY", "g"} <= seen


def test_the_first_stop_of_the_keyboard_skips_to_the_answer(visit):
    page = visit()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main"


def test_marks_keep_a_colour_of_the_users_where_colours_are_forced(visit):
    page = visit(forced_colors="active", fragment="#pick=HRNet3")
    accent = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--accent')")
    assert accent.strip() == "LinkText"
