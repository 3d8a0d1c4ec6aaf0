"""`greenpose check`: is the footprint worse than a baseline or a budget allows?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from greenpose.cli.console import (
    EXIT_OK,
    EXIT_REGRESSED,
    EXIT_UNSURE,
    JsonOption,
    QuietOption,
    VerboseOption,
    err,
    out,
    print_json,
)
from greenpose.errors import CheckError

if TYPE_CHECKING:
    from greenpose.cli.acceptance import Accepted

EXIT_CODES = {
    "ok": EXIT_OK,
    "improved": EXIT_OK,
    "regressed": EXIT_REGRESSED,
    "inconclusive": EXIT_UNSURE,
    "incomparable": EXIT_UNSURE,
}


def check(
    candidate: Annotated[
        Path | None, typer.Argument(help="Run folder, record.json, folder of runs, experiment or grid file.")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="Accepted values. Default: greenpose-baseline.json, where there is one.")
    ] = None,
    budgets: Annotated[Path | None, typer.Option(help="YAML file of limits, e.g. exit3.macs <= 1.9e9.")] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Check or accept only this, e.g. exit3.macs or 'exit3.*'. Repeatable.")
    ] = None,
    update: Annotated[bool, typer.Option("--update", help="Accept what the candidate costs; needs --reason.")] = False,
    reason: Annotated[str, typer.Option(help="Why that is fine; kept in the baseline.")] = "",
    formats: Annotated[
        str, typer.Option("--format", help="text, json, junit, sarif, github, markdown, badge; commas between several.")
    ] = "text",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File of the one format, or folder of several.")
    ] = None,
    name: Annotated[str, typer.Option(help="What to call this check. Default: the candidate's name.")] = "",
    history: Annotated[
        Path | None, typer.Option(help="Folder to append the verdict to; without a CANDIDATE, to show the trend of.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 instead of 3.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Compare parameters, MACs, memory, operators and accuracy with a baseline, and numbers of all kinds with budgets.

    Examples:
      greenpose check experiments/quick.yaml --update --reason "first baseline"
      greenpose check experiments/quick.yaml
      greenpose check runs/quick/HRNet3-5c1f0a2e --budgets budgets.yaml --format text,junit -o results/
    """
    if candidate is None and history is not None:
        from greenpose.cli.trend import show_trend

        show_trend(history, output=output, only=only or [], as_json=as_json)
        return
    if candidate is None:
        raise CheckError(["CANDIDATE: give a run's folder, a record, an experiment or a grid"])
    from greenpose.check import joined
    from greenpose.cli.checking import answer, read_question
    from greenpose.cli.writing import chosen_formats, write_outputs

    chosen = chosen_formats(formats, output, as_json=as_json)
    with err(quiet=quiet).status(f"reading {candidate}"):
        question = read_question(candidate, baseline, budgets, only=only or [], creating=update)
    title = _title(name) or question.candidate.name
    extra: dict[str, Any] = {}
    if update:
        from greenpose.cli.acceptance import accept_candidate

        accepted = accept_candidate(question, reason)
        question = accepted.question
        extra = {"accepted": accepted.changed, "tightened": accepted.tightened}
        if "text" in chosen and not quiet:
            _say_accepted(accepted)
    verdict = joined(answer(question))
    if history is not None:
        from greenpose.cli.trend import remember

        remember(history, verdict, title)
    if as_json:
        from greenpose.check.output import document

        print_json(document(verdict, title) | extra)
    write_outputs(verdict, title, chosen, output, verbose=verbose, quiet=quiet)
    code = EXIT_CODES[verdict.outcome]
    raise typer.Exit(EXIT_REGRESSED if strict and code == EXIT_UNSURE else code)


def _title(name: str) -> str:
    """Return what the user calls the check.

    Raises:
        CheckError: if that cannot be a file's name.
    """
    from greenpose.cli.candidate import plain_name

    if name and plain_name(name) != name:
        raise CheckError([f"--name {name}: use letters, digits, `.`, `_`, `+` and single `-`, e.g. {plain_name(name)}"])
    return name


def _say_accepted(accepted: "Accepted") -> None:
    """Print what an update changed."""
    question, console = accepted.question, out()
    if question.baseline is not None:
        console.print(f"{question.baseline}: {len(accepted.changed)} values changed", soft_wrap=True)
    for name, (before, after) in accepted.changed.items():
        if before is not None:
            console.print(f"  {name}: {_plain(before)} → {_plain(after)}", soft_wrap=True)
    for budget, (old, new) in accepted.tightened.items():
        console.print(f"{question.budgets}: {budget}: limit {_plain(old)} → {_plain(new)}", soft_wrap=True)


def _plain(value: float | None) -> str:
    return "gone" if value is None else f"{value:,.10g}"
