"""What notebooks show: tables as HTML in which every name is text, and frames that say the unit of each column."""

import html as markup
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from greenpose.errors import GreenPoseError
from greenpose.tables import Column, Table, TableCell, named_lines

STYLE = "border-collapse: collapse; font-variant-numeric: tabular-nums"
CELL = "padding: .2em .8em; text-align: {side}; border-bottom: 1px solid #8884"
SMALL = "font-size: .85em; opacity: .75"


def html(table: Table | None, notes: Iterable[str] = ()) -> str:
    """Return a table and sentences below it as HTML; names, units and sentences are text, whatever they hold."""
    told = "".join(f'<div style="{SMALL}">{_text(note)}</div>' for note in notes)
    return f"<div>{_table(table) if table else ''}{told}</div>"


def frame(rows: Sequence[Mapping[str, Any]], units: Mapping[str, str]) -> Any:
    """Return rows as a pandas frame; `attrs["units"]` has the unit of each column that has one.

    Raises:
        GreenPoseError: if pandas is not installed.
    """
    try:
        import pandas as pd
    except ModuleNotFoundError:
        raise GreenPoseError(
            "to_frame gives a pandas frame, and pandas is not installed: pip install pandas, or 'greenpose[train]', "
            "which brings it"
        ) from None
    found = pd.DataFrame(list(rows))
    found.attrs["units"] = {name: unit for name, unit in units.items() if name in found.columns}
    return found


def _table(table: Table) -> str:
    heads = [*(_cell("th", head, "left") for head in table.heads), *map(_head, table.columns)]
    lines = [f"<tr>{''.join(heads)}</tr>"]
    for names, cells in named_lines(table):
        lines.append(f"<tr>{''.join([*(_cell('th', name, 'left') for name in names), *map(_number, cells)])}</tr>")
    caption = f"<caption>{_text(table.caption)}</caption>" if table.caption else ""
    return f'<table style="{STYLE}">{caption}{"".join(lines)}</table>'


def _head(column: Column) -> str:
    unit = f'<br><span style="{SMALL}">{_text(", ".join((column.unit, *column.notes)).strip(", "))}</span>'
    return f'<th style="{CELL.format(side="right")}">{_text(column.head)}{unit}</th>'


def _number(cell: TableCell) -> str:
    said = cell.missing or cell.interval
    below = f'<br><span style="{SMALL}">{_text(said)}</span>' if said else ""
    return f'<td style="{CELL.format(side="right")}">{_text(cell.value)}{below}</td>'


def _cell(tag: str, text: str, side: str) -> str:
    return f'<{tag} style="{CELL.format(side=side)}">{_text(text)}</{tag}>'


def _text(text: str) -> str:
    return markup.escape(text)
