"""The lines of the page's header: what was compared, where, on which data, under which grid, by which code."""

import re

from greenpose.formatting import NBSP, exact, listed, plain, plural, span
from greenpose.record import Record
from greenpose.report.labels import seeds, setting_facts
from greenpose.report.study import Study

MANY_NAMES = 24
"""Experiments beyond which not each is named."""

MANY_DOUBTED = 12
"""Runs beyond which not each one's doubts are told; its record tells them."""


def facts(compared: Study) -> list[tuple[str, str]]:
    """Return the lines of the header: what was compared, where, under which grid intensity, by which code."""
    done, failed = len(compared.records), len(compared.failures)
    found = [("Runs", f"{exact(done)}{NBSP}finished, {exact(failed)}{NBSP}not finished")]
    found += [(name.capitalize(), side.name) for name, side in compared.sides.items()]
    if not compared.records:
        return found
    runs = compared.records
    found.insert(
        0,
        (
            "Compared",
            _experiments(compared),
        ),
    )
    found.append(("Seeds", seeds(runs)))
    found += [
        ("Machine" if compared.comparable else f"Setting {letter}", dict(setting_facts(run))["Machine"])
        for letter, run in compared.settings.items()
    ]
    found.append(("Place and grid", "; ".join(dict.fromkeys(place(run) for run in runs))))
    found.append(("Data", "; ".join(dict.fromkeys(data(run) for run in runs))))
    found.append(("Code", "; ".join(dict.fromkeys(code(run) for run in runs))))
    doubted = [f"{run.name}: {'; '.join(run.doubts)}" for run in runs if run.doubts]
    if doubted:
        more = len(doubted) - MANY_DOUBTED
        told = [*doubted[:MANY_DOUBTED], *([f"and {plural(more, 'run')} more"] if more > 0 else [])]
        found.append(("In doubt", ". ".join(told)))
    return found


def _experiments(compared: Study) -> str:
    """Return the names of the experiments, of very many their number."""
    names = list(dict.fromkeys(group.name if group.side else group.label for group in compared.groups))
    return listed(names) if len(names) <= MANY_NAMES else plural(len(names), "experiment")


def place(run: Record) -> str:
    """Return where the run's energy comes from, and what a kWh of it emits."""
    carbon = run.carbon
    country = f"{carbon.country} (country code)" if re.fullmatch("[A-Z]{3}", carbon.country) else carbon.country
    low, high = carbon.intensity_interval.low, carbon.intensity_interval.high
    return (
        f"{country}, {plain(carbon.intensity_g_per_kwh)} [{span(low, high, 3)}] gCO2eq/kWh, {grid_words(run)} "
        f"({carbon.source}, {carbon.vintage}); PUE {plain(carbon.pue)}"
    )


def grid_words(run: Record) -> str:
    """Return what a run's grid intensity is."""
    grids = {"hourly": "the mean of the hours of training", "custom": "the user’s own figure"}
    return grids.get(run.carbon.country, "annual mean")


def data(run: Record) -> str:
    """Return the data set, and how much of it the run was tested on."""
    names = [str(run.dataset[key]) for key in ("source", "profile") if run.dataset.get(key)]
    test, subjects = run.images.get("test", 0), run.subjects.get("test", 0)
    known = f" of {plural(subjects, 'subject')}" if subjects else ""
    return f"{', '.join(names) or 'unnamed'}: {plural(test, 'test image')}{known}"


def code(run: Record) -> str:
    """Return the version of GreenPose, and the commit where it ran from a repository."""
    commit = str(run.git.get("commit") or "")
    state = " with uncommitted changes" if run.git.get("dirty") else ""
    recorded = f"GreenPose {run.software.get('greenpose', 'of unknown version')}"
    return f"{recorded}, commit {commit[:12]}{state}" if commit else recorded
