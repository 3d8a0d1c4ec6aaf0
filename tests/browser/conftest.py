"""Pages as people meet them, of fake and of published runs, opened in a headless Chromium that has no network."""

import itertools
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from greenpose.data.images import encode_png
from greenpose.report import read_verdict, render_study
from greenpose.report.study import ComparisonSide, side_by_side, study
from greenpose.store import Predictions, collect
from greenpose.store.pictures import source_of
from reports.examples import examples
from tests.report.records import failure, paper_grid, record, with_making
from tests.report.test_check_verdict import TEXT
from tests.report.test_learning_curves import PAPER, green, trained

EXPERIMENTS = ("HRNet3", "HRNet4", "HRNet3-OKD-DS", "HRNet4-OKD-DS", "HRNet4-COKD-DS")
GRID = [with_making(run) for run in paper_grid((1, 2, 3), EXPERIMENTS)]
RECIPES = [*(trained(PAPER, seed=seed) for seed in (1, 2)), *green((0.5, 0.6, 0.7), (0.4, 0.5, 0.6))]
SIDES = [
    ComparisonSide(name=name, entries=tuple(paper_grid((seed,), EXPERIMENTS)))
    for name, seed in (("May", 1), ("June", 2))
]
ONE = record("HRNet4-OKD")
SEEN = Predictions(
    run=ONE.name,
    source=source_of(ONE),
    words="12 test images with the annotated pose and that of exits 4 and 3.",
    png=encode_png(np.zeros((244, 1220), dtype=np.uint8)),
)
SETS = {
    "grid": lambda: study([*GRID, failure(), failure(seed=2, reason="interrupted")]),
    "one run": lambda: replace(study([ONE]), pictures=(SEEN,)),
    "no run": lambda: study([failure()]),
    "two recipes": lambda: study(RECIPES),
    "two sides": lambda: side_by_side(*SIDES),
    **{f"published {folder.name}": partial(lambda folder: study(collect([folder])), folder) for folder in examples()},
}
"""What is shown, made when a browser asks: other tests are collected with these."""
FOLDED = ", folded"
"""Behind the name of a page: as it is by default, most chapters closed."""
AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="session")
def urls(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    shown = {name: make() for name, make in SETS.items()}
    for (name, compared), full in itertools.product(shown.items(), (True, False)):
        page = render_study(
            compared,
            title="Which exit to deploy",
            generated_at="2025-06-01T12:00:00+00:00",
            version="0.1.0",
            command="greenpose report runs/paper -o paper.html",
            verdict=read_verdict(TEXT, where="verdict.json") if compared.sides else None,
            full=full,
        )
        (folder / f"{name}{'' if full else FOLDED}.html").write_text(page, encoding="utf-8")
    return {name: (folder / f"{name}.html").as_uri() for each in SETS for name in (each, each + FOLDED)}


@pytest.fixture(scope="session")
def chromium():
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium")
    assert path, "chromium is not installed: `make test-browser` says how"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--host-resolver-rules=MAP * ~NOTFOUND", "--force-color-profile=srgb"]
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, urls):
    """Return a function that opens a page; in the end no page may have said, asked for or thrown anything."""
    contexts, heard = [], []

    def open_(name="grid", *, fragment="", width=1280, height=900, javascript=True, **settings):
        settings = {"viewport": {"width": width, "height": height}, "reduced_motion": "reduce"} | settings
        context = chromium.new_context(java_script_enabled=javascript, offline=True, **settings)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: heard.append(f"console: {said.text}"))
        page.on("pageerror", lambda error: heard.append(f"error: {error}"))
        page.on("request", lambda asked: asked.url.split("#")[0] != urls[name] and heard.append(f"asked: {asked.url}"))
        page.goto(urls[name] + fragment)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert heard == []


@pytest.fixture
def tab_to():
    """Return a function that presses Tab, as often as it takes, until an element has the focus."""

    def press(page, css, *, most=400):
        for _ in range(most):
            page.keyboard.press("Tab")
            if page.evaluate("css => document.activeElement.matches(css)", css):
                return
        raise AssertionError(f"the keyboard does not reach {css}")

    return press


@pytest.fixture(scope="session")
def axe():
    assert AXE.is_file(), "axe-core is not installed: call `make test-browser`"
    return AXE.read_text(encoding="utf-8")
