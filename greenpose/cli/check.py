"""`greenpose check`: is the footprint worse than a baseline or a budget allows?"""

from collections.abc import Mapping
from dataclasses import replace
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from greenpose.cli.console import (
    EXIT_OK,
    EXIT_REGRESSED,
    EXIT_UNSURE,
    PLAIN,
    Manner,
    delivered,
    err,
    out,
    with_manners,
)
from greenpose.errors import CheckError
from greenpose.formatting import shown
from greenpose.schema import near
from greenpose.subject import require

if TYPE_CHECKING:
    from greenpose.check import CheckVerdict
    from greenpose.cli.check_candidate import Question

EXIT_CODES = {
    "ok": EXIT_OK,
    "improved": EXIT_OK,
    "regressed": EXIT_REGRESSED,
    "inconclusive": EXIT_UNSURE,
    "incomparable": EXIT_UNSURE,
}
WHEN = ("always", "on-change", "never")
"""When there is to be a comment on a pull request."""
OF_SELF_TEST = {"candidate", "self_test"}
OF_TREND = {"history", "only", "output"}
OF_BISECT = {"candidate", "bisect", "only"}
OF_PAIRS = {"exits", "max_pairs", "wall", "train", "data"}
"""Parameters that mean something to a self-test, a trend, a bisection, and those that only paired turns know."""

CandidateArgument = Annotated[
    Path | None,
    typer.Argument(
        help="Run folder, record.json, folder of runs, experiment or grid, or the name of one that ships, or artefact."
    ),
]
BaselineOption = Annotated[
    Path | None, typer.Option(help="Accepted values. Default: greenpose-baseline.json, where there is one.")
]
BudgetsOption = Annotated[Path | None, typer.Option(help="YAML file of limits, e.g. exit3.macs <= 1.9e9.")]
OnlyOption = Annotated[
    list[str] | None, typer.Option(help="Check or accept only this, e.g. exit3.macs, exit3 or HRNet3. Repeatable.")
]
UpdateOption = Annotated[bool, typer.Option("--update", help="Accept what the candidate costs; needs --reason.")]
ReasonOption = Annotated[str, typer.Option(help="Why that is fine; kept in the baseline.")]
FormatOption = Annotated[
    str,
    typer.Option(
        "--format",
        help="text, json, junit, sarif, github, markdown, codequality, openmetrics, badge; commas between several.",
    ),
]
OutputOption = Annotated[
    Path | None, typer.Option("-o", "--output", help="File of the one format, or folder of several.")
]
NameOption = Annotated[str, typer.Option(help="What to call this check. Default: the candidate's name.")]
HistoryOption = Annotated[
    Path | None, typer.Option(help="Folder to append the verdict to; without a CANDIDATE, to show the trend of.")
]
CommentOption = Annotated[
    str,
    typer.Option(
        metavar="WHEN",
        help="Post to the pull request of this job, on GitHub or GitLab: a check run, and always, on-change or never a "
        "comment. Needs GITHUB_TOKEN or GITLAB_TOKEN.",
    ),
]
StrictOption = Annotated[bool, typer.Option("--strict", help="Exit 1 instead of 3.")]
LenientOption = Annotated[
    bool,
    typer.Option(
        "--lenient",
        help="Exit 0 instead of 3; but 1 where the candidate has become another task: other images, keypoints, "
        "exits, data or name.",
    ),
]
AgainstOption = Annotated[
    str | None, typer.Option(help="Git revision to compare CPU time and energy with, in paired turns.")
]
EnvironmentOption = Annotated[
    Path | None, typer.Option(help="Python environment to compare with; with --against, to run the revision in.")
]
ExitsOption = Annotated[list[int] | None, typer.Option("--exit", help="Pair only this exit. Repeatable.")]
PairsOption = Annotated[
    int | None,
    typer.Option(min=1, help="Most pairs of turns until a question stays open. Default: 60; 120 with --wall."),
]
WallOption = Annotated[bool, typer.Option("--wall", help="Judge wall time too, which sees waiting.")]
TrainOption = Annotated[
    bool, typer.Option("--train", help="Compare a step of the training too: operators, memory, CPU time.")
]
DataOption = Annotated[
    bool, typer.Option("--data", help="Compare the way of images to batches too: files, bytes, CPU time.")
]
SelfTestOption = Annotated[
    bool, typer.Option("--self-test", help="Find out what paired turns can tell on this machine (a minute).")
]
BisectOption = Annotated[
    str,
    typer.Option(metavar="GOOD..BAD", help="Find the commit that raised a count, counting log2(commits)+1 of them."),
]


