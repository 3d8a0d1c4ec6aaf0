"""`greenpose data`: prepare BabyPose, write synthetic depth data, check a folder of annotated images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from greenpose.cli.console import EPILOG, EXIT_USAGE, JsonOption, QuietOption, VerboseOption, err, out, print_json
from greenpose.cli.prepare import prepare

if TYPE_CHECKING:
    from greenpose.data.check import FolderCheck
    from greenpose.data.coco import Split

app = typer.Typer(help="Make and check data sets.", no_args_is_help=True, epilog=EPILOG)
app.command(epilog=EPILOG)(prepare)


@app.command(epilog=EPILOG)
def synth(
    folder: Annotated[Path, typer.Argument(help="Folder to make; must not exist.")],
    patients: Annotated[tuple[int, int, int], typer.Option(help="Patients for train, val, test.")] = (8, 2, 2),
    frames: Annotated[tuple[int, int, int], typer.Option(help="Frames of each patient.")] = (10, 5, 5),
    seed: Annotated[int, typer.Option(help="Seed of bodies, cameras and motion.")] = 0,
    size: Annotated[tuple[int, int], typer.Option(help="Width and height of a frame.")] = (640, 480),
    yaw_spread: Annotated[float, typer.Option(help="Camera anywhere within ± this angle; 180 is hardest.")] = 180.0,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write synthetic depth infants as a COCO keypoints folder: 16-bit PNG in millimetres, split by patient.

    Example: greenpose data synth infants --patients 24 6 6 --frames 30 10 10
    """
    from greenpose.config import SyntheticConfig
    from greenpose.data import load_profile
    from greenpose.data.check import SPLITS
    from greenpose.data.folders import write_coco
    from greenpose.data.splits import SYNTHETIC_WINDOW_MM, generate
    from greenpose.errors import ConfigError
    from greenpose.schema import parse

    del verbose
    settings = {"seed": seed, "size": size, "yaw_spread_deg": yaw_spread}
    numbers = {"patients": dict(zip(SPLITS, patients, strict=True)), "frames": dict(zip(SPLITS, frames, strict=True))}
    config, faults = parse(SyntheticConfig, settings | numbers, where="data synth")
    if config is None:
        raise ConfigError(faults)
    with err(quiet=quiet).status("drawing frames"):
        files = write_coco(
            folder,
            {split: generate(config, split) for split in SPLITS},
            profile=load_profile("babypose"),
            window=SYNTHETIC_WINDOW_MM,
        )
    if as_json:
        print_json({"folder": str(folder), "annotations": files, "depth_window_mm": SYNTHETIC_WINDOW_MM})
    else:
        out().print(str(folder))
        use = f"--set data.source=coco --set data.root={folder}"
        err(quiet=quiet).print(f"train on it with: {use}", markup=False, soft_wrap=True)


@app.command(epilog=EPILOG)
def check(
    folder: Annotated[Path, typer.Argument(help="Folder with annotations/*.json and images/.")],
    profile: Annotated[
        str | None, typer.Option(help="babypose, coco, openfield, or a YAML file; default: what the files say.")
    ] = None,
    images: Annotated[str, typer.Option(help="Folder of the images below FOLDER.")] = "images",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Check any COCO keypoints folder: what would stop a training, what would bend its numbers, what is in it.

    The last line says whether it trains, and with which profile.

    Example: greenpose data check babypose --profile babypose
    """
    from greenpose.data import load_profile
    from greenpose.data.check import check_folder

    del verbose
    with err(quiet=quiet).status("reading every image"):
        wanted = load_profile(profile) if profile else None
        found = check_folder(folder, profile=wanted, images=images, decode=True)
    if as_json:
        print_json(_as_json(folder, found) | {"trains": found.trains, "verdict": found.verdict(profile)})
    else:
        _show(found, err(quiet=quiet))
        out().print(found.verdict(profile), markup=False, highlight=False, soft_wrap=True)
    if not found.usable:
        raise typer.Exit(EXIT_USAGE)


def _as_json(folder: Path, found: "FolderCheck") -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "folder": str(folder),
        "usable": found.usable,
        "splits": {
            name: {
                "file": str(split.file),
                "images": split.num_images,
                "instances": len(split.instances),
                "subjects": len(split.subjects),
                "box_areas": split.num_box_areas,
                "labelled": split.labelled,
            }
            for name, split in found.splits.items()
        },
        "findings": [asdict(finding) for finding in found.findings],
    }


def _show(found: "FolderCheck", console: Console) -> None:
    columns = ("split", "images", "instances", "subjects", "labelled joints", "areas")
    table = Table(*columns, box=None, header_style="bold")
    for name, split in found.splits.items():
        labelled = sum(split.labelled.values())
        row = (split.num_images, len(split.instances), len(split.subjects) or "unknown", labelled, _areas(split))
        table.add_row(name, *map(str, row))
    out().print(table)
    for finding in found.findings:
        colour = {"error": "red"}.get(finding.level, "yellow")
        console.print(Text.assemble((f"{finding.level}: ", colour), f"{finding}"), soft_wrap=True)


def _areas(split: "Split") -> str:
    """Return what the areas are that OKS divides by: AP differs with it."""
    boxes, others = split.num_box_areas, len(split.instances) - split.num_box_areas
    if boxes and others:
        return f"{boxes} boxes, {others} silhouettes"
    return "boxes" if boxes else "silhouettes"
