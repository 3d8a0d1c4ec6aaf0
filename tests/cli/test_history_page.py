"""The page of a history: a line for each quantity, every commit by its name, what was accepted and why."""

import hashlib
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenpose.check.history import HistoryPoint, LevelChange, QuantityTrend
from greenpose.cli.history_page import CELLS, MOST_CELLS, MOST_DRAWN, _cells, _thinned, trend_page
from greenpose.report.index import IndexLine, read_page
from tests.report.html_tree import read

MOST_BYTES = 500 * 1024


def commit(number):
    return hashlib.sha256(f"{number}".encode()).hexdigest()[:40]


def trend(quantity, values, *, check="quick", unit="MACs", bases=None, reasons=None, outcomes=None, steps=()):
    points = tuple(
        HistoryPoint(
            at=f"2026-{1 + k // 28 % 12:02d}-{1 + k % 28:02d}T{k // 336:02d}:00:00+00:00",
            commit=commit(k),
            value=value,
            outcome=outcomes[k] if outcomes else "ok",
            base=bases[k] if bases else None,
            reason=reasons[k] if reasons else "",
        )
        for k, value in enumerate(values)
    )
    return QuantityTrend(check=check, quantity=quantity, unit=unit, points=points, steps=tuple(steps))


def page(*trends, title="Trend"):
    return trend_page(trends, title=title, version="0.1.0")


def cells(chart):
    """Return what a chart says under a pointer, cell by cell; the first title is the chart's own."""
    return [title.text.replace("\u00a0", " ") for title in chart.all("title")[1:]]


def test_every_check_of_a_short_history_answers_to_a_pointer_with_its_commit_value_and_verdict():
    text = page(trend("exit3.macs", [1e9, 1e9, 1.1e9], outcomes=["ok", "ok", "regressed"]))
    (chart,) = read(text).all("svg")
    assert cells(chart) == [
        f"2026-01-01 00:00 {commit(0)[:10]}: 1.000 GMACs",
        f"2026-01-02 00:00 {commit(1)[:10]}: 1.000 GMACs",
        f"2026-01-03 00:00 {commit(2)[:10]}: 1.100 GMACs, regressed",
    ]
    assert "<script" not in text
    assert "http" not in text.replace("http-equiv", "")


def test_of_a_long_history_neighbours_answer_together_and_every_commit_is_in_the_list():
    chance = random.Random(1)
    text = page(trend("exit3.macs", [1e9 + chance.gauss(0, 1e7) for _ in range(500)]))
    root = read(text)
    (chart,) = root.all("svg")
    assert len(cells(chart)) == MOST_CELLS
    assert cells(chart)[0].startswith(f"{commit(0)[:7]} to {commit(3)[:7]}, 4 checks: ")
    listed = {row.all("td")[1].text for row in root.all("tr") if len(row.all("td")) == 3}
    assert listed == {commit(k)[:10] for k in range(500)}


def test_what_never_changed_is_folded_and_has_a_line_too():
    text = page(trend("exit3.macs", [1e9, 2e9]), trend("exit3.params", [5.0, 5.0], unit="parameters"))
    root = read(text)
    moved, still = root.all("svg")
    assert (moved.inside("details"), still.inside("details")) == (False, True)
    assert "1 quantity that never changed" in text.replace("\u00a0", " ")
    assert all(chart.all("path") for chart in (moved, still))
    levels = [int(heading.tag[1]) for heading in root.all("h1", "h2", "h3")]
    assert all(after <= before + 1 for before, after in zip([0, *levels], levels, strict=False))


def test_accepted_changes_are_marked_by_number_and_told_once_with_their_reason():
    bases = [1e9, 1e9, 2e9, 2e9, 1.5e9]
    reasons = ["first", "first", "a <b>wider</b> stem & more", "a <b>wider</b> stem & more", ""]
    made = [trend(f"exit{k}.macs", bases, bases=bases, reasons=reasons) for k in (3, 4)]
    text = page(*made)
    items = [" ".join(item.text.replace("\u00a0", " ").split()) for item in read(text).all("li")]
    assert items == [
        f"a <b>wider</b> stem & more2026-01-03 00:00 {commit(2)[:10]}: exit3.macs 1.00 GMACs → 2.00 GMACs (+100 %) "
        "and exit4.macs 1.00 GMACs → 2.00 GMACs (+100 %)",
        f"no reason recorded2026-01-05 00:00 {commit(4)[:10]}: exit3.macs 2.00 GMACs → 1.50 GMACs (−25.0 %) "
        "and exit4.macs 2.00 GMACs → 1.50 GMACs (−25.0 %)",
    ]
    for chart in read(text).all("svg"):
        assert [label.text for label in chart.all("text")] == ["1", "2"]


