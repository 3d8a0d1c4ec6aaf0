"""A verdict as a badge: a static SVG without any network, and shields.io's endpoint document."""

import json
from xml.sax.saxutils import escape

from greenpose.check.verdict import Verdict
from greenpose.formatting import plural

LABEL = "footprint"
COLOURS = {
    "ok": ("#3c7d22", "brightgreen"),
    "improved": ("#3c7d22", "brightgreen"),
    "regressed": ("#b3261e", "red"),
    "inconclusive": ("#8a6100", "yellow"),
    "incomparable": ("#5f6368", "lightgrey"),
}
"""For each outcome, a colour that bears white text (WCAG 4.5:1), and shields.io's name."""
LETTER = 6.6
"""Mean width of a letter of the badge's 11 px font, in pixels."""
MARGIN = 8.0
HEIGHT = 20


def badge_svg(verdict: Verdict) -> str:
    """Return the badge as an SVG image with a title."""
    message = _message(verdict)
    left, right = (len(text) * LETTER + 2 * MARGIN for text in (LABEL, message))
    fill = COLOURS[verdict.outcome][0]
    width, title = round(left + right), escape(f"{LABEL}: {message}")
    text = 'fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{HEIGHT}" role="img" aria-label="{title}">'
        f"<title>{title}</title>"
        f'<rect width="{width}" height="{HEIGHT}" rx="3" fill="#444"/>'
        f'<path d="M{left:.1f} 0H{width - 3}a3 3 0 0 1 3 3V17a3 3 0 0 1-3 3H{left:.1f}z" fill="{fill}"/>'
        f'<g {text}><text x="{left / 2:.1f}" y="14">{LABEL}</text>'
        f'<text x="{left + right / 2:.1f}" y="14">{escape(message)}</text></g></svg>\n'
    )


def badge_endpoint(verdict: Verdict) -> str:
    """Return what shields.io's endpoint badge reads."""
    colour = COLOURS[verdict.outcome][1]
    return json.dumps({"schemaVersion": 1, "label": LABEL, "message": _message(verdict), "color": colour}) + "\n"


def _message(verdict: Verdict) -> str:
    """Return the outcome, with a count where something is worse."""
    worse = sum(finding.fails for finding in verdict.findings)
    return plural(worse, "regression").replace("\u00a0", " ") if worse else verdict.outcome
