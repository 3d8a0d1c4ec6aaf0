"""What to do next: findings that the records support, ranked by what they save, each with the command that does it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from greenpose.formatting import (
    MINUS,
    NBSP,
    co2eq_g,
    exact,
    joules_to_kwh,
    kwh_to_joules,
    listed,
    percent,
    plain,
    plural,
    prefix,
    shown,
    with_prefix,
)
from greenpose.intervals import Bounds
from greenpose.metering.inference import PERIODS_PER_WINDOW
from greenpose.metrics import ENERGY, PERCENT
from greenpose.quantity import Quantity, kind_mark, over_runs
from greenpose.report.conclusions.caveats import STILL_RISING, rise
from greenpose.report.conclusions.commands import grid_file, of_run, run_again, run_folder, run_more
from greenpose.report.conclusions.savings import (
    after_best,
    again,
    halved,
    joules,
    measured,
    of_exit,
    of_file,
    of_policy,
    on_hosts,
    rises,
)
from greenpose.report.deployment import Recommendation, deployments, fitness, unsettled
from greenpose.report.differences import FEWEST_PAIRS, interval_of, more_to_settle
from greenpose.report.figures.early_exit import early_exit_charts
from greenpose.report.figures.totals import paid_of
from greenpose.report.figures.what_if import DEFAULT
from greenpose.report.ranking import Preference, energy_share, unlike_best
from greenpose.report.study import Group, Point, Study, disturbances, energy_kind, gross_kwh, not_converged, short_name
from greenpose.tables import Table, table_of

State = Literal["act", "look", "pass", "not applicable"]
"""act: the records show that it saves; look: they show that it is worth a look; pass: they show that nothing is to be
done; not applicable: they do not say, or it is not theirs to say."""
STATES: tuple[State, ...] = ("act", "look", "pass", "not applicable")
"""The order in which steps are told."""
MOST = 5
"""Findings that are told in full."""
LARGE_SHARE = 0.25
"""Part of the whole bill from which on metering is worth a look."""
WORTH = 0.05
"""Part of a training's energy below which epochs without a gain are not worth a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStep:
    """One rule, and what the records say to it."""

    name: str
    """What to do."""
    state: State
    """Whether to."""
    finding: str
    """Why, in a clause."""
    evidence: str = ""
    """The numbers behind it."""
    command: str = ""
    """What does or checks it; empty where nothing is to be done."""
    saves: Quantity | None = None
    """What it saves, in J or percentage points; None where that is not known."""
    per: str = ""
    """What `saves` is counted in, after its prefix: `J an image`."""
    joules: float = 0.0
    """The same in a year of use, less the price of finding out, or in running again what was run: steps are ranked by
    it."""

    @property
    def worth(self) -> str:
        """Return what it saves in words, with its interval; empty where that is not known."""
        if self.saves is None or self.saves.value is None:
            return ""
        joules = self.per.startswith("J")
        factor, name = prefix(self.saves.value) if joules else (1.0, "")
        verb = ("saves " if self.state == "act" else "may save ") if joules else ""
        return f"{verb}{kind_mark(self.saves.kind)}{(self.saves * (1 / factor)).text(digits=2)}{NBSP}{name}{self.per}"

    @property
    def words(self) -> str:
        """Return why, with the numbers behind it: a sentence each."""
        clauses = filter(None, (self.finding, self.evidence))
        return " ".join(f"{each[:1].upper()}{each[1:]}." for each in clauses)


def next_steps(answer: Recommendation) -> list[NextStep]:
    """Return every rule: first what to do, then what to look at, by joules, then by points; then what is fine."""
    study, choice = answer.study, answer.choice
    if not study.records:
        return [_mended(study)] if study.failures else []
    rules = _RULES
    if any(run.own for run in study.records):  # their validation is not in the records, nor is early exit tried
        rules = tuple(rule for rule in rules if rule not in (_leaves_early, _stopped_earlier, _longer))
    if not study.points:
        rules = (_counted,)
    exported = [_exported(answer, choice)] if study.points and study.artefacts else []
    found = [_mended(study), *(rule(study, choice) for rule in rules), *exported]
    return sorted(found, key=lambda step: (STATES.index(step.state), -step.joules, -_points(step)))


def told(steps: Sequence[NextStep]) -> tuple[list[NextStep], list[NextStep]]:
    """Return the steps that are told in full, five at most, and the others, for a line each."""
    full = [step for step in steps if step.state in ("act", "look")][:MOST]
    return full, [step for step in steps if step not in full]


