"""matplotlib's SVG made fit for a page: own ids, a title and description, colours that follow the page's scheme."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

INK, MUTED, ACCENT, DIM, GRID, PAPER = "#101112", "#606162", "#0a7a5b", "#909192", "#e0e1e2", "#fafbfc"
"""Stand-ins that are drawn with and then replaced by the style sheet's variables."""
VARIABLES = {INK: "ink", MUTED: "muted", ACCENT: "accent", DIM: "dim", GRID: "grid", PAPER: "paper"}


def finish(
    drawing: str, *, prefix: str, size: tuple[int, int], title: str, description: str, tooltips: Sequence[str]
) -> str:
    """Return the drawing as one `<svg>` element for a page.

    Only ids that something refers to are kept, each behind `prefix`. A group named `point-k` gets `tooltips[k]` as its
    title. Coordinates are rounded to a tenth of a pixel.
    """
    body = drawing[drawing.index(">", drawing.index("<svg")) + 1 : drawing.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'<defs>\s*<style type="text/css">.*?</style>\s*</defs>', "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = body.replace("xlink:href", "href")
    body = re.sub(
        r'<g id="point-(\d+)">', lambda found: f"<g><title>{html.escape(tooltips[int(found[1])])}</title>", body
    )
    body = re.sub(r'<g id="label">', '<g class="label">', body)
    body = re.sub(r' fill="(#\w{6})"', r' style="fill: \1"', body)  # the ground of a hatching
    body = _own_ids(body, prefix)
    # the style sheet says these; round ends of lines draw dots
    body = re.sub(r" (font-family: [^;\"]*|stroke-linejoin: \w+|stroke-linecap: (butt|square));?", "", body)
    body = re.sub(r' transform="rotate\(-?0 [^"]*"', "", body)
    body = re.sub(r"<[^>]*>", lambda tag: _short(tag[0]), body)  # inside tags only: text is what people read
    body = re.sub(r"> <", "><", re.sub(r"[ \n]+", " ", body)).strip()  # no-break spaces of labels stay
    body = _classes(_without_empty_groups(body), prefix)
    head = (
        f'<svg class="chart" id="{prefix}-svg" viewBox="0 0 {size[0]} {size[1]}" role="img" '
        f'aria-labelledby="{prefix}-title {prefix}-desc">'
        f'<title id="{prefix}-title">{html.escape(title)}</title>'
        f'<desc id="{prefix}-desc">{html.escape(description)}</desc>'
    )
    return f"{head}{body}</svg>"


@dataclass(slots=True, kw_only=True)
class Sheet:
    """What the drawings of one page share: each look and each marker is written once, where it comes first."""

    looks: dict[str, str] = field(default_factory=dict)
    """Class of each style that the page has a rule for so far."""
    markers: dict[str, str] = field(default_factory=dict)
    """Id of each marker so far, by its path and look."""

    def share(self, drawing: str) -> str:
        """Return a finished drawing that leaves out what an earlier one has written."""
        found = re.search(r"<style>(.*?)</style>", drawing)
        assert found, "a finished drawing has its own rules"
        own = dict(re.findall(r"\.(s\d+)\{([^}]*)\}", found[1]))
        new = [style for style in own.values() if style not in self.looks]
        self.looks |= {style: f"c{len(self.looks) + index}" for index, style in enumerate(new)}
        rules = "".join(f".{self.looks[style]}{{{style}}}" for style in new)
        body = drawing[: found.start()] + (f"<style>{rules}</style>" if rules else "") + drawing[found.end() :]
        body = re.sub(r'(?<= class=")(s\d+)(?=")', lambda name: self.looks[own[name[1]]], body)
        return re.sub(r"<(use|text|path)\b([^>]*?)(/?)>", _unquoted, self._share_markers(body))

    def _share_markers(self, body: str) -> str:
        for whole, name, look in re.findall(r'(<defs><path id="([^"]+)"([^>]*)/></defs>)', body):
            known = look in self.markers
            id_ = self.markers.setdefault(look, f"m{len(self.markers)}")
            body = body.replace(whole, "" if known else f'<defs><path id="{id_}"{look}/></defs>')
            body = body.replace(f'href="#{name}"', f'href="#{id_}"')
        return body


def _unquoted(tag: re.Match[str]) -> str:
    """Return a tag as HTML lets one write it: words and numbers without quotes, in front of what ends with one."""
    bare = re.findall(r' (?:class|x|y)="[\w.-]+"', tag[2])
    rest = re.sub(r' (?:class|x|y)="[\w.-]+"', "", tag[2])
    if tag[3] and not rest:
        return tag[0]  # a slash behind a bare word would be part of it
    return f"<{tag[1]}{''.join(bare).replace(chr(34), '')}{rest}{tag[3]}>"


def _own_ids(body: str, prefix: str) -> str:
    """Return the drawing with short ids of its own for what something refers to, and no others."""
    used = list(dict.fromkeys(re.findall(r'(?:href="#|url\(#)([^")]+)', body)))
    names = {each: f"{prefix}-{index}" for index, each in enumerate(used)}
    body = re.sub(r' id="([^"]+)"', lambda found: f' id="{names[found[1]]}"' if found[1] in names else "", body)
    return re.sub(r'(href="#|url\(#)([^")]+)', lambda found: found[1] + names[found[2]], body)


def _short(tag: str) -> str:
    """Return a tag whose numbers have one decimal and whose path has no blanks around its letters."""
    tag = re.sub(r"-?\d+\.\d{2,}", lambda found: _tenth(found[0]), tag)
    return re.sub(r'(?<= d=")[^"]*', lambda path: _straight(re.sub(r"\s*([A-Za-z])\s*", r"\1", path[0]).strip()), tag)


def _straight(path: str) -> str:
    """Return a path whose lines along an axis name the other coordinate only; one with curves as it is."""
    steps = re.findall(r"([A-Za-z])([^A-Za-z]*)", path)
    if any(letter not in "MLz" for letter, _ in steps):
        return path
    straight, before = "", ["", ""]
    for letter, numbers in steps:
        x, y = at = numbers.split() or ["", ""]
        upright, level = (letter == "L" and one == other for one, other in zip(at, before, strict=True))
        straight += f"V{y}" if upright else f"H{x}" if level else letter + numbers
        before = at
    return straight


def _tenth(number: str) -> str:
    text = f"{float(number):.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def _without_empty_groups(body: str) -> str:
    before = ""
    while before != body:
        before = body
        body = re.sub(r"<g>((?:<(?:path|text|use|defs)\b(?:(?!<g\b|</g>).)*)?)</g>", r"\1", body.replace("<g/>", ""))
    return body


def _classes(body: str, prefix: str) -> str:
    """Return the drawing with each distinct style written once, as a class that holds inside this chart only."""
    body = re.sub(r' style="([^"]*)"', lambda found: f' style="{_colours(found[1])}"', body)
    styles = list(dict.fromkeys(re.findall(r' style="([^"]*)"', body)))
    body = re.sub(r' style="([^"]*)"', lambda found: f' class="s{styles.index(found[1])}"', body)
    rules = "".join(f"#{prefix}-svg .s{index}{{{style}}}" for index, style in enumerate(styles))
    return f"<style>{rules}</style>{body}"


def _colours(text: str) -> str:
    """Return a style without blanks, drawn colours replaced by the page's variables."""
    for colour, name in VARIABLES.items():
        text = text.replace(colour, f"var(--{name})")
    return text.strip().replace(": ", ":").replace("; ", ";").removesuffix(";")
