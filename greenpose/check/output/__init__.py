"""A verdict in the forms that people, pull requests and CI systems read."""

from greenpose.check.output.machine_readable import badge_endpoint, document, to_json, to_junit, to_sarif
from greenpose.check.output.markdown import annotations, to_markdown
from greenpose.check.output.text import print_verdict, summary, to_text

__all__ = [
    "annotations",
    "badge_endpoint",
    "document",
    "print_verdict",
    "summary",
    "to_json",
    "to_junit",
    "to_markdown",
    "to_sarif",
    "to_text",
]
