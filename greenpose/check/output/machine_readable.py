"""A verdict for machines: JSON, SARIF, JUnit, code quality, OpenMetrics and a badge's document."""

import hashlib
import json
import math
import re
from dataclasses import asdict
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

from greenpose.check.output.text import summary
from greenpose.check.verdict import GRAVITY, CheckFinding, CheckVerdict, sorted_findings
from greenpose.formatting import plural, shown

SCHEMA = "greenpose.verdict/1"


def document(verdict: CheckVerdict, name: str) -> dict[str, Any]:
    """Return the verdict as plain data; an end of an interval that is unbounded is null."""
    return {
        "schema": SCHEMA,
        "name": name,
        "subject": verdict.subject,
        "against": verdict.against,
        "outcome": verdict.outcome,
        "summary": summary(verdict),
        "findings": [_finding(finding) for finding in verdict.findings],
        "notes": list(verdict.notes),
        "samples": _finite(verdict.samples),
    }


def to_json(verdict: CheckVerdict, name: str) -> str:
    """Return the verdict as JSON text."""
    return json.dumps(document(verdict, name), indent=1, ensure_ascii=False, default=str, allow_nan=False) + "\n"


def _finding(finding: CheckFinding) -> dict[str, Any]:
    fields = asdict(finding) | {"ratio": None if finding.ratio is None else finding.ratio._asdict()}
    return {"name": finding.name, "verdict": finding.word, **_finite(fields)}


def _finite(value: Any) -> Any:
    """Return plain data with null for what JSON has no number for."""
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def to_sarif(verdict: CheckVerdict, name: str, *, version: str) -> str:
    """Return the log; `version` is GreenPose's."""
    results = [finding for finding in sorted_findings(verdict.findings) if finding.outcome == "regressed"]
    rules = sorted({finding.metric for finding in results})
    run = {
        "tool": {"driver": {"name": "GreenPose", "version": version, "rules": [_rule(metric) for metric in rules]}},
        "automationDetails": {"id": f"greenpose/{name}/"},
        "invocations": [{"executionSuccessful": True}],
        "results": [_result(finding, rules.index(finding.metric), verdict, name) for finding in results],
    }
    return json.dumps({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1, ensure_ascii=False) + "\n"


def _rule(metric: str) -> dict[str, Any]:
    words = metric.replace("_", " ")
    return {
        "id": f"footprint/{metric}",
        "shortDescription": {"text": f"{words}: worse than the baseline or budget"},
        "help": {"text": f"Mend it, or accept it: greenpose check ... --update --reason TEXT --only '*.{metric}'"},
    }


def _result(finding: CheckFinding, rule: int, verdict: CheckVerdict, name: str) -> dict[str, Any]:
    location: dict[str, Any] = {"artifactLocation": {"uri": quote(finding.file or verdict.subject)}}
    if finding.line is not None:
        location["region"] = {"startLine": finding.line}
    return {
        "ruleId": f"footprint/{finding.metric}",
        "ruleIndex": rule,
        "level": "error" if finding.fails else "warning",
        "message": {"text": f"{finding.name}: {finding.advised}"},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"greenpose/v1": f"{name}/{finding.way}/{finding.name}"},
    }


def to_junit(verdict: CheckVerdict, name: str) -> str:
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


def _add(suite: ET.Element, finding: CheckFinding, name: str) -> None:
    base, head, difference = finding.cells
    says = _clean(finding.advised)
    place = {}
    if finding.file is not None and finding.line is not None:
        place = {"file": _clean(finding.file), "line": str(finding.line)}
    metric = f"{finding.metric} budget" if finding.way == "budget" else finding.metric
    names = {"classname": _clean(f"{name}.{finding.where}"), "name": _clean(metric), "time": "0"}
    case = ET.SubElement(suite, "testcase", names | place)
    if finding.fails:
        failure = ET.SubElement(case, "failure", message=says, type="regressed")
        failure.text = _clean(f"base {base}, head {head} {difference}".rstrip())
    elif finding.outcome in ("inconclusive", "incomparable"):
        ET.SubElement(case, "skipped", message=f"{finding.outcome}: {says}")
    else:
        ET.SubElement(case, "system-out").text = f"{finding.word}: {says}"


def _clean(text: str) -> str:
    """Return text in which what XML 1.0 cannot hold, or would steer a terminal, is written out."""
    return "\n".join(map(shown, text.split("\n")))


SEVERITIES = {"regressed": "major", "warning": "minor", "inconclusive": "info", "incomparable": "info"}
"""For each outcome that a reviewer has to know of, GitLab's word."""


def to_code_quality(verdict: CheckVerdict, name: str) -> str:
    """Return what GitLab shows beside the lines of a merge request; equal faults have equal fingerprints.

    Source: https://docs.gitlab.com/ci/testing/code_quality/ (a subset of Code Climate's format).
    """
    entries = [
        {
            "description": f"{finding.name}: {finding.advised}",
            "check_name": f"footprint/{finding.metric}",
            "fingerprint": hashlib.sha256(f"{name}/{finding.way}/{finding.name}".encode()).hexdigest(),
            "severity": SEVERITIES[finding.word],
            "location": {"path": finding.file or verdict.subject, "lines": {"begin": finding.line or 1}},
        }
        for finding in sorted_findings(verdict.findings)
        if finding.word in SEVERITIES
    ]
    return json.dumps(entries, indent=1, ensure_ascii=False) + "\n"


def to_openmetrics(verdict: CheckVerdict, name: str) -> str:
    """Return every number of both sides as OpenMetrics, and how many findings have each outcome.

    Source: the OpenMetrics specification, 1.0, section 4.1 (https://prometheus.io/docs/specs/om/open_metrics_spec/).
    """
    families: dict[str, list[str]] = {}
    for finding in verdict.findings:
        family = re.sub(r"\W", "_", f"greenpose_{finding.metric}", flags=re.ASCII)
        sides = {"limit" if finding.way == "budget" else "base": finding.base, "head": finding.head}
        families.setdefault(family, []).extend(
            _sample(family, value, check=name, where=finding.where, way=finding.way, side=side)
            for side, value in sides.items()
            if value is not None
        )
    families["greenpose_findings"] = [
        _sample("greenpose_findings", len(verdict.of(outcome)), check=name, outcome=outcome) for outcome in GRAVITY
    ]
    return "".join(f"# TYPE {family} gauge\n{''.join(families[family])}" for family in sorted(families)) + "# EOF\n"


def _sample(family: str, value: float, **labels: str) -> str:
    escaped = {key: shown(each).replace("\\", r"\\").replace('"', r"\"") for key, each in labels.items()}
    said = ",".join(f'{key}="{each}"' for key, each in escaped.items())
    return f"{family}{{{said}}} {value:.17g}\n"


COLOURS = {
    "ok": "brightgreen",
    "improved": "brightgreen",
    "regressed": "red",
    "inconclusive": "yellow",
    "incomparable": "lightgrey",
}
"""For each outcome, shields.io's name of a colour."""


def badge_endpoint(verdict: CheckVerdict) -> str:
    """Return what shields.io's endpoint badge reads: the outcome, with a count where something is worse."""
    worse = sum(finding.fails for finding in verdict.findings)
    message = plural(worse, "regression").replace("\u00a0", " ") if worse else verdict.outcome
    badge = {"schemaVersion": 1, "label": "footprint", "message": message, "color": COLOURS[verdict.outcome]}
    return json.dumps(badge) + "\n"
