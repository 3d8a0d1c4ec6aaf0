"""A verdict as SARIF 2.1.0, for code scanning: one result for each regression, at the line of the baseline."""

import json
from typing import Any
from urllib.parse import quote

from greenpose.check.output.rows import advised
from greenpose.check.verdict import Finding, Verdict, sorted_findings

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def to_sarif(verdict: Verdict, name: str, *, version: str) -> str:
    """Return the log; `version` is GreenPose's."""
    results = [finding for finding in sorted_findings(verdict.findings) if finding.outcome == "regressed"]
    rules = sorted({finding.metric for finding in results})
    run = {
        "tool": {"driver": {"name": "GreenPose", "version": version, "rules": [_rule(metric) for metric in rules]}},
        "automationDetails": {"id": f"greenpose/{name}/"},
        "invocations": [{"executionSuccessful": True}],
        "results": [_result(finding, rules.index(finding.metric), verdict, name) for finding in results],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1, ensure_ascii=False) + "\n"


def _rule(metric: str) -> dict[str, Any]:
    words = metric.replace("_", " ")
    return {
        "id": f"footprint/{metric}",
        "shortDescription": {"text": f"{words}: worse than the baseline or budget"},
        "help": {"text": f"Mend it, or accept it: greenpose check ... --update --reason TEXT --only '*.{metric}'"},
    }


def _result(finding: Finding, rule: int, verdict: Verdict, name: str) -> dict[str, Any]:
    location: dict[str, Any] = {"artifactLocation": {"uri": quote(finding.file or verdict.subject)}}
    if finding.line is not None:
        location["region"] = {"startLine": finding.line}
    return {
        "ruleId": f"footprint/{finding.metric}",
        "ruleIndex": rule,
        "level": "error" if finding.fails else "warning",
        "message": {"text": f"{finding.name}: {advised(finding)}"},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"greenpose/v1": f"{name}/{finding.way}/{finding.name}"},
    }
