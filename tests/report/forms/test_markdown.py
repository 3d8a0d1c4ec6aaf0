"""The summary in Markdown."""

import re

import pytest

from greenpose.report.forms import to_markdown
from greenpose.report.headline import headline
from greenpose.report.study import Side, side_by_side, study
from tests.report.exits import MISSING_AP
from tests.report.records import failure, paper_grid, record

CONSTANT = {"title": "Two experiments", "generated_at": "2025-06-01T12:00:00+00:00", "version": "0.1.0"}
SMALL = [*paper_grid((1, 2), ("HRNet3", "HRNet4-OKD")), failure()]


def rows(text):
    """Return the cells of every table line; an escaped bar is no border."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]


def tables(text):
    return [block for block in re.split(r"\n\n", text) if block.startswith("|")]


def test_the_answer_comes_first_word_for_word():
    text = to_markdown(study(SMALL), **CONSTANT)
    blocks = text.split("\n\n")
    assert blocks[0] == "# Two experiments"
    unescaped = [re.sub(r"\\(.)", r"\1", block) for block in blocks]
    assert unescaped[1 : 1 + len(headline(study(SMALL)))] == headline(study(SMALL))


def test_every_line_of_a_table_has_as_many_cells_as_its_heading():
    for table in tables(to_markdown(study(SMALL), **CONSTANT)):
        assert len({len(cells) for cells in rows(table)}) == 1
        assert re.fullmatch(r"(\| -?:?--:? )+\|", table.splitlines()[1])


def test_the_bill_counts_what_did_not_finish():
    bill = tables(to_markdown(study(SMALL), **CONSTANT))[-1]
    assert [cells[0].strip() for cells in rows(bill)[2:]] == ["Finished", "Failed", "All"]
    assert [cells[1].strip() for cells in rows(bill)[2:]] == ["4", "1", "5"]


def test_every_missing_number_has_a_footnote_with_its_reason():
    text = to_markdown(study([record("HRNet4-OKD", evaluated=False, metered=False)]), **CONSTANT)
    used = set(re.findall(r"not measured(\[\^[\w-]+\])", text))
    told = dict(re.findall(r"^(\[\^[\w-]+\]): not measured: (.+)$", text, flags=re.MULTILINE))
    assert used
    assert used == set(told)
    assert MISSING_AP in told.values()


def test_names_cannot_turn_into_markup():
    evil = "<b>*x*</b> | [y](z) `q`"
    text = to_markdown(study([record(evil, exits=(3,))]), **(CONSTANT | {"title": evil}))
    assert not re.search(r"(?<!\\)[<*`\[]b?x?", text.replace("[^", ""))
    for table in tables(text):
        assert len({len(cells) for cells in rows(table)}) == 1


@pytest.mark.parametrize(
    "evil",
    [
        "# x",
        "a\n\n# x",
        "a\r\n## x",
        "```\nx",
        "<script>x</script>",
        "\x1b[31mx",
        "a\x1b]8;;http://x\x07",
        "\u202ex",
        "https://x.y",
    ],
)
def test_a_name_is_no_heading_fence_link_or_escape(evil):
    plain = to_markdown(study([record("N", exits=(3,)), failure("N")]), **(CONSTANT | {"title": "N"}))
    text = to_markdown(study([record(evil, exits=(3,)), failure(evil)]), **(CONSTANT | {"title": evil}))
    assert len(text.splitlines()) == len(plain.splitlines())
    assert [line for line in text.splitlines()[1:] if line.startswith("#")] == re.findall(
        "^## .*$", plain, re.MULTILINE
    )
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e`]|<script|(?<!\\\\):(?=//)", text.replace("\\`", ""))


def test_nothing_finished_is_said_in_words():
    assert "No run finished, so there is nothing to compare." in to_markdown(study([failure()]), **CONSTANT)


def test_two_sides_stay_apart_and_what_changed_is_told():
    old, new = (tuple(paper_grid((seed, 3), ("HRNet3", "HRNet4"))) for seed in (1, 2))
    compared = side_by_side(Side(name="May", entries=old), Side(name="June_2", entries=new))
    text = to_markdown(compared, **CONSTANT)
    assert "First side: May\n\nSecond side: June\\_2" in text
    assert text.split("\n\n")[1].startswith("From the first side to the second: ")
    assert "## What changed" in text
    every = text.split("## Every exit")[1].split("##")[0]
    named = [cells for cells in rows(every) if "(first)" in cells[0] or "(second)" in cells[0]]
    assert [cells[0].strip() for cells in named] == [
        "HRNet3 (first)", "HRNet3 (second)", "HRNet4 (first)", "HRNet4 (second)",
    ]  # fmt: skip
    assert {cells[3].strip() for cells in named} == {"2"}, "runs of one side"
