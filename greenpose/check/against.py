"""A candidate against another revision or environment, exit by exit, in paired turns."""

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from greenpose.check.baseline import Selection
from greenpose.check.footprint import Network, find_networks
from greenpose.check.interleaved import Clock, Duel, RefusalError, Worker, a_core
from greenpose.check.paired import RESTARTS, Judgement, PairedQuantity, PairedTrial, Rule, contest
from greenpose.check.revisions import Side, Sides, two_sides
from greenpose.check.selftest import recall
from greenpose.check.verdict import CheckFinding, CheckVerdict, Outcome, signed_percent
from greenpose.metering import Source, choose, host_of
from greenpose.metering.sources import CounterSource

METRICS: Mapping[Clock, tuple[str, str]] = MappingProxyType(
    {
        "cpu_s": ("cpu_s_per_image", "s"),
        "gpu_s": ("gpu_s_per_image", "s"),
        "joules": ("energy_j_per_image", "J"),
        "seconds": ("latency_s", "s"),
    }
)
"""What a clock reads, by the names and units of records."""


def finding_of(
    quantity: PairedQuantity, attempts: Sequence[PairedTrial], *, rule: Rule, batch: int, restarts: int, label: str = ""
) -> CheckFinding:
    """Return what all attempts together found of one quantity; `batch` images make a call.

    A difference counts if the first attempt and every restart saw it.
    """
    outcome, says, attempt = _conclusion(quantity, attempts, rule, restarts)
    metric, unit = METRICS[quantity.clock]
    base, head = attempt.medians[quantity]
    judgement = attempt.judgements[quantity]
    return CheckFinding(
        where=f"{label}exit{quantity.exit}",
        metric=metric,
        way="paired",
        outcome=outcome,
        says=says,
        unit=unit,
        base=None if base is None else base / batch,
        head=None if head is None else head / batch,
        ratio=judgement.ratio,
        pairs=judgement.pairs,
    )


def incomparable(exit_: int, why: str, *, device: str = "cpu", label: str = "", changed: bool = False) -> CheckFinding:
    """Return the finding of an exit that cannot be compared, perhaps because the candidate has `changed`."""
    metric, unit = METRICS["cpu_s" if device == "cpu" else "gpu_s"]
    return CheckFinding(
        where=f"{label}exit{exit_}",
        metric=metric,
        way="paired",
        outcome="incomparable",
        says=f"not compared: {why}",
        unit=unit,
        changed=changed,
    )


def _conclusion(
    quantity: PairedQuantity, attempts: Sequence[PairedTrial], rule: Rule, restarts: int
) -> tuple[Outcome, str, PairedTrial]:
    """Return what follows, its sentence, and the attempt whose numbers go with it."""
    first = attempts[0]
    claim = first.claim(quantity)
    if claim is None:
        return (*_alone(quantity, first, rule), first)
    other = next((one for one in attempts[1:] if one.claim(quantity) != claim), None)
    if other is None:
        assert len(attempts) == restarts + 1
        mildest = min(attempts, key=lambda one: abs(math.log(one.judgements[quantity].ratio.value)))
        return claim, _confirmed(claim, mildest.judgements[quantity], len(attempts)), mildest
    seen = signed_percent(first.judgements[quantity].ratio.value - 1)
    outcome, says = _alone(quantity, other, rule)
    return outcome, f"{seen} in one pair of processes, but not in a fresh one: {says}", other


def _alone(quantity: PairedQuantity, attempt: PairedTrial, rule: Rule) -> tuple[Outcome, str]:
    """Return what one attempt says of a quantity."""
    judgement = attempt.judgements[quantity]
    if quantity in attempt.restless:
        limit = signed_percent(rule.fail_above)
        return "inconclusive", (
            f"a side differs from itself by more than {limit}: this machine is too restless now "
            f"({attempt.surroundings}); run it again, or where it is quieter"
        )
    decision = rule.decide(judgement.ratio)
    if decision == "ok":
        return "ok", f"{signed_percent(judgement.ratio.high - 1)} at most"
    if decision is None:
        return "inconclusive", _open(judgement, rule)
    if attempt.unpinned:
        return "inconclusive", (
            f"the two differ, but the base fetches {attempt.surroundings.faults_per_call:.0f} pages from the kernel in "
            "every call, so that its times are chance: this C library's allocator cannot be pinned"
        )
    return "inconclusive", "the opposite"


