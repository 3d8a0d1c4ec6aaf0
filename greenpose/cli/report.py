"""`greenpose report`: records to one self-contained HTML page, and to the other forms of the report."""

import functools
import math
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from greenpose import __version__
from greenpose.cli.console import PLAIN, Manner, err, out, print_json, with_manners
from greenpose.errors import RecordError, ReportError
from greenpose.files import now, write_parts, write_text
from greenpose.formatting import listed, shown
from greenpose.record import Failure, Record
from greenpose.schema import near
from greenpose.store import AlikeReader, artefact_costs, pictures, policies, stream, traces

if TYPE_CHECKING:
    from greenpose.report import Study


OutputsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "-o",
        "--output",
        help="File to write; its ending says the form: html, md, csv, tex, pdf, cdx.json (CycloneDX), spdx.json, "
        "boamps.json, sci.json, or README.md (model card). Repeatable. Default: a page in reports/, called as the "
        "runs' folder.",
    ),
]
DateOption = Annotated[
    str,
    typer.Option(
        envvar="SOURCE_DATE_EPOCH",
        help="When the report was made, as printed on it: ISO 8601, or seconds since 1970. Default: now. With a "
        "date, the same records and command give the same bytes.",
    ),
]


@with_manners
def report(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Run folders, folders of runs, or record files.", show_default=False)
    ] = None,
    outputs: OutputsOption = None,
    figures: Annotated[Path | None, typer.Option(help="Folder for every chart as SVG and PNG.")] = None,
    verdict: Annotated[
        Path | None, typer.Option(help="Verdict to show on the page, from greenpose check --format json.")
    ] = None,
    title: Annotated[str, typer.Option(help="Title of the report. Default: the name of the runs' folder.")] = "",
    date: DateOption = "",
    margin: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Points of AP, or of the runs' own metric, that a cheaper exit may lose and still be recommended [2].",
        ),
    ] = None,
    floor: Annotated[
        float | None,
        typer.Option(help="AP in percent, or the runs' own metric, below which no exit is recommended [20]."),
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(help="Folder whose reports and histories one page is to list: DIR/index.html, or -o FILE.html."),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Open every chapter of the page, on screen and in print.")
    ] = False,
    manner: Manner = PLAIN,
) -> None:
    """Render one self-contained HTML page from any number of runs, or the report in another form.

    Two folders that hold the same experiments, at two dates or of two versions, are set side by side.

    Examples:
      greenpose report runs/quick -o quick.html -o quick.tex
      greenpose report --index reports
    """
    if index is not None:
        _refuse(
            {"RUNS": runs or None, "--figures": figures, "--verdict": verdict, "--margin": margin, "--floor": floor}
        )
        lists = write_index(index, outputs or [], title=title, date=moment(date), notes=err(quiet=manner.quiet))
        return _say([lists], as_json=manner.json)
    runs = _required(runs or [])
    name = _name_of(runs)
    outputs = outputs or ([] if figures else [Path("reports") / f"{name}.html"])
    writers = [_writer(path) for path in outputs]
    left_out: list[str] = []
    made = moment(date)
    compared = functools.cache(lambda: _judged(_study(runs, left_out), margin=margin, floor=floor))
    asked = Asked(runs=tuple(runs), verdict=verdict, generated_at=made, study=compared, left_out=left_out, full=full)
    for path, write in zip(outputs, writers, strict=True):
        write(replace(asked, output=path, title=title or name))
    drawn = write_figures(compared(), figures) if figures else []
    notes = err(quiet=manner.quiet)
    if figures or any(write is not write_csv for write in writers):
        notes.print(_answer(compared()), soft_wrap=True)
    for fault in dict.fromkeys(left_out):
        notes.print(f"left out: {shown(fault)}", soft_wrap=True)
    return _say([*outputs, *drawn], as_json=manner.json)


def _refuse(given: Mapping[str, object]) -> None:
    """Refuse what says nothing to an index.

    Raises:
        ReportError: naming all of it.
    """
    names = [name for name, value in given.items() if value is not None]
    if names:
        raise ReportError(f"--index DIR lists pages that are there; leave {listed(names)} out")


def write_index(folder: Path, outputs: Sequence[Path], *, title: str, date: str, notes: Console) -> Path:
    """Write the page that lists those below a folder, name what cannot be listed, and return the page.

    Raises:
        ReportError: if there is no such folder, or the page would take the place of another one.
    """
    from greenpose.report.index import NAME, index_page, is_index, pages_below, read_page

    if not folder.is_dir():
        raise ReportError(f"--index {folder}: is no folder; give one with reports in or below it")
    if len(outputs) > 1 or any(path.suffix.lower() not in (".html", ".htm") for path in outputs):
        raise ReportError(f"-o {' -o '.join(map(str, outputs))}: an index is one HTML file")
    output = outputs[0] if outputs else folder / NAME
    if not is_index(output):
        raise ReportError(f"{output}: is there and is no index; name another file, -o FILE.html")
    pages = [path for path in pages_below(folder) if path.resolve() != output.resolve()]
    for path in pages:
        if isinstance(found := read_page(path), str):
            notes.print(f"not listed: {shown(f'{path}: {found}')}", soft_wrap=True)
    named = title or f"Reports in {folder.resolve().name or folder}"
    write_text(output, index_page(pages, at=output, title=named, date=date, version=__version__))
    return output


