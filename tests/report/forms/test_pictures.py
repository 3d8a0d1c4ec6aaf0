"""Every chart as files of its own."""

import re
import xml.etree.ElementTree as ET

import pytest

from greenpose.report import render, study
from greenpose.report.other_formats import pictures
from tests.report.records import failure, paper_grid

ENTRIES = [*paper_grid((1, 2), ("HRNet3", "HRNet4", "HRNet4-OKD-DS")), failure()]


@pytest.fixture(scope="module")
def found():
    return dict(pictures(study(ENTRIES)))


def test_every_chart_of_the_page_is_there_twice(found):
    page = render(ENTRIES, title="x", generated_at="y", version="z")
    on_page = set(re.findall(r'<svg class="chart" id="([^"]+)-svg"', page))
    assert on_page
    assert set(found) == {f"{name}.{ending}" for name in on_page for ending in ("svg", "png")}


def test_svg_stands_alone(found):
    for name, content in found.items():
        if name.endswith(".svg"):
            root = ET.fromstring(content)  # noqa: S314  our own
            assert root.tag == "{http://www.w3.org/2000/svg}svg"
            assert float(root.get("width")) > 0
            text = content.decode()
            used, given = set(re.findall(r"var\(--(\w+)\)", text)), set(re.findall(r"--(\w+): #", text))
            assert used <= given
            assert re.findall(r"(?:href|src)=\"(?!#)", text) == []


def test_png_is_png(found):
    images = [content for name, content in found.items() if name.endswith(".png")]
    assert images
    assert all(image.startswith(b"\x89PNG\r\n\x1a\n") for image in images)