def _confirmed(claim: Outcome, judgement: Judgement, attempts: int) -> str:
    """Return the sentence of a difference that every attempt saw."""
    where = f"in each of {attempts} pairs of processes"
    if claim == "improved":
        return f"{signed_percent(judgement.ratio.high - 1)} or less {where}"
    low = signed_percent(judgement.ratio.low - 1)
    return f"{low} or more {where}; mend it, or say in the change why it is worth that"


def _open(judgement: Judgement, rule: Rule) -> str:
    """Return why a question stayed open, and how many pairs would probably close it."""
    fail, fine = signed_percent(rule.fail_above), signed_percent(rule.pass_below)
    says = f"{judgement.pairs} pairs cannot tell whether it is above {fail} or below {fine}"
    if judgement.more is None:
        return says
    return f"{says}; about {judgement.more} pairs more would: --max-pairs {judgement.pairs + judgement.more}"


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
    only: Selection = field(default_factory=Selection)
    """Quantities to compare; exits that have none of them are not run."""
    wall: bool = False
    """True: judge wall time too. That takes many more pairs, but sees waiting, which CPU time does not."""
    heard: Callable[[str], object] = lambda _: None
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
    """Return the verdict on what every exit of every network costs on both sides.

    Raises:
        CheckError: if there is no such exit.
        GreenPoseError: if a side cannot be run.
    """
    with tempfile.TemporaryDirectory() as folder:
        chosen = [
            (replace(network, exits=exits), label)
            for network, label in _labelled(find_networks(candidate, Path(folder), options.exits))
            if (exits := tuple(exit_ for exit_ in network.exits if _selected(label, exit_, options.only)))
        ]
        found = [_Comparison(network, label, sides, options).run() for network, label in chosen]
    return CheckVerdict(
        subject=str(candidate),
        against=sides.against,
        findings=tuple(
            finding
            for one in found
            for finding in one.findings
            if finding.name in options.only or finding.outcome == "incomparable"
        ),
        notes=tuple(dict.fromkeys([*sides.notes, *(note for one in found for note in one.notes), *_self_tested()])),
        samples={"paired": {network.label: one.samples for (network, _), one in zip(chosen, found, strict=True)}},
    )