def _required(runs: list[Path]) -> list[Path]:
    """Return the paths if there is something at each of them.

    Raises:
        RecordError: naming all of them, each with the nearest that is there.
        ReportError: if none is given.
    """
    if not runs:
        raise ReportError("report takes RUNS: run folders, folders of runs, or record files; or --index DIR")
    faults = []
    for path in runs:
        if not path.exists():
            siblings = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
            hint = near(path.name, siblings) if siblings else "give run folders, folders of runs, or record files"
            faults.append(f"{path}: no such file or folder; {hint}")
    if faults:
        raise RecordError(faults)
    return runs


def _name_of(runs: Sequence[Path]) -> str:
    """Return what the runs are called: as their folder, or where it is one run, as that run."""
    folders = [path.resolve().parent if path.is_file() else path.resolve() for path in runs]
    together = folders[0] if len(set(folders)) == 1 else folders[0].parent
    return together.name or "report"


def moment(date: str = "") -> str:
    """Return a date as it is printed: ISO 8601 as given, seconds since 1970 in UTC, nothing as now.

    Raises:
        ReportError: if it is neither.
    """
    if not date:
        return now()
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
    output: Path = Path()
    """The file."""
    title: str = ""
    """Title of the report."""
    verdict: Path | None = None
    """Verdict to attach; None for none."""
    generated_at: str = field(default_factory=moment)
    """When it is made, as printed on it."""
    study: "Callable[[], Study] | None" = None
    """Returns the runs, read once for all files; None to read them."""
    left_out: list[str] = field(default_factory=list)
    """Faults of what could not be read, one a line, added to while reading."""
    full: bool = False
    """Whether every chapter of the page is open."""

    def compared(self) -> "Study":
        """Return what the file is about."""
        return self.study() if self.study else _study(self.runs, self.left_out)


def write_page(asked: Asked) -> None:
    """Write the page.

    Raises:
        RecordError: if a path holds no readable record, or no verdict.
    """
    write_text(asked.output, _page(asked))


def write_markdown(asked: Asked) -> None:
    """Write the summary in Markdown."""
    from greenpose.report.other_formats import to_markdown

    text = to_markdown(asked.compared(), title=asked.title, generated_at=asked.generated_at, version=__version__)
    write_text(asked.output, text)


def write_csv(asked: Asked) -> None:
    """Write every number as one tidy table; records are read one at a time."""
    from greenpose.report import FIRST, SECOND
    from greenpose.report.tidy_csv import tidy_lines

    sides: dict[str, Sequence[Path]] = {"": asked.runs}
    if len(asked.runs) == 2 and asked.compared().sides:
        sides = {FIRST: asked.runs[:1], SECOND: asked.runs[1:]}
    lines = tidy_lines(
        {side: stream(paths, left_out=asked.left_out) for side, paths in sides.items()},
        artefact_costs(asked.runs, left_out=[]),
    )
    write_parts(asked.output, (line.encode() for line in lines))


def write_latex(asked: Asked) -> None:
    """Write the table in LaTeX."""
    from greenpose.report.other_formats import to_latex

    write_text(asked.output, to_latex(asked.compared(), title=asked.title, version=__version__))


def write_pdf(asked: Asked) -> None:
    """Write the page as a browser prints it.

    Raises:
        ReportError: if no browser is there, or it prints nothing.
    """
    from greenpose.report.other_formats import find_browser, to_pdf

    browser = find_browser()
    write_parts(asked.output, [to_pdf(_page(asked), browser=browser)])


def write_disclosure(asked: Asked) -> None:
    """Write a document in another body's format: bills of materials, energy reports, a model card.

    Raises:
        ReportError: if it is about one experiment, and the runs are of several.
    """
    from greenpose.report.disclosures import bills_of_materials, energy_reports

    forms = {
        ".cdx.json": bills_of_materials.cyclonedx,
        ".spdx.json": bills_of_materials.spdx,
        ".boamps.json": energy_reports.boamps,
        ".sci.json": energy_reports.sci,
        CARD: energy_reports.card,
    }
    compared = asked.compared()
    if not compared.records:
        raise ReportError(f"-o {asked.output}: no run finished, so there is no trained network to tell of")
    text = forms[ending_of(asked.output)](compared, generated_at=asked.generated_at, version=__version__)
    write_text(asked.output, text)


