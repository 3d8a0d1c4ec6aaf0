"""The answer in at most three sentences, made from the data: what accuracy costs, what it all cost, what to mind."""

from collections.abc import Sequence

from greenpose.formatting import NBSP, exact, listed, percent, plain, plural, prefix, with_prefix
from greenpose.metrics import CO2, ENERGY, MACS, PERCENT, Metric
from greenpose.quantity import kind_mark
from greenpose.report.conclusions.caveats import caveats
from greenpose.report.deployment import recommend
from greenpose.report.differences import (
    NonInferiority,
    interval_of,
    more_to_settle,
    seed_by_seed,
)
from greenpose.report.figures.totals import finished_total, grand_total
from greenpose.report.quantities import PER_1000, PER_MILLION
from greenpose.report.ranking import (
    alternative,
    energy_share,
    known,
    most_accurate,
    reaches_zero,
    unlike_best,
    useful,
)
from greenpose.report.study import Point, Study, energy_kind

_RANGE_ONLY = 2
"""Runs of which the interval is the range, which is no 95 % interval."""
_IN_FULL = 100
"""Seeds or subjects from which on the number that is missing has two digits."""
_SMALL = 0.1
"""Joules or grams below which they take a prefix."""


def headline(study: Study) -> list[str]:
    """Return the answer, the bill, and what to mind, in this order; the last is left out where nothing is."""
    minded = caveats(study)
    bill = [_bill(study)] if study.records or study.failures else []
    return [f"{_answer(study)}{_file(study)}", *bill, *([f"Mind that {'; '.join(minded)}."] if minded else [])]


def _file(study: Study) -> str:
    """Return what the exported model to use comes to, as a further sentence; empty where there is none to use."""
    answer = recommend(study) if study.artefacts else None
    if answer is None or answer.choice is None or answer.file is None:
        return ""
    file, best, share = answer.file, answer.choice.best, answer.share * PERCENT
    less = file.less_ap(best)
    return (
        f" Of its exported models use {file.label}: {kind_mark(share.kind)}{share.text()}{NBSP}% of the energy of "
        f"{_name(best)} in torch float32, AP {less.text(most_decimals=1)} percentage points beside it."
    )


def _answer(study: Study) -> str:
    if not study.records:
        return "No run finished, so there is nothing to compare."
    if not study.points:
        return "No exit was given, so that there is none to choose; this is what it cost."
    if not study.scored:
        reason = study.points[0].figure(study.accuracy).missing
        known_ = f"{study.accuracy.label} was not measured ({reason})"
        return f"{known_}, so no exit can be preferred; {_cost_of_cheapest(study)}."
    if all(reaches_zero(point) for point in study.scored):
        return f"{_nothing_learnt(most_accurate(study))}; {_cost_of_cheapest(study)}."
    return _preference(study, most_accurate(study), useful(study))


def _preference(study: Study, best: Point, useful: Sequence[Point]) -> str:
    """Return what to deploy, that this is open, or that no exit is good enough."""
    metric, below = study.accuracy, study.accuracy.below
    if not useful:
        return (
            f"No exit is recommended: {_the_best(best)}, {_ap(best)} ({_name(best)}), is {below} {_floor(study)}, the "
            f"floor of usefulness; {_cost_of_cheapest(study)}."
        )
    if len(study.scored) == 1:
        alone = "there is no other exit" if len(study.points) == 1 else f"no other exit has {_a(metric)}"
        return f"{_name(best)} reaches {metric.words} {_ap(best)} with {_costs(best)}; {alone} to compare it with."
    if useful == [best]:
        return f"Deploy {_name(best)}, the only exit that reaches {_floor(study)} ({_ap(best)}): {_costs(best)}."
    other, verdict = alternative(study, best)
    return _comparison(study, best, other, verdict) if other else _undercut(study, best)


