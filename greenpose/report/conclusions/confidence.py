"""Three lights of the first screen: how sure the saving is, how sure the accuracy, and how sure joules and grams.

Levels are words as well as colours. A saving is as sure as its interval is narrow, accuracy as the margin is settled,
joules as the worst grade among the runs.
"""

from greenpose.formatting import plural, truly
from greenpose.intervals import Bounds
from greenpose.metrics import AP, ENERGY, MACS, PERCENT
from greenpose.quantity import Quantity
from greenpose.report.conclusions.screen_words import (
    accuracy_tile,
    beside_words,
    both_ends,
    change_words,
    interval_words,
    lost_words,
    people,
    share_words,
    tested_words,
)
from greenpose.report.deployment import Recommendation
from greenpose.report.differences import FEWEST_PAIRS, interval_of
from greenpose.report.hosts import metered
from greenpose.report.ranking import Preference, gained, known, most_accurate
from greenpose.report.study import Point, Study

SURE_WITHIN = 5.0
"""Half the interval of a saving, in percentage points, up to which it is sure."""
LIKELY_WITHIN = 20.0
"""The same up to which it is likely."""
SURE, LIKELY, ROUGH = "Sure", "Likely", "Rough"
"""How far a statement of the first screen can be trusted."""
ALTERNATELY = "so errors of the method cancel"
"""Why a ratio is surer than what it is of."""
NONE, UNKNOWN = "No", "Unknown"
"""What stands there where nothing is stated."""


def saving_light(answer: Recommendation) -> dict[str, str]:
    """Return how sure the saving is."""
    found, share = answer.choice, answer.share
    if answer.file:
        return _surely(share, f"The file took turns with the exits in torch, {ALTERNATELY}")
    if found is None:
        why = "No exit is accurate enough to be used." if answer.study.scored else "Accuracy was not measured."
        return _light(NONE, "saving", why)
    told, whole = found.told, found.whole
    if whole is None:
        useless = "No cheaper exit is known to be useful."
        return _light(NONE, "saving", "Cheaper exits lose too much accuracy." if found.other else useless)
    if share.value is None:
        ratio = known(told, MACS) / known(whole, MACS)
        words = f"MACs are counted exactly, {change_words(ratio)}; energy was not compared: {share.missing}."
        return _light(SURE, "the compute saved", words)
    how = "The exits were measured in separate runs"
    if told.group == whole.group and whole.final:
        how = f"Both exits were measured alternately, {ALTERNATELY}"
    return _surely(share, how, f"what {beside_words(told, whole)} would save" if found.is_open else "the saving")


def _surely(share: Quantity, how: str, about: str = "the saving") -> dict[str, str]:
    if share.type_a is None:
        return _light(ROUGH, about, f"{how}, without an interval.")
    level = level_of(share)
    narrow = "" if ALTERNATELY in how else "; the interval is narrow"
    return _light(level, about, f"{how} ({share_words(share)}){narrow if level == SURE else '; the interval is wide'}.")


def level_of(share: Quantity) -> str:
    """Return how sure a saving is, by the interval of its share; MACs, where energy has none, are counted."""
    if share.value is None:
        return SURE
    if share.type_a is None or share.type_a.high >= 1:
        return ROUGH
    half = PERCENT * share.half_width
    return SURE if half <= SURE_WITHIN else LIKELY if half <= LIKELY_WITHIN else ROUGH


def _light(level: str, about: str, words: str) -> dict[str, str]:
    return {"level": level, "about": about, "words": words}


def accuracy_light(answer: Recommendation) -> dict[str, str]:
    """Return how sure it is that accuracy holds, and on whom it was tested."""
    study, found = answer.study, answer.choice
    tested = tested_words(study.records[0]) + (f", {plural(seeds, 'seed')}" if (seeds := fewest_seeds(found)) else "")
    made_up = any(each.dataset.get("source") == "synthetic" for each in study.records)
    unreal = " Test images are synthetic." if made_up else ""
    if found is None:
        return _refused(study, tested, unreal)
    if answer.file:
        lost = lost_words(answer.file.less_ap(found.best), AP)
        words = f"{tested}, the file itself: {lost}; the margin is {study.margin:g}.{unreal}"
        return _light(LIKELY if made_up or seeds < FEWEST_PAIRS else SURE, "accuracy holds", words)
    if found.other is None:
        words = f"{tested}: {accuracy_tile(found.best, found.best)['note']}.{unreal}"
        return _light(LIKELY if found.best.figure(study.accuracy).type_a else ROUGH, "the accuracy", words)
    metric = study.accuracy
    ends = interval_of(found.best, found.other, metric)
    if ends is None:
        return _light(ROUGH, "the accuracy", f"{tested}: no interval of the loss.{unreal}")
    lost = both_ends(Bounds(-ends[1], -ends[0]), "gained", "lost", metric).removesuffix(" lost")
    beyond = found.verdict == "beyond"
    at = f" at {beside_words(found.other, found.best)}" if beyond else ""
    itself = (
        f"{people(found.best.figure(metric))} ({accuracy_tile(found.best, found.best)['note']}); " if beyond else ""
    )
    words = f"{tested}: {itself}{lost} {metric.points} lost{at}; the margin is {study.margin:g}.{unreal}"
    about = {"within": "accuracy holds", "open": "whether accuracy holds"}.get(
        found.verdict, "cheaper exits lose accuracy"
    )
    settled = LIKELY if made_up or seeds < FEWEST_PAIRS else SURE
    return _light(ROUGH if found.verdict == "open" else settled, about, words)


def _refused(study: Study, tested: str, unreal: str) -> dict[str, str]:
    """Return how sure it is that no exit reaches the floor: by the upper end of the best one's interval."""
    if not study.scored:
        return _light(ROUGH, "the accuracy", f"{tested}; accuracy was not measured.{unreal}")
    metric = study.accuracy
    best = most_accurate(study).figure(metric)
    reached = gained(best, metric).type_a
    clear = reached is not None and reached.high < metric.gain(study.floor)
    words = f"{tested}: the best {metric.words} is {people(best)} ({interval_words(best, metric)})"
    floor = f"the floor is {study.floor:g}{metric.suffix}"
    return _light(SURE if clear else ROUGH, "no exit is accurate enough", f"{words}; {floor}.{unreal}")


def fewest_seeds(found: Preference | None) -> int:
    """Return how often the less often trained one of the two exits was trained."""
    points = [point for point in (found.best, found.other) if point] if found else []
    return min((len(point.group.runs) for point in points), default=0)


def absolutes_light(answer: Recommendation) -> dict[str, str]:
    """Return how far joules and grams can be trusted, by the worst grade; of the exits that are told of, if any."""
    study, found = answer.study, answer.choice
    grade = max(run.grade for run in study.records)
    level = {"A": SURE, "B": LIKELY}.get(grade, ROUGH)
    points = [found.told, found.whole or found.told] if found else study.points
    energies = [Point(group=each, exit=point.exit).figure(ENERGY) for point in points for each in metered(point)]
    known_errors = [each.factors for each in energies if each.factors]
    source = {"A": "Read from power counters", "B": "In part read from counters"}.get(grade, "No power meter here")
    if not energies:
        return _light(UNKNOWN, "joules and grams", "Energy per image was not measured.")
    if not known_errors:
        return _light(level, "joules and grams", f"{source}.")
    low, high = min(low for low, _ in known_errors), max(high for _, high in known_errors)
    crowded = " Other jobs shared the machine." if any(each.disturbed for each in energies) else ""
    words = f"{source}: {truly(low, high)} what is shown.{crowded}"
    return _light(ROUGH if crowded else level, "joules and grams", words)