def test_changes_of_level_are_told_below_the_chart_and_text_is_escaped():
    step = LevelChange(index=2, before=1e9, after=2e9)
    text = page(
        trend("exit3.macs", [1e9, 1e9, 2e9], steps=[step]), trend("<x>", [1.0], check="a-b"), title="Trend <of> quick"
    )
    assert "<h1>Trend &lt;of&gt; quick</h1>" in text
    assert ">quick exit3.macs</title>" in text
    assert "a-b &lt;x&gt;" in text
    assert (
        f"1.00\u00a0GMACs → 2.00\u00a0GMACs (+100\u00a0%) since 2026-01-03T00:00:00+00:00, commit {commit(2)[:10]}"
        in text
    )


@pytest.mark.parametrize(
    "values", [[0.0], [0.0, 0.0], [-1.0, 1.0], [1e-300, 1e300], [5.0] * 100, [-1.7e308, 1.7e308], [0, 5e-324]]
)
def test_extreme_values_are_drawn(values):
    assert read(page(trend("exit3.macs", values))).all("svg")


@given(st.lists(st.sampled_from([1.0, 2.0, 3.0]) | st.floats(-1e9, 1e9), min_size=1, max_size=1500))
def test_cells_cover_every_check_once_and_what_is_drawn_keeps_the_ends_and_extremes(values):
    made = trend("a", values)
    found = list(_cells(made, CELLS))
    assert [k for start, stop in found for k in range(start, stop)] == list(range(len(values)))
    assert len(found) <= CELLS
    drawn = _thinned(values)
    assert len(drawn) <= MOST_DRAWN + 2
    assert {0, len(values) - 1} <= set(drawn)
    kept = [values[k] for k in drawn]
    assert (min(kept), max(kept)) == (min(values), max(values))


def noisy(number, checks=1000):
    chance = random.Random(number)
    values = [chance.gauss(1, 0.01) for _ in range(checks)]
    outcomes = ["regressed" if value > 1.02 else "ok" for value in values]
    return trend(f"HRNet4-OKD-DS/exit{number}.cpu_s_per_image", values, unit="of base", outcomes=outcomes)


def test_a_noisy_quantity_of_1000_checks_takes_less_than_its_part_of_the_page():
    still = [trend(f"exit{k}.macs", [1.0]) for k in range(40)]  # as many lines share the places of a page
    one, three = (len(page(*still, *(noisy(k) for k in range(count))).encode()) for count in (1, 3))
    assert one + 39 * (three - one) / 2 < MOST_BYTES


@pytest.mark.slow
def test_1000_commits_of_40_quantities_take_500_kib_at_most():
    counted = [
        trend(f"exit{k}.macs", [1e9 + k + n // 50 for n in range(1000)], bases=[1e9 + n // 50 for n in range(1000)])
        for k in range(20)
    ]
    for quantities in ([noisy(k) for k in range(40)], [*counted, *(noisy(k) for k in range(20))]):
        size = len(page(*quantities).encode())
        assert size <= MOST_BYTES, size


def test_nothing_on_the_page_is_drawn_in_a_colour_of_its_own():
    text = page(trend("exit3.macs", [1e9, 2e9], outcomes=["ok", "regressed"], bases=[1e9, 2e9]))
    drawn = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))
    assert not re.search(r"#[0-9a-f]{6}\b|rgb\(", drawn)


def test_an_index_lists_a_history_by_its_checks(tmp_path):
    (tmp_path / "trend.html").write_text(page(trend("macs", [1.0, 1.0, 2.0])), encoding="utf-8")
    line = read_page(tmp_path / "trend.html")
    assert isinstance(line, IndexLine), line
    assert (line.kind, line.title, line.runs.replace("\u00a0", " ")) == ("history", "Trend", "3 checks")
    assert line.date.startswith("20")
    assert line.says
