"""`greenpose data`: prepare BabyPose, write synthetic depth data, check a folder of annotated images."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from greenpose.cli.console import EPILOG, EXIT_USAGE, PLAIN, Manner, err, note, out, print_json, with_manners
from greenpose.config import SyntheticConfig
from greenpose.errors import ConfigError, DataError
from greenpose.schema import parsed
from greenpose.tables import number_columns, terminal_table

if TYPE_CHECKING:
    from greenpose.data.check import FolderCheck
    from greenpose.data.coco import Split
    from greenpose.data.raw import Manifest, Prepared


@with_manners
def prepare(
    raw: Annotated[Path, typer.Argument(help="Folder with annotations/pzN.json and images/.")],
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to make; must not exist.")],
    profile: Annotated[str, typer.Option(help="Keypoints that are wanted.")] = "babypose",
    window: Annotated[
        str | None, typer.Option(metavar="NEAR,FAR", help="Make 16-bit depth 8-bit grey between these mm.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of another draw of the patients found.")] = None,
    val: Annotated[str | None, typer.Option(metavar="6,16,5", help="Patients to validate on.")] = None,
    test: Annotated[str | None, typer.Option(metavar="73,36,7", help="Patients to test on.")] = None,
    split: Annotated[Path | None, typer.Option(help="YAML file with lists of patients: train, val, test.")] = None,
    by_frame: Annotated[bool, typer.Option("--by-frame", help="Deal out each patient's frames.")] = False,
    leak_known: Annotated[bool, typer.Option("--i-know-it-leaks", help="Needed for --by-frame.")] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Leave out missing and broken images instead of refusing.")
    ] = False,
    manner: Manner = PLAIN,
) -> None:
    """Make a COCO keypoints folder of BabyPose's raw exports: upright, split by patient, with a manifest.

    The split is the paper's unless another one is asked for. OUT appears whole or not at all.

    Examples:
      greenpose data prepare raw babypose
      greenpose data prepare raw babypose --window 400,900 --val 6,16,5 --test 73,36,7
    """
    from greenpose.data import load_profile
    from greenpose.data.raw import Request, Wish
    from greenpose.data.raw import prepare as make

    wish = Wish(
        seed=seed,
        val=_patients(val, "--val"),
        test=_patients(test, "--test"),
        file=split,
        by_frame=by_frame,
        leak_known=leak_known,
    )
    request = Request(
        raw=raw, profile=load_profile(profile), wish=wish, window=_window(window), allow_missing=allow_missing
    )
    console = err(quiet=manner.quiet)
    with Progress(console=console, transient=True, disable=manner.quiet or not console.is_terminal) as bar:
        prepared = make(request, folder, tell=_teller(bar))
    if manner.json:
        manifest = prepared.manifest.model_dump(mode="json", by_alias=True)
        print_json({"folder": str(folder), "swept": prepared.swept, "manifest": manifest})
    else:
        _show_prepared(prepared, folder, console, verbose=manner.verbose)


def _patients(text: str | None, option: str) -> tuple[int, ...] | None:
    from greenpose.data.raw.splits import parse_patients

    return None if text is None else parse_patients(text.split(","), where=option)


def _window(text: str | None) -> tuple[float, float] | None:
    """Return the window that an option names."""
    if text is None:
        return None
    try:
        near, far = (float(part) for part in text.split(","))
    except ValueError:
        raise DataError([f"--window {text}: must be two numbers in mm, near and far, such as 400,900"]) from None
    return near, far


def _teller(bar: Progress) -> Callable[[int, int], None]:
    task = bar.add_task("images", total=None)

    def tell(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total)

    return tell


def _show_prepared(prepared: "Prepared", folder: Path, console: Console, *, verbose: bool) -> None:
    manifest = prepared.manifest
    out().print(_table(manifest))
    out().print(f"split: {manifest.split.note}", soft_wrap=True)
    out().print(str(folder), soft_wrap=True)
    if prepared.swept:
        console.print("an earlier attempt was killed; what it had left is removed")
    for remark in manifest.remarks:
        if verbose or remark.level == "warning":
            console.print(note(f"{remark.where}: {remark.message}", remark.level), soft_wrap=True)
    silent = sum(remark.level == "note" for remark in manifest.remarks)
    if silent and not verbose:
        console.print(f"{silent} notes are in manifest.json; --verbose shows them")
    use = f"--set data.root={folder}"
    if manifest.depth.bits == 16:
        use += " --set data.depth_window_mm=[NEAR,FAR]"
    console.print(f"train on it with: greenpose run --grid experiments/table1.yaml {use}", soft_wrap=True)


def _table(manifest: "Manifest") -> Table:
    rows = []
    for name, split in manifest.counts.items():
        of = split.areas
        areas = {"drawn boxes": of.drawn_boxes, "silhouettes": of.drawn_silhouettes, "boxes": of.boxes}
        kinds = ", ".join(f"{number} {kind}" for kind, number in areas.items() if number)
        rows.append((name, str(split.patients), str(split.images), str(split.annotations), kinds))
    return terminal_table(("split", *number_columns("patients", "images", "instances"), "areas"), rows)


app = typer.Typer(help="Make and check data sets.", no_args_is_help=True, epilog=EPILOG)
app.command(epilog=EPILOG)(prepare)


@app.command(epilog=EPILOG)
@with_manners
def synth(
    folder: Annotated[Path, typer.Argument(help="Folder to make; must not exist.")],
    patients: Annotated[tuple[int, int, int], typer.Option(help="Patients for train, val, test.")] = (8, 2, 2),
    frames: Annotated[tuple[int, int, int], typer.Option(help="Frames of each patient.")] = (10, 5, 5),
    seed: Annotated[int, typer.Option(help="Seed of bodies, cameras and motion.")] = 0,
    size: Annotated[tuple[int, int], typer.Option(help="Width and height of a frame.")] = (640, 480),
    yaw_spread: Annotated[float, typer.Option(help="Camera anywhere within ± this angle; 180 is hardest.")] = 180.0,
    manner: Manner = PLAIN,
) -> None:
    """Write synthetic depth infants as a COCO keypoints folder: 16-bit PNG in millimetres, split by patient.

    Example: greenpose data synth infants --patients 24 6 6 --frames 30 10 10
    """
    from greenpose.data import load_profile
    from greenpose.data.check import SPLITS
    from greenpose.data.folders import write_coco
    from greenpose.data.splits import SYNTHETIC_WINDOW_MM
    from greenpose.data.synthetic import generate

    settings = {"seed": seed, "size": size, "yaw_spread_deg": yaw_spread}
    numbers = {"patients": dict(zip(SPLITS, patients, strict=True)), "frames": dict(zip(SPLITS, frames, strict=True))}
    config = parsed(SyntheticConfig, settings | numbers, where="data synth", error=ConfigError)
    with err(quiet=manner.quiet).status("drawing frames"):
        files = write_coco(
            folder,
            {split: generate(config, split) for split in SPLITS},
            profile=load_profile("babypose"),
            window=SYNTHETIC_WINDOW_MM,
        )
    if manner.json:
        print_json({"folder": str(folder), "annotations": files, "depth_window_mm": SYNTHETIC_WINDOW_MM})
    else:
        out().print(str(folder))
        use = f"--set data.source=coco --set data.root={folder}"
        err(quiet=manner.quiet).print(f"train on it with: {use}", soft_wrap=True)


@app.command(epilog=EPILOG)
@with_manners
def check(
    folder: Annotated[Path, typer.Argument(help="Folder with annotations/*.json and images/.")],
    profile: Annotated[
        str | None, typer.Option(help="babypose, coco, openfield, or a YAML file; default: what the files say.")
    ] = None,
    images: Annotated[str, typer.Option(help="Folder of the images below FOLDER.")] = "images",
    manner: Manner = PLAIN,
) -> None:
    """Check any COCO keypoints folder: what would stop a training, what would bend its numbers, what is in it.

    The last line says whether it trains, and with which profile.

    Example: greenpose data check babypose --profile babypose
    """
    from greenpose.data import load_profile
    from greenpose.data.check import check_folder

    with err(quiet=manner.quiet).status("reading every image"):
        wanted = load_profile(profile) if profile else None
        found = check_folder(folder, profile=wanted, images=images, decode=True)
    if manner.json:
        print_json(_as_json(folder, found) | {"trains": found.trains, "verdict": found.verdict(profile)})
    else:
        _show(found, err(quiet=manner.quiet))
        out().print(found.verdict(profile), soft_wrap=True)
    if not found.usable:
        raise typer.Exit(EXIT_USAGE)


def _as_json(folder: Path, found: "FolderCheck") -> dict[str, Any]:

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
    counted = number_columns("images", "instances", "subjects", "labelled joints")
    rows = []
    for name, split in found.splits.items():
        labelled = sum(split.labelled.values())
        counts = (split.num_images, len(split.instances), len(split.subjects) or "unknown", labelled)
        rows.append((name, *map(str, counts), _areas(split)))
    out().print(terminal_table(("split", *counted, "areas"), rows))
    for finding in found.findings:
        console.print(note(f"{finding}", finding.level), soft_wrap=True)


def _areas(split: "Split") -> str:
    """Return what the areas are that OKS divides by: AP differs with it."""
    boxes, others = split.num_box_areas, len(split.instances) - split.num_box_areas
    if boxes and others:
        return f"{boxes} boxes, {others} silhouettes"
    return "boxes" if boxes else "silhouettes"
