"""`greenpose check`: is the footprint worse than a baseline or a budget allows?"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from greenpose.cli.console import (
    EXIT_OK,
    EXIT_REGRESSED,
    EXIT_UNSURE,
    JsonOption,
    QuietOption,
    VerboseOption,
    delivered,
    err,
    out,
    print_json,
)
from greenpose.errors import CheckError
from greenpose.formatting import shown

if TYPE_CHECKING:
    from greenpose.check import CheckVerdict
    from greenpose.cli.check_candidate import Accepted, Question
    from greenpose.cli.check_forms import Pairing

EXIT_CODES = {
    "ok": EXIT_OK,
    "improved": EXIT_OK,
    "regressed": EXIT_REGRESSED,
    "inconclusive": EXIT_UNSURE,
    "incomparable": EXIT_UNSURE,
}


def check(
    candidate: Annotated[
        Path | None,
        typer.Argument(
            help="Run folder, record.json, folder of runs, experiment or grid, or the name of one that ships."
        ),
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="Accepted values. Default: greenpose-baseline.json, where there is one.")
    ] = None,
    budgets: Annotated[Path | None, typer.Option(help="YAML file of limits, e.g. exit3.macs <= 1.9e9.")] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Check or accept only this, e.g. exit3.macs, exit3 or HRNet3. Repeatable.")
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
    lenient: Annotated[
        bool,
        typer.Option(
            "--lenient",
            help="Exit 0 instead of 3; but 1 where the candidate has become another task: other images, keypoints, "
            "exits, data or name.",
        ),
    ] = False,
    against: Annotated[
        str | None, typer.Option(help="Git revision to compare CPU time and energy with, in paired turns.")
    ] = None,
    against_env: Annotated[
        Path | None, typer.Option(help="Python environment to compare with; with --against, to run the revision in.")
    ] = None,
    exits: Annotated[list[int] | None, typer.Option("--exit", help="Pair only this exit. Repeatable.")] = None,
    max_pairs: Annotated[
        int | None,
        typer.Option(min=1, help="Most pairs of turns until a question stays open. Default: 60; 120 with --wall."),
    ] = None,
    wall: Annotated[bool, typer.Option("--wall", help="Judge wall time too, which sees waiting.")] = False,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Find out what paired turns can tell on this machine (a minute).")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Compare parameters, MACs, memory, operators and accuracy with a baseline, and numbers of all kinds with budgets.

    Examples:
      greenpose check experiments/quick.yaml --update --reason "first baseline"
      greenpose check experiments/quick.yaml
      greenpose check runs/quick/HRNet3-5c1f0a2e --budgets budgets.yaml --format text,junit -o results/
      greenpose check experiments/quick.yaml --against origin/main
    """
    of_checks: dict[str, object] = {
        "--baseline": baseline,
        "--budgets": budgets,
        "--update": update,
        "--reason": reason,
        "--format": formats != "text",
        "--name": name,
        "--strict": strict,
        "--lenient": lenient,
        "--against": against,
        "--against-env": against_env,
        "--exit": exits,
        "--max-pairs": max_pairs,
        "--wall": wall,
    }
    from greenpose.subject import require

    if self_test:
        of_others = {"--only": only, "--output": output, "--history": history}
        _refuse({**of_checks, **of_others}, "means nothing here; --self-test compares nothing but equal sides")
        from greenpose.cli.check_forms import show_self_test

        raise typer.Exit(
            EXIT_OK if show_self_test(candidate and require(candidate), as_json=as_json, quiet=quiet) else EXIT_UNSURE
        )
    if candidate is None and history is not None:
        _refuse(of_checks, "means nothing here; --history without a CANDIDATE only shows the trend")
        from greenpose.cli.check_forms import show_trend

        show_trend(history, output=output, only=only or [], as_json=as_json)
        return
    if candidate is None:
        raise CheckError(["CANDIDATE: give a run's folder, a record, an experiment or a grid"])
    from greenpose.check import joined
    from greenpose.cli.check_candidate import answer, read_question
    from greenpose.cli.check_forms import chosen_formats, write_outputs

    chosen = chosen_formats(formats, output, as_json=as_json)
    pairing = _pairing(against, against_env, exits=exits, max_pairs=max_pairs, wall=wall)
    with err(quiet=quiet).status(Text(shown(f"reading {candidate}"))):
        question = read_question(
            candidate,
            baseline,
            budgets,
            only=only or [],
            creating=update,
            paired=() if pairing is None else pairing.names(require(candidate)),
        )
    _refuse({"--reason": reason and not update}, "belongs to --update")
    _refuse({"--lenient": lenient and strict}, "means the opposite of --strict; give one of them")
    title = _title(name) or question.name
    extra: dict[str, Any] = {}
    if update:
        question, extra = _accepted(question, reason, quiet=quiet or "text" not in chosen)
    verdicts = answer(question)
    if pairing is not None:
        verdicts.append(pairing.verdict(require(candidate), only=question.only, quiet=quiet))
    verdict = joined(verdicts)
    if history is not None:
        from greenpose.cli.check_forms import remember_verdict

        remember_verdict(history, verdict, title)
    if as_json:
        from greenpose.check.output import document

        print_json(document(verdict, title) | extra)
    write_outputs(verdict, title, chosen, output, verbose=verbose, quiet=quiet)
    raise typer.Exit(delivered(_code(verdict, strict=strict, lenient=lenient)))


def _code(verdict: "CheckVerdict", *, strict: bool, lenient: bool) -> int:
    """Return the exit code of a verdict."""
    code = EXIT_CODES[verdict.outcome]
    if code == EXIT_UNSURE and (strict or lenient):
        return EXIT_REGRESSED if strict or verdict.changed else EXIT_OK
    return code


def _refuse(given: Mapping[str, object], why: str) -> None:
    """Refuse options that were given and would be ignored.

    Raises:
        CheckError: naming them all.
    """
    faults = [f"{option}: {why}" for option, value in given.items() if value]
    if faults:
        raise CheckError(faults)


def _pairing(
    against: str | None,
    environment: Path | None,
    *,
    exits: list[int] | None,
    max_pairs: int | None,
    wall: bool,
) -> "Pairing | None":
    """Return what is to be compared in turns, None where nothing is.

    Raises:
        CheckError: if an option is given that only matters then.
    """
    if against is not None or environment is not None:
        from greenpose.cli.check_forms import Pairing

        return Pairing(
            against=against,
            environment=environment,
            exits=tuple(exits or ()),
            max_pairs=max_pairs,
            wall=wall,
        )
    given = {"--exit": exits, "--max-pairs": max_pairs, "--wall": wall}
    _refuse(given, "belongs to --against REF or --against-env PATH")
    return None


def _accepted(question: "Question", reason: str, *, quiet: bool) -> tuple["Question", dict[str, Any]]:
    """Accept what the candidate costs, and return the question with the new baseline, and what changed."""
    from greenpose.cli.check_candidate import accept_candidate

    accepted = accept_candidate(question, reason)
    if not quiet:
        _say_accepted(accepted)
    return accepted.question, {"accepted": accepted.changed, "tightened": accepted.tightened}


def _title(name: str) -> str:
    """Return what the user calls the check.

    Raises:
        CheckError: if that cannot be a file's name.
    """
    from greenpose.cli.check_candidate import plain_name

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
