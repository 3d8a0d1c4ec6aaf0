"""A candidate against another revision or environment, exit by exit, in paired turns."""

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from greenpose.check.baseline import Selection
from greenpose.check.paired.interleaved import Clock, Interleaved, Piece, RefusalError, Worker, a_core, named
from greenpose.check.paired.revisions import Side, Sides, two_sides
from greenpose.check.paired.rule import RESTARTS, PairedQuantity, PairedTrial, Rule, TestResult, run_trials
from greenpose.check.paired.selftest import recall
from greenpose.check.paired.work import EXITS, Work, counted_findings, said_of
from greenpose.check.verdict import CheckFinding, CheckVerdict, Outcome, signed_percent
from greenpose.metering import Source, choose, host_of
from greenpose.metering.sources.source import CounterSource
from greenpose.subject import Network


def finding_of(
    quantity: PairedQuantity,
    trials: Sequence[PairedTrial],
    *,
    rule: Rule,
    batch: int,
    restarts: int,
    label: str = "",
    work: Work = EXITS,
) -> CheckFinding:
    """Return what all trials together found of one quantity; `batch` images make a call.

    A change counts if the first trial and every restart saw it.
    """
    outcome, says, trial = _conclusion(quantity, trials, rule, restarts)
    base, head = (None if median is None else median / batch for median in trial.medians[quantity])
    result = trial.results[quantity]
    found = _finding(work, label, quantity.exit, quantity.clock, outcome, says)
    return replace(found, base=base, head=head, ratio=result.ratio, pairs=result.pairs)


def _finding(
    work: Work, label: str, piece: Piece, clock: Clock, outcome: Outcome, says: str, *, changed: bool = False
) -> CheckFinding:
    metric, unit = work.metric(clock)
    where = f"{label}{named(piece)}"
    return CheckFinding(
        where=where, metric=metric, way="paired", outcome=outcome, says=says, unit=unit, changed=changed
    )


def _conclusion(
    quantity: PairedQuantity, trials: Sequence[PairedTrial], rule: Rule, restarts: int
) -> tuple[Outcome, str, PairedTrial]:
    """Return what follows, its sentence, and the trial whose numbers go with it."""
    first = trials[0]
    suspected = first.suspected(quantity)
    if suspected is None:
        return (*_alone(quantity, first, rule), first)
    other = next((one for one in trials[1:] if one.suspected(quantity) != suspected), None)
    if other is None:
        assert len(trials) == restarts + 1
        mildest = min(trials, key=lambda one: abs(math.log(one.results[quantity].ratio.value)))
        return suspected, _confirmed(suspected, mildest.results[quantity], len(trials)), mildest
    seen = signed_percent(first.results[quantity].ratio.value - 1)
    outcome, says = _alone(quantity, other, rule)
    return outcome, f"{seen} in one pair of processes, but not in a fresh one: {says}", other


def _alone(quantity: PairedQuantity, trial: PairedTrial, rule: Rule) -> tuple[Outcome, str]:
    """Return what one trial says of a quantity."""
    result = trial.results[quantity]
    if quantity in trial.unstable:
        limit = signed_percent(rule.fail_above)
        return "inconclusive", (
            f"a side differs from itself by more than {limit}: this machine is too restless now "
            f"({trial.surroundings}); run it again, or where it is quieter"
        )
    decision = rule.decide(result.ratio)
    if decision == "ok":
        return "ok", f"{signed_percent(result.ratio.high - 1)} at most"
    if decision is None:
        return "inconclusive", _open(result, rule)
    if trial.unpinned:
        return "inconclusive", (
            f"the two differ, but the base fetches {trial.surroundings.faults_per_call:.0f} pages from the kernel in "
            "every call, so that its times are chance: this C library's allocator cannot be pinned"
        )
    return "inconclusive", "the opposite"


def _confirmed(change: Outcome, result: TestResult, trials: int) -> str:
    where = f"in each of {trials} pairs of processes"
    if change == "improved":
        return f"{signed_percent(result.ratio.high - 1)} or less {where}"
    low = signed_percent(result.ratio.low - 1)
    return f"{low} or more {where}; mend it, or say in the change why it is worth that"


def _open(result: TestResult, rule: Rule) -> str:
    """Return why a question stayed open, and how many pairs would probably close it."""
    fail, fine = signed_percent(rule.fail_above), signed_percent(rule.pass_below)
    says = f"{result.pairs} pairs cannot tell whether it is above {fail} or below {fine}"
    if result.more is None:
        return says
    return f"{says}; about {result.more} pairs more would: --max-pairs {result.pairs + result.more}"


READ = ("measured", "estimated")


