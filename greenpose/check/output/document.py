"""A verdict as one JSON document: everything, raw pairs included."""

import json
import math
from dataclasses import asdict
from typing import Any

from greenpose.check.output.rows import summary, word_of
from greenpose.check.verdict import Finding, Span, Verdict

SCHEMA = "greenpose.verdict/1"


def document(verdict: Verdict, name: str) -> dict[str, Any]:
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


def to_json(verdict: Verdict, name: str) -> str:
    """Return the verdict as JSON text."""
    return json.dumps(document(verdict, name), indent=1, ensure_ascii=False, default=str, allow_nan=False) + "\n"


def _finding(finding: Finding) -> dict[str, Any]:
    ratio = None if finding.ratio is None else _span(finding.ratio)
    fields: dict[str, Any] = _finite(asdict(finding) | {"ratio": ratio})
    return {"name": finding.name, "verdict": word_of(finding)} | fields


def _span(span: Span) -> dict[str, float]:
    return {"low": span.low, "value": span.value, "high": span.high}


def _finite(value: Any) -> Any:
    """Return plain data with null for what JSON has no number for."""
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
