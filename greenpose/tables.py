"""Tables: rows, columns and cells, laid once for the page, Markdown and the terminal."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from greenpose.formatting import NBSP, Text, in_markdown, number, systematic
from greenpose.metrics import Metric
from greenpose.quantity import MARKS, Kind, Quantity, kind_mark

if TYPE_CHECKING:
    import rich.table

NOT_MEASURED = "not measured"
NOT_APPLICABLE = "not applicable"
FINAL_ITSELF, PAPER_ITSELF = "it is the final exit itself", "it is the paper’s recipe itself"
"""Why there can be no number that holds an exit or a recipe against another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCell:
    """One cell: a number or words, and below it, smaller, its interval or a second number."""

    value: str
    """Number or words."""
    interval: str = ""
    """Interval or second line; empty for none."""
    missing: str = ""
    """Why there is no number; becomes a footnote of the table."""
    bar: float | None = None
    """Length of a bar behind the number, 0 to 1."""
    style: str = ""
    """How a terminal sets it, e.g. `red`; no other form does."""

    @property
    def line(self) -> str:
        """Return number and interval on one line."""
        return f"{self.value}{NBSP}{self.interval}" if self.interval else self.value

    @property
    def note(self) -> str:
        """Return the footnote of a number that is missing: `not measured: nobody looked`."""
        return f"{self.value}: {self.missing}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """Heading of a column."""

    head: str
    """What it shows."""
    unit: str = ""
    """Unit of all its numbers; empty for a column of words."""
    notes: tuple[str, ...] = ()
    """How its numbers were obtained, where that is the same for all."""
    words: bool = False
    """True for a column of words (aligned left)."""
    wraps: bool = False
    """Whether a terminal that is too narrow may break its cells; numbers and names it mostly may not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """One line of a table."""

    head: str
    """What the line is about."""
    cells: tuple[TableCell, ...]
    """One for each column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Lines that belong together, under a common heading at their left."""

    rows: tuple[TableRow, ...]
    """At least one."""
    head: str = ""
    """The common heading; empty for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table with its headings."""

    id: str
    """Anchor, unique on the page."""
    caption: str
    """What it shows, in one or two sentences."""
    heads: tuple[str, ...]
    """Headings of the columns that name the lines: one, or two where sections have a head."""
    columns: tuple[Column, ...]
    """Headings of the other columns."""
    sections: tuple[Section, ...]
    """The lines."""
    notes: tuple[str, ...] = field(init=False)
    """Why numbers are missing, each reason once, in order of appearance; footnote k is the k-th."""

    def __post_init__(self) -> None:
        """Gather the footnotes once: every missing cell asks for the number of its own."""
        cells = (cell for section in self.sections for row in section.rows for cell in row.cells)
        object.__setattr__(self, "notes", tuple(dict.fromkeys(cell.note for cell in cells if cell.missing)))

    @property
    def num_rows(self) -> int:
        """Return the number of lines."""
        return sum(len(section.rows) for section in self.sections)


Cell = TableCell | Quantity | str
"""What a builder puts into a line: a cell, a number, or words."""
Heading = Column | Metric | str
"""What heads a column."""


def table_of(
    id_: str,
    caption: str,
    heads: tuple[str, ...],
    lines: Iterable[str | tuple[str, Sequence[str]]],
    columns: Iterable[tuple[Heading, Iterable[Cell]]],
) -> Table:
    """Return a table from its columns, each a heading with one cell for every line.

    `heads` are the headings of what names the lines. `lines` are their names, or where they stand in sections each
    section's head with the names in it. A word heads a column of words; a metric heads its numbers, and what holds for
    all of them is said there once.
    """
    lines, found = list(lines), [(head, list(cells)) for head, cells in columns]
    sections = [line for line in lines if not isinstance(line, str)] or [
        ("", [line for line in lines if isinstance(line, str)])
    ]
    content = [[_cell(each, head) for each in cells] for head, cells in found]
    places = range(sum(len(names) for _, names in sections))
    assert all(len(cells) == len(places) for cells in content), f"{id_}: one cell for each line"
    rows = iter([tuple(cells[place] for cells in content) for place in places])
    return Table(
        id=id_,
        caption=caption,
        heads=heads,
        columns=tuple(_column(head, cells) for head, cells in found),
        sections=tuple(
            Section(head=head, rows=tuple(TableRow(head=name, cells=next(rows)) for name in names))
            for head, names in sections
        ),
    )


def _column(head: Heading, cells: Iterable[Cell]) -> Column:
    if isinstance(head, Metric):
        return figure_column(head, [each for each in cells if isinstance(each, Quantity)])
    return Column(head=head, words=True, wraps=True) if isinstance(head, str) else head


def _cell(each: Cell, head: Heading) -> TableCell:
    if isinstance(each, str):
        return TableCell(value=each)
    return quantity_cell(each, head if isinstance(head, Metric) else None) if isinstance(each, Quantity) else each


def quantity_cell(each: Quantity, metric: Metric | None = None) -> TableCell:
    """Return a number with its interval, marked when it was modelled or estimated."""
    if each.value is None:
        return missing_cell(each.missing)
    return number_cell(each.text(most_decimals=metric.most_decimals if metric else None), kind=each.kind)


def number_cell(text: Text, *, kind: Kind = "measured") -> TableCell:
    """Return a formatted number as a cell."""
    symbol = kind_mark(kind)
    return TableCell(value=f"{symbol}\u202f{text.value}" if symbol else text.value, interval=text.interval)


