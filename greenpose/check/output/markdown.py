"""A verdict for a pull request, and as annotations of its lines: regressions first, the rest folded."""

from collections.abc import Iterator, Sequence

from greenpose.check.output.text import explanations, notable, summary, unchanged, unchanged_line
from greenpose.check.verdict import CheckFinding, CheckVerdict, sorted_findings
from greenpose.formatting import shown

MARKS = {
    "ok": "✅",
    "improved": "🟢",
    "regressed": "❌",
    "warning": "⚠️",
    "inconclusive": "❔",
    "incomparable": "➖",
}
MOST_LINES = 60
MOST_ROWS = 18
MOST_SENTENCES = 6
MOST_FOLDED = 12
MOST_NOTES = 4


def to_markdown(verdict: CheckVerdict, name: str) -> str:
    """Return the verdict as Markdown; the first line is a hidden marker by which a comment can be found again."""
    lines = list(_lines(verdict, name))
    assert len(lines) <= MOST_LINES
    return "\n".join(lines) + "\n"


def marker(name: str) -> str:
    """Return the hidden line that marks a check's comment."""
    return f"<!-- greenpose:{name} -->"


def _lines(verdict: CheckVerdict, name: str) -> Iterator[str]:
    yield marker(name)
    yield f"### {MARKS[verdict.outcome]} GreenPose: {_text(name)}"
    yield ""
    yield f"**{verdict.outcome}**{_text(summary(verdict).removeprefix(verdict.outcome))}  "
    yield f"{_text(verdict.subject)} against {_text(verdict.against)}"
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
    yield from _capped([f"> {_text(note)}  " for note in verdict.notes], MOST_NOTES)
    folded = unchanged(verdict)
    if folded:
        yield from ("", f"<details><summary>{_text(unchanged_line(verdict))}</summary>", "")
        yield from _table(folded, MOST_FOLDED)
        yield from ("", "</details>")


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
    return "`" + shown(name).replace("`", "'").replace("|", "\\|") + "`"


def _text(text: str) -> str:
    """Return text without anything that Markdown or HTML would read as its own, on one line."""
    text = shown(text.replace("\n", " "))
    for character in "\\`*_[]|":
        text = text.replace(character, f"\\{character}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


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
