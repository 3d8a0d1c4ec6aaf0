"""Hosts: what an experiment's runs on several of them have in common, and costs beside another exit's on the same one.

Joules of two hosts are never averaged. Ratios on one host are: what is the host's own cancels in them.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from greenpose.formatting import plural
from greenpose.intervals import Bounds
from greenpose.metrics import ENERGY, MACS
from greenpose.quantity import Quantity, missing, over_runs, ratio
from greenpose.report.differences import share
from greenpose.report.labels import host_of, natural
from greenpose.report.study import Group, Point, Study, over_settings

FEWEST_HOSTS = 3
"""Hosts from which on the interval of a mean over them is Student's t."""


def hosts_of(study: Study) -> dict[str, list[str]]:
    """Return every host of the page, by what tells it apart, with the letters of the settings that it ran."""
    found: dict[str, list[str]] = {}
    for letter, run in study.settings.items():
        found.setdefault(host_of(run), []).append(letter)
    return found


def across_hosts(study: Study) -> Study:
    """Return the study with an experiment's runs of all hosts as one group; itself where they are of one host.

    Accuracy and size are then of all of them, a seed that several hosts ran counting once; what depends on the machine
    is missing, but for its ratios on one host (`ratios_by_host`).
    """
    if len(hosts_of(study)) < 2:
        return study
    groups: list[Group] = []
    for label, parts in over_settings(study):
        once = {run.seed: run for part in reversed(parts) for run in reversed(part.runs)}
        runs = tuple(once[seed] for seed in sorted(once))
        whole = replace(parts[0], label=label, runs=runs, setting="", parts=parts)
        groups.append(whole if len(parts) > 1 else parts[0])
    return replace(study, groups=tuple(sorted(groups, key=lambda group: natural(group.label))))


def ratios_by_host(part: Point, whole: Point) -> list[tuple[Group, Quantity]]:
    """Return energy per image at one exit over that at another one, with the group, in each setting that ran both.

    Nodes that were shared with other jobs are left out: their energy is no host's.
    """
    wholes = {group.setting: group for group in parts_of(whole.group)}
    return [
        (group, on_one_host(Point(group=group, exit=part.exit), Point(group=other, exit=whole.exit)))
        for group in parts_of(part.group)
        if (other := wholes.get(group.setting)) and not is_shared(group)
    ]


def on_one_host(part: Point, whole: Point) -> Quantity:
    """Return energy per image at one exit over that at another, within blocks of calls where one run has both."""
    if part.group == whole.group and whole.final:
        return share(part, ENERGY)
    return ratio(part.figure(ENERGY), whole.figure(ENERGY))


def over_hosts(ratios: Sequence[tuple[Group, Quantity]]) -> Quantity:
    """Return the mean over hosts of the ratios in each setting, those of one host's settings first averaged.

    The interval holds how hosts differ, and is never narrower than their own intervals make that of a mean: Student's t
    from three hosts on; for two it reaches from the lowest to the highest end of theirs.
    """
    by_host: dict[str, list[Quantity]] = {}
    for group, each in ratios:
        if each.value is not None:
            by_host.setdefault(host_of(group.runs[0]), []).append(each)
    if not by_host:
        return next((each for _, each in ratios), missing("no host ran both, so that there is no ratio"))
    return mean_of_hosts([over_runs(some) for some in by_host.values()])


def mean_of_hosts(found: Sequence[Quantity]) -> Quantity:
    """Return the mean of one ratio for each host, with its interval as `over_hosts` says."""
    mean = over_runs(found)
    if len(found) < 2:
        return mean
    ends = [each.type_a or Bounds(each.known, each.known) for each in found]
    if len(found) < FEWEST_HOSTS:
        low, high = min(low for low, _ in ends), max(high for _, high in ends)
    else:
        own = math.hypot(*((high - low) / 2 for low, high in ends)) / len(found)
        half = max(own, mean.known - mean.type_a.low if mean.type_a else 0.0)
        low, high = mean.known - half, mean.known + half
    return replace(
        mean,
        method=f"mean over {plural(len(found), 'host')} of ratios on one host",
        type_a=Bounds(low, high) if high > low else None,
        type_b=None,
    )


def reference(study: Study) -> Point | None:
    """Return the exit that others are held against on its own host: run on most hosts, then the dearest by MACs.

    `study` has its hosts together (`across_hosts`). None where no exit was metered on two hosts. Energy chooses
    nothing: which host drew how much cannot change what all are held against.
    """
    hosts = [{host_of(each.runs[0]) for each in metered(point) if not is_shared(each)} for point in study.points]
    several = [(len(some), point) for some, point in zip(hosts, study.points, strict=True) if len(some) > 1]
    if not several:
        return None
    _, found = max(several, key=lambda each: (each[0], each[1].figure(MACS).value or 0.0))
    return found


def metered(point: Point) -> list[Group]:
    """Return the groups, each of one setting, in which an exit's energy is known."""
    parts = parts_of(point.group)
    return [group for group in parts if Point(group=group, exit=point.exit).figure(ENERGY).value is not None]


def is_shared(group: Group) -> bool:
    """Return whether other jobs may have been at work on the node."""
    return any(run.process.get("shared_node") for run in group.runs)


def parts_of(group: Group) -> tuple[Group, ...]:
    """Return a group's runs by setting."""
    return group.parts or (group,)
