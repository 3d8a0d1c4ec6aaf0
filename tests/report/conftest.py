"""What tests of the page share."""

import pytest

from tests.report.undrawn import words_only


@pytest.fixture
def undrawn(monkeypatch):
    """Leave a page's drawings out but for their words, for tests of the rest."""
    monkeypatch.setattr("greenpose.report.drawing.Drawing.svg", property(words_only))
