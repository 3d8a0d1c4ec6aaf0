"""Caveats: what to mind before using the answer: energy that is a model's, settings that differ, seeds, stops, gaps."""

from statistics import fmean

from greenpose.formatting import listed, percent, plural
from greenpose.quantity import DISTURBED
from greenpose.report.hosts import hosts_of, metered, reference
from greenpose.report.study import Point, Study, disturbances, not_converged, short_name, validation_curves

STILL_RISING = 1.0
"""Percentage points by which validation AP rises over the last quarter of training where it has not levelled off."""


def caveats(study: Study) -> list[str]:
    """Return each reason to be careful as a clause; none where there is no run, or no reason."""
    if not study.records:
        return []
    found = (
        _modelled(study),
        _settings(study),
        _gaps(study),
        _seeds(study),
        _known(study),
        _labels(study),
        _stopped(study),
        _rising(study),
        _shared(study),
        _disturbed(study),
        _doubted(study),
        _unsettled(study),
        _lost(study),
        _reused(study),
        _twice(study),
    )
    return [clause for clause in found if clause]


def _modelled(study: Study) -> str:
    grades = {run.grade for run in study.records}
    if grades == {"C"}:
        return "energy is modelled, not measured, so trust its ratios more than its joules and grams"
    if "C" in grades:
        return "the energy of some runs is modelled, not measured"
    if "B" in grades:
        return "energy is in part modelled or estimated, and its joules and grams are no better than that part"
    return ""


def _settings(study: Study) -> str:
    if study.comparable:
        return ""
    if len(study.settings) == 1:
        return "the runs shared their nodes with other jobs, so time, energy and emissions do not compare"
    held, but = reference(study), ""
    if held is not None and len(hosts_of(study)) > 1:
        but = f", but for energy beside {short_name(held)} on the same host"
    apart = f"the runs come from {len(study.settings)} different settings"
    return f"{apart}, so time, energy and emissions do not compare{but}"


def _gaps(study: Study) -> str:
    """Return how many exits lack accuracy, where others have it, and how many lack energy."""
    points = study.points
    if not points:
        return ""
    unscored = len(points) - len(study.scored)
    unmetered = sum(not metered(point) for point in points)
    clauses = []
    if unscored and study.scored:
        clauses.append(
            f"{study.accuracy.words} was not measured for {plural(unscored, 'exit')}, left out of the comparison"
        )
    if unmetered == len(points):
        clauses.append("energy per image was not measured, so exits are compared by MACs")
    elif unmetered:
        clauses.append(f"energy per image was not measured for {plural(unmetered, 'exit')} of {len(points)}")
    return "; ".join(clauses)


def _seeds(study: Study) -> str:
    single = sum(len(group.runs) == 1 for group in study.groups)
    if not study.scored or not single:
        return ""
    if single == len(study.groups):
        return "every experiment ran with one seed, so chance between trainings is in no interval"
    return f"{plural(single, 'experiment')} ran with one seed: no interval there holds chance between trainings"


def _known(study: Study) -> str:
    """Return whether accuracy is of patients whom the network was trained on."""
    most = max(run.dataset.get("shared_subjects", 0) for run in study.records)
    if not most:
        return ""
    both = f"{plural(most, 'subject')} {'is' if most == 1 else 'are'} in training and test both"
    return f"{both}, so {study.accuracy.words} says little of new ones"


def _labels(study: Study) -> str:
    """Return whether accuracy is of different test labels, as far as records tell them."""
    told = {run.dataset.get("annotations_sha256", {}).get("test") for run in study.records} - {None}
    what = "data" if any(run.own for run in study.records) else "annotation files"
    return (
        f"runs were tested on {len(told)} different {what}, so their {study.accuracy.words} does not compare"
        if len(told) > 1
        else ""
    )


def _stopped(study: Study) -> str:
    count = sum(run.stopped == "budget" for run in study.records)
    return f"{plural(count, 'run')} stopped at a budget, before the training was done" if count else ""


def _rising(study: Study) -> str:
    """Return at how many exits validation AP was still on its way up when training ended."""
    risen = [point for point in study.points if rise(point) >= STILL_RISING]
    if not risen:
        return ""
    return (
        f"validation AP was still rising at the end of training at {len(risen)} of {plural(len(study.points), 'exit')} "
        f"(by {STILL_RISING:g} point or more over the last quarter), so longer training may change the answer"
    )


def rise(point: Point) -> float:
    """Return by how many points mean validation AP ended above all that it had been in three quarters of the epochs.

    0 where it was not highest at the end, or the runs were not validated alike.
    """
    told = validation_curves(point)
    epochs = {tuple(epoch for epoch, _ in curve) for curve in told}
    if len(epochs) != 1:
        return 0.0
    (at,) = epochs
    means = [fmean(ap for _, ap in column) for column in zip(*told, strict=True)]
    early = [mean for epoch, mean in zip(at, means, strict=True) if epoch <= 0.75 * at[-1]]
    return means[-1] - max(early) if early and means[-1] == max(means) else 0.0


def _shared(study: Study) -> str:
    count = sum((run.process.get("concurrent_workers") or 1) > 1 for run in study.records)
    return f"{plural(count, 'run')} shared the machine with others, whose load is in time and energy" if count else ""


def _disturbed(study: Study) -> str:
    """Return how many exits were metered while others took more of the CPU than the meter bears, and how much."""
    shares = [tuple(map(max, zip(*disturbances(point), strict=True))) for point in study.points]
    foreign, steal = (max(each) for each in zip((0.0, 0.0), *shares, strict=True))
    took = [f"other processes took up to {percent(foreign)}"] if foreign else []
    took += [f"other guests up to {percent(steal)}"] if steal else []
    if not took:
        return ""
    count = sum(any(each) for each in shares)
    return (
        f"{count} of {plural(len(shares), 'exit')} {'was' if count == 1 else 'were'} metered while {listed(took)} of "
        f"the CPU: {DISTURBED} marks their numbers, of which time is the least certain"
    )


def _doubted(study: Study) -> str:
    """Return in how many runs something is in doubt, and what in the first."""
    doubted = [run for run in study.records if run.doubts]
    if not doubted:
        return ""
    return f"something is in doubt in {plural(len(doubted), 'run')} ({doubted[0].doubts[0]})"


def _unsettled(study: Study) -> str:
    unsettled = not_converged(study)
    if not unsettled:
        return ""
    return f"metering stopped before it was as precise as asked for {plural(len(unsettled), 'exit')}"


def _lost(study: Study) -> str:
    """Return how many runs lost a part of what they metered, so that their totals are too small."""
    count = sum(any(not gap.endswith("the totals hold them") for gap in run.gaps) for run in study.records)
    return f"{plural(count, 'run')} lost a part of the log, so that totals there are too small" if count else ""


def _reused(study: Study) -> str:
    """Return how many runs took over another one's training."""
    names = {run.name for run in study.records}
    count = sum(run.trained_in in names for run in study.records)
    return f"{plural(count, 'run')} took over another one's training, which was paid once" if count else ""


def _twice(study: Study) -> str:
    """Return in how many runs each image of the test was computed twice."""
    count = sum(study.together.each(lambda run: any(entry.passes > 1 for entry in run.exits)))
    which = f"{count} of {plural(len(study.records), 'run')} computed each test image twice, as it is and mirrored"
    return f"{which}, which AP, time, energy and MACs there hold" if count else ""
