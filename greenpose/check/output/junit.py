"""A verdict as JUnit XML, which GitLab, Jenkins and Azure show of themselves: one test case for each quantity."""

from xml.etree import ElementTree as ET

from greenpose.check.output.rows import advised, row_of
from greenpose.check.verdict import Finding, Verdict
from greenpose.formatting import shown


def to_junit(verdict: Verdict, name: str) -> str:
    """Return the XML: a regression is a failure, what is inconclusive or incomparable is skipped."""
    failures = sum(finding.fails for finding in verdict.findings)
    skipped = len(verdict.of("inconclusive", "incomparable"))
    counts = {"tests": str(len(verdict.findings)), "failures": str(failures), "errors": "0", "skipped": str(skipped)}
    root = ET.Element("testsuites", {"name": "greenpose", **counts})
    suite = ET.SubElement(root, "testsuite", {"name": _clean(f"greenpose.{name}"), **counts, "time": "0"})
    for finding in verdict.findings:
        _add(suite, finding, name)
    if verdict.notes:
        ET.SubElement(suite, "system-out").text = _clean("\n".join(verdict.notes))
    ET.indent(root, " ")
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add(suite: ET.Element, finding: Finding, name: str) -> None:
    row = row_of(finding)
    says = _clean(advised(finding))
    place = {}
    if finding.file is not None and finding.line is not None:
        place = {"file": _clean(finding.file), "line": str(finding.line)}
    metric = f"{finding.metric} budget" if finding.way == "budget" else finding.metric
    names = {"classname": _clean(f"{name}.{finding.where}"), "name": _clean(metric), "time": "0"}
    case = ET.SubElement(suite, "testcase", names | place)
    if finding.fails:
        failure = ET.SubElement(case, "failure", message=says, type="regressed")
        failure.text = _clean(f"base {row.base}, head {row.head} {row.change}".rstrip())
    elif finding.outcome in ("inconclusive", "incomparable"):
        ET.SubElement(case, "skipped", message=f"{finding.outcome}: {says}")
    else:
        ET.SubElement(case, "system-out").text = f"{row.word}: {says}"


def _clean(text: str) -> str:
    """Return text in which what XML 1.0 cannot hold, or would steer a terminal, is written out."""
    return "\n".join(map(shown, text.split("\n")))
