"""The commit that raised a counted quantity: a range of commits halved, each counted in a checkout of its own.

Which commit is counted next is git's to say (`git rev-list --bisect-all`, as `git bisect` does it), so that merges are
halved too; nothing is checked out in the working tree. A revision counts itself, by its own command line.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from greenpose.check.baseline import Filed, Selection, read_baseline
from greenpose.check.exact_gate import compare, without_operator
from greenpose.check.footprint import Footprint
from greenpose.check.paired.revisions import (
    PACKAGE,
    READ,
    Revision,
    Side,
    checked_out,
    find_revision,
    git_says,
    last_line,
    unmet,
)
from greenpose.check.verdict import CheckVerdict, few
from greenpose.errors import CheckError, GreenPoseError
from greenpose.formatting import plural
from greenpose.metrics import BY_NAME, CONVENTIONS, OPERATIONS
from greenpose.quantity import Quantity

OPTION = "--bisect"
RUN = """
import os, runpy, sys, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
runpy.run_module("greenpose", run_name="__main__", alter_sys=True)
"""
"""Runs GreenPose until it is done, or until the process that started it is gone and its end of stdin closes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bisection:
    """What was found in a range of commits."""

    verdict: CheckVerdict
    """The commit against the one before it; where nothing was raised, the range's end against its beginning."""
    commit: str
    """Full hash of the first commit that raised something; empty where nothing was raised."""
    says: str
    """Its date and the first line of its message."""
    later: tuple[str, ...]
    """What was raised in the range, but not yet by this commit."""
    commits: int
    """Commits in the range that can have changed a count."""
    checks: int
    """Revisions that were checked against the beginning."""
    skipped: tuple[str, ...]
    """Those that could not be counted and may have raised it, too: hash and why."""


def bisect(
    candidate: Path, span: str, *, only: Selection, progress: Callable[[str], object] = lambda _: None
) -> Bisection:
    """Return the first commit of a range that raised what is costlier at its end than at its beginning.

    Args:
        candidate: experiment or grid file; of each revision its own version where it has one.
        span: `GOOD..BAD`; an end that is left out is HEAD.
        only: quantities to look at.
        progress: told how far it is.

    Raises:
        CheckError: if there is no such range, or an end of it cannot be counted.
    """
    if candidate.suffix not in (".yaml", ".yml"):
        raise CheckError([f"{candidate}: is no experiment or grid file: a run costs the same at every revision"])
    good, bad = _ends(span)
    commits = _between(bad.commit, [good.commit], good.repository)
    if not commits:
        raise CheckError([f"{OPTION} {span}: no commit there changes {', '.join(READ)}: no count can differ"])
    search = _Search(candidate, good, only)
    progress(f"counting {good}")
    search.begin()
    progress(f"counting {bad}, the end of {plural(len(commits), 'commit')}")
    tip = _tip(bad.commit, good.commit, good.repository)  # counts what the end does, and may be the culprit
    whole = search.check(tip)
    raised = {one.name for one in whole.of("regressed")}
    if not raised:
        return Bisection(
            verdict=whole, commit="", says="", later=(), commits=len(commits), checks=search.checks, skipped=()
        )
    culprit, skipped = search.first(tip, raised, progress)
    verdict = search.against_before(culprit)
    return Bisection(
        verdict=verdict,
        commit=culprit,
        says=git_says(OPTION, good.repository, "log", "-1", "--format=%cs %s", culprit).strip(),
        later=tuple(sorted(raised - {one.name for one in verdict.of("regressed")})),
        commits=len(commits),
        checks=search.checks,
        skipped=tuple(f"{commit[:10]}: {why}" for commit, why in skipped.items()),
    )


def _ends(span: str) -> tuple[Revision, Revision]:
    """Return the two revisions of a range, the first an ancestor of the second."""
    first, dots, last = span.partition("..")
    if not dots or last.startswith("."):
        raise CheckError([f"{OPTION} {span}: write GOOD..BAD, e.g. v1.0..HEAD"])
    good, bad = (find_revision(Path.cwd(), end or "HEAD", option=OPTION) for end in (first, last))
    base = git_says(OPTION, good.repository, "merge-base", good.commit, bad.commit).strip()
    if base != good.commit:
        meet = f"; they part at {base[:10]}: {OPTION} {base[:10]}..{last or 'HEAD'}" if base else ""
        raise CheckError([f"{OPTION} {span}: {good} is not an ancestor of {bad}{meet}"])
    return good, bad


def _between(bad: str, good: Sequence[str], repository: Path) -> list[str]:
    """Return the commits of the range that can have changed a count, those first that halve it best."""
    without = [f"^{commit}" for commit in good]
    listed = git_says(OPTION, repository, "rev-list", "--bisect-all", bad, *without, "--", *READ)
    return [line.split()[0] for line in listed.splitlines() if line.strip()]