@with_manners
def check(
    candidate: CandidateArgument = None,
    baseline: BaselineOption = None,
    budgets: BudgetsOption = None,
    only: OnlyOption = None,
    update: UpdateOption = False,
    reason: ReasonOption = "",
    formats: FormatOption = "text",
    output: OutputOption = None,
    name: NameOption = "",
    history: HistoryOption = None,
    comment: CommentOption = "",
    strict: StrictOption = False,
    lenient: LenientOption = False,
    against: AgainstOption = None,
    against_env: EnvironmentOption = None,
    exits: ExitsOption = None,
    max_pairs: PairsOption = None,
    wall: WallOption = False,
    train: TrainOption = False,
    data: DataOption = False,
    self_test: SelfTestOption = False,
    bisect: BisectOption = "",
    manner: Manner = PLAIN,
) -> None:
    """Compare parameters, MACs, memory, operators and accuracy with a baseline, and numbers of all kinds with budgets.

    Examples:
      greenpose check experiments/quick.yaml --update --reason "first baseline"
      greenpose check experiments/quick.yaml
      greenpose check runs/quick/HRNet3-5c1f0a2e --budgets budgets.yaml --format text,junit -o results/
      greenpose check experiments/quick.yaml --against origin/main --train
    """
    _refuse_ignored(locals())
    from greenpose.check import joined
    from greenpose.check.paired.against import paired_names
    from greenpose.cli.check_candidate import accept_candidate, answer, read_question
    from greenpose.cli.check_history import remember_verdict
    from greenpose.cli.check_outputs import chosen_formats, deliver, paired_options, paired_verdict

    other = _other_answer(
        candidate, self_test=self_test, bisect=bisect, history=history, output=output, only=only, manner=manner
    )
    if other is not None:
        raise typer.Exit(other)
    if candidate is None:
        raise CheckError(["CANDIDATE: give a run's folder, a record, an experiment, a grid or an artefact"])
    chosen = chosen_formats(formats, output, as_json=manner.json)
    pairing = paired_options(against, against_env, exits=exits, max_pairs=max_pairs, wall=wall, train=train, data=data)
    with err(quiet=manner.quiet).status(Text(shown(f"reading {candidate}"))):
        paired = () if pairing is None else paired_names(require(candidate), pairing.exits, pairing.works)
        question = read_question(candidate, baseline, budgets, only=only or [], creating=update, paired=paired)
    title, accepted = name or question.name, dict[str, Any]()
    if update:
        question, accepted = accept_candidate(question, reason)
        _say_accepted(question, accepted, quiet=manner.quiet or "text" not in chosen)
    verdicts = answer(question)
    if pairing is not None:
        verdicts.append(paired_verdict(require(candidate), replace(pairing, only=question.only), quiet=manner.quiet))
    verdict = joined(verdicts)
    if history is not None:
        remember_verdict(history, verdict, title, question.filed.baseline.reason if question.filed else "")
    code = _code(verdict, strict=strict, lenient=lenient)
    deliver(verdict, title, chosen, output, manner=manner, accepted=accepted, comment=comment, code=code)
    raise typer.Exit(delivered(code))


