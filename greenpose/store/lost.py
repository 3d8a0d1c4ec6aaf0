"""Writing down that an attempt ended without a record, with what it had cost by then."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from greenpose.config import CarbonConfig
from greenpose.errors import ConfigError, GreenPoseError, MeteringError
from greenpose.metering import NO_ENERGY, Joules, Log, Provenance, Window, carbon_of, read_log, short_of, worst_kind
from greenpose.metering.source import Kind
from greenpose.record import Basis, Failure, Interval, Quantity
from greenpose.schema import parse
from greenpose.store.folder import RunFolder
from greenpose.units import KINDS, joules_to_kwh

INTERRUPTED = 130
"""Exit code of a process that was asked to stop."""


def write_failure(
    folder: RunFolder, *, reason: Literal["failed", "interrupted", "lost"], message: str, phase: str, at: str
) -> Failure:
    """Write `failure.json` and return it; seconds, energy and emissions are those of all windows closed so far."""
    cell = folder.read_cell()
    log = log_of(folder)
    windows = outermost(log.windows)
    energy = sum((window.energy for window in windows), NO_ENERGY)
    kind = kind_of(attempts_of(log)) if windows else "modelled"
    emissions = _emissions(cell["experiment"]["carbon"], windows, kind)
    failure = Failure(
        name=cell["name"],
        experiment=cell["experiment"]["name"],
        grid=cell["grid"],
        axes=cell["axes"],
        reason=reason,
        message=message.splitlines()[0] if message else "",
        phase=phase,
        seconds=sum(window.seconds for window in windows),
        energy_kwh=joules_to_kwh(energy.mid),
        co2eq_g=emissions.value,
        at=at,
        basis={
            "energy_kwh": Basis(
                unit="kWh",
                kind=kind,
                method="sum of the windows closed before it ended",
                type_b=Interval(low=joules_to_kwh(energy.low), high=joules_to_kwh(energy.high)),
            ),
            "co2eq_g": emissions.basis,
        },
    )
    folder.write_failure(failure)
    return failure


def _emissions(settings: Mapping[str, Any], windows: Sequence[Window], kind: Kind) -> Quantity:
    """Return the operational emissions of windows; none where the settings or an hourly file are damaged by now."""
    try:
        found, faults = parse(CarbonConfig, settings, where="carbon")
        if found is None:
            raise ConfigError(faults)
        carbon = carbon_of(**found.model_dump())
    except GreenPoseError as error:
        basis = Basis(
            unit="gCO2eq",
            kind="not_covered",
            method="energy x PUE x grid intensity",
            missing=str(error).splitlines()[0],
        )
        return Quantity(name="co2eq_g", value=None, basis=basis)
    grams = carbon.grams_of(windows)
    basis = Basis(
        unit="gCO2eq",
        kind=kind,
        method=f"energy x PUE x {carbon.describe_grid(timed=True)}",
        type_b=Interval(low=grams.low, high=grams.high),
    )
    return Quantity(name="co2eq_g", value=grams.mid, basis=basis)


def note_lost(folder: RunFolder, *, code: int) -> Failure:
    """Write down that a process died without a word, e.g. killed for memory; `code` is its exit code."""
    last = log_of(folder).windows[-1:]
    reason: Literal["interrupted", "lost"] = "interrupted" if code == INTERRUPTED else "lost"
    died = f"its process was ended by signal {-code}" if code < 0 else f"its process ended with code {code}"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    phase = phase_of(last[0]) if last else ""
    if not folder.log.exists():
        told = "it left no log: what it said stands in the terminal"
    elif code < 0 or reason == "interrupted":
        told = "see log.txt"
    else:  # it had words, and could not write them into the folder
        told = "what it said stands in the terminal, and in log.txt if that could be written"
    return write_failure(folder, reason=reason, message=f"{died}; {told}", phase=phase, at=now)


def phase_of(window: Window) -> str:
    """Return the phase that a window belongs to: the first word of its name."""
    return window.name.replace("/", " ").split(" ", 1)[0]


def log_of(folder: RunFolder) -> Log:
    """Return what can be read of the log of windows; nothing where nothing was metered yet."""
    try:
        return read_log(folder.windows)
    except MeteringError:
        return Log([], {}, [])


class Attempt(NamedTuple):
    """How an attempt was metered, where, and what it drew."""

    joules: Mapping[str, Joules]
    """Energy by component."""
    provenances: tuple[Provenance, ...]
    """Where each component's energy came from; none where the log does not say any more."""
    host: str | None
    """Fingerprint of the machine; None where the log does not say."""
    short: frozenset[str] = frozenset()
    """Components that some of its windows lack, since they could not be read or not be believed."""


def attempts_of(log: Log) -> list[Attempt]:
    """Return the attempts that closed a window, in order."""
    found = []
    roots = outermost(log.windows)
    for number in sorted({window.attempt for window in roots}):
        joules: dict[str, Joules] = {}
        for window in roots:
            for component, energy in window.joules.items() if window.attempt == number else ():
                joules[component] = joules.get(component, NO_ENERGY) + energy
        header = log.headers.get(number, {})
        host = header.get("host")
        short = short_of(window for window in roots if window.attempt == number)
        found.append(Attempt(joules, _provenances(header), host if isinstance(host, str) else None, short))
    return found


def _provenances(header: Mapping[str, Any]) -> tuple[Provenance, ...]:
    try:
        return tuple(Provenance(**each) for each in header.get("components", ()) if each["kind"] in KINDS)
    except (TypeError, KeyError):  # damaged, or of another version
        return ()


def kind_of(attempts: Sequence[Attempt]) -> Kind:
    """Return the worst kind of any attempt's energy; where an attempt does not say, it may have been modelled."""
    kinds = [
        worst_kind(one.joules, one.provenances, short=one.short) if one.provenances else "modelled" for one in attempts
    ]
    return max(kinds, key=KINDS.index, default="not_covered")


def missing_windows(windows: Sequence[Window], *, epochs: int) -> list[str]:
    """Return in words which windows are gone of a run that trained so many epochs: its totals are too small by them.

    Numbers have no gaps, but for windows that a kill left open: their parts name them.
    """
    trained = {window.name for window in windows if window.ok}
    gone = [number for number in range(1, epochs + 1) if f"train/epoch {number}" not in trained]
    said = []
    if gone:
        said.append(f"of {epochs} epochs the windows of {len(gone)} are lost: {_spans(gone)}")
    by_attempt: dict[int, set[int]] = {}
    for window in windows:
        by_attempt.setdefault(window.attempt, set()).update({window.id, window.parent or window.id})
    for number in range(1, max(by_attempt, default=0) + 1):
        known = by_attempt.get(number, set())
        if not known and number != max(by_attempt):
            continue  # it may have ended before its first window
        lost = sorted({*range(1, max(known) + 1)} - known)
        if lost:
            said.append(f"of attempt {number} the windows numbered {_spans(lost)} are lost")
    return said


def _spans(numbers: Sequence[int]) -> str:
    """Return ascending numbers with runs of them drawn together, e.g. `1-3, 5`."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][-1] + 1:
            spans[-1] = [spans[-1][0], number]
        else:
            spans.append([number])
    return ", ".join("-".join(map(str, span)) for span in spans)


def outermost(windows: list[Window]) -> list[Window]:
    """Return the windows that lie in no other closed one: their sum counts everything once.

    The parts of a window that a kill left open are among them, so that what an epoch had cost by then is kept.
    """
    closed = {(window.attempt, window.id) for window in windows}
    return [window for window in windows if (window.attempt, window.parent) not in closed]
