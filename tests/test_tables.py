"""One table in several forms: what a terminal shows is what Markdown shows, and how columns stand there."""

import io

import pytest
from rich.console import Console

from greenpose.cli.console import Output
from greenpose.formatting import NBSP
from greenpose.intervals import Bounds
from greenpose.metrics import ENERGY
from greenpose.quantity import Quantity
from greenpose.report.figures.exits import means_table, shares_table
from greenpose.report.study import study
from greenpose.tables import (
    Column,
    TableCell,
    markdown_table,
    number_columns,
    rich_table,
    terminal_notes,
    terminal_table,
)
from tests.report.records import paper_grid

MODELLED = Quantity(value=4.1, unit="J", kind="modelled", type_a=Bounds(3.9, 4.3), type_b=Bounds(2.05, 8.2))


def printed(table, *, width=400, **options) -> str:
    console = Console(width=width, file=io.StringIO(), highlight=False, **options)
    console.print(table)
    return console.file.getvalue()


@pytest.mark.parametrize("make", [means_table, shares_table])
def test_a_terminal_shows_the_words_of_the_page_s_markdown(make):
    table = make(study(paper_grid((1, 2))))
    marks = str.maketrans(dict.fromkeys("|\\"))
    _, _, head, _, *lines = (line.translate(marks).split() for line in markdown_table(table).splitlines())
    shown = [line.split() for line in printed(rich_table(table)).splitlines()]
    heads = len(shown) - len(lines)
    assert sorted(" ".join(head).replace(",", "").split()) == sorted(
        " ".join(word for line in shown[:heads] for word in line).replace(",", "").split()
    )
    before = ""
    for line, said in zip(lines, shown[heads:], strict=True):
        assert said == (line if line[0] != before else line[1:])
        before = line[0]


def test_numbers_stand_at_the_right_unless_an_interval_follows_and_a_metric_says_once_what_holds_for_all():
    rows = [("a", "7", MODELLED, "some words"), ("bcd", "1234", MODELLED * 10, "others")]
    lines = [
        line.rstrip()
        for line in printed(terminal_table(("", *number_columns("count"), ENERGY, "why"), rows)).splitlines()
    ]
    *_, head, first, second = lines
    energy = head.index("syst. ×0.5–2")
    assert [line.strip() for line in lines[:2]] == ["Gross energy, J/image", "≈ modelled"]
    assert (first.index("7"), second.index("1234")) == (head.index("count") + 4, head.index("count") + 1)
    assert [line[energy:].split("  ")[0] for line in (first, second)] == [
        f"≈\u202f4.10{NBSP}±0.20",
        f"≈\u202f41.0{NBSP}±2.0",
    ]
    assert head.index("why") == first.index("some") == second.index("others")


def test_a_line_is_bold_by_its_name_and_a_cell_takes_its_colour():
    rows = [("a", TableCell(value="1", style="red")), ("b", "2")]
    text = printed(terminal_table(("", "x"), rows, bold={"b"}), force_terminal=True, color_system="standard")
    _, first, second = text.splitlines()
    assert first.count("\x1b[31m1") == 1
    assert "\x1b[1mb" in second
    assert "\x1b[1ma" not in first


def test_a_topic_of_notes_is_named_beside_its_words_which_wrap():
    lines = printed(terminal_notes([("energy", "one two three"), ("", "four", "yellow")]), width=18).splitlines()
    assert [line.split() for line in lines] == [["energy", "one", "two"], ["three"], ["four"]]


@pytest.mark.parametrize("width", [10, 20, 30])
def test_no_column_of_words_vanishes_where_numbers_leave_no_room(width):
    table = terminal_table(("run", Column(head="J"), ""), [("HRNet4", f"12{NBSP}[10–14]", "training")])
    console = Output(file=io.StringIO(), width=width)
    console.print(table)
    assert console.file.getvalue().split() == ["run", "J", "HRNet4", "12", "[10–14]", "training"]
