"""`greenpose meter -- COMMAND`: any program, unchanged, with its bill."""

import shlex
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from greenpose.cli.console import PLAIN, Manner, err, note, print_json, with_manners
from greenpose.errors import GreenPoseError, said
from greenpose.formatting import listed, plural, significant, with_prefix
from greenpose.metering import Meter
from greenpose.metering.summary import energy_text

if TYPE_CHECKING:
    from greenpose.ledger.own import OwnRun
    from greenpose.metering.command import Command

INTERPRETERS = ("python", "bash", "sh", "zsh", "Rscript", "julia", "node", "perl", "ruby", "java", "torchrun")
"""Programs whose first argument says more of what is run than they do."""
LEAST_INTERVAL_S = 0.05
"""Seconds of a window of a few of the kernel's ticks, by which it counts CPU time."""
MOST_LEFT = 3
"""Processes that are named; more are counted."""


@with_manners
def meter(
    command: Annotated[
        list[str], typer.Argument(metavar="COMMAND...", help="The program and its arguments, after --.")
    ],
    name: Annotated[str | None, typer.Option(help="Name of the run. Default: the program's.")] = None,
    where: Annotated[Path, typer.Option("--out", help="Folder of runs.")] = Path("runs"),
    country: Annotated[
        str | None, typer.Option(envvar="GREENPOSE_COUNTRY", help="ISO alpha-3 code of the electricity grid, e.g. ITA.")
    ] = None,
    interval: Annotated[
        float | None, typer.Option(min=LEAST_INTERVAL_S, help="Keep a course of power, a window so many seconds.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for daemons that the program leaves, too.")] = False,
    manner: Manner = PLAIN,
) -> None:
    """Run any program as it is and meter it: its processes, their children and orphans, and the GPUs.

    Its input, output, signals and exit code are its own, 128 + n where signal n ended it; 127 where there is no such
    program, 126 where it cannot be executed. A folder of runs gets one more, with record.json, or failure.json where it
    did not end with 0. What --json prints comes after what the program printed.

    Examples:
      greenpose meter --country ITA -- python train.py --epochs 3
      greenpose meter --name lab --interval 1 -- torchrun --nproc-per-node 2 train.py
    """
    from greenpose.metering.command import CommandError, signals_held

    with signals_held() as before:
        try:
            code = _metered(
                command, name or _name(command), where, country, manner, held=before, interval=interval, wait=wait
            )
        except CommandError as error:
            err().print(note(said(error), "error"), soft_wrap=True)
            if manner.json:
                print_json({"error": [str(error)], "code": error.code})
            code = error.code
    raise typer.Exit(code)


def _metered(
    words: Sequence[str],
    name: str,
    where: Path,
    country: str | None,
    manner: Manner,
    *,
    held: frozenset[int],
    interval: float | None,
    wait: bool,
) -> int:
    """Run a command to its end, and return its exit code."""
    from greenpose.ledger.own import experiment
    from greenpose.metering.command import Command, CommandError, meter_command

    if country is None:
        raise GreenPoseError(
            "emissions depend on where the machine stands: --country ITA, or once for all, export GREENPOSE_COUNTRY=ITA"
        )
    command = Command(words, held_before=held)  # refused before anything is written
    run = experiment(name, out=where, country=country, own="command", notes=f"command: {shlex.join(words)}").start()
    own_s = time.process_time()
    try:
        faults = meter_command(command, run.meter, interval_s=interval, for_all=wait)
    except CommandError as error:
        run.fail(reason="failed", message=str(error), phase="start")
        raise
    run.note(f"metering took {with_prefix(time.process_time() - own_s, 's')} CPU, which are counted")
    code, remarks = command.code, [*_left(command), *faults]
    assert code is not None
    run.doubts += remarks
    remarks += _write_down(run, command, code)
    _tell(run, code, remarks, manner)
    return code


def _write_down(run: "OwnRun", command: "Command", code: int) -> list[str]:
    """Leave the record, or the note on why there is none; return what prevented that, which is not the command's."""
    from greenpose.metering.command import PHASE

    try:
        if code == 0:
            run.stop()
        else:
            asked, message = command.sent is not None, "; ".join([_ended(command, code), *run.doubts])
            run.fail(reason="interrupted" if asked else "failed", message=message, phase=PHASE)
    except (GreenPoseError, OSError) as error:
        return [said(error)]
    return []


def _ended(command: "Command", code: int) -> str:
    """Return in words how a command ended that did not end well."""
    ended = f"ended with code {code}" if command.ended_by is None else f"was ended by {_signal(command.ended_by)}"
    passed = f" after {_signal(command.sent)}" if command.sent not in (None, command.ended_by) else ""
    return f"the command {ended}{passed}"


def _signal(number: int | None) -> str:
    assert number is not None
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


def _left(command: "Command") -> list[str]:
    """Return in a sentence what goes on after the command, and what is not metered of it."""
    left = command.left()
    if not left:
        return []
    shown = [f"{each.pid} {each.command:.60}" for each in left[:MOST_LEFT]]
    more = [plural(len(left) - MOST_LEFT, "other")] if len(left) > MOST_LEFT else []
    many, they = ("1 process", "it uses") if len(left) == 1 else (f"{len(left)} processes", "they use")
    return [
        f"{many} of the command's still at work after its end ({listed([*shown, *more])}): "
        f"what {they} up to its end is counted, the rest is not; --wait waits for that"
    ]


def _tell(run: "OwnRun", code: int, remarks: Sequence[str], manner: Manner) -> None:
    """Say what it cost: after what the command said, and on stderr, where time(1) says so too."""
    console = err(quiet=manner.quiet)
    for remark in remarks:
        console.print(note(remark), soft_wrap=True)
    _say_cost(run.meter, console)
    console.print(str(run.folder.path), soft_wrap=True)
    if manner.json:
        print_json(_document(run, code, remarks))


def _say_cost(meter: Meter, console: Console) -> None:

    total = meter.total
    said = [f"{with_prefix(total.seconds, 's')} wall", f"{with_prefix(total.cpu_seconds, 's')} CPU"]
    said.append(energy_text(total.energy))
    if total.co2eq_g is not None and total.co2eq_g.value is not None:
        said.append(f"{significant(total.co2eq_g.value)} gCO2eq")
    console.print(f"{', '.join(said)}; grade {total.grade}", soft_wrap=True)


def _document(run: "OwnRun", code: int, remarks: Sequence[str]) -> dict[str, Any]:
    total, folder = run.meter.total, run.folder
    written = folder.record if folder.record.exists() else folder.failure
    return {
        "code": code,
        "folder": str(folder.path),
        "document": str(written) if written.exists() else None,
        "seconds": total.seconds,
        "cpu_seconds": total.cpu_seconds,
        "joules": [total.energy.low, total.energy.mid, total.energy.high],
        "co2eq_g": None if total.co2eq_g is None else total.co2eq_g.value,
        "grade": total.grade,
        "remarks": list(remarks),
    }


def _name(words: Sequence[str]) -> str:
    """Return what a command is called where nobody says so: by its script, else by its program."""
    program = Path(words[0]).name
    spoken = next((word for word in words[1:] if not word.startswith("-")), None)
    script = program.startswith(INTERPRETERS) and len(words) > 1 and spoken == words[1]
    return Path(words[1]).stem if script and spoken else program