def paired_names(candidate: Path, exits: Sequence[int] = ()) -> list[str]:
    """Return the names of what can be measured in pairs of a candidate: `exit3.cpu_s_per_image`, ...

    Raises:
        CheckError: if there is no such exit.
        GreenPoseError: if the candidate cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        networks = _labelled(find_networks(candidate, Path(folder), exits))
    return [name for network, label in networks for exit_ in network.exits for name in _names(label, exit_)]


def _labelled(networks: Sequence[Network]) -> list[tuple[Network, str]]:
    """Return networks with what stands before the names of their quantities: nothing where there is only one."""
    return [(network, f"{network.label}/" if len(networks) > 1 else "") for network in networks]


def _names(label: str, exit_: int) -> list[str]:
    return [f"{label}exit{exit_}.{metric}" for metric, _ in METRICS.values()]


def _selected(label: str, exit_: int, only: Selection) -> bool:
    return any(name in only for name in _names(label, exit_))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    findings: Sequence[CheckFinding]
    notes: Sequence[str] = ()
    samples: Mapping[str, Any] = field(default_factory=dict)


class _Comparison:
    """One network on both sides."""

    def __init__(self, network: Network, label: str, sides: Sides, options: Options) -> None:
        self._network = network
        self._sides = sides
        self._options = options
        self._label = label

    def run(self) -> _Found:
        """Return what was found."""
        if self._sides.obstacle:
            return self._blocked(self._sides.obstacle)
        with self._workers() as (base, head):
            here = head.hello
            try:
                obstacle = _obstacle(base.hello, here)
            except RefusalError as refusal:
                return self._blocked(str(refusal))
            for side, worker in ((self._sides.base, base), (self._sides.head, head)):
                side.refuse_other_code(worker.hello)
            return self._blocked(obstacle, changed=True) if obstacle else self._compared(base, head)

    def _compared(self, base: Worker, head: Worker) -> _Found:
        device = head.hello["device"]
        with counters(device) as sources:

            @contextmanager
            def again() -> Iterator[Duel]:
                with self._workers() as fresh:
                    yield _duel(*fresh, sources)

            clocks = _clocks(device, energy=bool(sources), wall=self._options.wall)
            first = _duel(base, head, sources)
            attempts = contest(first, again, clocks, rule=self._options.rule, heard=self._heard)
        return _Found(
            findings=[*self._findings(attempts, head.hello["batch"]), *self._lonely(first.exits, base, head)],
            notes=[
                *self._file_notes(),
                *_differences(base.hello, head.hello),
                f"beside it: {attempts[0].surroundings}",
            ],
            samples=_samples(base.hello, head.hello, attempts, self._options.rule),
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
        return {**self._network.request(file), "core": core}

    def _findings(self, attempts: Sequence[PairedTrial], batch: int) -> list[CheckFinding]:
        rule = self._options.rule
        return [
            finding_of(one, attempts, rule=rule, batch=batch, restarts=RESTARTS, label=self._label)
            for one in attempts[0].judgements
        ]

    def _lonely(self, shared: Sequence[int], base: Worker, head: Worker) -> list[CheckFinding]:
        """Return a finding for each exit that only one side has."""
        have = {worker.name: worker.hello["exits"] for worker in (base, head)}
        lonely = sorted({exit_ for exits in have.values() for exit_ in exits} - set(shared))
        return [
            incomparable(
                exit_,
                f"{name} has no exit {exit_}",
                device=head.hello["device"],
                label=self._label,
                changed=name == head.name,
            )
            for exit_ in lonely
            for name, exits in have.items()
            if exit_ not in exits
        ]

    def _blocked(self, why: str, *, changed: bool = False) -> _Found:
        exits = self._network.exits
        return _Found(findings=[incomparable(exit_, why, label=self._label, changed=changed) for exit_ in exits])

    def _heard(self, said: str) -> None:
        self._options.heard(f"{self._label}{said}")

    def _file_notes(self) -> list[str]:
        """Return whether the two sides read different experiments."""
        file, repository = self._network.file, self._sides.repository
        base, head = (side.file(file, repository) for side in (self._sides.base, self._sides.head))
        if base.read_bytes() == head.read_bytes():
            return []
        return [f"{file.name} is not the same there: what that costs is part of the comparison"]


def _duel(base: Worker, head: Worker, sources: Sequence[Source]) -> Duel:
    """Return a duel over the exits that both sides have, warmed up."""
    exits = [exit_ for exit_ in head.hello["exits"] if exit_ in base.hello["exits"]]
    duel = Duel(base, head, exits=exits, counters=sources)
    duel.prepare()
    return duel


def _clocks(device: str, *, energy: bool, wall: bool) -> list[Clock]:
    """Return what is judged: the time of what computes, energy where a counter is read, wall time where asked."""
    asked: dict[Clock, bool] = {"cpu_s": device == "cpu", "gpu_s": device != "cpu", "joules": energy, "seconds": wall}
    return [clock for clock, wanted in asked.items() if wanted]


def _obstacle(base: Mapping[str, Any], head: Mapping[str, Any]) -> str:
    """Return why the two must not be compared; empty where they may."""
    differ = [
        f"{what} are {_plain(base[key])} there and {_plain(head[key])} here"
        for key, what in MUST_AGREE.items()
        if base[key] != head[key]
    ]
    if not set(base["exits"]) & set(head["exits"]):
        differ.append(f"exits are {_plain(base['exits'])} there and {_plain(head['exits'])} here")
    return "; ".join(differ)


def _differences(base: Mapping[str, Any], head: Mapping[str, Any]) -> list[str]:
    return [f"{key} {base[key]} there, {head[key]} here" for key in MAY_DIFFER if base[key] != head[key]]


def _self_tested() -> list[str]:
    """Return what this machine's last self-test found."""
    result = recall()
    return [] if result is None else [str(result)]


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _samples(
    base: Mapping[str, Any], head: Mapping[str, Any], attempts: Sequence[PairedTrial], rule: Rule
) -> dict[str, Any]:
    """Return every pair of every attempt, and what surrounded it, as plain JSON data."""
    return {
        "base": dict(base),
        "head": dict(head),
        "rule": asdict(rule),
        "attempts": [
            {
                "surroundings": asdict(attempt.surroundings),
                "restless": [f"exit{one.exit}.{one.clock}" for one in sorted(attempt.restless)],
                "turns": dict(attempt.samples),
            }
            for attempt in attempts
        ],
    }