@contextmanager
def counters(device: str) -> Iterator[tuple[Source, ...]]:
    """Open what reads hardware on this machine, for work on a device; none where everything is modelled."""
    kind, _, index = device.partition(":")
    gpus = (int(index or 0),) if kind == "cuda" else ()
    chosen = [choice.source for choice in choose(host_of(gpus=gpus))]
    found = [source for source in chosen if source is not None and source.provenance.kind in READ]
    try:
        yield tuple(found)
    finally:
        for source in found:
            if isinstance(source, CounterSource):
                source.close()


MUST_AGREE = {"input_size": "images", "batch": "batches", "device": "devices"}
"""What the two sides say of themselves that makes a comparison meaningless where it differs."""
MAY_DIFFER = ("greenpose", "torch", "python", "built_by")
"""What belongs to what is compared, and is worth a note where it differs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is compared with the candidate, and how."""

    against: str | None = None
    """Git revision; None for what is installed in `environment`."""
    environment: Path | None = None
    """Another Python environment; None for this one."""
    rule: Rule = field(default_factory=Rule)
    """When a ratio has regressed, and how long to go on."""
    exits: tuple[int, ...] = ()
    """Exits to compare; all by default."""
    works: tuple[Work, ...] = (EXITS,)
    """What is run: exits in inference, a step of the training, the way of images to batches."""
    only: Selection = field(default_factory=Selection)
    """Quantities to compare; exits that have none of them are not run."""
    wall: bool = False
    """True: judge wall time too. That takes many more pairs, but sees waiting, which CPU time does not."""
    progress: Callable[[str], object] = lambda _: None
    """Told how far it is."""


def check_against(candidate: Path, options: Options) -> CheckVerdict:
    """Return the verdict on what every exit costs here and there: in another revision, or another environment.

    Raises:
        CheckError: if there is no such revision, environment or exit.
        GreenPoseError: if a side cannot be run.
    """
    with two_sides(Path.cwd(), against=options.against, environment=options.environment) as sides:
        return compare_sides(candidate, sides, options)


def compare_sides(candidate: Path, sides: Sides, options: Options) -> CheckVerdict:
    """Return the verdict on what every piece of work costs on both sides.

    Raises:
        CheckError: if there is no such exit, or a side's code lacks what is to be run.
        GreenPoseError: if a side cannot be run.
    """
    found: dict[str, _Compared] = {}
    with tempfile.TemporaryDirectory() as folder:
        for work in options.works:
            for network, label in work.networks(candidate, Path(folder), options.exits):
                pieces = [one for one in work.pieces(network) if any(n in options.only for n in work.names(label, one))]
                if pieces:
                    exits = tuple(one for one in network.exits if one in pieces)
                    chosen = replace(network, exits=exits) if work is EXITS else network
                    key = network.label if work is EXITS else f"{network.label}/{work.name}"
                    found[key] = _Comparison(chosen, label, sides, options, work).run()
    self_test = recall()
    notes = [
        *sides.notes,
        *(note for one in found.values() for note in one.notes),
        *([str(self_test)] if self_test else []),
    ]
    return CheckVerdict(
        subject=str(candidate),
        against=sides.against,
        findings=tuple(
            finding
            for one in found.values()
            for finding in one.findings
            if finding.name in options.only or finding.outcome == "incomparable"
        ),
        notes=tuple(dict.fromkeys(notes)),
        samples={"paired": {label: one.samples or {} for label, one in found.items()}},
    )


