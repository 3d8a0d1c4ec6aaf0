"""`greenpose report`: records to one self-contained HTML page."""

import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from greenpose import __version__
from greenpose.cli.console import JsonOption, QuietOption, VerboseOption, out, print_json


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, folders of runs, or record files.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The HTML file to write.")],
    title: Annotated[str, typer.Option(help="Title of the page.")] = "",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Render one self-contained HTML page from any number of runs.

    Example: greenpose report runs/quick -o quick.html
    """
    del quiet, verbose
    write_page(runs, output, title=title or output.stem)
    if as_json:
        print_json({"report": str(output)})
    else:
        out().print(str(output))


def write_page(runs: Sequence[Path], output: Path, *, title: str) -> None:
    """Write the page of the runs below some paths.

    Raises:
        RecordError: if a path holds no readable record.
    """
    from greenpose.report import render
    from greenpose.store import collect
    from greenpose.store.folder import write_text

    page = render(
        collect(runs),
        title=title,
        generated_at=datetime.now(UTC).isoformat(timespec="seconds"),
        version=__version__,
        command=shlex.join(["greenpose", *sys.argv[1:]]),
    )
    write_text(output, page)
