"""Contrast of the style sheet's palette (WCAG 2.2): 4.5 for text, 3 for marks, in both schemes and in print."""

import itertools
import re
from importlib.resources import files

import pytest

STYLE = files("greenpose.report").joinpath("style.css").read_text(encoding="utf-8")
ROOTS = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
PALETTES = [palette for root in ROOTS if (palette := dict(re.findall(r"--(\w[\w-]*): (#[0-9a-f]{6})", root)))]


def luminance(colour):
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_there_are_a_light_a_dark_and_a_print_palette():
    assert len(PALETTES) == 3
    assert [luminance(palette["paper"]) > 0.5 for palette in PALETTES] == [True, False, True]


@pytest.mark.parametrize(
    ("palette", "text", "ground"),
    [
        *itertools.product(range(3), ["ink", "muted", "accent", "warn"], ["paper", "surface"]),
        *itertools.product(range(3), ["ink", "muted"], ["soft"]),
        *itertools.product(range(3), ["ink"], ["warn-soft"]),
    ],
)
def test_text_is_readable(palette, text, ground):
    assert contrast(PALETTES[palette][text], PALETTES[palette][ground]) >= 4.5


@pytest.mark.parametrize(("palette", "mark"), [*itertools.product(range(3), ["accent", "dim"])])
def test_marks_are_visible(palette, mark):
    assert contrast(PALETTES[palette][mark], PALETTES[palette]["paper"]) >= 3
