"""How the page prints a number: as everything else does."""

from greenpose.formatting import (
    NBSP,
    Text,
    borne_decimals,
    exact,
    fixed,
    listed,
    number,
    percent,
    plain,
    plural,
    span,
)

__all__ = [
    "NBSP",
    "Text",
    "borne_decimals",
    "exact",
    "fixed",
    "listed",
    "number",
    "percent",
    "plain",
    "plural",
    "span",
]