def _comparison(study: Study, best: Point, other: Point, verdict: NonInferiority) -> str:
    """Compare the most accurate exit with a smaller one."""
    price = _shares(study, other, best)
    metric = study.accuracy
    paired = " seed by seed" if seed_by_seed(other, best, metric)[0] else ""
    less = unlike_best(other, best).change.text(most_decimals=metric.most_decimals)
    change = f"a difference of {less} {metric.points_in_full}{paired}"
    if verdict == "within":
        return (
            f"Deploy {_name(other)}: at {_costs(other)} it takes {price} of {_name(best)}, the most accurate exit, and "
            f"its {metric.words} keeps within the margin of {_margin(study)}, {_ap(other)} against {_ap(best)}, "
            f"{change}."
        )
    if verdict == "open":
        return (
            f"Open: {_name(best)} has {_the_best(best)}, {_ap(best)} at {_costs(best)}, and whether {_name(other)} "
            f"keeps within the margin of {_margin(study)} at {price} is not settled, {_ap(other)}, {change}; "
            f"{settling(study, best, other)}."
        )
    beyond = f"{_ap(other)}, more than the margin of {_margin(study)} {metric.below}"
    kept = f"comes to {beyond}," if metric.signed else f"keeps {_kept(other, best)} of that {metric.words} ({beyond})"
    return (
        f"Deploy {_name(best)} for {_the_best(best)}, {_ap(best)} at {_costs(best)}; for less compute {_name(other)} "
        f"{kept} at {price}."
    )


def settling(study: Study, best: Point, other: Point) -> str:
    """Return what would settle whether an exit keeps within the margin: how many more test subjects or seeds."""
    if interval_of(best, other, best.accuracy) is None:
        two = any(len(point.group.runs) == _RANGE_ONLY for point in (best, other))
        return "a third seed would give an interval" if two else "three seeds of each would give an interval"
    more = more_to_settle(best, other, best.accuracy, margin=study.margin)
    if more is None:
        return "it lies on the margin, so no number of seeds or test subjects would settle it"
    unit, count = more
    number = exact(count) if count < _IN_FULL else plain(count, 2)
    return f"about {number} more {unit}{'' if count == 1 else 's'} would settle it if the difference stays as it is"


def _margin(study: Study) -> str:
    points = study.accuracy.points_in_full
    one = study.margin == 1 and points.endswith("points")
    return f"{study.margin:g}{NBSP}{points.removesuffix('s') if one else points}"


def _floor(study: Study) -> str:
    return f"{study.accuracy.words} {study.floor:g}{study.accuracy.suffix}"


def _undercut(study: Study, best: Point) -> str:
    """Return the sentence about an exit that is most accurate and that no other undercuts."""
    others = [point for point in study.scored if point != best]
    smallest = all(known(point, MACS) > known(best, MACS) for point in others)
    claim = "the fewest MACs" if smallest else "no more MACs than any other"
    start = (
        f"Deploy {_name(best)}, which of {len(study.scored)} exits has {_the_best(best)} ({_ap(best)}) and needs "
        f"{claim}: {_costs(best)}"
    )
    verdicts = {_name(point): unlike_best(point, best).verdict for point in others}
    equal = [name for name, verdict in verdicts.items() if verdict == "same"]
    alike = [name for name, verdict in verdicts.items() if verdict == "alike"]
    words = best.accuracy.words
    ties = f"; {listed(equal)} {'has' if len(equal) == 1 else 'have'} the same {words}" if equal else ""
    if alike:
        ties += f"; {listed(alike)} {'is' if len(alike) == 1 else 'are'} not distinguishable from it in {words}"
    return f"{start}{ties or _doubt([best, *others])}."


def _doubt(points: Sequence[Point]) -> str:
    """Return why a difference from the first of these exits may be chance; empty where an interval denies it."""
    first, *others = points
    if any(unlike_best(other, first).verdict == "bare" for other in others):
        return "; without intervals this may be chance"
    return "; two seeds do not rule out chance" if _ranges(points) else ""


def _ranges(points: Sequence[Point]) -> bool:
    return any(len(point.group.runs) == _RANGE_ONLY for point in points)


