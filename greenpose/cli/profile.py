"""`greenpose profile`: parameters, MACs and activation memory per exit by every counter; no training, no data."""

from pathlib import Path
from typing import Annotated

import typer

from greenpose.cli.console import JsonOption, QuietOption, VerboseOption, err, print_json


def profile(
    file: Annotated[Path | None, typer.Argument(help="Experiment or grid. Default: HRNet-W32, 256x192.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Dotted key=value, e.g. model.width=48.")] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Count parameters, MACs and activation memory of every exit by every counter; no training, no data.

    Examples:
      greenpose profile
      greenpose profile experiments/quick.yaml
    """
    from greenpose.counting import profile_architecture

    del verbose
    documents = []
    for experiment in _architectures(file, settings or []):
        with err(quiet=quiet).status("counting"):
            profiled = profile_architecture(experiment)
        documents.append(profiled)
    if as_json:
        print_json([document.as_dict() for document in documents])
        return
    for document in documents:
        _show(document)
