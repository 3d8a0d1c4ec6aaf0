"""The page: everything computed above it, handed to the template, with the records embedded."""

import html
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from greenpose.formatting import NBSP, listed, plain, shown
from greenpose.record import Failure, Record
from greenpose.report.bill import (
    MOST_FAILURES,
    allocation_table,
    crosscheck_sentences,
    crosscheck_table,
    phases_table,
    training_table,
)
from greenpose.report.changes import changes
from greenpose.report.disclosures import disclosures
from greenpose.report.embedding import pack
from greenpose.report.exits import counter_sentences, counters_table, emissions_table, means_table, runs_table
from greenpose.report.facts import facts
from greenpose.report.figures import CO2, ENERGY, TRAIN_CO2, TRAIN_ENERGY, disturbance, legend, mark
from greenpose.report.gallery import (
    bill_picture,
    courses_picture,
    energy_picture,
    exits_picture,
    leaving_picture,
    pairs_pictures,
    repeats_picture,
    tradeoff_pictures,
    winning_picture,
)
from greenpose.report.headline import headline
from greenpose.report.layout import systematic_notes
from greenpose.report.limits import limits
from greenpose.report.purposes import energy_kind
from greenpose.report.reproduce import configurations
from greenpose.report.scale import detailed, is_large, notices, restricted
from greenpose.report.scenario import SUPPOSITIONS, scenario_table, scenario_words
from greenpose.report.study import SECOND, Study, study
from greenpose.report.sureness import precision, setting_facts, sureness_table, warnings
from greenpose.report.svg import Sheet
from greenpose.report.targets import targets_table
from greenpose.report.teaching import forecast_table, parts_table, teaching_table
from greenpose.report.totals import totals_table
from greenpose.report.tradeoff import front_table
from greenpose.report.verdict import Verdict, verdict_table
from greenpose.report.view import compact, compact_style, digest, view_data
from greenpose.units import with_prefix

GRADES: Mapping[str, tuple[str, str]] = {
    "A": (
        "measured",
        "Every material component was read from a hardware counter. What the counters do not cover is not in these "
        "figures.",
    ),
    "B": (
        "part measured, part modelled",
        "Some components were read from a counter, others are estimated or modelled; each column says which. Absolute "
        "figures inherit the error of the modelled part; ratios on one machine hold better.",
    ),
    "C": (
        "modelled",
        "Energy is modelled from CPU time, so absolute figures may be off{}; ratios on one machine hold better.",
    ),
}
"""Grade of a record, and what it means for the reader."""
LONG_TABLE = 12
"""Tables with more lines are folded."""
MOST_COURSES = 24
"""Runs of which the page's own data holds the course of training; with more, it would outgrow what people send."""


def render(
    entries: Sequence[Record | Failure],
    *,
    title: str,
    generated_at: str,
    version: str,
    command: str = "",
    verdict: Verdict | None = None,
) -> str:
    """Return one self-contained HTML page about the runs; the same input gives the same bytes, in any order of runs.

    `generated_at` and `version` are printed as they are. Nothing is read but the package's own template.
    """
    return render_study(
        study(entries), title=title, generated_at=generated_at, version=version, command=command, verdict=verdict
    )


def render_study(
    compared: Study, *, title: str, generated_at: str, version: str, command: str = "", verdict: Verdict | None = None
) -> str:
    """Return the page about runs that are grouped already, or that two sides set beside each other."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    sheet = Sheet()
    environment.filters |= {
        "drawing": lambda drawing: _safe(sheet.share(drawing)),
        "text": lambda text: _safe(html.escape(text, quote=False)),  # between tags, quotes are what they are
    }
    template = environment.from_string(_resource("page.html.j2"))
    script = compact(_resource("page.js"))
    page = template.render(
        title=title,
        generated_at=generated_at,
        version=version,
        command=command,
        style=_safe(compact_style(_resource("style.css"))),
        script=_safe(script),
        script_hash=digest(script),
        long_table=LONG_TABLE,
        verdict=verdict,
        findings=verdict_table(verdict) if verdict else None,
        **_content(compared),
    )
    return _STEERING.sub(lambda found: shown(found[0]), page)


_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffe\uffff]")
"""What no page of ours holds, and somebody's text may: controls, marks of direction, what is no character."""


def _content(compared: Study) -> dict[str, Any]:
    """Return what the template shows; tables of runs only where any run finished."""
    content: dict[str, Any] = {
        "study": compared,
        "headline": answer(compared),
        "facts": facts(compared),
        "notices": notices(compared),
        "grade": _grade(compared),
        "grades": {grade: (name, words.format(_off(compared))) for grade, (name, words) in GRADES.items()},
        "totals": totals_table(compared),
        "spent": bill_picture(compared),
        "failures": [(each, _spent_by(each, compared)) for each in compared.failures[:MOST_FAILURES]],
        "courses_left_out": len(compared.records) > MOST_COURSES and any(run.validations for run in compared.records),
        "data": "" if is_large(compared) else _safe(pack([*_embedded(compared), *compared.failures])),
    }
    return content | (_of_finished(compared, detailed(compared)) if compared.records else {})


