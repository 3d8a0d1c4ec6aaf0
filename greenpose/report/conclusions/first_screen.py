"""The first screen: what to deploy, what that saves, how sure it is, and what it took to find out, for people.

Numbers have two significant digits and a prefix under which they read between 1 and 1000; the full ones stand below.
"""

from collections import Counter
from typing import Any

from greenpose.formatting import (
    JOULES_PER_KWH,
    NBSP,
    co2eq_g,
    percent,
    plain,
    plural,
    prefix,
    with_prefix,
)
from greenpose.metrics import AP, ENERGY, MACS
from greenpose.quantity import Quantity, kind_mark
from greenpose.record import Record
from greenpose.report.comparison import Changes
from greenpose.report.conclusions.confidence import (
    ROUGH,
    absolutes_light,
    accuracy_light,
    fewest_seeds,
    level_of,
    saving_light,
)
from greenpose.report.conclusions.headline import settling
from greenpose.report.conclusions.savings import measured
from greenpose.report.conclusions.screen_words import (
    accuracy_tile,
    beside_words,
    change_words,
    exit_words,
    lost_words,
    people,
    points_words,
    share_words,
    tested_words,
    tile_name,
)
from greenpose.report.deployment import Deployment, Recommendation, tried_words
from greenpose.report.figures.totals import grand_total, paid_of
from greenpose.report.figures.what_if import DEFAULT
from greenpose.report.hosts import across_hosts
from greenpose.report.ranking import (
    Preference,
    cost_figure,
    energy_share,
    improvement,
    known,
    most_accurate,
    reaches_zero,
)
from greenpose.report.study import Point, Study, energy_kind

LAMP_W = 10.0
"""Power of the lamp that energy is told in: about that of an LED bulb which gives the light of a 75 W one."""


def first_screen(compared: Study, answer: Recommendation, changed: Changes | None) -> dict[str, Any]:
    """Return what the template shows above the fold: identity, verdict, what follows from it, tiles and lights."""
    exits = bool(answer.study.points)
    return {
        "identity": _identity(compared),
        "synthetic": any(run.dataset.get("source") == "synthetic" for run in compared.records),
        "verdict": changed.verdict if changed else verdict(answer),
        "advice": _on_the_second_side(verdict(answer)) if changed else _advice(answer),
        "of": _told_of(answer),
        "tiles": [*(_of_exits(answer) if exits else []), *_bill(compared)],
        "lights": [saving_light(answer), accuracy_light(answer), absolutes_light(answer)] if exits else [],
    }


def _identity(compared: Study) -> str:
    """Return `11 networks × 3 seeds · 60 test subjects · ITA grid · 2026-11-25`."""
    if not compared.records:
        return plural(len(compared.failures), "run") + " that did not finish"
    runs = compared.records
    seeds = max(len(each) for each in _seeds_by_side(compared))
    networks = len({group.name if group.side else group.label for group in across_hosts(compared).groups})
    failed = f", {plural(len(compared.failures), 'run')} failed" if compared.failures else ""
    parts = [f"{plural(networks, 'network')} × {plural(seeds, 'seed')}{failed}", *_once(map(_data, runs))]
    if not compared.points:
        named = _once(str(run.dataset["source"]) for run in runs if "source" in run.dataset)
        parts = [f"{plural(len(runs), 'run')}{failed}", *named]
    for word, times in Counter(word for run in runs for word in _choices(run)).items():
        parts.append(word if times == len(runs) else f"{plural(times, 'run')} {word}")
    parts += [f"{'/'.join(_once(run.carbon.country for run in runs))} grid", max(run.finished_at for run in runs)[:10]]
    return " · ".join(parts)


TWICE = "tested with mirrored images, each computed twice"


def _choices(run: Record) -> list[str]:
    """Return what of a run is not the paper's: decoding, augmented training images, test images computed twice."""
    data, train = (run.config.get(part) or {} for part in ("data", "train"))
    decode, augment = data.get("decode"), train.get("augment")
    decoded = [f"decoded by {str(decode).upper()}"] if decode not in (None, "quarter") else []
    twice = [TWICE] if any(entry.passes > 1 for entry in run.exits) else []
    return [*decoded, *(["augmented"] if augment is not None else []), *twice]


