"""A verdict in the forms that people, pull requests and CI systems read."""

from greenpose.check.output.badge import badge_endpoint, badge_svg
from greenpose.check.output.document import document, to_json
from greenpose.check.output.github import annotations
from greenpose.check.output.junit import to_junit
from greenpose.check.output.markdown import to_markdown
from greenpose.check.output.rows import summary
from greenpose.check.output.sarif import to_sarif
from greenpose.check.output.text import print_verdict, to_text

__all__ = [
    "annotations",
    "badge_endpoint",
    "badge_svg",
    "document",
    "print_verdict",
    "summary",
    "to_json",
    "to_junit",
    "to_markdown",
    "to_sarif",
    "to_text",
]
