"""Where words go: results to stdout, progress and complaints to stderr, one JSON document instead where asked."""

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, nothing else.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Say more, where there is more to say.")]

EXIT_OK = 0
EXIT_REGRESSED = 1
EXIT_USAGE = 2
EXIT_UNSURE = 3
EXIT_RUNS_FAILED = 4
EXIT_INTERRUPTED = 130

WIDTH = 120
"""Columns of output that goes to a file or a pipe."""

EPILOG = (
    "Exit codes: 0 fine; 1 regressed, or doctor --strict unmet; 2 usage, configuration or data error; "
    "3 inconclusive or incomparable; 4 a grid finished with failed runs; 130 interrupted."
)


def out() -> Console:
    """Return the console for results."""
    return Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)


def err(*, quiet: bool = False) -> Console:
    """Return the console for progress and complaints."""
    return Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH, quiet=quiet, highlight=False)


def print_json(document: Any) -> None:
    """Print the one JSON document of a command."""
    sys.stdout.write(json.dumps(document, indent=1, ensure_ascii=False, default=str) + "\n")