def _tip(commit: str, good: str, repository: Path) -> str:
    """Return the last commit up to one that can have changed a count."""
    return git_says(OPTION, repository, "rev-list", "-1", commit, f"^{good}", "--", *READ).strip()


class _Search:
    """Counts of revisions, each counted once, and what they say beside the first one's."""

    def __init__(self, candidate: Path, good: Revision, only: Selection) -> None:
        self._candidate, self._good, self._only = candidate, good, only
        self._counted: dict[str, Filed] = {}

    @property
    def checks(self) -> int:
        """Return how many revisions were checked."""
        return len(self._counted) - 1

    def begin(self) -> None:
        """Count the beginning of the range."""
        filed = self._count(self._good.commit)
        self._only.require(filed.baseline.values)

    def check(self, commit: str) -> CheckVerdict:
        """Return what a revision costs beside the beginning of the range."""
        return self._compared(self._count(commit), self._count(self._good.commit), self._good.commit)

    def first(self, bad: str, raised: set[str], progress: Callable[[str], object]) -> tuple[str, dict[str, str]]:
        """Return the first commit at which something raised is raised, and what could not be counted near it."""
        good, skipped = [self._good.commit], dict[str, str]()
        while True:
            rest = [commit for commit in _between(bad, good, self._good.repository) if commit != bad]
            left = [commit for commit in rest if commit not in skipped]
            if not left:
                return bad, {commit: skipped[commit] for commit in rest}
            progress(f"counting {left[0][:10]}, {plural(len(left), 'commit')} left")
            try:
                worse = {one.name for one in self.check(left[0]).of("regressed")}
            except GreenPoseError as error:
                skipped[left[0]] = str(error).partition("\n")[0]
                continue
            if worse & raised:
                bad = left[0]
            else:
                good.append(left[0])

    def against_before(self, commit: str) -> CheckVerdict:
        """Return what a commit costs beside the last one before it that was counted."""
        before = _tip(f"{commit}^", self._good.commit, self._good.repository)
        before = before if before in self._counted else self._good.commit
        return self._compared(self._count(commit), self._counted[before], before)

    def _compared(self, here: Filed, there: Filed, name: str) -> CheckVerdict:
        there = Filed(name=name[:10], baseline=there.baseline, lines={})
        return compare(list(_footprints(here)), there, only=self._only, subject=str(self._candidate))

    def _count(self, commit: str) -> Filed:
        """Return what a revision counts of itself.

        Raises:
            CheckError: if it cannot.
        """
        if commit not in self._counted:
            revision = Revision(repository=self._good.repository, ref=commit, commit=commit)
            with checked_out(revision) as tree:
                self._counted[commit] = _count_in(tree, revision, self._candidate)
        return self._counted[commit]


def _count_in(tree: Path, revision: Revision, candidate: Path) -> Filed:
    """Return the counts of the code in a checkout, or of the installed one where it holds none."""
    faults = unmet(tree)
    if faults:
        raise CheckError([f"{revision}: wants other packages ({few(faults)})"])
    root = tree if (tree / PACKAGE).is_file() else None
    side = Side(name=str(revision), python=sys.executable, root=root, tree=tree)
    counted, file = tree.parent / "counted.json", side.file(candidate, revision.repository)
    accept = ("--baseline", f"{counted}", "--update", "--reason", "counted", "--quiet")
    with subprocess.Popen(
        [side.python, "-P", "-c", RUN, "check", f"{file}", *accept],
        cwd=tree,
        env={**side.environment(), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        process_group=0,  # Ctrl-C on the terminal reaches us alone
    ) as process:
        assert process.stderr is not None
        try:
            said = process.stderr.read()
        except BaseException:
            process.kill()
            raise
    if not counted.is_file():
        raise CheckError([f"{revision}: cannot be counted: {last_line(said)}"])
    return read_baseline(counted)


def _footprints(filed: Filed) -> Iterator[Footprint]:
    """Yield what a revision counted of each experiment; what it counts by another convention is left out."""
    baseline = filed.baseline
    for experiment, context in baseline.experiments.items():
        quantities: dict[str, Quantity] = {}
        operations: dict[int, dict[str, int]] = {}
        for name, value in baseline.values_of(experiment).items():
            where, metric = without_operator(name).split(".")
            if metric == OPERATIONS:
                operations.setdefault(int(where.removeprefix("exit")), {})[name.split(".", 2)[2]] = int(value)
            elif metric in CONVENTIONS and baseline.conventions.get(metric) == CONVENTIONS[metric]:
                unit, method = BY_NAME[metric].counted_unit, CONVENTIONS[metric]
                quantities[f"{where}.{metric}"] = Quantity(value=value, unit=unit, kind="counted", method=method)
        wheres = {name.partition(".")[0] for name in quantities}
        yield Footprint(
            labels=(experiment,),
            network=context.network,
            input=context.input,
            torch=context.torch,
            data=None,
            exits=tuple(sorted(int(where.removeprefix("exit")) for where in wheres)),
            quantities=quantities,
            operations=operations,
        )