def write_figures(compared: "Study", folder: Path) -> list[Path]:
    """Write every chart of a page into a folder, and return the files."""
    from greenpose.report.other_formats import pictures

    written = []
    for name, content in pictures(compared):
        write_parts(folder / name, [content])
        written.append(folder / name)
    return written


CARD = "readme.md"
"""The file that a model's page on Hugging Face is made of."""
FORMS: Mapping[str, Callable[[Asked], None]] = MappingProxyType(
    {
        ".html": write_page,
        ".htm": write_page,
        ".md": write_markdown,
        ".csv": write_csv,
        ".tex": write_latex,
        ".pdf": write_pdf,
        **dict.fromkeys((".cdx.json", ".spdx.json", ".boamps.json", ".sci.json", CARD), write_disclosure),
    }
)
"""By the ending of a file, what is written into it."""


def ending_of(path: Path) -> str:
    """Return which of the forms a file's name asks for, the longest ending that there is; else its own ending."""
    name = path.name.lower()
    return name if name == CARD else next((each for each in FORMS if name.endswith(each)), path.suffix.lower())


def _writer(path: Path) -> Callable[[Asked], None]:
    ending = ending_of(path)
    if ending not in FORMS:
        raise ReportError(f"-o {path}: no form of the report ends in {ending!r}; {near(ending, list(FORMS))}")
    return FORMS[ending]


def _page(asked: Asked) -> str:
    from greenpose.report import read_verdict, render_study

    attached = None
    if asked.verdict is not None:
        attached = read_verdict(_text(asked.verdict), where=str(asked.verdict))
    return render_study(
        asked.compared(),
        title=asked.title,
        generated_at=asked.generated_at,
        version=__version__,
        command=shlex.join(["greenpose", *sys.argv[1:]]),
        verdict=attached,
        full=asked.full,
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise RecordError([f"--verdict {path}: no such file"]) from None
    except UnicodeDecodeError as error:
        raise RecordError([f"--verdict {path}: is not UTF-8 text (byte {error.start})"]) from None


def _judged(compared: "Study", *, margin: float | None, floor: float | None) -> "Study":
    """Return the runs with the user's own margin and floor of recommending, where given.

    Raises:
        ReportError: if one of them is no number.
    """
    for name, value in (("margin", margin), ("floor", floor)):
        percent = compared.accuracy.unit == "%"
        if value is not None and (math.isnan(value) or (percent and not 0 <= value <= 100)):
            raise ReportError(f"--{name} {value:g}: {'it lies between 0 and 100' if percent else 'is no number'}")
    return replace(
        compared,
        margin=compared.margin if margin is None else margin,
        floor=compared.floor if floor is None else floor,
    )


def _study(runs: Sequence[Path], left_out: list[str]) -> "Study":
    """Return the runs; those of two paths side by side where both hold the same experiments, but no run twice."""
    from greenpose.report import ComparisonSide, alike, gathered, side_by_side, study
    from greenpose.report.figures.samples import MOST_TRACED

    if len(runs) == 2 and runs[0].resolve() != runs[1].resolve():
        first, second = (tuple(gathered(_read([path], left_out))) for path in runs)
        if alike(first, second) and not _copies(first, second):
            sides = (
                ComparisonSide(name=str(path), entries=each) for path, each in zip(runs, (first, second), strict=True)
            )
            return replace(side_by_side(*sides), left_out=tuple(left_out))
        left_out.clear()
    entries = gathered(_read(runs, left_out))
    curves, costs = policies(runs, left_out=left_out), artefact_costs(runs, left_out=left_out)
    found = replace(study(entries, policies=curves, artefacts=costs), left_out=tuple(left_out))
    if len(entries) > MOST_TRACED:
        return found
    return replace(found, traces=tuple(traces(runs)), pictures=tuple(pictures(runs)))


def _read(runs: Sequence[Path], left_out: list[str]) -> Iterator[Record | Failure]:
    """Yield the runs, beyond those that a page tells of one by one read by what they are alike in."""
    from greenpose.report import MANY_RUNS

    return stream(runs, left_out=left_out, read=AlikeReader(after=MANY_RUNS))


def _copies(first: Sequence[Record | Failure], second: Sequence[Record | Failure]) -> bool:
    """Return whether one of two sets of runs holds nothing but what the other one holds too."""
    fewer, others = sorted((first, second), key=len)
    known: dict[str, list[Record | Failure]] = {}
    for entry in others:  # two hosts may each have a run of a name
        known.setdefault(entry.name, []).append(entry)
    return all(entry in known.get(entry.name, ()) for entry in fewer)


def _answer(compared: "Study") -> str:
    from greenpose.report import answer

    return shown(answer(compared)[0])


def _say(paths: Sequence[Path], *, as_json: bool) -> None:
    if as_json:
        print_json({"report": str(paths[0]), "files": [str(path) for path in paths]})
    else:
        for path in paths:
            out().print(shown(str(path)), soft_wrap=True)
