"""Runs of loops that are not ours: pages of bills without exits."""

import pytest

from greenpose.ledger.own_settings import settings_of
from greenpose.report.forms import to_latex, to_markdown
from greenpose.report.page import pictures_of, render
from greenpose.report.study import study
from tests.ledger.test_own import OwnRun
from tests.metering.fakes import TickingClock, TickingSource, metering


@pytest.fixture
def bill(tmp_path):
    """A record without exits."""
    clock = TickingClock()

    def make_meter(log):
        return metering(clock, TickingSource(clock, watts=10.0), cpu_share=1.0, log=log)

    with OwnRun(settings_of("loop", country="ITA"), out=tmp_path, make_meter=make_meter) as run, run.window("train"):
        clock.advance(5)
    return run.result


def test_a_run_without_exits_has_a_page_of_its_bill_in_every_form(bill):
    words = {"title": "loop", "version": "1"}
    page = render([bill], generated_at="2026", **words)
    assert "This is the bill; no exit was given to choose between." in page
    assert 'id="went"' in page
    assert 'id="networks"' not in page
    compared = study([bill])
    assert "No exit was given" in to_markdown(compared, generated_at="2026", **words)
    assert to_latex(compared, **words)
    assert [picture.id for picture in pictures_of(compared)]
