"""Other forms of the report: Markdown, LaTeX, PDF and pictures, from the same tables and drawings."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from greenpose.errors import ReportError
from greenpose.formatting import shown
from greenpose.metrics import ACCURACIES, AP, ENERGY, OF_EXIT, OF_TRAINING, TRAIN_CO2, TRAIN_ENERGY, Metric
from greenpose.quantity import Quantity, kind_mark
from greenpose.report.comparison import Changes, changes
from greenpose.report.conclusions.next_steps import next_steps, steps_table
from greenpose.report.deployment import recommend
from greenpose.report.drawing import Drawing
from greenpose.report.figures.artefacts import artefacts_table
from greenpose.report.figures.exits import means_table
from greenpose.report.figures.hosts import hosts_tables
from greenpose.report.figures.totals import totals_table
from greenpose.report.figures.tradeoff import front_table
from greenpose.report.index import resource
from greenpose.report.many_runs import latest, unusable
from greenpose.report.page import answer, pictures_of
from greenpose.report.quantities import legend
from greenpose.report.study import Group, Point, Study
from greenpose.tables import Table, markdown_table, plain_text, systematic_notes


def to_markdown(compared: Study, *, title: str, generated_at: str, version: str) -> str:
    """Return the summary; why a number is missing stands in a footnote. Two sides stay apart, as on the page."""
    parts = [f"# {plain_text(title)}", *(plain_text(sentence) for sentence in answer(compared))]
    parts += [plain_text(f"{name.capitalize()} side: {side.name}") for name, side in compared.sides.items()]
    parts += [plain_text(sentence) for sentence in unusable(compared)]
    changed = changes(compared)
    parts += [plain_text(sentence) for sentence in (changed.sentences if changed else ())]
    for heading, table in (*_steps(compared), *_changed(changed), *_tables(compared)):
        parts += [f"## {heading}", markdown_table(table)]
    parts.append(plain_text(f"{'; '.join(legend())}. Intervals are 95 % from repetition; “syst.” is systematic error."))
    parts.append(plain_text(f"GreenPose {version}, {generated_at}"))
    return "\n\n".join(parts) + "\n"


def _steps(compared: Study) -> Iterator[tuple[str, Table]]:
    if steps := next_steps(recommend(latest(compared))):
        yield "What to do next", steps_table(steps)


def _changed(changed: Changes | None) -> Iterator[tuple[str, Table]]:
    if changed is None:
        return
    if changed.circumstances is not None:
        yield "What differs around the runs", changed.circumstances
    if changed.exits.num_rows:
        yield "What changed", changed.exits
        yield "What changed in training", changed.training


def _tables(compared: Study) -> Iterator[tuple[str, Table]]:
    front = front_table(latest(compared)) if compared.records else None
    if front is not None:
        yield "On the front", front
    exported = artefacts_table(latest(compared))
    if exported is not None:
        yield "Exported models", exported
    yield from hosts_tables(compared)
    if compared.points:
        yield "Every exit", means_table(compared)
    yield "Total bill", totals_table(compared)


def _spans(study: Study) -> dict[str, list[Metric]]:
    """Return the columns of LaTeX's table, by the headings above them."""
    own = next((run.accuracies for run in study.records if run.exits), ACCURACIES)
    others = [metric for metric in (*OF_EXIT, *OF_TRAINING) if metric not in ACCURACIES]
    return {
        head: [metric for metric in (*own, *others) if metric.latex == head]
        for head in ("Accuracy", "Size", "One image", "Training")
    }


_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "≈": r"$\approx$", "∼": r"$\sim$", "±": r"$\pm$", "×": r"$\times$", "≥": r"$\geq$", "→": r"$\to$", "−": "$-$",
    "–": "--", "’": "'", "“": "``", "”": "''", "…": r"\ldots{}", "·": r"$\cdot$", "†": r"\dag{}", "µ": r"$\mu$",
    "\u00a0": "~", "\u202f": r"\,",
}  # fmt: skip
"""What LaTeX wants in the place of a character."""
_HEADS = {ENERGY.name: "Energy", TRAIN_ENERGY.name: "Energy", TRAIN_CO2.name: "CO2eq"}
"""Headings that are shorter here, since another stands above them."""


