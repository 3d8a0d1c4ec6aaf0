"""`greenpose report`: records to one self-contained HTML page, and to the other forms of the report."""

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

import typer

from greenpose import __version__
from greenpose.cli.console import JsonOption, QuietOption, VerboseOption, out, print_json
from greenpose.errors import ReportError
from greenpose.schema import near
from greenpose.store.folder import write_parts, write_text

if TYPE_CHECKING:
    from greenpose.report import Study


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, folders of runs, or record files.")],
    outputs: Annotated[
        list[Path] | None,
        typer.Option(
            "-o", "--output", help="File to write; its ending says the form: html, md, csv, tex, pdf. Repeatable."
        ),
    ] = None,
    figures: Annotated[Path | None, typer.Option(help="Folder for every chart as SVG and PNG.")] = None,
    verdict: Annotated[
        Path | None, typer.Option(help="Verdict to show on the page, from greenpose check --format json.")
    ] = None,
    title: Annotated[str, typer.Option(help="Title of the report [the file's name].")] = "",
    date: Annotated[
        str,
        typer.Option(
            envvar="SOURCE_DATE_EPOCH",
            help="When the report was made, as printed on it: ISO 8601, or seconds since 1970 [now]. With a date, the "
            "same records and command give the same bytes.",
        ),
    ] = "",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Render one self-contained HTML page from any number of runs, or the report in another form.

    Two folders that hold the same experiments, at two dates or of two versions, are set side by side.

    Example: greenpose report runs/quick -o quick.html -o quick.tex
    """
    del quiet, verbose
    outputs = outputs or []
    if not outputs and figures is None:
        raise ReportError("nothing to write; name a file, e.g. -o report.html, or a folder with --figures")
    writers = [_writer(path) for path in outputs]
    made = moment(date)
    for path, write in zip(outputs, writers, strict=True):
        write(Asked(runs=tuple(runs), output=path, title=title or path.stem, verdict=verdict, generated_at=made))
    drawn = write_figures(runs, figures) if figures else []
    _say([*outputs, *drawn], as_json=as_json)


def moment(date: str = "") -> str:
    """Return a date as it is printed: ISO 8601 as given, seconds since 1970 in UTC, nothing as now.

    Raises:
        ReportError: if it is neither.
    """
    if not date:
        return datetime.now(UTC).isoformat(timespec="seconds")
    try:
        return datetime.fromtimestamp(int(date), UTC).isoformat() if date.isdecimal() else _iso(date)
    except (ValueError, OverflowError, OSError):
        raise ReportError(
            f"--date {date}: neither ISO 8601, such as 2025-06-01T12:00:00Z, nor seconds since 1970"
        ) from None


def _iso(date: str) -> str:
    datetime.fromisoformat(date)
    return date


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One file that is to be written."""

    runs: tuple[Path, ...]
    """Where its runs are."""
    output: Path
    """The file."""
    title: str
    """Title of the report."""
    verdict: Path | None = None
    """Verdict to attach; None for none."""
    generated_at: str = field(default_factory=moment)
    """When it is made, as printed on it."""


def write_page(asked: Asked) -> None:
    """Write the page.

    Raises:
        RecordError: if a path holds no readable record, or no verdict.
    """
    write_text(asked.output, _page(asked))


def write_markdown(asked: Asked) -> None:
    """Write the summary in Markdown."""
    from greenpose.report.forms import to_markdown

    text = to_markdown(_study(asked.runs), title=asked.title, generated_at=asked.generated_at, version=__version__)
    write_text(asked.output, text)


def write_csv(asked: Asked) -> None:
    """Write every number as one tidy table; records are read one at a time."""
    from greenpose.report import FIRST, SECOND
    from greenpose.report.forms import tidy_lines
    from greenpose.store import stream

    sides = {"": asked.runs}
    if len(asked.runs) == 2 and _study(asked.runs).sides:
        sides = {FIRST: asked.runs[:1], SECOND: asked.runs[1:]}
    lines = tidy_lines({side: stream(paths) for side, paths in sides.items()})
    write_parts(asked.output, (line.encode() for line in lines))


def write_latex(asked: Asked) -> None:
    """Write the table in LaTeX."""
    from greenpose.report.forms import to_latex

    write_text(asked.output, to_latex(_study(asked.runs), title=asked.title, version=__version__))


def write_pdf(asked: Asked) -> None:
    """Write the page as a browser prints it.

    Raises:
        ReportError: if no browser is there, or it prints nothing.
    """
    from greenpose.report.forms import find_browser, to_pdf

    browser = find_browser()
    write_parts(asked.output, [to_pdf(_page(asked), browser=browser)])


def write_figures(runs: Sequence[Path], folder: Path) -> list[Path]:
    """Write every chart of the page of some runs into a folder, and return the files."""
    from greenpose.report.forms import pictures

    written = []
    for name, content in pictures(_study(runs)):
        write_parts(folder / name, [content])
        written.append(folder / name)
    return written


FORMS: Mapping[str, Callable[[Asked], None]] = MappingProxyType(
    {
        ".html": write_page,
        ".htm": write_page,
        ".md": write_markdown,
        ".csv": write_csv,
        ".tex": write_latex,
        ".pdf": write_pdf,
    }
)
"""By the ending of a file, what is written into it."""


def _writer(path: Path) -> Callable[[Asked], None]:
    ending = path.suffix.lower()
    if ending not in FORMS:
        raise ReportError(f"-o {path}: no form of the report ends in {ending!r}; {near(ending, list(FORMS))}")
    return FORMS[ending]


def _page(asked: Asked) -> str:
    from greenpose.report import read_verdict, render_study

    attached = None
    if asked.verdict is not None:
        attached = read_verdict(asked.verdict.read_text(encoding="utf-8"), where=str(asked.verdict))
    return render_study(
        _study(asked.runs),
        title=asked.title,
        generated_at=asked.generated_at,
        version=__version__,
        command=shlex.join(["greenpose", *sys.argv[1:]]),
        verdict=attached,
    )


def _study(runs: Sequence[Path]) -> "Study":
    """Return the runs; those of two paths side by side where both hold the same experiments."""
    from greenpose.report import Side, alike, gathered, side_by_side, study
    from greenpose.store import policies, stream

    if len(runs) != 2 or runs[0].resolve() == runs[1].resolve():
        return study(gathered(stream(runs)), policies=policies(runs))
    first, second = (tuple(gathered(stream([path]))) for path in runs)
    if not alike(first, second):
        return study([*first, *second], policies=policies(runs))
    return side_by_side(Side(name=str(runs[0]), entries=first), Side(name=str(runs[1]), entries=second))


def _say(paths: Sequence[Path], *, as_json: bool) -> None:
    if as_json:
        print_json({"report": str(paths[0]), "files": [str(path) for path in paths]})
    else:
        for path in paths:
            out().print(str(path), soft_wrap=True)
