"""A verdict as GitHub's workflow commands: annotations at the line of the baseline or budget."""

from collections.abc import Iterator

from greenpose.check.output.rows import advised, row_of, summary
from greenpose.check.verdict import Finding, Verdict, sorted_findings

MOST = 10
"""Annotations of one level that GitHub shows of a step."""
LEVELS = {
    "regressed": "error",
    "warning": "warning",
    "inconclusive": "warning",
    "incomparable": "warning",
    "improved": "notice",
}


def annotations(verdict: Verdict, name: str) -> str:
    """Return one workflow command a line, gravest first; beyond what GitHub shows, the last one says how many more."""
    return "".join(f"{line}\n" for line in _lines(verdict, name))


def _lines(verdict: Verdict, name: str) -> Iterator[str]:
    rows = [row_of(finding) for finding in sorted_findings(verdict.findings)]
    for level in dict.fromkeys(LEVELS.values()):
        found = [row.finding for row in rows if LEVELS.get(row.word) == level]
        shown = found if len(found) <= MOST else found[: MOST - 1]
        yield from (_command(level, finding, name) for finding in shown)
        if len(found) > len(shown):
            title = _property(f"GreenPose {name}")
            yield f"::{level} title={title}::{_data(f'and {len(found) - len(shown)} more; {summary(verdict)}')}"


def _command(level: str, finding: Finding, name: str) -> str:
    properties = {} if finding.file is None else {"file": finding.file}
    if finding.line is not None:
        properties["line"] = str(finding.line)
    properties["title"] = f"GreenPose {name}: {finding.name} {finding.outcome}"
    said = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{level} {said}::{_data(f'{finding.name}: {advised(finding)}')}"


def _data(text: str) -> str:
    """Return a message as a workflow command takes it."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Return a property's value as a workflow command takes it."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
