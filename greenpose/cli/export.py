"""`greenpose export`: one exit of a finished run as files to deploy, with its footprint card."""

import json
from pathlib import Path
from typing import Annotated

import typer

from greenpose.cli.console import PLAIN, Manner, err, note, out, print_json, with_manners
from greenpose.cli.subject import find_subject
from greenpose.errors import ConfigError
from greenpose.subject import Subject


@with_manners
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    exit_: Annotated[int | None, typer.Option("--exit", help="Exit to export. Default: the final one.")] = None,
    to: Annotated[
        str, typer.Option(help="Formats, separated by commas: safetensors, pt2, onnx (needs onnx and onnxscript).")
    ] = "safetensors,pt2",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder. Default: exported in the run's.")
    ] = None,
    fold_bn: Annotated[
        bool, typer.Option("--fold-bn", help="Make batch norms part of the convolutions: same output, less work.")
    ] = False,
    manner: Manner = PLAIN,
) -> None:
    """Export the truncated network of one exit, nothing behind it included, with its footprint card.

    Files are run again and must give the network's own output; of what cannot be run here, the card says that it is
    not verified. card.json and card.md say what they cost, where that was measured, and how sure it is.

    Example: greenpose export runs/quick/HRNet4-OKD-DS-d23a76c6 --exit 3 --to safetensors,pt2 --fold-bn -o deploy
    """
    subject = _subject(run, exit_)
    with err(quiet=manner.quiet).status("exporting"):
        from greenpose.export import chosen_formats, export_exit

        folder = subject.trained
        assert folder is not None
        target = output or folder.path / "exported"
        card = export_exit(
            subject.config, folder, subject.exits[-1], formats=chosen_formats(to), output=target, folded=fold_bn
        )
    for each in card.files:
        if each.error is None:
            err(quiet=manner.quiet).print(note(f"{each.file} is not verified: install onnxruntime to have it run"))
    if manner.json:
        print_json(json.loads(card.model_dump_json(by_alias=True)))
        return
    for name in (*(each.file for each in card.files), "card.json", "card.md"):
        out().print(str(target / name), soft_wrap=True)


def _subject(run: Path, exit_: int | None) -> Subject:
    """Return the finished run and the exit that are meant."""
    subject = find_subject(run, settings=(), exits=() if exit_ is None else (exit_,))
    if subject.trained is None:
        raise ConfigError([f"{run}: only a trained network is worth exporting; give the folder of a finished run"])
    return subject
