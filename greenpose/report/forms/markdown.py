"""The report in Markdown, for pull requests, issues and READMEs: the answer, the front, every exit, the bill."""

from collections.abc import Iterator, Sequence

from greenpose.formatting import in_markdown
from greenpose.report.changes import Changes, changes
from greenpose.report.exits import means_table
from greenpose.report.figures import legend
from greenpose.report.layout import Cell, Column, Table
from greenpose.report.page import answer, latest
from greenpose.report.scale import unusable
from greenpose.report.study import Study
from greenpose.report.totals import totals_table
from greenpose.report.tradeoff import front_table


def to_markdown(compared: Study, *, title: str, generated_at: str, version: str) -> str:
    """Return the summary; why a number is missing stands in a footnote. Two sides stay apart, as on the page."""
    parts = [f"# {plain_text(title)}", *(plain_text(sentence) for sentence in answer(compared))]
    parts += [plain_text(f"{name.capitalize()} side: {side.name}") for name, side in compared.sides.items()]
    parts += [plain_text(sentence) for sentence in unusable(compared)]
    changed = changes(compared)
    parts += [plain_text(sentence) for sentence in (changed.sentences if changed else ())]
    for heading, table in (*_changed(changed), *_tables(compared)):
        parts += [f"## {heading}", markdown_table(table)]
    parts.append(plain_text(f"{'; '.join(legend())}. Intervals are 95 % from repetition; “syst.” is systematic error."))
    parts.append(plain_text(f"GreenPose {version}, {generated_at}"))
    return "\n\n".join(parts) + "\n"


def markdown_table(table: Table) -> str:
    """Return a caption, a table whose headings hold the units, and its footnotes."""
    heads = [plain_text(head) for head in table.heads] + [_head(column) for column in table.columns]
    rules = [":--"] * len(table.heads) + [":--" if column.words else "--:" for column in table.columns]
    lines = [_line(heads), _line(rules), *(_line(cells) for cells in _rows(table))]
    notes = [f"[^{table.id}-{index}]: {plain_text(note)}" for index, note in enumerate(table.notes, 1)]
    return "\n".join([plain_text(table.caption), "", *lines, *([""] if notes else []), *notes])


def plain_text(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return in_markdown(" ".join(text.split("\n")))


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
    if compared.records:
        yield "Every exit", means_table(compared)
    yield "Total bill", totals_table(compared)


def _rows(table: Table) -> Iterator[list[str]]:
    for section in table.sections:
        for row in section.rows:
            named = [section.head] if len(table.heads) > 1 else []
            yield [plain_text(each) for each in (*named, row.head)] + [_cell(cell, table) for cell in row.cells]


def _head(column: Column) -> str:
    return plain_text(", ".join(filter(None, (column.head, column.unit, *column.notes))))


def _cell(cell: Cell, table: Table) -> str:
    if cell.missing:
        return f"{plain_text(cell.value)}[^{table.id}-{table.notes.index(cell.note) + 1}]"
    return plain_text(f"{cell.value} {cell.interval}".strip())


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
