"""A verdict for a pull request, and as annotations of its lines: the largest change first, the unchanged folded."""

import re
import shlex
from collections.abc import Iterator, Sequence

from greenpose.check.baseline import FILE
from greenpose.check.output.text import explanations, headline, notable, summary, unchanged, unchanged_line
from greenpose.check.paired.rule import Rule
from greenpose.check.verdict import CheckFinding, CheckVerdict, few, signed_percent, sorted_findings
from greenpose.formatting import in_markdown, listed, shown

MARKS = {
    "ok": "✅",
    "improved": "🟢",
    "regressed": "❌",
    "warning": "⚠️",
    "inconclusive": "❔",
    "incomparable": "➖",
}
MOST_LINES = 60
MOST_ROWS = 12
MOST_SENTENCES = 6
MOST_FOLDED = 8
MOST_NOTES = 4
LONGEST = 400
"""Characters of somebody's text that are shown in one place: all places together stay below the 65,536 of a comment."""
COUNTED = {"parameters": "parameter", "MACs": "MAC", "B": "byte", "images": "image", "calls": "call of an operator"}
"""What is counted to the last one, by its unit."""
REFERENCE = re.compile(r"(@|#|GH-|\bwww)(?=[\w.])")
"""What a forge turns into a mention, a reference or an address, wherever it stands in a text."""


def to_markdown(verdict: CheckVerdict, name: str, *, remark: str = "") -> str:
    """Return the verdict as Markdown; the last line is a hidden marker by which a comment can be found again.

    The first line is the verdict with its largest change; a `remark` stands under it.
    """
    lines = [*_lines(verdict, name, remark), "", marker(name)]
    assert len(lines) <= MOST_LINES
    return "\n".join(lines) + "\n"


def marker(name: str) -> str:
    """Return the hidden line that marks a check's comment."""
    return f"<!-- greenpose:{name} -->"


def _lines(verdict: CheckVerdict, name: str, remark: str) -> Iterator[str]:
    yield f"### {MARKS[verdict.outcome]} {_text(headline(verdict))}"
    yield ""
    yield f"**{_text(name)}**: {_text(verdict.subject)} against {_text(verdict.against)}; {_text(_counts(verdict))}"
    if remark:
        yield f"<br>{_text(remark)}"
    rows = notable(verdict)
    if rows:
        yield ""
        yield from _table(rows, MOST_ROWS)
    sentences = explanations([row for row in rows if row.word != "ok"])
    if sentences:
        yield ""
    yield from _capped([f"- **{_text(names)}**: {_text(says)}" for names, says in sentences], MOST_SENTENCES)
    if verdict.notes:
        yield ""
    yield from _capped([f"> {_text(note, begins=True)}  " for note in verdict.notes], MOST_NOTES)
    yield from _to_accept(verdict)
    seen = smallest_change(verdict)
    if seen:
        yield from ("", f"Smallest change that this check could have seen: {_text(seen)}.")
    folded = unchanged(verdict)
    if folded:
        yield from ("", f"<details><summary>{_text(unchanged_line(verdict))}</summary>", "")
        yield from _table(folded, MOST_FOLDED)
        yield from ("", "</details>")


def _counts(verdict: CheckVerdict) -> str:
    """Return how many were checked and what became of them, without what to do."""
    return summary(verdict).partition(": ")[2].partition(";")[0]


def smallest_change(verdict: CheckVerdict) -> str:
    """Return what the least change is that the check would have called a regression, by the way that it looks.

    A count shows every one. A ratio is called regressed where the lower end of its interval lies above the rule's
    limit: an interval as wide as this one, around a value that much higher, just does.
    """
    exact = {one.unit for one in verdict.findings if one.way == "exact" and one.head is not None}
    counted = [word for unit, word in COUNTED.items() if unit in exact]
    limit, rises = 1 + Rule().fail_above, dict[str, list[float]]()
    for one in verdict.findings:
        if one.ratio is not None and one.ratio.low > 0:
            rises.setdefault(one.metric, []).append(limit * one.ratio.value / one.ratio.low - 1)
    ends = {metric: [signed_percent(end) for end in (min(each), max(each))] for metric, each in rises.items()}
    return "; ".join(
        [
            *([f"one {listed(counted, 'or')} more"] if counted else []),
            *(
                f"{metric} {low if low == high else f'{low} to {high}, by exit'}"
                for metric, (low, high) in ends.items()
            ),
            *(["an AP whose whole 95 % interval lies below the floor"] if "fraction" in exact else []),
            *(["whatever is beyond a budget"] if any(one.way == "budget" for one in verdict.findings) else []),
        ]
    )


