"""`greenpose init`: from a folder of labels to a profile and an experiment, and to what that will take."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from greenpose.cli.console import PLAIN, Manner, err, note, out, print_json, with_manners
from greenpose.cli.estimate import footprint
from greenpose.cli.subject import CountryOption, DeviceOption, start_again_pinned
from greenpose.config import ModelConfig, ProcessConfig
from greenpose.errors import ConfigError, FaultsError, GreenPoseError
from greenpose.metering import carbon_of
from greenpose.tables import number_columns, terminal_notes, terminal_table

if TYPE_CHECKING:
    from greenpose.init import Made, Surveyed

SCHEMA = "greenpose.init/1"


@with_manners
def init(
    folder: Annotated[Path, typer.Argument(help="Folder with labels and images, or one file of labels.")],
    out_folder: Annotated[Path | None, typer.Option("--out", help="Folder to write into. Default: this one.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what an earlier init has written.")] = False,
    layout: Annotated[
        str | None,
        typer.Option(help="coco, yolo, deeplabcut, lightning, sleap or labelstudio; default: what is found."),
    ] = None,
    category: Annotated[str | None, typer.Option(help="The category to take, where several are labelled.")] = None,
    resplit: Annotated[bool, typer.Option("--resplit", help="Divide anew, whatever splits the folder has.")] = False,
    name: Annotated[str | None, typer.Option(help="Name of the experiment. Default: the folder's.")] = None,
    hours: Annotated[float, typer.Option(min=1e-3, help="Longest training to propose.")] = 1.0,
    seconds: Annotated[float, typer.Option(min=1, help="Time for trial steps on this machine.")] = 20.0,
    country: CountryOption = None,
    device: DeviceOption = None,
    manner: Manner = PLAIN,
) -> None:
    """Write profile.yaml and experiment.yaml for a folder of labelled images, with the reasons in them.

    COCO (also Roboflow's), YOLO-pose, DeepLabCut, Lightning Pose, SLEAP and Label Studio are read. Where the folder
    cannot be trained on as it lies, a COCO copy is made, whose images are links where the disk allows.

    Examples:
      greenpose init mouse/ --country ITA
      greenpose init labels.pkg.slp --out flies --hours 0.2
    """
    called = _named(name or (folder if folder.is_dir() else folder.absolute().parent).resolve().name)
    start_again_pinned(ProcessConfig(device=device or "cpu"))
    console, target = err(quiet=manner.quiet), out_folder or Path()
    from greenpose.init import Circumstances, look, make, target_faults

    faults = target_faults(target, force=force, root=folder)
    faults += _country_faults(country)
    seen = None
    with console.status("reading"):
        try:
            seen = look(folder, name=called, layout=layout, category=category, anew=resplit)
        except FaultsError as error:
            faults += error.faults
    if faults or seen is None:
        raise ConfigError(faults)
    if not manner.json:
        _show_seen(seen, console)
    if country is None and not manner.json and not manner.quiet and sys.stdin.isatty() and console.is_terminal:
        country = _ask(console)
    given = Circumstances(hours=hours, seconds=seconds, device=device or "cpu", country=country)
    with console.status("starting") as status:
        made = make(seen, target, given=given, tell=lambda line: status.update(Text(f"trial steps: {line}")))
    if manner.json:
        print_json(_document(folder, seen, made, country))
    else:
        _show_made(made, country)


def _named(name: str) -> str:
    """Return a name that a folder of runs can have."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", name).strip("_.+-")[:80] or "mine"


def _country_faults(country: str | None) -> list[str]:

    if country is None:
        return []
    try:
        carbon_of(country=country)
    except GreenPoseError as error:
        return [f"--country: {error}"]
    return []


def _ask(console: Console) -> str | None:
    """Return the country that somebody at a terminal names; None where they leave it open."""
    question = "Which country's electricity runs this machine? ISO code such as ITA; empty: decide later"
    while True:
        told = typer.prompt(question, default="", show_default=False, err=True).strip().upper()
        faults = _country_faults(told) if told else []
        if not faults:
            return told or None
        console.print(faults[0].removeprefix("--country: "), soft_wrap=True)