def _nothing_learnt(best: Point) -> str:
    words = best.accuracy.label
    if known(best, best.accuracy) == 0:
        return f"{words} is 0 at every exit, so the exits differ in cost only"
    highest = f"highest: {_name(best)}, {_ap(best)}"
    return f"{words} is not distinguishable from 0 at any exit ({highest}), so accuracy tells nothing"


def _cost_of_cheapest(study: Study) -> str:
    """Return what the exit with the fewest MACs costs, as a share of the one with the most."""
    cheap = min(study.points, key=lambda point: known(point, MACS))
    dear = max(study.points, key=lambda point: known(point, MACS))
    if cheap == dear:
        return f"{_name(cheap)} costs {_costs(cheap)}"
    return f"{_name(cheap)} costs {_shares(study, cheap, dear)} of {_name(dear)}"


def _bill(study: Study) -> str:
    total, symbol = grand_total(study), kind_mark(energy_kind(study))
    parts = [plural(len(study.records), "finished run")] if study.records else []
    if study.failures:
        parts.append(plural(len(study.failures), "run") + " that did not finish")
    grams = f"{symbol}{plain(total.co2eq_g)}{NBSP}gCO2eq"
    if total.unknown:
        grams = f"at least {grams}" if total.co2eq_g else "emissions that are not known"
    hours = f"{plain(total.seconds / 3600)}{NBSP}h" if total.seconds >= 3600 else f"{plain(total.seconds)}{NBSP}s"
    energy = f"{symbol}{with_prefix(total.energy_kwh * 1e3, 'Wh').replace(' ', NBSP)}"
    return f"In all, {listed(parts)} took {hours}, {energy} and {grams}{_making(study)}."


def _making(study: Study) -> str:
    """Return the finished runs' share of making the machine, where all of them know it."""
    grams = finished_total(study).embodied_g
    if grams is None:
        return ""
    least = "at least " if study.failures else ""
    return f", not counting {least}{kind_mark('modelled')}{plain(grams)}{NBSP}gCO2eq for making the machine"


def _name(point: Point) -> str:
    return point.group.label if len(point.group.exits) == 1 else point.label


def _ap(point: Point) -> str:
    metric = point.accuracy
    return f"{point.figure(metric).text(most_decimals=metric.most_decimals)}{metric.suffix}"


def _the_best(point: Point) -> str:
    return f"the {point.accuracy.best} {point.accuracy.words}"


def _a(metric: Metric) -> str:
    return f"{'an' if metric.words[:1].lower() in 'aeiou' else 'a'} {metric.words}"


def _kept(other: Point, best: Point) -> str:
    return percent(known(other, other.accuracy) / known(best, best.accuracy))


def _costs(point: Point) -> str:
    parts = [with_prefix(known(point, MACS) / MACS.scale, MACS.recorded).replace(" ", NBSP)]
    for figure, unit, per in ((ENERGY, "J", "image"), (CO2, "gCO2eq", PER_1000)):
        each = point.figure(figure)
        if each.value is not None:
            factor, name = prefix(each.value) if each.value < _SMALL else (1.0, "")
            letter, of = ("m", PER_MILLION) if name == "µ" and figure is CO2 else (name, per)
            said = f"{(each * (1 / factor)).text()}{NBSP}{letter}{unit} per {of.replace(' ', NBSP)}"
            parts.append(f"{kind_mark(each.kind)}{said}")
    return listed(parts)


def _shares(study: Study, part: Point, whole: Point) -> str:
    """Return `61 % of the MACs and ≈68.2 ±1.0 % of the energy per image`."""
    parts = [f"{percent(known(part, MACS) / known(whole, MACS))} of the MACs"]
    energy = energy_share(study, part, whole) * PERCENT
    if energy.value is not None:
        text = energy.text(digits=2)
        saves = (energy.type_a.high if energy.type_a else energy.value) < PERCENT
        parts.append(
            f"{kind_mark(energy.kind)}{text}{NBSP}% of the energy per image{'' if saves else ' (no saving is shown)'}"
        )
    return listed(parts)