def steps_table(steps: Sequence[NextStep]) -> Table:
    """Return all of them, for forms that have no folds."""
    return table_of(
        "next-steps",
        "What the records support, by what it saves; then what was looked at and is fine, or not theirs to say.",
        ("What to do",),
        [step.name for step in steps],
        [
            ("State", [step.state for step in steps]),
            ("Worth", [step.worth or "–" for step in steps]),
            ("Why", [step.words for step in steps]),
            ("By", [step.command or "–" for step in steps]),
        ],
    )


def _points(step: NextStep) -> float:
    return (step.saves.value or 0.0) if step.saves and not step.per.startswith("J") else 0.0


def _smaller_exit(study: Study, choice: Preference | None) -> NextStep:
    name = "Leave at a smaller exit"
    if choice is None:
        return NextStep(name=name, state="not applicable", finding="no exit is accurate enough to be chosen")
    best, other = choice.whole, choice.told
    if best is None:
        return NextStep(name=name, state="pass", finding=f"no smaller exit keeps within {_margin(study)}")
    if choice.verdict == "open":
        return NextStep(name=name, state="not applicable", finding=f"whether {short_name(other)} may is not settled")
    saved, share = of_exit(study, other, best), energy_share(study, other, best)
    if share.value is None or (saved.value is None and not best.group.parts):
        return NextStep(name=name, state="not applicable", finding=f"its saving is not known: {saved.missing}")
    most = share.type_a.high if share.type_a else share.value
    if most >= 1 if saved.value is None else _least(saved) <= 0:
        return NextStep(name=name, state="pass", finding=f"{short_name(other)} is not shown to save energy")
    return NextStep(
        name=name,
        state="act",
        finding=f"{study.accuracy.label} of {short_name(other)} keeps within {_margin(study)} of {short_name(best)}’s; "
        + (_a_year(study, saved) if saved.value is not None else "each host saves joules of its own"),
        evidence=f"{_loss(other, best)}; {percent(share.known)} of its energy",
        command=of_run("export", other.group.runs[0], f"--exit {other.exit}"),
        saves=saved,
        per="J an image",
        joules=(saved.value or 0.0) * DEFAULT.per_year,
    )


def _exported(answer: Recommendation, choice: Preference | None) -> NextStep:
    study = answer.study
    name, files = "Use an exported model", [each for each in deployments(study) if not each.cost.is_trained_network]
    if choice is None:
        return NextStep(name=name, state="not applicable", finding="no exit is accurate enough to be chosen")
    file = answer.file or unsettled(study, choice)
    if file is None:
        finding = f"none of {plural(len(files), 'measured file')} is shown to save energy within {_margin(study)}"
        return NextStep(name=name, state="pass", finding=finding)
    best, less = choice.best, file.less_ap(choice.best)
    saved, share = of_file(study, file, best), file.share_of(study, best)
    settled = fitness(study, file, best) == "within"
    options = f"--exit {file.cost.exit} --to {file.cost.format} --precision {file.cost.precision}"
    return NextStep(
        name=name,
        state="act" if settled else "look",
        finding=f"{file.label} takes {percent(share.known)} of the energy of {short_name(best)} in torch float32"
        + (f"; {_a_year(study, saved)}" if settled else f"; whether it keeps within {_margin(study)} is not settled"),
        evidence=f"AP {_signed(less)} points beside {short_name(best)}, {_signed(file.ap_change)} of them by the file; "
        f"{plural(len(files), 'file')} measured",
        command=f"greenpose export {run_folder(file.run)} {options}{' --fold-bn' if file.cost.folded else ''}",
        saves=saved,
        per="J an image",
        joules=(saved.value or 0.0) * DEFAULT.per_year,
    )