def _seeds_by_side(compared: Study) -> list[set[int]]:
    """Return the seeds of each side; of all runs where they are one set."""
    sides = dict.fromkeys(group.side for group in compared.groups)
    return [{run.seed for group in compared.groups if group.side == side for run in group.runs} for side in sides]


def _once(words: Any) -> list[str]:
    return list(dict.fromkeys(words))


def _data(run: Record) -> str:
    source = str(run.dataset.get("source") or "unnamed data")
    if source == "synthetic":
        return tested_words(run)
    return f"{source}, {tested_words(run)}"


def verdict(answer: Recommendation) -> str:
    """Return what to deploy in at most 15 words, a name counting as one; `Open` where the records do not settle it."""
    study, file = answer.study, answer.file
    if file:
        saved = percent(1 - answer.share.known)
        return f"Use {exit_words(file.point)}, {file.how}: {saved} less energy, almost the same accuracy."
    if answer.choice:
        return _preferred(answer, answer.choice)
    if not study.scored:
        return _not_scored(study)
    if all(map(reaches_zero, study.scored)):
        return "Open: no exit has learnt anything yet; they differ in cost only."
    metric = study.accuracy
    best = people(most_accurate(study).figure(metric))
    return f"Use none: the best {metric.words}, {best}, is {metric.below} the floor of {study.floor:g}{metric.suffix}."


def _not_scored(study: Study) -> str:
    if not study.records:
        return "No run finished, so there is nothing to compare."
    if not study.points:
        return "This is the bill; no exit was given to choose between."
    return "Open: accuracy was not measured, so no exit can be preferred."


def _preferred(answer: Recommendation, found: Preference) -> str:
    best, other, rough = found.best, found.other, level_of(answer.share) == ROUGH
    if len(answer.study.scored) == 1:
        return f"Nothing to compare: {exit_words(best)} is the only exit with an accuracy."
    if found.told == best and found.whole is not None:
        saved, beside = _saved_words(answer.study, best, found.whole, answer.share), beside_words(found.whole, best)
        saves = "may save" if rough else "saves"
        return f"Use {exit_words(best)}: the most accurate, and it {saves} {saved} beside {beside}."
    if other is None:
        return f"Use {exit_words(best)}: the most accurate, and nothing useful is cheaper."
    if found.verdict == "beyond":
        return f"Use {exit_words(best)}: cheaper exits lose too much accuracy."
    saved = _saved_words(answer.study, other, best, answer.share)
    if found.verdict == "within":
        return f"Use {exit_words(other)}: it saves {saved} at almost the same accuracy."
    would = f"{'might' if rough else 'would'} save {saved}"
    return f"Open: use {exit_words(best)} for now; {beside_words(other, best)} {would}."


def _on_the_second_side(said: str) -> str:
    return f"On the second side, {said[0].lower()}{said[1:]}"


def _advice(answer: Recommendation) -> str:
    """Return the line below the verdict: against what it is meant, or what to do until it is settled."""
    shown, found, exported = answer.study, answer.choice, tried_words(answer)
    if found and answer.file:
        return f"{_of_exit_alone(shown, found, answer.file)} {exported}".strip()
    if found is None or found.other is None:
        return exported
    if found.verdict == "open":
        closing = settling(shown, found.best, found.other).removesuffix(" if the difference stays as it is")
        tested = f"{tested_words(shown.records[0])} and {plural(fewest_seeds(found), 'seed')}"
        most = f"more than {shown.margin:g}{NBSP}{shown.accuracy.points}"
        open_ = f"{tested} cannot tell whether it loses {most}; {closing}."
        return f"{open_} {exported}".strip()
    if found.verdict == "beyond":
        return f"{_cheaper(shown, found.other, found.best)} {exported}".strip()
    return exported


def _of_exit_alone(study: Study, found: Preference, file: Deployment) -> str:
    """Return how much of what a file saves is its exit's, in torch too; empty where it is the most accurate exit's."""
    share = energy_share(study, file.point, found.best)
    if file.point == found.best or share.value is None or share.value >= 1:
        return ""
    return f"In torch exit{NBSP}{file.point.exit} saves {percent(1 - share.value)}; the rest is {file.how}."


def _cheaper(study: Study, other: Point, best: Point) -> str:
    """Return what the best of the cheaper exits would save, and why it is not to be used."""
    saved = f"saves {_saved_words(study, other, best, energy_share(study, other, best))}"
    metric, change = study.accuracy, improvement(other, best).known
    lost = f"{points_words(-change, metric)} {metric.points}"
    name = beside_words(other, best)
    return f"The best of the cheaper ones, {name}, {saved} but loses {lost}; the margin is {study.margin:g}."


