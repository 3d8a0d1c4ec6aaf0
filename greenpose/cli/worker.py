"""`greenpose worker FOLDER`: one run, in this process. `run` starts it; a cluster's scheduler may."""

import os
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from greenpose.cli.console import EXIT_INTERRUPTED, EXIT_USAGE, QuietOption, VerboseOption, err
from greenpose.config.accounting import Budget
from greenpose.errors import GreenPoseError, said


def worker(
    folder: Annotated[Path, typer.Argument(help="A run folder with its config.yaml.")],
    budget_kwh: Annotated[float | None, typer.Option()] = None,
    budget_gco2: Annotated[float | None, typer.Option()] = None,
    budget_seconds: Annotated[float | None, typer.Option()] = None,
    elsewhere: Annotated[bool, typer.Option()] = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Do the run whose configuration lies in a folder; why it ended early stands in its failure.json."""
    from greenpose.cli.progress import RunProgress
    from greenpose.grid import TIED
    from greenpose.store import RunFolder

    tied = bool(os.environ.pop(TIED, ""))
    if tied:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        from greenpose.run import execute

        with RunProgress(err(quiet=quiet), verbose=verbose) as progress:
            budget = Budget(energy_kwh=budget_kwh, co2eq_g=budget_gco2, seconds=budget_seconds)
            execute(RunFolder(folder), observer=progress, budget=budget, elsewhere=elsewhere)
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except GreenPoseError as error:
        run = RunFolder(folder)
        if not (run.failure.exists() or (tied and run.is_taken())):  # else who started us says so
            err(quiet=quiet).print(Text(f"      {said(error)}"), soft_wrap=True)
        raise typer.Exit(EXIT_USAGE) from None


def _end_with_parent() -> None:
    """Ask this process to stop when the one that started it is gone, however it went: its pipe ends then."""
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