def _settled(study: Study, choice: Preference | None) -> NextStep:
    name = "Settle the recommendation"
    if choice is None:
        return NextStep(name=name, state="not applicable", finding="no exit is accurate enough to be chosen")
    best, other = choice.best, choice.other
    if other is None or choice.verdict != "open":
        return NextStep(name=name, state="pass", finding="the intervals answer it")
    needed = _needed(study, best, other)
    if needed is None:
        finding = f"{short_name(other)} lies on the margin, so that no number of seeds or subjects would"
        return NextStep(name=name, state="not applicable", finding=finding)
    unit, count = needed
    groups, saved, ends = _groups(best, other), of_exit(study, other, best), interval_of(best, other, study.accuracy)
    price = again(groups, [count if unit == "seed" else len(group.runs) for group in groups])
    cost = f"{'' if unit == 'seed' else 'at least '}{_price(price, study)}"
    return NextStep(
        name=name,
        state="look",
        finding=f"about {_count(count)} more {unit}{'' if count == 1 else 's'} would tell whether {short_name(other)} "
        f"may replace {short_name(best)}, for {cost}; if it may, {_a_year(study, saved)}",
        evidence=f"{_loss(other, best)}, "
        + (f"an interval of {plain(ends[1] - ends[0], 2)} {study.accuracy.points}" if ends else "no interval")
        + f"; the margin is {_margin(study)}",
        command=run_more(groups, unit, count),
        saves=saved,
        per="J an image",
        joules=max(0.0, (saved.value or 0.0) * DEFAULT.per_year - price.high),
    )


def _needed(study: Study, best: Point, other: Point) -> tuple[str, int] | None:
    """Return of what about how many more are needed; a third seed, or three, where there is no interval yet."""
    if interval_of(best, other, study.accuracy) is not None:
        return more_to_settle(best, other, study.accuracy, margin=study.margin)
    return "seed", max(1, FEWEST_PAIRS - min(len(point.group.runs) for point in (best, other)))


def _leaves_early(study: Study, _: Preference | None) -> NextStep:
    name, curves = "Let each image leave when it is sure", [chart.curve for chart in early_exit_charts(study)]
    several = [run for run in study.records if len(run.exits) > 1]
    going_on = [run for run in several if not run.factory]
    if not curves:
        why = "no run has several exits" if not several else "a network of one’s own begins each exit with the image"
        why = f"greenpose policy {run_folder(going_on[0])} would tell" if going_on else why
        return NextStep(name=name, state="not applicable", finding=why)
    tried = [
        (curve, of_policy(curve), curve.points[curve.chosen].quantity("ap_less_final") * PERCENT) for curve in curves
    ]
    paying = [
        (_least(lost) > -study.margin, saved, curve, lost) for curve, saved, lost in tried if _pays(saved, lost, study)
    ]
    if not paying:
        return NextStep(name=name, state="pass", finding="no policy is shown to save energy within the margin")
    sure, saved, curve, lost = max(paying, key=lambda each: (each[0], each[1].known))
    run = next(run for run in study.records if run.name == curve.run)
    return NextStep(
        name=name,
        state="act" if sure and lost.type_a else "look",
        finding=f"beside all images of {run.name} at exit {curve.exits[-1].exit}; {_a_year(study, saved)}",
        evidence=f"AP {_signed(lost)} points on {plural(curve.images['test'], 'test image')}",
        command=f"greenpose policy {run_folder(run)} --ap {curve.wanted_ap:.3g}",
        saves=saved,
        per="J an image",
        joules=saved.known * DEFAULT.per_year,
    )


def _pays(saved: Quantity, lost: Quantity, study: Study) -> bool:
    return saved.value is not None and _least(saved) > 0 and lost.known > -study.margin


def _stopped_earlier(study: Study, _: Preference | None) -> NextStep:
    name = "Stop training earlier"
    spare = [(group, *found) for group in study.groups if (found := after_best(group)) is not None]
    if not spare:
        return NextStep(name=name, state="not applicable", finding="the records hold no course of validation AP")
    group, epoch, after = max(spare, key=lambda each: sum(one.known for one in each[2]))
    spent = sum(each.known for each in after)
    part = spent / (sum(group.together.each(lambda run: kwh_to_joules(run.validations[-1].energy_kwh))) or 1.0)
    if part < WORTH:
        finding = f"nowhere did {PERCENT * WORTH:g}{NBSP}% of the training’s energy come after the best validation AP"
        return NextStep(name=name, state="pass", finding=finding)
    same = _same_until(group)
    return NextStep(
        name=name,
        state="act" if len(group.runs) >= FEWEST_PAIRS and same else "look",
        finding=f"no exit of {group.label} gained after epoch {epoch} of {group.runs[0].validations[-1].epoch}"
        + ("" if same else "; but its schedule is spread over all epochs, so that fewer take another course"),
        evidence=f"validation AP of {plural(len(group.runs), 'run')}; {percent(part)} of the energy came later",
        command=run_again([group], f"train.epochs={epoch}"),
        saves=None if group.parts else over_runs(after),
        per="J a training",
        joules=spent,
    )