def _told_of(answer: Recommendation) -> str:
    """Return which exit the tiles are about, and against which: a reader must not take it for the one to use."""
    found, file = answer.choice, answer.file
    if found and file:
        return f"With {file.label} instead of {beside_words(found.best, file.point)} in torch float32:"
    if found is None or (found.other is None and found.whole is None):
        return ""
    told, whole = found.told, found.whole
    if whole is None:
        return f"With {exit_words(told)}:"
    if found.is_open:
        return f"For now {beside_words(whole, told)} → perhaps {beside_words(told, whole)}:"
    return f"With {beside_words(told, whole)} instead of {beside_words(whole, told)}:"


def _of_exits(answer: Recommendation) -> list[dict[str, Any]]:
    """Return the tiles about accuracy, energy and emissions of the exit, or the file, that is told of."""
    found, study = answer.choice, answer.study
    if found and answer.file:
        return [_file_tile(answer.file, found.best), *_cost_tiles(answer, answer.file.point, found.best)]
    if found is None:
        told = most_accurate(study) if study.scored else min(study.points, key=lambda point: known(point, MACS))
        return [accuracy_tile(told, told), *_cost_tiles(answer, told, told)]
    tile = accuracy_tile(found.told, found.best, is_open=found.is_open)
    return [tile, *_cost_tiles(answer, found.told, found.whole or found.told, is_open=found.is_open)]


def _file_tile(file: Deployment, best: Point) -> dict[str, Any]:
    """Return the accuracy of a file: that of its exit, and what the file changes of it."""
    ap, most = known(file.point, AP) + file.ap_change.known, known(best, AP)
    return {
        "name": tile_name(AP),
        "value": f"{plain(ap, 2)}{NBSP}%",
        "aside": f"(best: {plain(most, 2)}{NBSP}%)",
        "share": min(1.0, ap / most),
        "note": lost_words(file.less_ap(best), AP),
    }


def _cost_tiles(answer: Recommendation, told: Point, best: Point, *, is_open: bool = False) -> list[dict[str, Any]]:
    """Return energy of an image, or MACs where it was not metered, and the emissions of a camera in a year.

    While the choice is open the numbers of the exit to use for now come first, then those that it might come to.
    """
    share, file = answer.share, answer.file
    energy = told.figure(ENERGY) if file is None else best.figure(ENERGY) * share.known
    itself = file is None and told == best
    if energy.value is None:
        why = f"energy: {energy.missing or 'not measured'}" if itself or not share.value else _on_its_host(share)
        return [_compute_tile(told, best, why, is_open=is_open)]
    each = _joules(energy)
    first = best.figure(ENERGY) if is_open else energy
    tile: dict[str, Any] = {"name": "Energy per image", "value": _joules(first)}
    if itself or share.value is None:
        tile |= {"note": _truly(first, "J") if itself else share.missing}
    elif is_open and first.value is not None:
        saved = f"{change_words(share.value)}, {share_words(share)}"
        tile |= {"aside": f"→ {each}", "share": min(1.0, share.value), "note": _joined(saved, _both_truly(energy))}
    else:
        tile |= {
            "value": change_words(share.value),
            "aside": each,
            "share": min(1.0, share.value),
            "note": _joined(share_words(share), _truly(energy, "J")),
        }
    return [tile, _camera(answer.study, told, best, energy, is_open=is_open)]


def _joules(energy: Quantity) -> str:
    return f"{kind_mark(energy.kind)}{with_prefix(energy.value or 0.0, 'J', 2)}".replace(" ", NBSP)


def _compute_tile(told: Point, best: Point, why: str, *, is_open: bool) -> dict[str, Any]:
    """Return MACs of an image, and why there are no joules beside them."""
    each, most = (with_prefix(known(point, MACS) / MACS.scale, "MACs", 2) for point in (told, best))
    ratio = known(told, MACS) / known(best, MACS)
    value, aside = (change_words(ratio), each) if told != best else (each, "")
    if is_open:
        value, aside, why = most, f"→ {each}", f"{change_words(ratio)} · {why}"
    return {"name": "Compute per image", "value": value, "aside": aside, "share": ratio, "note": why}