def _other_answer(
    candidate: Path | None,
    *,
    self_test: bool,
    bisect: str,
    history: Path | None,
    output: Path | None,
    only: list[str] | None,
    manner: Manner,
) -> int | None:
    """Answer what is asked instead of a check, and return the exit code; None where a check is asked for."""
    from greenpose.cli.check_history import show_trend
    from greenpose.cli.check_outputs import show_bisection, show_self_test

    if self_test:
        return show_self_test(candidate and require(candidate), as_json=manner.json, quiet=manner.quiet)
    if candidate is None and history is not None:
        show_trend(history, output=output, only=only or [], as_json=manner.json)
        return EXIT_OK
    if candidate is not None and bisect:
        return delivered(EXIT_CODES[show_bisection(require(candidate), bisect, only or [], manner)])
    return None


def _refuse_ignored(given: Mapping[str, Any]) -> None:
    """Refuse options of `check` that were given and would be ignored, and a name that cannot be a file's.

    Raises:
        CheckError: naming them all.
    """
    from greenpose.cli.check_candidate import is_exported, plain_name

    parameters = {name: one for name, one in signature(check).parameters.items() if name in given}
    trend = given["candidate"] is None and given["history"] is not None
    pairs = given["against"] is not None or given["against_env"] is not None
    ignored = {
        "means nothing here; --self-test compares nothing but equal sides": (
            given["self_test"],
            {*parameters} - OF_SELF_TEST,
        ),
        "means nothing here; --history without a CANDIDATE only shows the trend": (trend, {*parameters} - OF_TREND),
        "means nothing here; --bisect counts revisions, and compares them with GOOD": (
            given["bisect"],
            {*parameters} - OF_BISECT,
        ),
        "belongs to --against REF or --against-env PATH": (not pairs, OF_PAIRS),
        "belongs to --update": (not given["update"], {"reason"}),
        "means the opposite of --strict; give one of them": (given["strict"], {"lenient"}),
    }
    for why, (applies, names) in ignored.items():
        unused = [option for name, option in parameters.items() if applies and name in names and given[name]]
        faults = [f"{_flag(option)}: {why}" for option in unused if given[option.name] != option.default]
        if faults:
            raise CheckError(faults)
    if pairs and given["candidate"] is not None and is_exported(given["candidate"]):
        why = "an exported model is the same file in every revision; give an experiment, a grid or a run"
        raise CheckError([f"--against: {given['candidate']}: {why}"])
    name, comment = given["name"], given["comment"]
    if comment not in ("", *WHEN):
        raise CheckError([f"--comment {comment}: {near(comment, WHEN)}"])
    if name and plain_name(name) != name:
        raise CheckError([f"--name {name}: use letters, digits, `.`, `_`, `+` and single `-`, e.g. {plain_name(name)}"])


def _flag(option: Parameter) -> str:
    """Return how an option is written: `--against-env`."""
    declared = option.annotation.__metadata__[0]  # typer keeps the first of its names as a default
    names = [str(name) for name in (declared.default, *declared.param_decls)]
    return next((name for name in names if name.startswith("--")), f"--{option.name.replace('_', '-')}")


def _code(verdict: "CheckVerdict", *, strict: bool, lenient: bool) -> int:
    """Return the exit code of a verdict."""
    code = EXIT_CODES[verdict.outcome]
    if code == EXIT_UNSURE and (strict or lenient):
        return EXIT_REGRESSED if strict or verdict.changed else EXIT_OK
    return code


def _say_accepted(question: "Question", accepted: Mapping[str, Mapping[str, Any]], *, quiet: bool) -> None:
    """Print what an update changed."""
    if quiet:
        return
    console = out()
    if question.baseline is not None:
        console.print(f"{question.baseline}: {len(accepted['accepted'])} values changed", soft_wrap=True)
    for name, (before, after) in accepted["accepted"].items():
        if before is not None:
            console.print(f"  {name}: {_plain(before)} → {_plain(after)}", soft_wrap=True)
    for budget, (old, new) in accepted["tightened"].items():
        console.print(f"{question.budgets}: {budget}: limit {_plain(old)} → {_plain(new)}", soft_wrap=True)


def _plain(value: float | None) -> str:
    return "gone" if value is None else f"{value:,.10g}"
