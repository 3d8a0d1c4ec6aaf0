"""Where the forms of a verdict go: to stdout, to files, and where GitHub looks for a job's summary."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from rich.text import Text

from greenpose import __version__
from greenpose.check import Verdict
from greenpose.check.output import (
    annotations,
    badge_endpoint,
    badge_svg,
    print_verdict,
    summary,
    to_json,
    to_junit,
    to_markdown,
    to_sarif,
    to_text,
)
from greenpose.cli.console import err, out
from greenpose.errors import CheckError
from greenpose.schema import near
from greenpose.store.folder import write_text

WRITERS: Mapping[str, tuple[str, Callable[[Verdict, str], str]]] = MappingProxyType(
    {
        "text": (".txt", to_text),
        "json": (".json", to_json),
        "junit": (".xml", to_junit),
        "sarif": (".sarif", lambda verdict, name: to_sarif(verdict, name, version=__version__)),
        "github": (".github", annotations),
        "markdown": (".md", to_markdown),
        "badge": (".svg", lambda verdict, _name: badge_svg(verdict)),
    }
)
"""By format, the ending of its file and how it is made."""
SPOKEN = ("text", "github")
"""Formats that are for a job's log: with a folder for the others they still go to stdout."""
SUMMARY = "GITHUB_STEP_SUMMARY"


def chosen_formats(text: str, output: Path | None, *, as_json: bool) -> tuple[str, ...]:
    """Return the formats in a comma-separated list, less those that --json takes the place of on stdout.

    Raises:
        CheckError: naming formats that do not exist, or that would run into each other.
    """
    formats = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    faults = [f"--format {part}: unknown; {near(part, list(WRITERS))}" for part in formats if part not in WRITERS]
    if faults or not formats:
        raise CheckError(faults or [f"--format: name at least one of {', '.join(WRITERS)}"])
    if as_json:
        formats = tuple(format_ for format_ in formats if format_ not in (*SPOKEN, "json"))
    if len(formats) > 1 and output is not None and not _is_folder(output):
        raise CheckError(
            [f"-o {output}: {len(formats)} formats do not go into one file; give a folder, e.g. -o results"]
        )
    if output is None and not set(formats) <= {*SPOKEN} and (len(formats) > 1 or as_json):
        raise CheckError([f"--format {','.join(formats)}: cannot share stdout; give a folder, e.g. -o results"])
    return formats


def write_outputs(
    verdict: Verdict, name: str, formats: Sequence[str], output: Path | None, *, verbose: bool, quiet: bool
) -> None:
    """Write a verdict in every format asked for, and the job's summary on GitHub where Markdown or annotations are."""
    for format_ in formats:
        ending, make = WRITERS[format_]
        if output is None or (_is_folder(output) and format_ in SPOKEN):
            _say(verdict, name, format_, verbose=verbose, quiet=quiet)
        else:
            path = output / f"{name}{ending}" if _is_folder(output) else output
            write_text(path, to_text(verdict, name, verbose=verbose) if format_ == "text" else make(verdict, name))
            if format_ == "badge":
                write_text(path.with_suffix(".shields.json"), badge_endpoint(verdict))
    page_of_job = os.environ.get(SUMMARY)
    if page_of_job and {"github", "markdown"} & {*formats}:
        try:
            with Path(page_of_job).open("a", encoding="utf-8") as page:
                page.write(to_markdown(verdict, name))
        except OSError as error:
            told = f"{SUMMARY} {page_of_job}: cannot be written: {error.strerror}; the job has no summary"
            err().print(Text.assemble(("warning: ", "yellow"), told), soft_wrap=True)


def _say(verdict: Verdict, name: str, format_: str, *, verbose: bool, quiet: bool) -> None:
    if format_ == "text" and quiet:
        out().print(summary(verdict), soft_wrap=True)
    elif format_ == "text":
        print_verdict(verdict, name, out(), verbose=verbose)
    else:
        sys.stdout.write(WRITERS[format_][1](verdict, name))


def _is_folder(path: Path) -> bool:
    """Return whether a path stands for a folder: it is one, or has no ending."""
    return path.is_dir() or not path.suffix
