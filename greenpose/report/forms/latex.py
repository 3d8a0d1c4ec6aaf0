"""The paper's Table 1 with footprint columns, in LaTeX: needs the packages booktabs and graphicx, and nothing else."""

import re
from collections.abc import Iterator, Sequence

from greenpose.formatting import shown
from greenpose.report.estimates import Estimate
from greenpose.report.figures import (
    ACCURACIES,
    CO2,
    ENERGY,
    LATENCY,
    MACS,
    PARAMS,
    TRAIN_CO2,
    TRAIN_ENERGY,
    Figure,
    legend,
    mark,
    training_figure,
)
from greenpose.report.layout import systematic_notes
from greenpose.report.study import Group, Point, Study

_ACCURACIES = tuple(figure for figure in ACCURACIES if figure.name in ("ap", "ar", "pck"))
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
    body = [line for group in enumerate(compared.groups, 1) for line in _group(*group, figures)]
    lines = [
        f"% GreenPose {version}; needs \\usepackage{{booktabs,graphicx}}",
        r"\begin{table*}",
        r"\centering\scriptsize\setlength{\tabcolsep}{2pt}",
        rf"\caption{{{escape(title)}. {_legend(compared)}}}",
        r"\resizebox{\textwidth}{!}{%",
        rf"\begin{{tabular}}{{@{{}}rllcc{'r' * len(figures)}@{{}}}}",
        r"\toprule",
        _spanning(figures),
        _row(
            ["\\#", "Experiment", "KD", "DS", "Exit", *(escape(_HEADS.get(each.name, each.label)) for each in figures)]
        ),
        _row(["", "", "", "", "", *(f"({escape(_unit(each))})" for each in figures)]),
        *body,
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Return text that LaTeX prints as it is; line breaks become spaces."""
    text = "".join(_SPECIAL.get(character, character) for character in shown(" ".join(text.split("\n"))))
    return re.sub(r"(?<![A-Za-z])CO2", r"CO\\textsubscript{2}", text)


def _figures(compared: Study) -> tuple[Figure, ...]:
    energy, grams, emitted = (compared.shown(each) for each in (ENERGY, CO2, TRAIN_CO2))
    return (*_ACCURACIES, PARAMS, MACS, LATENCY, energy, grams, training_figure(compared.records), emitted)


def _spanning(figures: Sequence[Figure]) -> str:
    """Return the headings above the headings, each over its columns, with their rules."""
    first = 6  # after number, experiment, teaching, supervision and exit
    spans = {
        "Accuracy": len(_ACCURACIES),
        "Size": len((PARAMS, MACS)),
        "One image": len((LATENCY, ENERGY, CO2)),
        "Training": len((TRAIN_CO2, TRAIN_CO2)),
    }
    assert sum(spans.values()) == len(figures)
    cells, rules = [], []
    for name, width in spans.items():
        cells.append(rf"\multicolumn{{{width}}}{{c}}{{{name}}}")
        rules.append(rf"\cmidrule(lr){{{first}-{first + width - 1}}}")
        first += width
    return f"{_row(['', '', '', '', '', *cells])}\n{''.join(rules)}"


def _group(number: int, group: Group, figures: Sequence[Figure]) -> Iterator[str]:
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


def _unit(figure: Figure) -> str:
    """Return the unit, less what the heading above says already."""
    return figure.unit.removesuffix("/image").removesuffix(" images")


def _value(point: Point, figure: Figure) -> str:
    """Return a number with its interval, the latter in a smaller size."""
    each = point.figure(figure)
    if each.value is None:
        return "not measured"
    text = each.text(most_decimals=figure.most_decimals)
    interval = rf"~{{\tiny {escape(text.interval)}}}" if text.interval else ""
    return f"{escape(mark(each.kind) + text.value)}{interval}"


def _legend(compared: Study) -> str:
    """Return what the columns and signs mean; why numbers are missing, where any are."""
    figures = _figures(compared)
    every = [point.figure(figure) for point in compared.points for figure in figures]
    values = " ".join(mark(each.kind) + each.text().value for each in every if each.value is not None)
    kinds = [words for words in legend() if words[0] in values]
    reasons = dict.fromkeys(each.missing for each in every if each.value is None)
    parts = [
        *(f"{name}: {side.name}" for name, side in compared.sides.items()),
        "Means over the runs that differ in their seed only; intervals are 95 % from repetition",
        *kinds,
        *_systematic(compared),
        "KD: teacher → student of online distillation; DS: deep supervision; AP and AR by OKS; PCK as in the paper’s "
        "code; energy is gross",
        *(f"not measured: {reason}" for reason in reasons),
    ]
    return escape(f"{'. '.join(part[:1].upper() + part[1:] for part in parts)}.")


def _systematic(compared: Study) -> list[str]:
    energies: list[Estimate] = [point.figure(ENERGY) for point in compared.points]
    return [f"systematic error of energy: {note.removeprefix('syst. ')}" for note in systematic_notes(energies)]


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
