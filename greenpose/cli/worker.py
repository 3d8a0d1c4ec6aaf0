"""`greenpose worker FOLDER`: one run, in this process. `run` starts it; a cluster's scheduler may."""

from pathlib import Path
from typing import Annotated

import typer

from greenpose.cli.console import EXIT_INTERRUPTED, QuietOption, err


def worker(
    folder: Annotated[Path, typer.Argument(help="A run folder with its config.yaml.")], quiet: QuietOption = False
) -> None:
    """Do the run whose configuration lies in a folder."""
    from greenpose.cli.progress import RunProgress
    from greenpose.run import execute
    from greenpose.store import RunFolder

    with RunProgress(err(quiet=quiet)) as progress:
        failure = execute(RunFolder(folder), observer=progress)
    if failure is not None:
        raise typer.Exit(EXIT_INTERRUPTED if failure.reason == "interrupted" else 1)
