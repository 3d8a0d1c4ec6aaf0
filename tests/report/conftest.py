"""What tests of the page share."""

import html

import pytest


@pytest.fixture
def undrawn(monkeypatch):
    """Leave a page's drawings out but for their words, for tests of the rest: they take two thirds of its time."""
    monkeypatch.setattr("greenpose.report.drawing.Drawing.svg", property(_words))


def _words(drawing):
    titles = "".join(f"<title>{html.escape(told)}</title>" for told in (drawing.title, *drawing.tooltips))
    return f"<svg><style></style>{titles}<desc>{html.escape(drawing.description)}</desc></svg>"
