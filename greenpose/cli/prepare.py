"""`greenpose data prepare`: the annotation tool's exports, one per patient, into a COCO folder split by patient."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from greenpose.cli.console import JsonOption, QuietOption, VerboseOption, err, out, print_json

if TYPE_CHECKING:
    from greenpose.data.raw import Manifest, Prepared


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
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
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
    console = err(quiet=quiet)
    with Progress(console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        prepared = make(request, folder, tell=_teller(bar))
    if as_json:
        manifest = prepared.manifest.model_dump(mode="json", by_alias=True)
        print_json({"folder": str(folder), "swept": prepared.swept, "manifest": manifest})
    else:
        _show(prepared, folder, console, verbose=verbose)


def _patients(text: str | None, option: str) -> tuple[int, ...] | None:
    from greenpose.data.raw.splits import parse_patients

    return None if text is None else parse_patients(text.split(","), where=option)


def _window(text: str | None) -> tuple[float, float] | None:
    """Return the window that an option names.

    Raises:
        DataError: it is no two numbers.
    """
    from greenpose.errors import DataError

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


def _show(prepared: "Prepared", folder: Path, console: Console, *, verbose: bool) -> None:
    manifest = prepared.manifest
    out().print(_table(manifest))
    out().print(f"split: {manifest.split.note}", markup=False, soft_wrap=True)
    out().print(str(folder), markup=False, soft_wrap=True)
    if prepared.swept:
        console.print("an earlier attempt was killed; what it had left is removed")
    for remark in manifest.remarks:
        if verbose or remark.level == "warning":
            line = Text.assemble((f"{remark.level}: ", "yellow"), f"{remark.where}: {remark.message}")
            console.print(line, soft_wrap=True)
    silent = sum(remark.level == "note" for remark in manifest.remarks)
    if silent and not verbose:
        console.print(f"{silent} notes are in manifest.json; --verbose shows them")
    use = f"--set data.root={folder}"
    if manifest.depth.bits == 16:
        use += " --set data.depth_window_mm=[NEAR,FAR]"
    console.print(f"train on it with: greenpose run --grid experiments/table1.yaml {use}", markup=False, soft_wrap=True)


def _table(manifest: "Manifest") -> Table:
    table = Table("split", "patients", "images", "instances", "areas", box=None, header_style="bold")
    for name, counts in manifest.counts.items():
        areas = {
            "drawn boxes": counts.areas.drawn_boxes,
            "silhouettes": counts.areas.drawn_silhouettes,
            "boxes": counts.areas.boxes,
        }
        kinds = ", ".join(f"{number} {kind}" for kind, number in areas.items() if number)
        table.add_row(name, str(counts.patients), str(counts.images), str(counts.annotations), kinds)
    return table