def _same_until(group: Group) -> bool:
    """Return whether fewer epochs take the same course: no rate or growth is spread over all of them."""
    train = group.runs[0].config.get("train") or {}
    return train.get("schedule", "steps") == "steps" and not train.get("grow")


def _longer(study: Study, choice: Preference | None) -> NextStep:
    name = "Train longer"
    points = [point for point in _matters(study, choice) if rises(point)]
    if not points:
        return NextStep(name=name, state="not applicable", finding="the records hold no course of validation AP")
    point = max(points, key=rise)
    if rise(point) < STILL_RISING:
        return NextStep(name=name, state="pass", finding="validation AP had levelled off where it matters")
    runs = point.group.runs
    epochs, cost = max(run.epochs for run in runs), on_hosts(point.group, lambda run: run.train_energy_kwh)
    return NextStep(
        name=name,
        state="look",
        finding=f"validation AP of {short_name(point)} was still rising at the end; as many epochs again cost "
        f"{_price(cost, point.group)} a training",
        evidence=f"over the last quarter of {epochs} epochs, {plural(len(runs), 'run')}",
        command=run_again([point.group], f"train.epochs={2 * epochs}"),
        saves=over_runs(rises(point)),
        per="points gained in a quarter of the epochs",
    )


def _measured_less(study: Study, _: Preference | None) -> NextStep:
    name, runs = "Spend less on measuring", study.records
    total = sum(paid_of(study, gross_kwh)) + sum(each.energy_kwh for each in study.failures)
    share = sum(paid_of(study, measured)) / total if total else 0.0
    if share < LARGE_SHARE:
        return NextStep(name=name, state="pass", finding=f"it took {percent(share)} of the bill")
    window = float((runs[0].config.get("measure") or {}).get("min_window_seconds") or 0.0)
    periods = [part.details.get("update_period_s") or 0.0 for run in study.settings.values() for part in run.components]
    if window / 2 < PERIODS_PER_WINDOW * max(periods, default=0.0) or not window:
        finding = f"it took {percent(share)} of the bill, but a counter is too slow for shorter windows"
        return NextStep(name=name, state="not applicable", finding=finding)
    saved = joules(paid_of(study, halved), like=study)
    return NextStep(
        name=name,
        state="look",
        finding=f"it took {percent(share)} of the bill; windows half as long halve it, and widen intervals",
        evidence=f"{plural(len(runs), 'run')} with windows of {plain(window, 2)}{NBSP}s",
        command=run_again(study.groups, f"measure.min_window_seconds={window / 2:g}"),
        saves=None if any(group.parts for group in study.groups) else over_runs(saved),
        per="J a run",
        joules=sum(each.known for each in saved),
    )


def _counted(study: Study, _: Preference | None) -> NextStep:
    name, grade = "Measure with a power counter", max(run.grade for run in study.records)
    if grade == "A":
        return NextStep(name=name, state="pass", finding="every material component was read from a counter")
    errors = [each.factors for point in study.points if (each := point.figure(ENERGY)).factors]
    low, high = min((low for low, _ in errors), default=1.0), max((high for _, high in errors), default=1.0)
    guest = any(run.host.get("virtualised") for run in study.records)
    return NextStep(
        name=name,
        state="look",
        finding=f"{'all' if grade == 'C' else 'part'} of the energy is modelled"
        + (f": it may be {plain(low, 2)} to {plain(high, 2)} times what is shown" if errors else ""),
        evidence=f"grade {grade}{', on a virtual machine, which hides its counters' if guest else ''}",
        command="greenpose doctor",
    )


def _alone(study: Study, choice: Preference | None) -> NextStep:
    name, said = "Measure on a quiet machine", [each for point in study.points for each in disturbances(point)]
    foreign, steal = (max(each) for each in zip((0.0, 0.0), *said, strict=True))
    shared = sum(study.together.each(lambda run: _beside_others(run.process)))
    unsettled = len(not_converged(study))
    found = [f"other processes took up to {percent(foreign)} of the CPU"] if foreign else []
    found += [f"other guests took up to {percent(steal)}"] if steal else []
    found += [f"{plural(shared, 'run')} ran beside another"] if shared else []
    found += [f"blocks of {plural(unsettled, 'exit')} did not agree as well as asked"] if unsettled else []
    if not found:
        return NextStep(name=name, state="pass", finding="nothing is recorded that disturbed it")
    point = _matters(study, choice)[0]
    return NextStep(
        name=name,
        state="look",
        finding="time and energy would be surer with nothing else at work",
        evidence=listed(found),
        command=of_run("measure", point.group.runs[0], "--precise"),
    )


