"""The forms of a check's answer: to stdout, files and GitHub; the progress of paired turns; what a self-test found."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.text import Text

from greenpose import __version__
from greenpose.check import CheckVerdict, Selection
from greenpose.check.output.machine_readable import (
    badge_endpoint,
    document,
    to_code_quality,
    to_json,
    to_junit,
    to_openmetrics,
    to_sarif,
)
from greenpose.check.output.markdown import annotations, to_markdown
from greenpose.check.output.text import print_verdict, summary, to_text
from greenpose.check.paired.against import Options, check_against
from greenpose.check.paired.rule import Rule
from greenpose.check.paired.selftest import SelfTest, remember, self_test
from greenpose.check.paired.work import DATA, EXITS, TRAIN
from greenpose.check.verdict import few, signed_percent
from greenpose.cli.console import EXIT_OK, EXIT_UNSURE, Manner, err, note, out, print_json
from greenpose.errors import CheckError
from greenpose.files import write_text
from greenpose.formatting import plural, shown
from greenpose.schema import near
from greenpose.tables import terminal_notes

WALL_PAIRS = 120
"""Most pairs where wall time is judged, unless told otherwise: it scatters more than CPU time."""


def paired_options(
    against: str | None,
    environment: Path | None,
    *,
    exits: Sequence[int] | None,
    max_pairs: int | None,
    wall: bool,
    train: bool,
    data: bool,
) -> Options | None:
    """Return how two sides are to be compared in turns; None where nothing is named to compare with."""
    if against is None and environment is None:
        return None
    usual = Rule()
    most = max_pairs or (WALL_PAIRS if wall else usual.max_pairs)
    rule = replace(usual, max_pairs=most, batch=min(usual.batch, most))
    works = (EXITS, *([TRAIN] if train else []), *([DATA] if data else []))
    chosen = tuple(exits or ())
    return Options(against=against, environment=environment, exits=chosen, works=works, rule=rule, wall=wall)


def paired_verdict(candidate: Path, options: Options, *, quiet: bool) -> CheckVerdict:
    """Return what both sides' turns led to, while progress is shown.

    Raises:
        GreenPoseError: if there is no such side, or it cannot be run.
    """
    with err(quiet=quiet).status("starting both sides") as status:
        return check_against(candidate, replace(options, progress=lambda words: status.update(Text(shown(words)))))


def show_self_test(candidate: Path | None, *, as_json: bool, quiet: bool) -> int:
    """Test what a paired check can do on this machine, keep and print it, and return the exit code: 3 if too little."""
    with err(quiet=quiet).status("comparing equal processes") as status:
        result = self_test(candidate, progress=lambda words: status.update(Text(words)))
    file, code = remember(result), EXIT_OK if result.fine else EXIT_UNSURE
    if as_json:
        print_json(asdict(result) | {"bound": result.bound, "fine": result.fine, "file": str(file)})
        return code
    console = out()
    console.print(terminal_notes(_facts(result)))
    console.print(f"kept in {file}; later verdicts on this machine quote it", style="dim", soft_wrap=True)
    if not result.fine:
        console.print(
            Text("This machine is too restless for a paired check now; the exact gate works anywhere.", "yellow")
        )
    return code


def _facts(result: SelfTest) -> Iterator[tuple[str, str]]:
    """Yield what a self-test found: a topic, and what is to be said of it."""
    least = "none up to +30 %" if result.smallest_change is None else signed_percent(result.smallest_change)
    real = ", ".join(signed_percent(change) for change in sorted(result.heavier))
    yield "run", f"{result.subject}; {result.meetings} pairs of processes, {result.seconds:.0f} s"
    yield "false alarms", f"{result.alarms} in {result.comparisons} comparisons of equal sides"
    yield "", f"below {100 * result.bound:.2g} % of comparisons (95 %), before restarts, which a real check adds"
    yield "smallest change", f"{least}, found by 95 % of checks"
    yield "really heavier", f"{result.heavier_found} of {len(result.heavier)} found"
    yield "", f"{result.pixels:.3g} times the pixels; CPU time {real}"
    yield "cost", f"{result.cpu_s:.2g} s of CPU a side for a comparison"


def show_bisection(candidate: Path, span: str, only: Sequence[str], manner: Manner) -> str:
    """Find and print the commit of a range that raised a count, and return the outcome of its verdict."""
    from greenpose.check.bisect import bisect

    with err(quiet=manner.quiet).status("reading the range") as status:
        found = bisect(
            candidate, span, only=Selection(tuple(only)), progress=lambda words: status.update(Text(shown(words)))
        )
    if manner.json:
        told = {name: getattr(found, name) for name in ("commit", "says", "later", "commits", "checks", "skipped")}
        print_json(document(found.verdict, candidate.stem) | {"bisect": {"range": span, **told}})
        return found.verdict.outcome
    console = out()
    if found.commit:
        if not manner.quiet:
            print_verdict(found.verdict, candidate.stem, console, verbose=manner.verbose)
        console.print(Text.assemble((found.commit, "bold"), f" {found.says}"), soft_wrap=True)
    else:
        console.print(f"{found.verdict.outcome}: nothing counted was raised in {span}", soft_wrap=True)
    notes = [f"{plural(found.checks, 'check')} of {plural(found.commits, 'commit')} that change what is counted"]
    notes += [f"raised by a later commit: {few(list(found.later))}; to find it, --only NAME"] if found.later else []
    notes += [f"or by one that could not be counted: {one}" for one in found.skipped]
    for words in () if manner.quiet else notes:
        console.print(Text(words, "dim"), soft_wrap=True)
    return found.verdict.outcome


WRITERS: Mapping[str, tuple[str, Callable[[CheckVerdict, str], str]]] = MappingProxyType(
    {
        "text": (".txt", to_text),
        "json": (".json", to_json),
        "junit": (".xml", to_junit),
        "sarif": (".sarif", lambda verdict, name: to_sarif(verdict, name, version=__version__)),
        "github": (".github", annotations),
        "markdown": (".md", to_markdown),
        "codequality": (".codequality.json", to_code_quality),
        "openmetrics": (".metrics.txt", to_openmetrics),
        "badge": (".shields.json", lambda verdict, _name: badge_endpoint(verdict)),
    }
)
"""By format, the ending of its file and how it is made."""
SPOKEN = ("text", "github")
"""Formats that are for a job's log: with a folder for the others they still go to stdout."""
SUMMARY = "GITHUB_STEP_SUMMARY"


