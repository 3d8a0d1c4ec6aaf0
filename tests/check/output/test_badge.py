import json
from xml.etree import ElementTree as ET

import pytest

from greenpose.check import Verdict
from greenpose.check.output import badge_endpoint, badge_svg
from greenpose.check.output.machine_readable import COLOURS
from tests.check.candidates import finding, mixed

OUTCOMES = ["ok", "improved", "regressed", "inconclusive", "incomparable"]


def verdict(outcome):
    return Verdict(subject="a", against="b", findings=(finding(outcome=outcome),))


def luminance(colour: str) -> float:
    """Return the relative luminance of `#rrggbb` (WCAG 2.2)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_the_image_says_the_outcome_in_words_and_loads_nothing(outcome):
    text = badge_svg(verdict(outcome))
    root = ET.fromstring(text)  # noqa: S314 - our own text
    expected = "1 regression" if outcome == "regressed" else outcome
    assert root.get("aria-label") == f"footprint: {expected}"
    assert text.count("http") == 1  # the name space
    assert COLOURS[outcome][0] in text


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_white_text_can_be_read_on_every_colour(outcome):
    assert 1.05 / (luminance(COLOURS[outcome][0]) + 0.05) >= 4.5


def test_the_endpoint_is_what_shields_reads():
    document = json.loads(badge_endpoint(mixed()))
    assert document == {"schemaVersion": 1, "label": "footprint", "message": "2 regressions", "color": "red"}
