"""`greenpose export`: one exit of a finished run as files to deploy, each run and judged, with their footprint card."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from greenpose.cli.artefact_costs import as_document, measure_and_keep, print_turns
from greenpose.cli.console import PLAIN, Manner, err, note, out, print_json, with_manners
from greenpose.cli.measure import PATIENT
from greenpose.cli.subject import find_finished, start_again_pinned
from greenpose.errors import ConfigError
from greenpose.metrics import AP, CHANGES, PERCENT
from greenpose.record.artefacts import Turns
from greenpose.tables import Column, number_columns, terminal_table

if TYPE_CHECKING:
    from greenpose.artefact import Card
    from greenpose.export.formats import Kind


@with_manners
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    exit_: Annotated[int | None, typer.Option("--exit", help="Exit to export. Default: the final one.")] = None,
    to: Annotated[
        str, typer.Option(help=r"Formats, separated by commas: openvino, onnx (greenpose\[deploy]), pt2, safetensors.")
    ] = "safetensors,pt2",
    precision: Annotated[
        str, typer.Option(help="Precisions, separated by commas: fp32, bf16, int8. They are crossed with the formats.")
    ] = "fp32",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder. Default: exported in the run's.")
    ] = None,
    fold_bn: Annotated[
        bool,
        typer.Option(
            "--fold-bn",
            help="Make batch norms part of the convolutions, as in ONNX and OpenVINO always: same output, less work.",
        ),
    ] = False,
    with_decoding: Annotated[
        bool,
        typer.Option("--with-decoding", help="ONNX and OpenVINO models put out x, y and confidence, not heatmaps."),
    ] = False,
    max_ap_drop: Annotated[
        float,
        typer.Option(min=0, max=100, help="Points of AP that a file may lose against float32 before it is refused."),
    ] = 0.59,
    calibration: Annotated[
        int, typer.Option(min=1, max=100_000, help="Training images that int8 takes its ranges from, by patient.")
    ] = 128,
    measured: Annotated[
        bool,
        typer.Option(
            "--measure", help="Then meter the files beside the run's exits in torch, as greenpose measure does."
        ),
    ] = False,
    manner: Manner = PLAIN,
) -> None:
    """Export the truncated network of one exit, nothing behind it included, with its footprint card and a run.py.

    Every file is run: float32 must give the network's own output, and none may lose more AP than --max-ap-drop on the
    validation split, nor be shown to on the test split, on which all are judged; else nothing is written. int8 is
    quantised after training, from training images; layers stay in float as validation wants it.

    Example: greenpose export runs/quick/HRNet4-OKD-DS-d23a76c6 --exit 3 --to openvino,onnx --precision fp32,int8
    """
    subject = find_finished(run, "only a trained network is worth exporting", exits=() if exit_ is None else (exit_,))
    if measured:
        start_again_pinned(subject.config.process.model_copy(update={"device": "cpu"}))
    with err(quiet=manner.quiet).status("exporting"):
        from greenpose.export import ExportWish, export_exit

        folder = subject.trained
        assert folder is not None
        target = output or folder.path / "exported"
        kinds, left_out = _kinds(to, precision, measured=measured)
        wish = ExportWish(
            kinds=kinds,
            folded=fold_bn,
            with_decoding=with_decoding,
            max_ap_drop=max_ap_drop / 100,
            calibration=calibration,
        )
        card = export_exit(subject.config, folder, subject.exits[-1], wish=wish, output=target)
    for each in (*(f"left out: {each}" for each in left_out), *_unsettled(card, max_ap_drop)):
        err(quiet=manner.quiet).print(note(each), soft_wrap=True)
    found = measure_and_keep([target], run, PATIENT, None, manner) if measured else None
    _tell(card, target, found, manner)


def _kinds(to: str, precision: str, *, measured: bool) -> "tuple[list[Kind], list[str]]":
    """Return the kinds of files that are asked for, and what of them there is not; refuse to measure weights alone."""
    from greenpose.export import chosen_kinds

    kinds, left_out = chosen_kinds(to, precision)
    if measured and all(kind.format == "safetensors" for kind in kinds):
        raise ConfigError(["--measure: safetensors hold weights only, which no runtime runs; add --to onnx or pt2"])
    return kinds, left_out


def _unsettled(card: "Card", max_ap_drop: float) -> Iterator[str]:
    """Yield which files lose more on the test split than they may, within what chance does there."""
    for each in card.files:
        change = each.accuracy_change["ap"]
        if -PERCENT * (change.value or 0) > max_ap_drop:
            said = f"AP {change.in_points()} on the test split, where {max_ap_drop:g} may be lost"
            yield f"{each.file}: {said}; the interval says that chance can do that, and validation patients lost less"


def _tell(card: "Card", target: Path, found: tuple[Turns, Path | None] | None, manner: Manner) -> None:
    """Print the card, or each file's line and what was written, and what was measured where that was asked for."""
    if manner.json:
        document = json.loads(card.model_dump_json(by_alias=True))
        print_json(document | ({"measured": as_document(*found)} if found else {}))
        return
    if not manner.quiet:
        err().print(_table(card))
    script = ["run.py"] if (target / "run.py").is_file() else []
    models = [name for each in card.files for name in (each.file, each.weights) if name]
    for name in (*models, *script, "card.json", "card.md"):
        out().print(str(target / name), soft_wrap=True)
    if found:
        print_turns(*found, out(), verbose=manner.verbose)


def _table(card: "Card") -> Table:
    """Return each file with its size, how far it is off, and what it does to AP."""
    rows = [
        (
            each.file,
            f"{each.bytes:,}",
            "" if each.error is None else f"{each.error:.1g}",
            each.accuracy["ap"].quantity * PERCENT,
            each.accuracy_change["ap"].quantity * PERCENT,
            "" if each.peaks_same is None else f"{PERCENT * each.peaks_same:.1f}",
            each.arithmetic.partition(":")[0],
        )
        for each in card.files
    ]
    counted, same = number_columns("bytes", "off by"), Column(head="same peak", unit="%")
    return terminal_table(("file", *counted, AP, CHANGES[0], same, "computed in"), rows)
