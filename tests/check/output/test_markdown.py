""""""

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from greenpose.check import CheckVerdict
from greenpose.check.output.markdown import annotations, to_markdown
from tests.check.candidates import finding, mixed

GOLDEN = Path(__file__).parents[2] / "golden" / "verdict.md"


def rendered(text: str) -> str:
    """Return the HTML that a parser of GitHub's kind makes of it."""
    return MarkdownIt("gfm-like", {"linkify": False}).render(text)


def test_the_comment_is_the_golden_one(request):
    text = to_markdown(mixed(), "quick")
    if request.config.getoption("--update-golden"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_the_first_line_is_a_hidden_marker():
    assert to_markdown(mixed(), "quick").splitlines()[0] == "<!-- greenpose:quick -->"


def test_a_parser_sees_one_row_for_each_finding_regressions_first_and_the_unchanged_folded():
    html = rendered(to_markdown(mixed(), "quick"))
    shown, folded = html.split("<details>")
    rows = re.findall(r"<tr>\n<td>(?:<code>)?(.*?)(?:</code>)?</td>(.*?)</tr>", shown, re.DOTALL)
    assert [name for name, _ in rows][:2] == ["exit3.macs", "exit3.operations"]
    assert len(rows) == len(mixed().findings) - 1
    assert all(rest.count("<td") == 4 for _, rest in rows)
    assert "exit2.params" in folded
    assert "</details>" in folded


def test_text_of_ours_is_never_read_as_markup():
    wild = finding("exit3", "operations", says="<img src=x> a|b *c* `d` [e](f)", unit="calls", base=1.0, head=2.0)
    html = rendered(to_markdown(CheckVerdict(subject="a<b>|c", against="d_e_f", findings=(wild,)), "quick"))
    assert "<img" not in html
    assert "&lt;img src=x&gt; a|b *c* `d` [e](f)" in html
    assert "a&lt;b&gt;|c against d_e_f" in html


@pytest.mark.parametrize("name", ["`<img src=x>", "a` [b](c) `", "a\n# b", "a\n```", "a|b", "\x1b[31m", "\u202e"])
def test_no_name_ends_the_code_that_it_stands_in(name):
    verdict = CheckVerdict(subject="a", against="b", findings=(finding(name, name, unit="calls", base=1.0, head=2.0),))
    text = to_markdown(verdict, "quick")
    table = rendered(text)
    (cell,) = re.findall(r"<td><code>(.*?)</code></td>", table)
    assert not re.search("<img|<a |<h1|<pre", table)
    assert (table.count("<tr>"), table.count("<td")) == (2, 5)
    assert text.replace("\n", "").replace("\xa0", "").isprintable()
    assert cell


@pytest.mark.parametrize("outcome", ["ok", "regressed", "incomparable", "mixed"])
def test_sixty_lines_are_never_exceeded_and_what_is_left_out_is_counted(outcome):
    outcomes = ["ok", "regressed", "incomparable", "improved"] if outcome == "mixed" else [outcome]
    many = tuple(
        finding("exit3", f"m{k}", outcomes[k % len(outcomes)], says=f"says {k}", unit="calls", base=1.0)
        for k in range(400)
    )
    notes = tuple(f"note {k}" for k in range(40))
    text = to_markdown(CheckVerdict(subject="a", against="b", findings=many, notes=notes), "quick")
    assert len(text.splitlines()) <= 60
    shown = len(re.findall(r"^\| `exit3", text, re.MULTILINE))
    left_out = sum(map(int, re.findall(r"^\| … and (\d+) more", text, re.MULTILINE)))
    assert shown + left_out == 400


def read(text: str) -> list[dict[str, str]]:
    """Return the commands as GitHub's runner reads them: split at `::`, `,` and `=`, then unescaped."""
    commands = []
    for line in text.splitlines():
        _, head, message = line.split("::", 2)
        level, _, properties = head.partition(" ")
        pairs = dict(pair.split("=", 1) for pair in properties.split(","))
        commands.append(
            {"level": level, "message": unescaped(message)}
            | {key: unescaped(value.replace("%3A", ":").replace("%2C", ",")) for key, value in pairs.items()}
        )
    return commands


def unescaped(text: str) -> str:
    return text.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%")


def test_every_finding_that_is_not_ok_is_one_annotation_at_its_line():
    commands = read(annotations(mixed(), "quick"))
    assert [(one["level"], one["file"], one["line"]) for one in commands] == [
        ("error", "greenpose-baseline.json", "12"),
        ("error", "greenpose-baseline.json", "14"),
        ("warning", "budgets.yaml", "3"),
        ("warning", "greenpose-baseline.json", "7"),
        ("warning", "greenpose-baseline.json", "5"),
        ("notice", "greenpose-baseline.json", "20"),
    ]


def test_what_would_end_a_command_or_a_property_comes_through():
    wild = finding(says="5 %0A more, a::b\r\nc", file="a,b:c%2C.json")
    (command,) = read(annotations(CheckVerdict(subject="a", against="b", findings=(wild,)), "x"))
    assert command["message"].startswith("exit3.macs: 5 %0A more, a::b\r\nc")
    assert command["file"] == "a,b:c%2C.json"
    assert command["title"] == "GreenPose x: exit3.macs regressed"


def test_a_finding_without_a_file_has_no_place():
    (command,) = read(
        annotations(CheckVerdict(subject="a", against="b", findings=(finding(file=None, line=None),)), "x")
    )
    assert command.keys() == {"level", "message", "title"}


def test_what_github_would_drop_is_counted_in_the_last_annotation():
    many = tuple(finding("exit3", f"m{k}") for k in range(25))
    commands = read(annotations(CheckVerdict(subject="a", against="b", findings=many), "x"))
    assert len(commands) == 10
    assert commands[-1]["message"].startswith("and 16 more")


def test_nothing_is_said_where_all_is_ok():
    assert annotations(CheckVerdict(subject="a", against="b", findings=(finding(outcome="ok"),)), "x") == ""