def _of_finished(compared: Study, shown: Study) -> dict[str, Any]:
    """Return what finished runs have to tell; tables tell of `shown`, which is part of what was compared."""
    return {
        "front": front_table(latest(compared)),
        "changes": changes(compared),
        "tradeoff": tradeoff_pictures(compared),
        "leaving": leaving_picture(shown),
        "slopes": exits_picture(shown),
        "energy": energy_picture(shown),
        "courses": courses_picture(shown),
        "targets": targets_table(shown),
        "winning": winning_picture(shown),
        "pairs": pairs_pictures(shown),
        "exits": means_table(shown),
        "emissions": emissions_table(shown),
        "phases": phases_table(shown),
        "parts": parts_table(shown),
        "teaching": teaching_table(shown),
        "allocation": allocation_table(shown),
        "crosscheck": crosscheck_table(shown),
        "crosscheck_sentences": crosscheck_sentences(compared),
        "counters": counters_table(shown),
        "counter_sentences": counter_sentences(compared),
        "scenario": scenario_table(shown),
        "supposed": scenario_words(compared),
        "suppositions": SUPPOSITIONS,
        "view": _safe(view_data(shown)),
        "repeats": repeats_picture(shown),
        "sureness": sureness_table(shown),
        "precision": precision(shown),
        "warnings": warnings(shown),
        "settings": {letter: setting_facts(run) for letter, run in compared.settings.items()},
        "legend": legend(),
        "disturbed": any(any(disturbance(entry)) for run in compared.records for entry in run.exits),
        "limits": limits(compared),
        "disclosures": disclosures(shown),
        "configurations": configurations(shown),
    } | _of_single_runs(compared)


def answer(compared: Study) -> list[str]:
    """Return the answer in three sentences; of two sides what changed, the answer of the second one, what to mind.

    The bill of both stands under Total bill.
    """
    found = headline(compared)
    changed = changes(compared)
    if changed is None:
        return found
    return [changed.summary, headline(latest(compared))[0], *found[2:]]


def latest(compared: Study) -> Study:
    """Return the second of two sides; all that was compared where there are none."""
    second = tuple(group for group in compared.groups if group.side == SECOND)
    return restricted(compared, second) if compared.sides else compared


def _of_single_runs(compared: Study) -> dict[str, Any]:
    """Return the tables with a line for each run; none where there are very many."""
    if is_large(compared):
        return {"runs": None, "bill": None, "forecast": None}
    return {
        "runs": runs_table(compared) if compared.repeated else None,
        "bill": training_table(compared),
        "forecast": forecast_table(compared),
    }


def _embedded(compared: Study) -> list[Record]:
    """Return the finished runs as the page holds them."""
    few = len(compared.records) <= MOST_COURSES
    return [run if few else run.model_copy(update={"validations": []}) for run in compared.records]


def _spent_by(failure: Failure, compared: Study) -> str:
    """Return what a run drew before it ended; metered as the page's other runs were, for all that is known."""
    symbol = mark(energy_kind(compared.records))
    seconds = failure.seconds
    time = with_prefix(seconds, "s") if seconds < 1 else f"{plain(seconds)}{NBSP}s"
    grams = "emissions not measured: it ended before the grid intensity was known"
    if failure.co2eq_g is not None:
        grams = f"{symbol}{with_prefix(failure.co2eq_g, 'gCO2eq')}"
    return f"{time}, {symbol}{with_prefix(1000 * failure.energy_kwh, 'Wh')}, {grams}, until {failure.at}"


def _grade(compared: Study) -> str:
    return max((run.grade for run in compared.records), default="")


def _off(compared: Study) -> str:
    """Return the systematic errors that columns of the page have, in words; empty where none is known."""
    said = []
    for name, figures in {"energy": (ENERGY, TRAIN_ENERGY), "emissions": (CO2, TRAIN_CO2)}.items():
        found = [point.figure(figure) for point in compared.points for figure in figures]
        said += [f"{name} by {note.removeprefix('syst. ')}" for note in systematic_notes(found)]
    return f", {listed(said)}" if said else ""


def _resource(name: str) -> str:
    return files("greenpose.report").joinpath(name).read_text(encoding="utf-8")


def _safe(text: str) -> Any:
    """Return text that is markup already: the style sheet, our own SVG, JSON without `<`."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704  made by this room, and every name in it is escaped there
