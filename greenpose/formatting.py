"""Units and text: how a number and its interval become text, and how the user's own text is shown harmlessly.

A number has no more digits than its interval bears, and is never a false zero.
"""

import math
import re
import unicodedata
from dataclasses import dataclass

JOULES_PER_KWH = 3.6e6
FLOPS_PER_MAC = 2
"""One multiply-accumulate counts as two floating-point operations."""

_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))


def joules_to_kwh(joules: float) -> float:
    """Return kilowatt-hours; 1 kWh = 3.6 MJ exactly."""
    return joules / JOULES_PER_KWH


def kwh_to_joules(kwh: float) -> float:
    """Return joules; 1 kWh = 3.6 MJ exactly."""
    return kwh * JOULES_PER_KWH


def co2eq_g(energy_kwh: float, *, intensity_g_per_kwh: float, pue: float = 1.0) -> float:
    """Return grams of CO2 equivalent for energy drawn by the machine.

    `pue` (power usage effectiveness) scales the machine's energy to the building's; 1 means no overhead.
    """
    return energy_kwh * pue * intensity_g_per_kwh


def significant(value: float, digits: int = 3) -> str:
    """Return `value` in plain decimals with `digits` significant digits; a non-zero value never prints as zero.

    Trailing zeros that carry meaning are kept: 2.0 with three digits is "2.00".
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:.0f}"
    exponent = math.floor(math.log10(abs(value)))
    rounded = round(value, digits - 1 - exponent)
    exponent = math.floor(math.log10(abs(rounded)))
    return f"{rounded:.{max(0, digits - 1 - exponent)}f}"


def lasting(seconds: float) -> str:
    """Return how long something lasts, for people: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def prefix(value: float, digits: int = 3) -> tuple[float, str]:
    """Return the factor and name of the SI prefix that keeps `value` between 1 and 1000 when printed with `digits`."""
    if value == 0 or not math.isfinite(value):
        return 1.0, ""
    fitting = (pair for pair in _PREFIXES if abs(value) >= pair[0] * (1 - 0.5 * 10**-digits))
    return next(fitting, _PREFIXES[-1])


def with_prefix(value: float, unit: str, digits: int = 3) -> str:
    """Return `value unit` with an SI prefix that keeps the number between 1 and 1000, e.g. `4.69 GMACs`."""
    factor, name = prefix(value, digits)
    return f"{significant(value / factor, digits)} {name}{unit}"


NBSP = "\u00a0"
MINUS = "\u2212"
JOINERS = "\u200c\u200d"
"""Marks that cannot be seen but make letters and emoji what they are."""
_MARKDOWN = re.compile(r"[\\`*_\[\]|~#]|:(?=//)")
"""What Markdown reads as its own wherever it stands: marks, links, cells."""
_COMMAND = re.compile(r"^(?=\s*::)|(?<=#)(?=#\w*\[)")
"""Where a line of a job's log would become a command: `::error`, `##[error]`, `##vso[...]`."""
_BEGINS = re.compile(r"^(?:(\d+)(?=[.)])|(?=[-+=]))")
"""What it reads so only where a line begins: numbers of a list, bullets, underlines."""
MOST_DIGITS = 4
"""Significant digits beyond which no printed value goes, however narrow its interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A number in words: the value, and its interval as `±…` or `[low–high]`; empty where there is none."""

    value: str
    interval: str = ""

    def __str__(self) -> str:
        """Return both, the interval behind the value."""
        return f"{self.value}{NBSP}{self.interval}" if self.interval else self.value


def borne_decimals(half_width: float) -> int:
    """Return how many decimals an interval of this half-width bears; negative means tens, hundreds and so on.

    Leading digits 100-354 keep two digits of the half-width, 355-949 one, 950-999 round up to the next ten.

    Source: Particle Data Group, Review of Particle Physics (2024), introduction, section 5.3.
    """
    exponent = math.floor(math.log10(half_width))
    leading = round(half_width / 10.0 ** (exponent - 2))
    return 1 - exponent if leading <= 354 else -exponent


def fixed(value: float, decimals: int) -> str:
    """Return `value` at `decimals` decimals; one that would print as zero without being zero keeps one digit.

    Thousands are set apart by a narrow space from 10 000 on; the minus sign is a real one.
    """
    rounded = round(value, decimals)
    text = significant(value, 1) if rounded == 0 and value != 0 else f"{rounded:.{max(0, decimals)}f}"
    return _typeset(text)


def plain(value: float, digits: int = 3) -> str:
    """Return `value` with `digits` significant digits, typeset like every number of the page."""
    return _typeset(significant(value, digits))


def exact(value: int) -> str:
    """Return a counted number in full."""
    return _typeset(str(value))


def percent(fraction: float, digits: int = 2) -> str:
    """Return a fraction as a percentage: `61 %`; three digits from 99.5 on, so that 99.7 does not become 100."""
    value = 100 * fraction
    return f"{plain(value, 3 if 99.5 <= abs(value) < 100 or abs(value) >= 1000 else digits)}{NBSP}%"


