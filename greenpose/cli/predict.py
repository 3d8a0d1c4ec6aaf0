"""`greenpose predict`: poses in images and films, by a run or an artefact, and what finding them cost."""

import json
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from greenpose.cli.console import (
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    PLAIN,
    Manner,
    err,
    note,
    out,
    print_json,
    with_manners,
)
from greenpose.cli.subject import CountryOption, DeviceOption, changes, find_subject
from greenpose.errors import ConfigError
from greenpose.formatting import ends, plural, repeated, significant
from greenpose.metering import Meter, carbon_of, meter
from greenpose.quantity import DISTURBED, Quantity, kind_mark

if TYPE_CHECKING:
    from greenpose.predict import Account, Drawn, Estimator, PredictionBill, Regions


@with_manners
def predict(
    model: Annotated[Path, typer.Argument(help="Artefact, one model file of it, or folder of a finished run.")],
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT...", help="Images, folders, 'patterns', films, or one COCO file.")
    ],
    exit_: Annotated[
        int | None, typer.Option("--exit", help="Exit of a run. Default: the cheapest measured, else the best.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="policy.json of a run: each image leaves at the exit that is sure of it.")
    ] = None,
    boxes: Annotated[
        str | None,
        typer.Option(
            help="Where subjects are: a COCO file or detections, `whole` image, or `auto`: what stands out in depth "
            "or moves in a film, which is rough. Default: the COCO file's own, else the whole image."
        ),
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="New folder for what is found.")] = Path("poses"),
    overlay: Annotated[bool, typer.Option("--overlay", help="Draw the poses of each image.")] = False,
    video: Annotated[
        bool, typer.Option("--video", help="Draw the poses of each film, or of all images, as one.")
    ] = False,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the network.")] = 1,
    batch: Annotated[int, typer.Option(min=1, help="Crops that go through the network together.")] = 8,
    country: CountryOption = None,
    device: DeviceOption = None,
    manner: Manner = PLAIN,
) -> None:
    """Find poses in images and films, and say what that cost.

    An ONNX or OpenVINO artefact needs no torch. poses.json holds COCO results, poses.csv the same as a table, bill.json
    energy, CPU time and emissions with their intervals. Ctrl-C keeps what is done.

    Examples:
      greenpose predict runs/quick/HRNet4-OKD-DS-d23a76c6/exported frames/ --overlay --country ITA
      greenpose predict exported/exit3.onnx night.mp4 --boxes auto --video -o night
    """
    import cv2

    cv2.setNumThreads(threads)
    opened = _opener(model, exit_=exit_, policy=policy, threads=threads, device=device)
    console = err(quiet=manner.quiet)
    from greenpose.predict import find_poses

    drawn: dict[Drawn, bool] = {"overlays": overlay, "films": video}
    with _meter(country, device) as meter, _Bar(console) as bar:
        account, bill = find_poses(
            opened,
            inputs,
            output,
            meter=meter,
            boxes=boxes,
            drawn=[name for name, asked in drawn.items() if asked],
            batch=batch,
            watcher=bar,
        )
    bar.remarks(account)
    if manner.json:
        print_json(_document(output, account, bill))
    else:
        _show(output, account, bill, out())
    for fault in account.faults:
        err().print(fault, soft_wrap=True)
    if account.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if account.faults:
        raise typer.Exit(EXIT_USAGE)


def _opener(
    model: Path, *, exit_: int | None, policy: Path | None, threads: int, device: str | None
) -> "Callable[[], Estimator]":
    """Return what loads the model, after what is wrong with the asking was found.

    Raises:
        ConfigError: it is neither an artefact nor a finished run, or is asked for what only the other has.
    """
    from greenpose.artefact import is_artefact
    from greenpose.predict import of_artefact, of_run

    if is_artefact(model):
        asked = [name for name, value in (("--policy", policy), ("--device", device)) if value is not None]
        if asked:
            said = "an artefact is one exit, run on the CPU; name the run's folder instead"
            raise ConfigError([f"{each}: {model} is an artefact: {said}" for each in asked])
        return partial(of_artefact, model, exit_=exit_, threads=threads)
    exits = () if exit_ is None else (exit_,)
    subject = find_subject(model, settings=changes(device=device, threads=threads), exits=exits)
    return partial(of_run, subject, exit_=exit_, policy=policy, threads=threads, in_torch=device is not None)


