"""Values and intervals as text."""

import math
import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from greenpose import formatting
from greenpose.formatting import (
    borne_decimals,
    ends,
    exact,
    fixed,
    in_markdown,
    listed,
    number,
    percent,
    plain,
    shown,
    span,
)

NONZERO = st.floats(min_value=1e-9, max_value=1e9) | st.floats(min_value=-1e9, max_value=-1e-9)


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (4.1, 3.936, 4.264, "4.10\u00a0±0.16"),
        (92.34, 91.4, 93.28, "92.3\u00a0±0.9"),
        (0.939, 0.909, 0.969, "0.939\u00a0±0.030"),
        (0.939, 0.902, 0.976, "0.94\u00a0±0.04"),
        (1234.0, 1111.0, 1357.0, "1230\u00a0±120"),
        (4.1, 2.0, 8.2, "4.1\u00a0[2.0–8.2]"),
        (4.1, 1.0, 9.2, "4\u00a0[1–9]"),
        (0.2, -0.1, 0.4, "0.20\u00a0[−0.10 to 0.40]"),
        (7.64, None, None, "7.64"),
        (1.0, 1.0, 1.0, "1.00"),
        (1.0, 0.904, 1.096, "1.00\u00a0±0.10"),
    ],
)
def test_a_value_has_the_digits_that_its_interval_bears(value, low, high, expected):
    assert str(number(value, low, high)) == expected


@pytest.mark.parametrize(
    ("half", "decimals"), [(0.354, 2), (0.355, 1), (0.949, 1), (0.95, 1), (0.1, 2), (3.54, 1), (3.6, 0), (36.0, -1)]
)
def test_half_widths_are_rounded_by_the_particle_data_groups_rule(half, decimals):
    assert borne_decimals(half) == decimals


def test_percent_points_keep_one_decimal_at_most():
    assert str(number(93.612, 93.60, 93.624, most_decimals=1)) == "93.6\u00a0±0.01"
    assert str(number(93.612, most_decimals=1)) == "93.6"
    assert str(number(100.0, most_decimals=1)) == "100"


@given(NONZERO, st.floats(1e-9, 1e9), st.floats(1e-9, 1e9), st.sampled_from([None, 0, 1]))
def test_what_is_not_zero_never_prints_as_zero(value, below, above, most_decimals):
    text = number(value, value - below, value + above, most_decimals=most_decimals)
    shown = [text.value, *re.findall(r"[\d.,\u202f]+", text.interval)]
    ends = [value, *([below, above] if "±" in text.interval else [value - below, value + above])]
    zeros = sum(not re.search("[1-9]", each) for each in shown)
    assert zeros <= sum(end == 0 for end in ends)


@given(NONZERO, st.floats(1e-6, 10), st.floats(1e-6, 10))
def test_the_printed_interval_is_within_a_digit_of_the_true_one(value, below, above):
    low, high = value - below * abs(value), value + above * abs(value)
    text = number(value, low, high)
    unit = 10.0 ** -borne_decimals((high - low) / 2) if high > low else abs(value)
    coarsest = max(unit, 10.0 ** (math.floor(math.log10(abs(value))) - 3))
    read = float(text.value.replace("−", "-").replace("\u202f", ""))
    assert abs(read - value) <= coarsest


def test_a_value_smaller_than_its_interval_still_shows():
    assert str(number(0.03, -4.97, 5.03)) == "0.03\u00a0±5"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (plain(-3.14159), "−3.14"),
        (plain(12345.6), "12\u202f300"),
        (exact(28_535_948), "28\u202f535\u202f948"),
        (exact(9999), "9999"),
        (fixed(0.004, 1), "0.004"),
        (percent(0.613), "61\u00a0%"),
        (percent(0.9972), "99.7\u00a0%"),
        (percent(1.0), "100\u00a0%"),
        (span(281, 381, 3), "281–381"),
        (span(-1, 2), "−1.0 to 2.0"),
        (listed(["a", "b", "c"]), "a, b and c"),
        (listed([]), ""),
    ],
)
def test_numbers_and_lists_are_typeset_alike_everywhere(text, expected):
    assert text == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\x1b]8;;https://evil.example\x07b", "a\\x1b]8;;https://evil.example\\x07b"),
        ("safe\u202egnp.exe", "safe\\u202egnp.exe"),
        ("one\r\n::error ::two", "one\\r\\n::error ::two"),
        ("tab\tfeed\x0cnext\x85line\u2028end", "tab\\tfeed\\x0cnext\\x85line\\u2028end"),
        ("\ud800 \ufffe \U0001ffff", "\\ud800 \\ufffe \\U0001ffff"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
    ],
)
def test_what_would_steer_a_terminal_or_a_document_is_written_out(text, expected):
    assert shown(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "HRNet3", "Größe 48×64", "C:\\data", "4.1\u00a0±0.2", "12\u202f000", "می\u200cخواهم", "👩\u200d🔬", "姿势"],
)
def test_what_people_write_is_shown_as_it_is(text):
    assert shown(text) == text