def value_cell(value: float, *, digits: int = 3, kind: Kind = "measured") -> TableCell:
    """Return a number without an interval as a cell."""
    return number_cell(number(value, digits=digits), kind=kind)


def missing_cell(reason: str) -> TableCell:
    """Return the cell of a number that was not obtained, or that there cannot be."""
    value = NOT_APPLICABLE if reason in (FINAL_ITSELF, PAPER_ITSELF) else NOT_MEASURED
    return TableCell(value=value, missing=reason or "the record does not say why")


def figure_column(figure: Metric, quantities: Iterable[Quantity]) -> Column:
    """Return the heading of a figure's column; what holds for all its numbers is said here once."""
    have = [each for each in quantities if each.value is not None]
    notes = (*kind_notes(each.kind for each in have), *systematic_notes(have))
    return Column(head=figure.label, unit=figure.unit, notes=notes)


def kind_notes(kinds: Iterable[Kind]) -> tuple[str, ...]:
    """Return `≈ modelled` for each of the kinds that has a symbol."""
    found = set(kinds)
    return tuple(f"{symbol} {kind}" for kind, (symbol, _) in MARKS.items() if kind in found)


def systematic_notes(quantities: Iterable[Quantity]) -> tuple[str, ...]:
    """Return the systematic error of all numbers together, as factors, or nothing where none is known."""
    factors = [each.factors for each in quantities if each.factors]
    if not factors:
        return ()
    low, high = min(low for low, _ in factors), max(high for _, high in factors)
    return (systematic(low, high),)


def markdown_table(table: Table) -> str:
    """Return a caption, a table whose headings hold the units, and its footnotes."""

    def line(cells: Iterable[str]) -> str:
        return f"| {' | '.join(cells)} |"

    def text(cell: TableCell) -> str:
        if cell.missing:
            return f"{plain_text(cell.value)}[^{table.id}-{table.notes.index(cell.note) + 1}]"
        return plain_text(f"{cell.value} {cell.interval}".strip())

    rules = [":--"] * len(table.heads) + [":--" if column.words else "--:" for column in table.columns]
    lines = [line(map(plain_text, _heads(table))), line(rules)]
    lines += [line([*map(plain_text, names), *map(text, cells)]) for names, cells in named_lines(table, each=True)]
    notes = [f"[^{table.id}-{index}]: {plain_text(note)}" for index, note in enumerate(table.notes, 1)]
    return "\n".join([plain_text(table.caption), "", *lines, *([""] if notes else []), *notes])


def plain_text(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return in_markdown(" ".join(text.split("\n")))


def rich_table(table: Table, *, head_style: str = "bold", bold: Collection[str] = ()) -> "rich.table.Table":
    """Return a table for a terminal, captions and footnotes left out; lines whose first word is in `bold` are bold.

    Numbers stand at the right, or where intervals follow them at the left, so that the numbers are below one another.
    """
    from rich.table import Table as Grid
    from rich.text import Text as Words

    grid = Grid(box=None, show_header=any(_heads(table)), header_style=head_style, pad_edge=False)
    for head in table.heads:
        grid.add_column(Words(head), no_wrap=True)
    for place, column in enumerate(table.columns):
        left = column.words or any(cells[place].interval for _, cells in named_lines(table))
        said = Words("\n".join(_heading(column)))
        grid.add_column(said, justify="left" if left else "right", no_wrap=not column.wraps)
    for names, cells in named_lines(table):
        words = [*map(Words, names), *(Words(cell.line, cell.style) for cell in cells)]
        grid.add_row(*words, style="bold" if words[0].plain in bold else "")
    return grid


def terminal_table(
    heads: Sequence[Heading], rows: Iterable[Sequence[Cell]], *, head_style: str = "bold", bold: Collection[str] = ()
) -> "rich.table.Table":
    """Return rows of cells under their headings, each row's name first, as a table for a terminal."""
    lines, (name, *others) = list(rows), heads
    named = Column(head=name, words=True) if isinstance(name, str) else name
    columns = [(head, [line[place] for line in lines]) for place, head in enumerate((named, *others))]
    return rich_table(table_of("", "", (), [""] * len(lines), columns), head_style=head_style, bold=bold)


def number_columns(*heads: str) -> tuple[Column, ...]:
    """Return headings of columns of numbers that have no unit, or each their own."""
    return tuple(Column(head=head) for head in heads)


def terminal_notes(notes: Iterable[tuple[str, str] | tuple[str, str, str]]) -> "rich.table.Table":
    """Return what is to be known below a terminal's table: topics, what is said of each, and its colour, if any."""
    from rich.table import Table as Grid
    from rich.text import Text as Words

    grid = Grid(box=None, show_header=False, pad_edge=False)
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    for topic, says, *style in notes:
        grid.add_row(Words(topic), Words(says, "".join(style)))
    return grid


def _heading(column: Column) -> tuple[str, ...]:
    """Return what heads a column, with its unit, and what holds for all of its numbers."""
    return ", ".join(filter(None, (column.head, column.unit))), *column.notes


def _heads(table: Table) -> list[str]:
    """Return the headings, those of numbers with their units and notes."""
    return [*table.heads, *(", ".join(_heading(column)) for column in table.columns)]


def named_lines(table: Table, *, each: bool = False) -> Iterator[tuple[list[str], tuple[TableCell, ...]]]:
    """Yield what names each line, and its cells.

    There are as many names as headings for them: none, the line's own, or before it its section's, which only the first
    line of a section has unless `each` is to.
    """
    for section in table.sections:
        for place, row in enumerate(section.rows):
            yield [section.head if each or place == 0 else "", row.head][2 - len(table.heads) :], row.cells
