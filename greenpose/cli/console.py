"""Where words go: results to stdout, progress and complaints to stderr, one JSON document instead where asked."""

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, nothing else.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Say more, where there is more to say.")]

EXIT_OK = 0
EXIT_REGRESSED = 1
EXIT_USAGE = 2
EXIT_UNSURE = 3
EXIT_RUNS_FAILED = 4
EXIT_INTERRUPTED = 130

MOST_COLUMNS = 1000
"""No table of ours is wider."""
CUT = "…"
"""Where rich cuts."""
WIDTH = 120
"""Columns of output that goes to a file or a pipe."""

EPILOG = (
    "Exit codes: 0 fine; 1 regressed, or doctor --strict unmet; 2 usage, configuration or data error; "
    "3 inconclusive or incomparable; 4 a grid finished with failed runs; 130 interrupted."
)


class Output(Console):
    """A console on which no number of a table is cut: in a narrower terminal its lines go on in the next."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, as wide as the tables among the objects need."""
        columns = self.width
        self.width = max([columns, *(self._needed(each) for each in objects if isinstance(each, Table))])
        try:
            super().print(*objects, **options)
        finally:
            self.width = columns

    def _needed(self, table: Table) -> int:
        """Return how many columns a table takes that would be cut; none where it would not."""
        wide = Measurement.get(self, self.options.update(width=MOST_COLUMNS, max_width=MOST_COLUMNS), table)
        drawn = (part.text for line in self.render_lines(table, pad=False) for part in line)
        return 0 if self.width >= wide.minimum and not any(CUT in text for text in drawn) else wide.maximum


def out() -> Console:
    """Return the console for results."""
    return Output(width=None if sys.stdout.isatty() else WIDTH, highlight=False)


def err(*, quiet: bool = False) -> Console:
    """Return the console for progress and complaints."""
    return Output(stderr=True, width=None if sys.stderr.isatty() else WIDTH, quiet=quiet, highlight=False)


def print_json(document: Any) -> None:
    """Print the one JSON document of a command."""
    sys.stdout.write(json.dumps(document, indent=1, ensure_ascii=False, default=str) + "\n")