def number(
    value: float,
    low: float | None = None,
    high: float | None = None,
    *,
    digits: int = 3,
    most_decimals: int | None = None,
) -> Text:
    """Return a value and its interval, both at the decimals that the interval bears.

    Without an interval the value has `digits` significant digits. `most_decimals` caps the decimals in either case,
    and no value has more than four significant digits. An interval that is symmetric at that precision reads
    `±half-width`, any other `[low–high]`.
    """
    if low is None or high is None or high <= low:
        return Text(value=_capped(value, digits, most_decimals))
    decimals = min(borne_decimals((high - low) / 2), _decimals_for(value, MOST_DIGITS))
    decimals = decimals if most_decimals is None else min(decimals, most_decimals)
    below, above = fixed(value - low, decimals), fixed(high - value, decimals)
    interval = f"±{above}" if below == above else f"[{_range(fixed(low, decimals), fixed(high, decimals))}]"
    return Text(value=fixed(value, decimals), interval=interval)


def span(low: float, high: float, digits: int = 2) -> str:
    """Return `low–high` with `digits` significant digits each."""
    return _range(plain(low, digits), plain(high, digits))


def ends(low: str, high: str) -> str:
    """Return `60 to 62 %`, the unit of both behind the second only; that they read alike where they do."""
    if low == high:
        return f"{low} at both ends"
    unit = re.search(f"[ {NBSP}][^0-9].*", high)
    return f"{low.removesuffix(unit[0]) if unit else low} to {high}"


def repeated(both: str) -> str:
    """Return `95 %: 60 to 62 %`, as sentences tell of an interval from repetition by its `ends`."""
    return f"95{NBSP}%: {both}"


def truly(low: float, high: float) -> str:
    """Return `truly 0.35 to 2.0 times`, as sentences tell of an interval of systematic error as factors."""
    return f"truly {ends(plain(low, 2), plain(high, 2))} times"


def systematic(low: float, high: float) -> str:
    """Return `syst. ×0.35–2` of an interval of systematic error as factors, as what stands beside a number has it."""
    return f"syst. ×{low:.2g}–{high:.2g}"


def plural(count: int, noun: str) -> str:
    """Return `1 run`, `2 runs`."""
    return f"{exact(count)}{NBSP}{noun}{'' if count == 1 else 's'}"


def listed(parts: list[str], word: str = "and") -> str:
    """Return `a`, `a and b`, `a, b and c`, or with another word."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {word} {parts[-1]}" if parts else ""


def shown(text: str) -> str:
    r"""Return somebody's text on one line, with what would steer a terminal, a log or a document written out.

    Control characters (ESC, line breaks and tabs among them), marks that turn the direction of writing or cannot be
    seen, lone surrogates and what is no character stand as Python writes them: `\x1b`, `\u202e`, `\ud800`. Every
    letter, every space within a line, and the joiners that scripts and emoji need stay as they are.
    """
    return text if text.isprintable() else "".join(map(_visible, text))


def in_log(text: str) -> str:
    """Return a line with somebody's text as `shown`, which no CI system takes for a command of its own."""
    return _COMMAND.sub(r"\\", shown(text))


def in_csv(value: object) -> object:
    """Return a value as it may stand in a file that spreadsheets open: words on one line, and never a formula."""
    if not isinstance(value, str):
        return value
    words = shown(value)
    return f"'{words}" if words.lstrip().startswith(_OF_FORMULA) else words


_OF_FORMULA = ("=", "+", "-", "@")
"""What a spreadsheet takes for the beginning of a formula; an apostrophe in front makes it words."""


def in_markdown(text: str, *, begins: bool = True) -> str:
    """Return somebody's text as `shown`, for a place in Markdown that reads nothing in it as its own, nor as HTML.

    Where it does not begin a line, `1.` is no list's number and `+` no bullet.
    """
    escaped = _MARKDOWN.sub(r"\\\g<0>", shown(text).strip())
    escaped = _BEGINS.sub(r"\g<1>\\", escaped) if begins else escaped
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _visible(character: str) -> str:
    harmless = character.isprintable() or character in JOINERS or unicodedata.category(character) == "Zs"
    return character if harmless else character.encode("unicode_escape").decode("ascii")


def _capped(value: float, digits: int, most_decimals: int | None) -> str:
    if most_decimals is not None and value and _decimals_for(value, digits) > most_decimals:
        return fixed(value, most_decimals)
    return plain(value, digits)


def _decimals_for(value: float, digits: int) -> int:
    return digits - 1 - math.floor(math.log10(abs(value))) if value else digits - 1


def _range(low: str, high: str) -> str:
    return f"{low} to {high}" if MINUS in low + high else f"{low}–{high}"


def _typeset(text: str) -> str:
    sign, digits = (MINUS, text[1:]) if text.startswith("-") else ("", text)
    whole, dot, rest = digits.partition(".")
    if len(whole) > 4:
        whole = f"{int(whole):,}".replace(",", "\u202f")
    return f"{sign}{whole}{dot}{rest}"
