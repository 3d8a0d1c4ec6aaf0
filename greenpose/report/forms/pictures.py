"""Every chart of the page as files of its own: SVG that stands alone, and PNG."""

import re
from collections.abc import Iterator
from importlib.resources import files

from greenpose.report.charts.canvas import Drawing
from greenpose.report.gallery import pictures_of
from greenpose.report.study import Study

_FONT = 'font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif'


def pictures(compared: Study) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of two files for each chart; names are those of the page's anchors."""
    for picture in pictures_of(compared):
        for panel in picture.panels:
            yield f"{panel.drawing.id}.svg", alone(panel.drawing).encode()
            yield f"{panel.drawing.id}.png", panel.drawing.png()


def alone(drawing: Drawing) -> str:
    """Return the SVG with what the page would give it: size, font, ground, and the colours of the light scheme."""
    width, height = drawing.size
    size = f'xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
    style = (
        f"<style>svg {{ {_palette()} {_FONT}; background: var(--paper); }} "
        "text { font-variant-numeric: tabular-nums; } "
        ".label text { paint-order: stroke; stroke: var(--paper); stroke-width: 4px; }</style>"
    )
    head, end, rest = drawing.svg.partition("</desc>")
    return f"{head.replace('<svg', f'<svg {size}', 1)}{end}{style}{rest}\n"


def _palette() -> str:
    """Return the variables of the page's light scheme: the first block of its style sheet."""
    sheet = files("greenpose.report").joinpath("style.css").read_text(encoding="utf-8")
    found = re.search(r":root \{(.*?)\}", sheet, flags=re.DOTALL)
    assert found, "the style sheet begins with its variables"
    return " ".join(found[1].split())