def chosen_formats(text: str, output: Path | None, *, as_json: bool) -> tuple[str, ...]:
    """Return the formats in a comma-separated list, less those that --json takes the place of on stdout.

    Raises:
        CheckError: naming formats that do not exist, or that would run into each other.
    """
    formats = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    faults = [f"--format {part}: unknown; {near(part, list(WRITERS))}" for part in formats if part not in WRITERS]
    if faults or not formats:
        raise CheckError(faults or [f"--format: name at least one of {', '.join(WRITERS)}"])
    if as_json:
        formats = tuple(format_ for format_ in formats if format_ not in (*SPOKEN, "json"))
    if len(formats) > 1 and output is not None and not _is_folder(output):
        raise CheckError(
            [f"-o {output}: {len(formats)} formats do not go into one file; give a folder, e.g. -o results"]
        )
    if output is None and not set(formats) <= {*SPOKEN} and (len(formats) > 1 or as_json):
        raise CheckError([f"--format {','.join(formats)}: cannot share stdout; give a folder, e.g. -o results"])
    return formats


def deliver(
    verdict: CheckVerdict,
    name: str,
    formats: Sequence[str],
    output: Path | None,
    *,
    manner: Manner,
    accepted: Mapping[str, Any],
    comment: str,
    code: int,
) -> None:
    """Print, post and write a verdict, in every format asked for; `code` is what the command ends with.

    The job's summary on GitHub is written where Markdown or annotations are, and takes the place of a comment that was
    refused. Annotations that a check run has are not printed once more.
    """
    if manner.json:
        print_json(document(verdict, name) | dict(accepted))
    posted = _post(verdict, name, comment, code=code, quiet=manner.quiet)
    for format_ in formats:
        ending, make = WRITERS[format_]
        if output is None or (_is_folder(output) and format_ in SPOKEN):
            if format_ != "github" or posted.get("check run") != "":
                _say(verdict, name, format_, verbose=manner.verbose, quiet=manner.quiet)
        else:
            path = output / f"{name}{ending}" if _is_folder(output) else output
            write_text(
                path, to_text(verdict, name, verbose=manner.verbose) if format_ == "text" else make(verdict, name)
            )
    refused = [f"the {what} could not be posted: {why}" for what, why in posted.items() if why]
    if refused or {"github", "markdown"} & {*formats}:
        _add_to_summary(to_markdown(verdict, name, remark="; ".join(refused)), refused)


def _add_to_summary(text: str, refused: Sequence[str]) -> None:
    """Append to the page of a job on GitHub, and say what was not posted and what takes its place."""
    page_of_job = os.environ.get(SUMMARY)
    told = [f"{fault}; {'the summary' if page_of_job else 'the log'} of this job takes its place" for fault in refused]
    if page_of_job:
        try:
            with Path(page_of_job).open("a", encoding="utf-8") as page:
                page.write(text)
        except OSError as error:
            told.append(f"{SUMMARY} {page_of_job}: cannot be written: {error.strerror}; the job has no summary")
    for warning in told:
        err().print(note(warning, "warning"), soft_wrap=True)


def _post(verdict: CheckVerdict, name: str, comment: str, *, code: int, quiet: bool) -> dict[str, str]:
    """Post a verdict to the pull request of this job where that is asked for; return what was posted, and why not."""
    if not comment:
        return {}
    from greenpose.check.output.pull_request import post

    with err(quiet=quiet).status("posting the verdict"):
        return post(verdict, name, when=comment, code=code)


def _say(verdict: CheckVerdict, name: str, format_: str, *, verbose: bool, quiet: bool) -> None:
    if format_ == "text" and quiet:
        out().print(summary(verdict), soft_wrap=True)
    elif format_ == "text":
        print_verdict(verdict, name, out(), verbose=verbose)
    else:
        sys.stdout.write(WRITERS[format_][1](verdict, name))


def _is_folder(path: Path) -> bool:
    """Return whether a path stands for a folder: it is one, or has no ending."""
    return path.is_dir() or not path.suffix
