""""""

import itertools
import re
from html import unescape
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from greenpose.check import CheckVerdict, RatioSpan
from greenpose.check.output.markdown import annotations, smallest_change, to_markdown
from greenpose.check.output.text import headline
from greenpose.check.paired.rule import Rule
from greenpose.metrics import COUNTED
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


def test_the_first_line_is_the_verdict_with_its_largest_change_and_the_last_a_hidden_marker():
    lines = to_markdown(mixed(), "quick").splitlines()
    assert (
        lines[0]
        == "### ❌ Regressed: exit3.macs rose by 10.0\u00a0%, from 2.00\u00a0GMACs to 2.20\u00a0GMACs, and 1 more"
    )
    assert lines[-1] == "<!-- greenpose:quick -->"
    assert "<!--" not in "".join(lines[:-1])


@pytest.mark.parametrize(
    ("findings", "says"),
    [
        ((), "Incomparable: nothing was compared"),
        ((finding(outcome="ok"),), "Ok: 1 quantity unchanged"),
        ((finding(outcome="ok"), finding(level="warn")), "Ok: 1 quantity unchanged, 1 only warned of"),
        ((finding(outcome="ok", way="paired"),), "Ok: nothing measured in pairs is worse"),
        (
            (finding(head=2.1e9), finding("exit4")),
            "Regressed: exit4.macs rose by 10.0 %, from 2.00 GMACs to 2.20 GMACs, and 1 more",
        ),
        (
            (finding(), finding("exit4", level="warn", head=9e9)),
            "Regressed: exit3.macs rose by 10.0 %, from 2.00 GMACs to 2.20 GMACs",
        ),
        (
            (finding(outcome="improved", head=1e9),),
            "Improved: exit3.macs fell by 50.0 %, from 2.00 GMACs to 1.00 GMACs",
        ),
        (
            (finding(metric="ap", unit="fraction", base=0.9, head=0.8),),
            "Regressed: exit3.ap fell by 10 points, from 90.0 % to 80.0 %",
        ),
        (
            (finding(way="budget", base=4.0, head=5.0, unit="J"),),
            "Regressed: exit3.macs is 5.00 J, beyond its budget of ≤ 4.00 J (+25.0 %)",
        ),
        (
            (finding(outcome="incomparable", head=None, says="not compared: why"),),
            "Incomparable: exit3.macs: not compared: why",
        ),
        (
            (finding(head=5.0, base=0.0), finding("exit4")),
            "Regressed: exit4.macs rose by 10.0 %, from 2.00 GMACs to 2.20 GMACs, and 1 more",
        ),
    ],
)
def test_the_headline_is_the_largest_of_the_gravest_changes_in_words(findings, says):
    verdict = CheckVerdict(subject="a", against="b", findings=findings)
    assert headline(verdict).replace("\u00a0", " ") == says


def test_the_smallest_change_that_could_be_seen_is_one_of_what_is_counted_and_just_fails_what_is_paired():
    rule, span = Rule(), RatioSpan(0.97, 1.01, 1.06)
    paired = finding("exit3", "cpu_s_per_image", "inconclusive", way="paired", unit="s", ratio=span)
    text = smallest_change(CheckVerdict(subject="a", against="b", findings=(paired,)))
    rise = float(re.search(r"cpu_s_per_image \+([\d.]+)", text)[1]) / 100
    for more, decision in ((0.001, "regressed"), (-0.001, None)):
        moved = (1 + rise + more) / span.value
        assert rule.decide(RatioSpan(*(end * moved for end in span))) == decision
    assert smallest_change(mixed()).startswith("one parameter, MAC or call of an operator more; ")


def test_every_unit_that_is_counted_to_the_last_one_is_among_what_could_be_seen():
    units = {metric.counted_unit for metric in COUNTED} | {"calls"}
    findings = tuple(finding(f"exit{k}", unit=unit) for k, unit in enumerate(sorted(units)))
    text = smallest_change(CheckVerdict(subject="a", against="b", findings=findings))
    assert text == "one parameter, MAC, byte or call of an operator more"


def test_it_is_said_how_what_is_meant_is_accepted():
    text = to_markdown(mixed(), "quick")
    assert '```sh\ngreenpose check experiments/quick.yaml --update --reason "why it is worth it"\n```' in text
    assert "change the budget: budgets.yaml:3." in text
    for fine in (
        CheckVerdict(subject="a", against="b", findings=(finding(outcome="ok"),)),
        CheckVerdict(subject="a", against="b", findings=()),
    ):
        assert "accept" not in to_markdown(fine, "quick")
    wild = CheckVerdict(subject="a b`$(x)", against="b", findings=(finding(file="c d.json"),))
    assert "greenpose check 'a b`$(x)' --baseline 'c d.json' --update" in to_markdown(wild, "quick")


@pytest.mark.parametrize(
    "text", ["@octocat", "pose/net#12", "GH-7", "#3", "www.example.org", "https://example.org", "a@b.cc", "$x$"]
)
def test_nobody_is_mentioned_and_nothing_is_referred_to(text):
    one = finding("exit3", "operations", says=f"see {text} there", unit="calls", base=1.0, head=2.0)
    comment = to_markdown(CheckVerdict(subject=f"a {text} b", against=text, findings=(one,), notes=(text,)), "quick")
    outside = re.sub(r"```.*?```|`[^`]*`", "", comment, flags=re.DOTALL)
    assert not re.search(r"[a-z]://|\$", outside)  # what parsers read as an address or a formula
    read = unescape(rendered(outside))
    assert not re.search(r"@\w|#\d|GH-\d|www\.", read)  # what forges look for in what was rendered
    assert f"see {text} there" in read.replace("\u200b", "")


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
    assert not re.search("<img|<a |<h1", table)
    assert (table.count("<tr>"), table.count("<td"), table.count("<pre")) == (2, 5, 1)  # the command
    assert text.replace("\n", "").replace("\xa0", "").isprintable()
    assert cell


@pytest.mark.parametrize("outcome", ["ok", "regressed", "incomparable", "mixed"])
def test_sixty_lines_are_never_exceeded_and_what_is_left_out_is_counted(outcome):
    outcomes = ["ok", "regressed", "incomparable", "improved"] if outcome == "mixed" else [outcome]
    many = tuple(
        finding("exit3", f"m{k}", outcomes[k % len(outcomes)], says=f"says {k}", unit="calls", base=1.0, way=way)
        for k, way in zip(range(400), itertools.cycle(["exact", "exact", "paired", "budget", "budget"]), strict=False)
    )
    notes = tuple(f"note {k}" for k in range(40))
    verdict = CheckVerdict(subject="a", against="b", findings=many, notes=notes)
    text = to_markdown(verdict, "quick", remark="commit 1a2b3c4\nand more")
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