def paired_names(candidate: Path, exits: Sequence[int] = (), works: Sequence[Work] = (EXITS,)) -> list[str]:
    """Return the names of what can be said of two sides of a candidate: `exit3.cpu_s_per_image`, ...

    Raises:
        CheckError: if there is no such exit, or the work cannot be done in turns.
        GreenPoseError: if the candidate cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        return [
            name
            for work in works
            for network, label in work.networks(candidate, Path(folder), exits)
            for piece in work.pieces(network)
            for name in work.names(label, piece)
        ]


class _Compared(NamedTuple):
    findings: Sequence[CheckFinding]
    notes: Sequence[str] = ()
    samples: Mapping[str, Any] | None = None


class _Comparison:
    """One network's work on both sides."""

    def __init__(self, network: Network, label: str, sides: Sides, options: Options, work: Work) -> None:
        self._network, self._label, self._sides, self._options, self._work = network, label, sides, options, work
        self._asked: dict[str, Any] = {}

    def run(self) -> _Compared:
        """Return what was found."""
        if self._sides.obstacle:
            return self._blocked(self._sides.obstacle)
        with self._work.asked(self._network) as (self._network, self._asked):
            return self._run()

    def _run(self) -> _Compared:
        with self._workers() as (base, head):
            here = head.hello
            try:
                obstacle = _obstacle(base.hello, here)
            except RefusalError as refusal:
                return self._blocked(str(refusal))
            for side, worker in ((self._sides.base, base), (self._sides.head, head)):
                side.refuse_other_code(worker.hello)
            return self._blocked(obstacle, changed=True) if obstacle else self._compared(base, head)

    def _compared(self, base: Worker, head: Worker) -> _Compared:
        there, here, options = base.hello, head.hello, self._options
        with counters(here["device"]) as sources:

            @contextmanager
            def again() -> Iterator[Interleaved]:
                with self._workers() as fresh:
                    yield _turns(*fresh, sources)

            turns, clocks = (
                _turns(base, head, sources),
                _clocks(here["device"], energy=bool(sources), wall=options.wall),
            )
            trials = run_trials(
                turns, again, clocks, rule=options.rule, progress=lambda said: options.progress(f"{self._label}{said}")
            )
        batch, label = here["batch"], self._label
        findings = [
            finding_of(one, trials, rule=options.rule, batch=batch, restarts=RESTARTS, label=label, work=self._work)
            for one in trials[0].results
        ]
        findings += counted_findings(self._work, label, there, here)
        differences = [
            f"{key} {there[key]} there, {here[key]} here" for key in MAY_DIFFER if there.get(key) != here.get(key)
        ]
        return _Compared(
            findings=[*findings, *self._one_sided(base, head)],
            notes=[
                *said_of(self._work, self._network, label, findings, batch),
                *self._file_notes(),
                *differences,
                f"beside it: {trials[0].surroundings}",
            ],
            samples=_samples(there, here, trials, options.rule),
        )

    @contextmanager
    def _workers(self) -> Iterator[tuple[Worker, Worker]]:
        """Start both sides' processes; they get ready beside each other."""
        core, sides = a_core(), (self._sides.base, self._sides.head)
        with ExitStack() as stack:
            base, head = (stack.enter_context(side.worker(self._request(side, core))) for side in sides)
            yield base, head

    def _request(self, side: Side, core: int | None) -> dict[str, Any]:
        file = side.file(self._network.file, self._sides.repository)
        return {**self._network.request(file), "core": core, **self._asked}

    def _one_sided(self, base: Worker, head: Worker) -> Iterator[CheckFinding]:
        """Yield a finding for each exit that only one side has."""
        have = {worker: set(worker.hello["exits"]) for worker in (base, head)}
        for exit_ in sorted(have[base] ^ have[head], key=str):
            lacking = base if exit_ in have[head] else head
            why = f"{lacking.name} has no exit {exit_}"
            yield self._incomparable(exit_, why, device=head.hello["device"], changed=lacking is head)

    def _blocked(self, why: str, *, changed: bool = False) -> _Compared:
        pieces = self._work.pieces(self._network)
        return _Compared([self._incomparable(piece, why, changed=changed) for piece in pieces])

    def _incomparable(self, piece: Piece, why: str, *, device: str = "cpu", changed: bool = False) -> CheckFinding:
        (clock,) = _clocks(device)
        says = f"not compared: {why}"
        return _finding(self._work, self._label, piece, clock, "incomparable", says, changed=changed)

    def _file_notes(self) -> list[str]:
        """Return whether the two sides read different experiments."""
        file, repository = self._network.file, self._sides.repository
        base, head = (side.file(file, repository).read_bytes() for side in (self._sides.base, self._sides.head))
        return [f"{file.name} is not the same there: what that costs is part of the comparison"] if base != head else []


def _turns(base: Worker, head: Worker, sources: Sequence[Source]) -> Interleaved:
    """Return turns over the exits that both sides have, warmed up."""
    exits = [exit_ for exit_ in head.hello["exits"] if exit_ in base.hello["exits"]]
    turns = Interleaved(base, head, exits=exits, counters=sources)
    turns.prepare()
    return turns


def _clocks(device: str, *, energy: bool = False, wall: bool = False) -> list[Clock]:
    """Return what is judged: the time of what computes, energy where a counter is read, wall time where asked."""
    asked: dict[Clock, bool] = {"cpu_s": device == "cpu", "gpu_s": device != "cpu", "joules": energy, "seconds": wall}
    return [clock for clock, wanted in asked.items() if wanted]


def _obstacle(base: Mapping[str, Any], head: Mapping[str, Any]) -> str:
    """Return why the two must not be compared; empty where they may."""
    differ = [key for key in MUST_AGREE if base[key] != head[key]]
    differ += [] if set(base["exits"]) & set(head["exits"]) else ["exits"]
    words = MUST_AGREE | {"exits": "exits"}
    return "; ".join(f"{words[key]} are {_plain(base[key])} there and {_plain(head[key])} here" for key in differ)


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _samples(
    base: Mapping[str, Any], head: Mapping[str, Any], trials: Sequence[PairedTrial], rule: Rule
) -> dict[str, Any]:
    """Return every pair of every trial, and what surrounded it, as plain JSON data."""
    return {
        "base": dict(base),
        "head": dict(head),
        "rule": asdict(rule),
        "attempts": [
            {
                "surroundings": asdict(trial.surroundings),
                "restless": [f"{named(one.exit)}.{one.clock}" for one in sorted(trial.unstable)],
                "turns": dict(trial.samples),
            }
            for trial in trials
        ],
    }