def _beside_others(process: Mapping[str, Any]) -> bool:
    return (process.get("concurrent_workers") or 1) > 1 or bool(process.get("shared_node"))


def _pinned(study: Study, _: Preference | None) -> NextStep:
    name, states = "Pin allocator and threads", study.together.each(lambda run: run.process.get("pinned"))
    if False in states:
        return NextStep(
            name=name,
            state="act",
            finding="identical code may differ between two processes",
            evidence=f"{states.count(False)} of {plural(len(states), 'run')} were not pinned",
            command="greenpose doctor",
        )
    if None in states:
        return NextStep(name=name, state="not applicable", finding="the records do not say whether they were")
    return NextStep(name=name, state="pass", finding="both were pinned in every run")


def _mended(study: Study) -> NextStep:
    name, failures = "Mend what did not finish", study.failures
    if not failures:
        return NextStep(name=name, state="pass", finding="every run finished")
    spent = joules([each.energy_kwh for each in failures], like=study)
    return NextStep(
        name=name,
        state="act",
        finding=f"{plural(len(failures), 'run')} drew energy and left no record",
        evidence=shown(f"{failures[0].name}: {failures[0].message or failures[0].reason}"),
        command="" if failures[0].own else f"greenpose run {grid_file(failures[0].grid)}",
        saves=over_runs(spent),
        per="J a run",
        joules=sum(each.known for each in spent),
    )


_RULES: tuple[Callable[[Study, Preference | None], NextStep], ...] = (
    *(_smaller_exit, _settled, _leaves_early, _stopped_earlier, _longer, _measured_less),
    *(_counted, _alone, _pinned),
)
"""In the order in which those are told that save as much, or what is not known."""


def _matters(study: Study, choice: Preference | None) -> Sequence[Point]:
    """Return the exits that the answer is about, the smaller one first; all where it prefers none."""
    return [point for point in (choice.other, choice.best) if point] if choice else study.points


def _groups(*points: Point) -> list[Group]:
    return list({id(point.group): point.group for point in points}.values())


def _least(each: Quantity) -> float:
    """Return the lower end of a number's interval; itself where it has none."""
    return each.type_a.low if each.type_a else each.known


def _price(ends: Bounds, of: Group | Study) -> str:
    """Return joules in words; where hosts differ, from those of the least to those of the most."""
    said = dict.fromkeys(with_prefix(end, "J", 2) for end in ends)
    return f"{kind_mark(energy_kind(of))}{' to '.join(said)}"


def _count(count: int) -> str:
    return exact(count) if count < PERCENT else plain(count, 2)


def _a_year(study: Study, saved: Quantity) -> str:
    """Return what joules an image come to in a year of the use that the page supposes, and their emissions."""
    if saved.value is None:
        return f"its saving is not known: {saved.missing}"
    carbon, mark, energy = study.records[0].carbon, kind_mark(saved.kind), saved.value * DEFAULT.per_year
    intensity = carbon.mean_g_per_kwh or carbon.intensity_g_per_kwh
    grams = co2eq_g(joules_to_kwh(energy), intensity_g_per_kwh=intensity, pue=carbon.pue)
    used = f"{plain(DEFAULT.images_per_second, 2)} images a second"
    return f"in a year of {used} {mark}{with_prefix(energy, 'J', 2)}, {mark}{with_prefix(grams, 'gCO2eq', 2)}"


def _loss(other: Point, best: Point) -> str:
    metric = best.accuracy
    return f"{metric.words} {_signed(unlike_best(other, best).change)} {metric.points} beside {short_name(best)}"


def _signed(change: Quantity) -> str:
    text = str(change.text(digits=2, most_decimals=1))
    return text if text.startswith(MINUS) else f"+{text}"


def _margin(study: Study) -> str:
    points = study.accuracy.points
    return f"{study.margin:g}{NBSP}{'point' if points == 'points' and study.margin == 1 else points}"