@given(st.text(st.characters()) | st.text(st.characters(categories=("Cc", "Cf", "Cs", "Cn", "Zl", "Zp"))))
def test_what_is_shown_is_one_line_that_every_format_can_hold(text):
    ready = shown(text)
    assert len(ready.splitlines()) <= 1
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]", ready)
    assert ready == shown(ready)


@pytest.mark.parametrize(
    "text",
    [
        "# heading",
        "a\n# heading",
        "`code` ``` fence",
        "[link](https://evil.example) ![image](x.png)",
        "https://evil.example",
        "<img src=x onerror=alert(1)>",
        "&lt;b&gt; &amp; *em* __strong__ ~~gone~~",
        "a | b",
        "- item",
        "1. item",
        "12) item",
        "+ item",
        "===",
        "\\` \\\\` C:\\data",
        "<!-- greenpose:other -->",
    ],
)
def test_markdown_shows_the_users_text_as_it_is(text):
    for page, before in ((in_markdown(text), ""), (f"- **{in_markdown(text)}**", "")):
        tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(page)
        inline = [child for token in tokens for child in token.children or ()]
        assert {child.type for child in inline} <= {"text", "text_special", "strong_open", "strong_close"}
        assert before + "".join(child.content for child in inline) == shown(text)
    row = MarkdownIt("commonmark").enable("table").parse(f"| a | b |\n|---|---|\n| {in_markdown(text)} | 1 |")
    assert [token.content for token in row if token.type == "inline"][-1] == "1"


@given(st.text())
def test_markdown_shows_any_text_as_it_is(text):
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(in_markdown(text))
    said = "".join(child.content for token in tokens for child in token.children or ())
    assert said == shown(text).strip()


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0, 3, "0"),
        (2, 3, "2.00"),
        (0.000123456, 3, "0.000123"),
        (999.6, 3, "1000"),
        (12345, 3, "12300"),
        (-0.0456, 2, "-0.046"),
        (9.996, 3, "10.0"),
        (math.inf, 3, "inf"),
    ],
)
def test_a_number_keeps_its_significant_digits(value, digits, text):
    assert formatting.significant(value, digits) == text


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=1e-290, max_value=1e290), st.integers(1, 6))
def test_a_printed_number_is_within_half_a_digit_and_never_zero(value, digits):
    printed = Decimal(formatting.significant(value, digits))
    assert printed != 0
    assert abs(printed - Decimal(value)) <= Decimal(value) * Decimal(10) ** (1 - digits) * Decimal("0.5000001")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4_685_955_072, "4.69 GMACs"),
        (999_999, "1.00 MMACs"),
        (0.00042, "420 µMACs"),
        (5e-13, "0.000500 nMACs"),
        (0, "0 MACs"),
    ],
)
def test_a_prefix_keeps_the_number_between_one_and_a_thousand(value, text):
    assert formatting.with_prefix(value, "MACs") == text


@pytest.mark.parametrize(
    ("value", "expected"), [(0.0, (1.0, "")), (1500.0, (1e3, "k")), (-0.002, (1e-3, "m")), (999.9, (1e3, "k"))]
)
def test_a_prefix_can_be_shared_by_several_numbers(value, expected):
    assert formatting.prefix(value) == expected


def test_energy_converts_both_ways_and_to_grams():
    assert formatting.joules_to_kwh(3.6e6) == 1
    assert formatting.kwh_to_joules(formatting.joules_to_kwh(123.0)) == pytest.approx(123.0)
    assert formatting.co2eq_g(2.0, intensity_g_per_kwh=300.0, pue=1.5) == 900.0


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        ("60", "62", "60 to 62"),
        ("60\u00a0%", "62\u00a0%", "60 to 62\u00a0%"),
        ("1.2 GMACs/image", "3.4 GMACs/image", "1.2 to 3.4 GMACs/image"),
        ("900 mJ", "1.20 J", "900 mJ to 1.20 J"),
        ("2026-12-01 10:00 UTC", "2026-12-02 10:00 UTC", "2026-12-01 10:00 to 2026-12-02 10:00 UTC"),
        ("40 s", "40 s", "40 s at both ends"),
    ],
)
def test_the_ends_of_an_interval_have_their_unit_once(low, high, said):
    assert ends(low, high) == said
