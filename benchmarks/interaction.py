"""How long a page keeps its reader waiting: the first click, in headless Chromium."""

import shutil
from pathlib import Path
from statistics import median
from typing import Any

FIRST_CLICK = """selector => new Promise(done => {
    const target = document.querySelector(selector)
    const began = performance.now()
    target.click()
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)))
})"""
"""From the click to the moment after the next frame was painted, in ms."""
SORT = "#exits thead button"
"""What is clicked: the first button of the exits' table, which sorts all of its lines."""
VISITS = 5


def first_click(page: Path) -> float | None:
    """Return the median seconds that the first click of a visit takes; None where there is no Chromium."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    path = shutil.which("chromium")
    if path is None:
        return None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        found = [_visit(browser, page) for _ in range(VISITS)]
        browser.close()
    return median(found)


def _visit(browser: Any, page: Path) -> float:
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.goto(page.as_uri())
    took = float(tab.evaluate(FIRST_CLICK, SORT)) / 1000
    tab.close()
    return took