def _on_its_host(share: Quantity) -> str:
    """Return what is told of energy where no joules are, since they would be of several hosts."""
    return f"energy on the same host {change_words(share.known)}, {share_words(share)}"


def _truly(each: Quantity, unit: str, scale: float = 1.0) -> str:
    """Return between what a number lies by its systematic error: `truly ≈2.3 to ≈15 mJ`; empty where not known."""
    if not each.factors:
        return ""
    low, high = (scale * each.known * factor for factor in each.factors)
    (by, name), mark = prefix(high, 2), kind_mark(each.kind)
    return f"truly {mark}{plain(low / by, 2)} to {mark}{plain(high / by, 2)} {name}{unit}"


def _both_truly(each: Quantity) -> str:
    """Return by which factor two numbers of one method are truly off, together: `both truly ×0.34 to 2.0`."""
    return f"both truly ×{' to '.join(plain(factor, 2) for factor in each.factors)}" if each.factors else ""


def _camera(study: Study, told: Point, best: Point, energy: Quantity, *, is_open: bool) -> dict[str, Any]:
    """Return what a camera emits in a year at the rate that the page supposes, at so much energy an image."""
    grams = year_g(told)
    most = grams if best.figure(ENERGY).value is None else year_g(best)
    if energy != told.figure(ENERGY):
        grams *= energy.known / told.figure(ENERGY).known
    mark, rate = kind_mark(energy.kind), f"{plain(DEFAULT.images_per_second, 2)} images a second"
    tile: dict[str, Any] = {
        "name": "CO2eq of one camera, a year",
        "value": f"{mark}{_grams(grams)}",
        "link": "#what-if",
    }
    if grams == most or not most or not study.comparable:
        return tile | {"note": _joined(rate, _truly(energy, "g", grams / energy.known))}
    if is_open:
        tile |= {"value": f"{mark}{_grams(most)}"}
    return tile | {
        "aside": f"→ {mark}{_grams(grams)}" if is_open else f"not {mark}{_grams(most)}",
        "share": min(1.0, grams / most),
        "note": _joined(rate, _both_truly(energy)),
    }


def _joined(*words: str) -> str:
    return " · ".join(filter(None, words))


def year_g(point: Point) -> float:
    """Return the grams of CO2eq that a device at the supposed rate emits in a year, by reading images at this exit."""
    run = point.group.runs[0]
    kwh = point.figure(ENERGY).known * DEFAULT.per_year / JOULES_PER_KWH
    return co2eq_g(kwh, intensity_g_per_kwh=run.carbon.intensity_g_per_kwh, pue=run.carbon.pue)


def _bill(study: Study) -> list[dict[str, Any]]:
    """Return what it took to find out, failed runs included, and the share of it that was measuring."""
    if not study.records and not study.failures:
        return []
    total, mark = grand_total(study), kind_mark(energy_kind(study))
    wh = total.energy_kwh * 1e3
    measuring = sum(paid_of(study, measured))
    share = measuring / total.energy_kwh if total.energy_kwh else 0.0
    lamp = f"a {LAMP_W:g} W lamp for {_lasting(wh / LAMP_W * 3600)}"
    grams = "emissions unknown"
    if total.co2eq_g or not total.unknown:
        grams = f"{'at least ' if total.unknown else ''}{mark}{_grams(total.co2eq_g)} CO2eq"
    value = f"{mark}{with_prefix(wh, 'Wh', 2)}"
    if study.records and not study.points:
        return [{"name": "In all", "value": value, "note": f"{grams} · {lamp}"}]
    return [
        {
            "name": "This experiment, once",
            "value": value,
            "share": share,
            "note": f"{grams} · {percent(share)} was measuring · {lamp}",
        }
    ]


def _saved_words(study: Study, part: Point, whole: Point, share: Quantity) -> str:
    """Return `47 % energy`, or of MACs where energy was not compared."""
    if cost_figure(study) is ENERGY and share.value is not None and share.value < 1:
        return f"{percent(1 - share.value)} energy"
    return f"{percent(1 - known(part, MACS) / known(whole, MACS))} MACs"


def _grams(grams: float) -> str:
    return with_prefix(grams, "g", 2)


def _lasting(seconds: float) -> str:
    """Return how long something lasts, at two digits."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{plain(seconds / length, 2)}{NBSP}{unit}"
    return f"{plain(seconds, 2)}{NBSP}s"