def _show_seen(seen: "Surveyed", console: Console) -> None:
    from greenpose.init.labelled_set import num_labelled

    profile, rows = seen.profile, []
    for split, its in seen.division.splits.items():
        images, subjects = len({one.image for one in its}), {one.subject for one in its} - {""}
        labelled = sum(int((one.visibility > 0).sum()) for one in its)
        rows.append((split, str(images), str(num_labelled(its)), str(len(subjects) or "unknown"), str(labelled)))
    columns = number_columns("images", "instances", "subjects or films", "labelled joints")
    out().print(Text(f"found {seen.origin}: {profile.category}, {profile.num_keypoints} keypoints"), soft_wrap=True)
    out().print(terminal_table(("split", *columns), rows))
    out().print(Text(f"split: {seen.division.how}"), soft_wrap=True)
    guess = seen.reasons["flip_pairs"]
    for remark in (*seen.labelled.remarks, *([guess] if guess.startswith("GUESSED") else [])):
        console.print(note(remark), soft_wrap=True)


def _show_made(made: "Made", country: str | None) -> None:
    train = made.proposal.experiment.data, made.proposal.experiment.model, made.proposal.experiment.train
    data, model, recipe = train
    assert isinstance(model, ModelConfig), "HRNet is what is proposed"
    width, height = data.input_size
    network = f"HRNet-W{model.width}, exits {' and '.join(map(str, sorted(model.exits)))}, input {width} x {height}"
    run = made.proposal.forecast.runs[0]
    whole = run.whole
    time, energy, grams = (whole[key] for key in ("seconds", "energy_kwh", "co2eq_g"))
    command = " ".join(["greenpose run", str(made.experiment), *([] if country else ["--country XXX"])])
    rows = [
        ("wrote", f"{made.profile} (look at flip pairs and sigmas), {made.experiment}"),
        *([("", f"{made.copy}: a COCO copy; images are links where the disk allows")] if made.copy else []),
        ("proposed", f"{network}, {recipe.epochs} epochs of {recipe.batch} images a step; why stands in the file"),
        ("takes", f"{(time * (1 / 60)).text()} min, {_energy(energy)}{_emitted(grams, country)}"),
        ("", f"in 95 of 100 cases, on this machine; energy is {made.proposal.forecast.kind}"),
        *([] if country else [("missing", "the country of your electricity: the file says where to put it")]),
        ("next", command),
        ("then", f"open reports/{made.proposal.experiment.name}.html"),
    ]
    out().print()
    out().print(terminal_notes(rows))


def _energy(energy: Any) -> str:
    return f"{(energy * 1e3).text()} Wh" if energy.value and energy.type_a else "energy not read here"


def _emitted(grams: Any, country: str | None) -> str:
    return f", {grams.text()} g CO2eq in {country}" if country and grams.value and grams.type_a else ""


def _document(folder: Path, seen: "Surveyed", made: "Made", country: str | None) -> dict[str, Any]:
    from greenpose.init.labelled_set import num_labelled

    run = made.proposal.forecast.runs[0]
    cost = footprint(run.whole)
    if country is None:
        del cost["co2eq_g"]
    return {
        "schema": SCHEMA,
        "folder": str(folder),
        "layout": seen.layout,
        "files": [str(file) for file in seen.labelled.files],
        "profile": str(made.profile),
        "experiment": str(made.experiment),
        "copy": None if made.copy is None else str(made.copy),
        "splits": {
            split: {"images": len({one.image for one in its}), "instances": num_labelled(its)}
            for split, its in seen.division.splits.items()
        },
        "division": seen.division.how,
        "remarks": list(seen.labelled.remarks),
        "reasons": {"profile": dict(seen.reasons), "experiment": dict(made.proposal.reasons)},
        "missing": [] if country else ["carbon.country"],
        "whole": cost,
        "energy_kind": made.proposal.forecast.kind,
    }
