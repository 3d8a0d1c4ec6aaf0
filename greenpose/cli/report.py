"""`greenpose report`: records to one self-contained HTML page, and to the other forms of the report."""

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import typer

from greenpose import __version__
from greenpose.cli.console import JsonOption, QuietOption, VerboseOption, out, print_json
from greenpose.errors import ReportError
from greenpose.schema import near
from greenpose.store.folder import write_parts, write_text


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, folders of runs, or record files.")],
    outputs: Annotated[
        list[Path] | None,
        typer.Option(
            "-o", "--output", help="File to write; its ending says the form: html, md, csv, tex, pdf. Repeatable."
        ),
    ] = None,
    figures: Annotated[Path | None, typer.Option(help="Folder for every chart as SVG and PNG.")] = None,
    title: Annotated[str, typer.Option(help="Title of the report [the file's name].")] = "",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Render one self-contained HTML page from any number of runs, or the report in another form.

    Example: greenpose report runs/quick -o quick.html -o quick.tex
    """
    del quiet, verbose
    outputs = outputs or []
    if not outputs and figures is None:
        raise ReportError("nothing to write; name a file, e.g. -o report.html, or a folder with --figures")
    writers = [_writer(path) for path in outputs]
    for path, write in zip(outputs, writers, strict=True):
        write(runs, path, title or path.stem)
    drawn = write_figures(runs, figures) if figures else []
    _say([*outputs, *drawn], as_json=as_json)


def write_page(runs: Sequence[Path], output: Path, title: str) -> None:
    """Write the page of the runs below some paths.

    Raises:
        RecordError: if a path holds no readable record.
    """
    write_text(output, _page(runs, title))


def write_markdown(runs: Sequence[Path], output: Path, title: str) -> None:
    """Write the summary of the runs below some paths in Markdown."""
    from greenpose.report.forms import to_markdown
    from greenpose.store import collect

    write_text(output, to_markdown(collect(runs), title=title, generated_at=_now(), version=__version__))


def write_csv(runs: Sequence[Path], output: Path, title: str) -> None:
    """Write every number of the runs below some paths as one tidy table."""
    from greenpose.report.forms import tidy_lines
    from greenpose.store import collect

    del title
    write_parts(output, (line.encode() for line in tidy_lines(collect(runs))))


def write_latex(runs: Sequence[Path], output: Path, title: str) -> None:
    """Write the table of the runs below some paths in LaTeX."""
    from greenpose.report.forms import to_latex
    from greenpose.store import collect

    write_text(output, to_latex(collect(runs), title=title, version=__version__))


def write_pdf(runs: Sequence[Path], output: Path, title: str) -> None:
    """Write the page of the runs below some paths, printed by a browser.

    Raises:
        ReportError: if no browser is there, or it prints nothing.
    """
    from greenpose.report.forms import find_browser, to_pdf

    browser = find_browser()
    write_parts(output, [to_pdf(_page(runs, title), browser=browser)])


def write_figures(runs: Sequence[Path], folder: Path) -> list[Path]:
    """Write every chart of the page of some runs into a folder, and return the files."""
    from greenpose.report.forms import pictures
    from greenpose.store import collect

    written = []
    for name, content in pictures(collect(runs)):
        write_parts(folder / name, [content])
        written.append(folder / name)
    return written


FORMS: Mapping[str, Callable[[Sequence[Path], Path, str], None]] = MappingProxyType(
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


def _writer(path: Path) -> Callable[[Sequence[Path], Path, str], None]:
    ending = path.suffix.lower()
    if ending not in FORMS:
        raise ReportError(f"-o {path}: no form of the report ends in {ending!r}; {near(ending, list(FORMS))}")
    return FORMS[ending]


def _page(runs: Sequence[Path], title: str) -> str:
    from greenpose.report import render
    from greenpose.store import collect

    return render(
        collect(runs),
        title=title,
        generated_at=_now(),
        version=__version__,
        command=shlex.join(["greenpose", *sys.argv[1:]]),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _say(paths: Sequence[Path], *, as_json: bool) -> None:
    if as_json:
        print_json({"report": str(paths[0]), "files": [str(path) for path in paths]})
    else:
        for path in paths:
            out().print(str(path), soft_wrap=True)