def _meter(country: str | None, device: str | None) -> Meter:
    """Return a meter of this process, and of the GPU that it is to use."""
    kind, _, index = (device or "cpu").partition(":")
    carbon = None if country is None else carbon_of(country=country)
    return meter(carbon=carbon, gpus=(int(index or 0),) if kind == "cuda" else ())


class _Bar:
    """Shows how many images are done and how fast, and listens for Ctrl-C, at which it ends after the batch."""

    def __init__(self, console: Console) -> None:
        self._console, self._asked = console, False
        self._regions: Regions | None = None
        self._kept: dict[int, Any] = {}
        self._bar = Progress(
            TextColumn("searching"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed} of {task.total} images  {task.fields[rate]}", markup=False),
            console=console,
            transient=True,
            refresh_per_second=2,  # drawing is on the bill
            disable=console.quiet or not console.is_terminal,
        )

    def __enter__(self) -> "_Bar":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                    self._kept[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()
        for number, handler in self._kept.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: Any) -> None:
        """Ask for an end; at the second time, end."""
        del number, frame
        if self._asked or not self._bar.tasks:
            raise KeyboardInterrupt
        self._asked = True

    def begin(self, estimator: "Estimator", regions: "Regions", images: int) -> None:
        """Hear what is searched."""
        self._console.print(f"{estimator.said}; boxes: {regions.said}", soft_wrap=True)
        self._regions = regions
        self._bar.add_task("", total=images, rate="")
        self._bar.start()

    def on_progress(self, account: "Account") -> None:
        """Hear what is done."""
        (task,) = self._bar.tasks
        done = account.images + len(account.faults)
        rate = f"{account.images / task.elapsed:.3g} images/s" if task.elapsed else ""
        self._bar.update(task.id, completed=done, total=max(done, task.total or 0), rate=rate)

    def stop(self) -> bool:
        """Return whether somebody asked to end."""
        return self._asked

    def remarks(self, account: "Account") -> None:
        """Tell what may not have been expected."""
        from greenpose.predict import remarks

        assert self._regions is not None
        for remark in remarks(account, self._regions):
            self._console.print(note(remark), soft_wrap=True)


def _document(output: Path, account: "Account", bill: "PredictionBill") -> dict[str, Any]:
    """Return what scripts ask of a prediction."""
    return {
        "folder": str(output),
        "files": [str(file) for file in _files(output)],
        "images": account.images,
        "poses": account.poses,
        "interrupted": account.interrupted,
        "unreadable": account.faults,
        "bill": json.loads(bill.model_dump_json(by_alias=True)),
    }


def _files(output: Path) -> list[Path]:
    """Return what was written; of overlays, their folder."""
    return sorted(output.iterdir())


def _show(output: Path, account: "Account", bill: "PredictionBill", console: Console) -> None:
    ended = ", interrupted" if account.interrupted else ""
    console.print(f"{plural(account.poses, 'pose')} in {plural(account.images, 'image')}{ended}")
    for words in _amounts(bill):
        console.print(f"  {words}", soft_wrap=True)
    for warning in bill.warnings:
        console.print(f"  {DISTURBED} {warning}", soft_wrap=True)
    for file in _files(output):
        console.print(str(file), soft_wrap=True)


def _amounts(bill: "PredictionBill") -> Iterator[str]:
    """Yield the bill in words, each number with its interval and how it was obtained."""
    mark = DISTURBED if bill.warnings else ""
    for name, unit, marked in (
        ("images_per_second", "images/s", mark),
        ("cpu_s_per_1000_images", "CPU-seconds per 1000 images", ""),
        ("energy_j_per_1000_images", "J per 1000 images", mark),
        ("co2eq_g_per_1000_images", "gCO2eq per 1000 images", mark),
    ):
        found = bill.quantity(name)
        if found.value is None:
            yield f"{unit}: {found.missing}"
            continue
        grid = f", {bill.carbon.country} {bill.carbon.vintage}" if name.startswith("co2eq") and bill.carbon else ""
        yield f"{kind_mark(found.kind)}{significant(found.known)}{marked} {unit} ({_within(found)}; {found.kind}{grid})"


def _within(found: Quantity) -> str:
    """Return between what a number lies: by the method where that can be off, else by repetition."""
    bounds = found.type_b or found.type_a
    if bounds is None:
        return "no interval"
    both = ends(*map(significant, bounds))
    return f"truly {both}" if found.type_b else repeated(both)