def to_latex(compared: Study, *, title: str, version: str) -> str:
    """Return a table*, as wide as the page, with a line for each exit: the paper's columns, then what the exit costs.

    Experiments of two sides have a line on each.
    """
    figures = _figures(compared)
    heads = ["\\#", "Experiment", "KD", "DS", "Exit", *(escape(_HEADS.get(each.name, each.label)) for each in figures)]
    units = ["", "", "", "", "", *(f"({escape(_unit(each))})" for each in figures)]
    body = [line for group in enumerate(compared.groups, 1) for line in _group(*group, figures)]
    caption, sides = f"{escape(title)}. {_legend(compared)}", f"rllcc{'r' * len(figures)}"
    lines = [
        f"% GreenPose {version}; needs \\usepackage{{booktabs,graphicx}}",
        *_tabular(caption, sides, [_spanning(compared), _row(heads), _row(units), *body]),
        *_exported(compared),
    ]
    return "\n".join(lines) + "\n"


def _tabular(caption: str, sides: str, lines: Iterable[str]) -> Iterator[str]:
    """Yield a table* of some lines, as wide as the page, each column at its side."""
    yield from (r"\begin{table*}", r"\centering\scriptsize\setlength{\tabcolsep}{2pt}", rf"\caption{{{caption}}}")
    yield from (r"\resizebox{\textwidth}{!}{%", rf"\begin{{tabular}}{{@{{}}{sides}@{{}}}}", r"\toprule", *lines)
    yield from (r"\bottomrule", r"\end{tabular}}", r"\end{table*}")


def _exported(compared: Study) -> Iterator[str]:
    """Yield a second table* with a line for each exported model that was measured; nothing without any."""
    table = artefacts_table(latest(compared))
    if table is None:
        return
    caption, sides = escape(" ".join([table.caption, *table.notes])), f"ll{'r' * len(table.columns)}"
    yield from _tabular(caption, sides, _lines(table))


def _lines(table: Table) -> Iterator[str]:
    """Yield a table's headings and lines, a rule above each section."""
    yield _row(list(map(escape, (*table.heads, *(each.head for each in table.columns)))))
    yield _row(["", "", *(escape(f"({each.unit})") if each.unit else "" for each in table.columns)])
    for section in table.sections:
        yield r"\midrule"
        for place, row in enumerate(section.rows):
            names = [section.head if place == 0 else "", row.head]
            yield _row([*map(escape, names), *(_small(cell.value, cell.interval) for cell in row.cells)])


def escape(text: str) -> str:
    """Return text that LaTeX prints as it is; line breaks become spaces."""
    text = "".join(_SPECIAL.get(character, character) for character in shown(" ".join(text.split("\n"))))
    return re.sub(r"(?<![A-Za-z])CO2", r"CO\\textsubscript{2}", text)


def _figures(compared: Study) -> tuple[Metric, ...]:
    trained, metrics = compared.training_figure, chain(*_spans(compared).values())
    return tuple(trained if metric is TRAIN_ENERGY else compared.shown(metric) for metric in metrics)


def _spanning(compared: Study) -> str:
    """Return the headings above the headings, each over its columns, with their rules."""
    first = 6  # after number, experiment, teaching, supervision and exit
    cells, rules = [], []
    for name, width in ((name, len(metrics)) for name, metrics in _spans(compared).items()):
        cells.append(rf"\multicolumn{{{width}}}{{c}}{{{name}}}")
        rules.append(rf"\cmidrule(lr){{{first}-{first + width - 1}}}")
        first += width
    return f"{_row(['', '', '', '', '', *cells])}\n{''.join(rules)}"


def _group(number: int, group: Group, figures: Sequence[Metric]) -> Iterator[str]:
    """Yield a rule and a line for each exit; what belongs to the whole run stands in the first."""
    yield r"\midrule"
    wiring = group.runs[0].config.get("wiring") or {}
    taught = ", ".join(f"{teacher} → {student}" for teacher, student in map(_edge, wiring.get("teach") or ()))
    supervised = wiring.get("supervise")
    deep = "yes" if supervised and len(supervised) > 1 else "no"
    for index, exit_ in enumerate(group.exits):
        point = Point(group=group, exit=exit_)
        named = [str(number), group.label, taught or "–", deep if len(group.exits) > 1 else "–"]
        values = [_value(point, figure) if index == 0 or not figure.of_run else "" for figure in figures]
        yield _row([*(escape(each) for each in (named if index == 0 else [""] * 4)), str(exit_), *values])