def _to_accept(verdict: CheckVerdict) -> Iterator[str]:
    """Yield how what is meant is accepted, by the way in which it was found."""
    exact = [one for one in notable(verdict) if one.way == "exact" and one.file and one.word != "inconclusive"]
    if exact:
        file = exact[0].file or str(FILE)
        said = "" if file == str(FILE) else f" --baseline {shlex.quote(file)}"
        yield from ("", f"To accept it, run this and commit {_code(file)}:", "", "```sh")
        yield _cut(
            shown(f'greenpose check {shlex.quote(verdict.subject)}{said} --update --reason "why it is worth it"')
        )
        yield "```"
    budgets = [one for one in verdict.of("regressed") if one.way == "budget"]
    if budgets:
        places = [f"{one.file}:{one.line}" for one in budgets if one.file]
        yield from (
            "",
            f"To accept it, change the {'budget' if len(budgets) == 1 else 'budgets'}: {_text(few(places))}.",
        )
    sides = [one for one in verdict.of("regressed") if one.way == "paired" or (one.way == "exact" and not one.file)]
    if sides:
        found = "measured in pairs" if any(one.way == "paired" for one in sides) else "counted on both sides"
        yield from ("", f"What was {found} needs no accepting: once merged, it is what the next check compares with.")


def _table(rows: Sequence[CheckFinding], most: int) -> Iterator[str]:
    yield "| quantity | base | head | change | verdict |"
    yield "|---|--:|--:|--:|---|"
    yield from _capped([_row(row) for row in rows], most, rest="| … and {} more | | | | |")


def _row(row: CheckFinding) -> str:
    cells = [_code(row.name), *map(_text, row.cells), f"{MARKS[row.word]} {row.word}"]
    return f"| {' | '.join(cells)} |"


def _capped(lines: Sequence[str], most: int, *, rest: str = "- … and {} more") -> Iterator[str]:
    """Yield the first lines, and how many more there are; never more than `most`."""
    if len(lines) <= most:
        yield from lines
    else:
        yield from lines[: most - 1]
        yield rest.format(len(lines) - most + 1)


def _code(name: str) -> str:
    """Return a name in the type of code, which nothing in it can end."""
    return "`" + _cut(shown(name)).replace("`", "'").replace("|", "\\|") + "`"


def _text(text: str, *, begins: bool = False) -> str:
    """Return text without anything that Markdown, HTML or a forge would read as its own, on one line.

    What would call a person or refer to an issue is parted from what follows by a space of no width.
    """
    escaped = in_markdown(_cut(text.replace("\n", " ")), begins=begins)
    return REFERENCE.sub(r"\1&#8203;", escaped).replace("$", "&#36;")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


MOST = 10
"""Annotations of one level that GitHub shows of a step."""
LEVELS = {
    "regressed": "error",
    "warning": "warning",
    "inconclusive": "warning",
    "incomparable": "warning",
    "improved": "notice",
}


def annotations(verdict: CheckVerdict, name: str) -> str:
    """Return one workflow command a line, gravest first; beyond what GitHub shows, the last one says how many more."""
    return "".join(f"{line}\n" for line in _annotation_lines(verdict, name))


def _annotation_lines(verdict: CheckVerdict, name: str) -> Iterator[str]:
    findings = sorted_findings(verdict.findings)
    for level in dict.fromkeys(LEVELS.values()):
        found = [finding for finding in findings if LEVELS.get(finding.word) == level]
        shown = found if len(found) <= MOST else found[: MOST - 1]
        yield from (_command(level, finding, name) for finding in shown)
        if len(found) > len(shown):
            title = _property(f"GreenPose {name}")
            yield f"::{level} title={title}::{_data(f'and {len(found) - len(shown)} more; {summary(verdict)}')}"


def _command(level: str, finding: CheckFinding, name: str) -> str:
    properties = {} if finding.file is None else {"file": finding.file}
    if finding.line is not None:
        properties["line"] = str(finding.line)
    properties["title"] = f"GreenPose {name}: {finding.name} {finding.outcome}"
    said = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{level} {said}::{_data(f'{finding.name}: {finding.advised}')}"


def _data(text: str) -> str:
    """Return a message as a workflow command takes it."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Return a property's value as a workflow command takes it."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
