"""The answer in at most three sentences, made from the data: what accuracy costs, what it all cost, what to mind."""

from collections.abc import Sequence

from greenpose.formatting import NBSP, listed, number, percent, plain, plural
from greenpose.report.estimates import Estimate, overlap, ratio
from greenpose.report.exits import share
from greenpose.report.figures import AP, ENERGY, MACS, TRAIN_ENERGY, Figure, mark, of_record
from greenpose.report.study import Point, Study
from greenpose.report.sureness import not_converged
from greenpose.report.totals import grand_total
from greenpose.units import with_prefix


def headline(study: Study) -> list[str]:
    """Return the answer, the bill, and what to mind, in this order; the last is left out where nothing is."""
    return [sentence for sentence in (_answer(study), _bill(study), _caveats(study)) if sentence]


def cost_figure(study: Study) -> Figure:
    """Return what exits are ranked by: energy per image where all of it was metered in one setting, else MACs."""
    known = all(point.figure(ENERGY).value is not None for point in study.scored)
    return ENERGY if study.comparable and study.scored and known else MACS


def _answer(study: Study) -> str:
    if not study.records:
        return "No run finished, so there is nothing to compare."
    if not study.scored:
        return _without_accuracy(study)
    best = max(study.scored, key=lambda point: (_value(point, AP), -_value(point, MACS)))
    if _value(best, AP) == 0 or _reaches_zero(best):
        return f"{_nothing_learnt(best)}; {_cost_of_cheapest(study)}."
    if len(study.scored) == 1:
        return f"{_name(best)} reaches AP {_ap(best)} with {_costs(best)}; there is no other exit to compare it with."
    cheaper = [point for point in study.scored if _value(point, MACS) < _value(best, MACS)]
    if not cheaper:
        return (
            f"{_name(best)} has the highest AP ({_ap(best)}), and none of all {len(study.scored)} exits needs fewer "
            f"MACs: {_costs(best)}."
        )
    return _comparison(study, best, cheaper)


def _comparison(study: Study, best: Point, cheaper: Sequence[Point]) -> str:
    """Compare the most accurate exit with a smaller one.

    Smaller by MACs, which are exact: the same network metered in two runs would else seem cheaper than itself.
    """
    alike = [point for point in cheaper if overlap(point.figure(AP), best.figure(AP))]
    pool = alike or cheaper
    other = min(pool, key=lambda p: _value(p, MACS)) if alike else max(pool, key=lambda p: _value(p, AP))
    price = _shares(study, other, best)
    both = f"{_ap(other)} against {_ap(best)}"
    if alike:
        return (
            f"{_name(other)} costs {price} of {_name(best)}, the most accurate exit, and is not distinguishable from "
            f"it in AP: {both}, and the 95{NBSP}% intervals overlap."
        )
    doubt = "" if overlap(other.figure(AP), best.figure(AP)) is not None else "; without intervals this may be chance"
    kept = percent(_value(other, AP) / _value(best, AP), 3)
    return (
        f"{_name(other)} keeps {kept} of the AP of {_name(best)}, the most accurate exit ({both}{doubt}), at {price}."
    )


def _without_accuracy(study: Study) -> str:
    reason = study.points[0].figure(AP).missing
    start = f"AP was not measured ({reason}), so no exit can be preferred"
    return f"{start}; {_cost_of_cheapest(study)}."


def _reaches_zero(point: Point) -> bool:
    low = point.figure(AP).low
    return low is not None and low <= 0


def _nothing_learnt(best: Point) -> str:
    if _value(best, AP) == 0:
        return "AP is 0 at every exit, so the exits differ in cost only"
    return (
        f"AP is not distinguishable from 0 at any exit (highest: {_name(best)}, {_ap(best)}), so accuracy tells nothing"
    )


def _cost_of_cheapest(study: Study) -> str:
    """Return what the exit with the fewest MACs costs, as a share of the one with the most."""
    cheap = min(study.points, key=lambda point: _value(point, MACS))
    dear = max(study.points, key=lambda point: _value(point, MACS))
    if cheap == dear:
        return f"{_name(cheap)} costs {_costs(cheap)}"
    return f"{_name(cheap)} costs {_shares(study, cheap, dear)} of {_name(dear)}"


def _bill(study: Study) -> str:
    total = grand_total(study)
    symbol = mark(of_record(study.records[0], TRAIN_ENERGY).kind) if study.records else ""
    parts = [plural(len(study.records), "finished run")] if study.records else []
    if study.failures:
        parts.append(plural(len(study.failures), "run") + " that did not finish")
    grams = f"{symbol}{plain(total.co2eq_g)}{NBSP}gCO2eq"
    if total.unknown:
        grams = f"at least {grams}" if total.co2eq_g else "emissions that are not known"
    hours = f"{plain(total.seconds / 3600)}{NBSP}h" if total.seconds >= 3600 else f"{plain(total.seconds)}{NBSP}s"
    return f"In all, {listed(parts)} took {hours}, {symbol}{with_prefix(total.energy_kwh * 1e3, 'Wh')} and {grams}."


def _caveats(study: Study) -> str:
    if not study.records:
        return ""
    caveats = []
    if any(run.grade == "C" for run in study.records):
        caveats.append("energy is modelled, not measured, so trust its ratios more than its joules and grams")
    if not study.comparable:
        count = len(study.settings)
        caveats.append(f"the runs come from {count} different settings, so time, energy and emissions do not compare")
    if study.scored and all(len(group.runs) == 1 for group in study.groups):
        caveats.append("every experiment ran with one seed, so chance between trainings is in no interval")
    unsettled = not_converged(study)
    if unsettled:
        caveats.append(f"metering stopped before it was as precise as asked for {plural(len(unsettled), 'exit')}")
    return f"Mind that {'; '.join(caveats)}." if caveats else ""


def _name(point: Point) -> str:
    return point.group.label if len(point.group.exits) == 1 else point.label


def _ap(point: Point) -> str:
    return f"{point.figure(AP).text(most_decimals=AP.most_decimals)}{NBSP}%"


def _value(point: Point, figure: Figure) -> float:
    value = point.figure(figure).value
    assert value is not None
    return value


def _costs(point: Point) -> str:
    parts = [f"{plain(_value(point, MACS))}{NBSP}{MACS.unit}"]
    energy = point.figure(ENERGY)
    if energy.value is not None:
        parts.append(f"{mark(energy.kind)}{energy.text()}{NBSP}J per image")
    return listed(parts)


def _shares(study: Study, part: Point, whole: Point) -> str:
    """Return `61 % of the MACs and 68.2 ±1.0 % of the energy per image`."""
    parts = [f"{percent(_value(part, MACS) / _value(whole, MACS))} of the MACs"]
    energy = _energy_share(study, part, whole)
    if energy.value is not None:
        low, high = ((100 * each if each is not None else None) for each in (energy.low, energy.high))
        parts.append(f"{number(100 * energy.value, low, high, digits=2)}{NBSP}% of the energy per image")
    return listed(parts)


def _energy_share(study: Study, part: Point, whole: Point) -> Estimate:
    if part.group == whole.group and whole.final:
        return share(part, ENERGY)
    if not study.comparable:
        return Estimate(value=None, missing="measured in different settings")
    return ratio(part.figure(ENERGY), whole.figure(ENERGY))