def _edge(text: str) -> list[str]:
    return [each.strip() for each in str(text).partition("->")[::2]]


def _unit(figure: Metric) -> str:
    """Return the unit, less what the heading above says already."""
    return figure.unit.removesuffix("/image").removesuffix(" images")


def _value(point: Point, figure: Metric) -> str:
    """Return a number with its interval, the latter in a smaller size."""
    each = point.figure(figure)
    if each.value is None:
        return "not measured"
    text = each.text(most_decimals=figure.most_decimals)
    return _small(kind_mark(each.kind) + text.value, text.interval)


def _small(value: str, interval: str) -> str:
    return escape(value) + (rf"~{{\tiny {escape(interval)}}}" if interval else "")


def _legend(compared: Study) -> str:
    """Return what the columns and signs mean; why numbers are missing, where any are."""
    figures = _figures(compared)
    every = [point.figure(figure) for point in compared.points for figure in figures]
    values = " ".join(kind_mark(each.kind) + each.text().value for each in every if each.value is not None)
    kinds = [words for words in legend() if words[0] in values]
    reasons = dict.fromkeys(each.missing for each in every if each.value is None)
    parts = [
        *(f"{name}: {side.name}" for name, side in compared.sides.items()),
        "Means over the runs that differ in their seed only; intervals are 95 % from repetition",
        *kinds,
        *_systematic(compared),
        _taught_and_scored(compared),
        *(f"not measured: {reason}" for reason in reasons),
    ]
    return escape(f"{'. '.join(part[:1].upper() + part[1:] for part in parts)}.")


def _taught_and_scored(compared: Study) -> str:
    metric = compared.accuracy
    if metric is AP:
        return (
            "KD: teacher → student of online distillation; DS: deep supervision; AP and AR by OKS; PCK as in the "
            "paper’s code; energy is gross"
        )
    return f"{metric.label}: {metric.method}, {'lower' if metric.lower else 'higher'} is better; energy is gross"


def _systematic(compared: Study) -> list[str]:
    energies: list[Quantity] = [point.figure(ENERGY) for point in compared.points]
    return [f"systematic error of energy: {note.removeprefix('syst. ')}" for note in systematic_notes(energies)]


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
"""Commands that print, in the order in which they are looked for."""
SECONDS = 120
"""How long a browser may take."""


def find_browser() -> str:
    """Return the path of a browser that can print.

    Raises:
        ReportError: if there is none.
    """
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise ReportError(
            f"a PDF is printed by Chromium, and none of {', '.join(BROWSERS)} is on the PATH; install one, or write "
            "the page (-o FILE.html) and print it from any browser"
        )
    return found


def to_pdf(page: str, *, browser: str) -> bytes:
    """Return a page as printed on A4.

    Raises:
        ReportError: if the browser prints nothing.
    """
    with tempfile.TemporaryDirectory(prefix="greenpose-") as folder:
        source, target = Path(folder, "page.html"), Path(folder, "page.pdf")
        source.write_text(page, encoding="utf-8")
        complaint = _print(browser, source, target)
        if not target.is_file():
            raise ReportError(f"{browser} printed nothing: {complaint or 'it does not say why'}")
        return target.read_bytes()


def _print(browser: str, source: Path, target: Path) -> str:
    """Let the browser print, and return its last words."""
    options = ["--headless", "--disable-gpu", "--no-pdf-header-footer", f"--user-data-dir={target.parent / 'profile'}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--no-sandbox")  # the browser refuses root otherwise; the page is ours, and loads nothing
    command = [browser, *options, f"--print-to-pdf={target}", source.as_uri()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stderr.strip().rpartition("\n")[2]


_FONT = 'font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif'


def pictures(compared: Study) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of two files for each chart; names are those of the page's anchors."""
    for picture in pictures_of(compared):
        for drawing in picture.panels:
            yield f"{drawing.id}.svg", alone(drawing).encode()
            yield f"{drawing.id}.png", drawing.png()


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
    found = re.search(r":root \{(.*?)\}", resource("style.css"), flags=re.DOTALL)
    assert found, "the style sheet begins with its variables"
    return " ".join(found[1].split())


__all__ = ["find_browser", "pictures", "to_latex", "to_markdown", "to_pdf"]
