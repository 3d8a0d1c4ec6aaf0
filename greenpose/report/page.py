"""The page: everything computed above it, handed to the template."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from greenpose.formatting import NBSP, listed, plain, plural, span
from greenpose.record import Failure, Record
from greenpose.report.bill import (
    allocation_table,
    crosscheck_sentences,
    crosscheck_table,
    phases_table,
    training_table,
)
from greenpose.report.embedding import pack
from greenpose.report.exits import counter_sentences, counters_table, emissions_table, means_table, runs_table
from greenpose.report.figures import MARKS, mark
from greenpose.report.gallery import (
    bill_picture,
    energy_picture,
    exits_picture,
    pairs_pictures,
    tradeoff_pictures,
    winning_picture,
)
from greenpose.report.headline import headline
from greenpose.report.limits import limits
from greenpose.report.purposes import energy_kind
from greenpose.report.scenario import SUPPOSITIONS, scenario_table, scenario_words
from greenpose.report.study import Study, study
from greenpose.report.sureness import precision, setting_facts, sureness_table, warnings
from greenpose.report.svg import Sheet
from greenpose.report.teaching import forecast_table, parts_table, teaching_table
from greenpose.report.totals import totals_table
from greenpose.report.tradeoff import front_table
from greenpose.report.view import compact, digest, view_data
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
        "Energy is modelled from CPU time; absolute figures may be off by a factor of two either way; ratios on one "
        "machine hold better.",
    ),
}
"""Grade of a record, and what it means for the reader."""
LONG_TABLE = 12
"""Tables with more lines are folded."""


def render(
    entries: Sequence[Record | Failure], *, title: str, generated_at: str, version: str, command: str = ""
) -> str:
    """Return one self-contained HTML page about the runs; the same input gives the same bytes, in any order of runs.

    `generated_at` and `version` are printed as they are. Nothing is read but the package's own template.
    """
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    sheet = Sheet()
    environment.filters |= {
        "drawing": lambda drawing: _safe(sheet.share(drawing)),
    }
    template = environment.from_string(_resource("page.html.j2"))
    compared = study(entries)
    script = compact(_resource("page.js"))
    return template.render(
        title=title,
        generated_at=generated_at,
        version=version,
        command=command,
        style=_safe(_resource("style.css")),
        script=_safe(script),
        script_hash=digest(script),
        data=_safe(pack([*compared.records, *compared.failures])),
        long_table=LONG_TABLE,
        **_content(compared),
    )


def _content(compared: Study) -> dict[str, Any]:
    """Return what the template shows; tables of runs only where any run finished."""
    content: dict[str, Any] = {
        "study": compared,
        "headline": headline(compared),
        "facts": _facts(compared),
        "grade": _grade(compared),
        "grades": GRADES,
        "totals": totals_table(compared),
        "spent": bill_picture(compared),
        "failures": [(each, _spent_by(each, compared)) for each in compared.failures],
    }
    if not compared.records:
        return content
    return content | {
        "front": front_table(compared),
        "tradeoff": tradeoff_pictures(compared),
        "slopes": exits_picture(compared),
        "energy": energy_picture(compared),
        "winning": winning_picture(compared),
        "pairs": pairs_pictures(compared),
        "exits": means_table(compared),
        "emissions": emissions_table(compared),
        "runs": runs_table(compared) if compared.repeated else None,
        "bill": training_table(compared),
        "phases": phases_table(compared),
        "parts": parts_table(compared),
        "teaching": teaching_table(compared),
        "allocation": allocation_table(compared),
        "crosscheck": crosscheck_table(compared),
        "crosscheck_sentences": crosscheck_sentences(compared),
        "counters": counters_table(compared),
        "counter_sentences": counter_sentences(compared),
        "forecast": forecast_table(compared),
        "scenario": scenario_table(compared),
        "supposed": scenario_words(compared),
        "suppositions": SUPPOSITIONS,
        "view": _safe(view_data(compared)),
        "sureness": sureness_table(compared),
        "precision": precision(compared),
        "warnings": warnings(compared),
        "settings": {letter: setting_facts(run) for letter, run in compared.settings.items()},
        "marks": MARKS,
        "limits": limits(compared),
    }


def _facts(compared: Study) -> list[tuple[str, str]]:
    """Return the lines of the header: what was compared, where, under which grid intensity, by which code."""
    done, failed = len(compared.records), len(compared.failures)
    facts = [("Runs", f"{done}{NBSP}finished, {failed}{NBSP}not finished")]
    if not compared.records:
        return facts
    runs = compared.records
    facts.insert(0, ("Compared", listed([group.label for group in compared.groups])))
    seeds = sorted({run.seed for run in runs})
    facts.append(("Seeds", ", ".join(map(str, seeds))))
    facts += [
        ("Machine" if compared.comparable else f"Setting {letter}", dict(setting_facts(run))["Machine"])
        for letter, run in compared.settings.items()
    ]
    facts.append(("Place and grid", "; ".join(dict.fromkeys(_place(run) for run in runs))))
    facts.append(("Data", "; ".join(dict.fromkeys(_data(run) for run in runs))))
    facts.append(("Code", "; ".join(dict.fromkeys(_code(run) for run in runs))))
    return facts


def _place(run: Record) -> str:
    carbon = run.carbon
    low, high = carbon.intensity_interval.low, carbon.intensity_interval.high
    pue = f"PUE {plain(carbon.pue)}"
    return (
        f"{carbon.country}, {plain(carbon.intensity_g_per_kwh)} [{span(low, high, 3)}] gCO2eq/kWh, annual mean "
        f"({carbon.source}, {carbon.vintage}); {pue}"
    )


def _data(run: Record) -> str:
    names = [str(run.dataset[key]) for key in ("source", "profile") if run.dataset.get(key)]
    test, subjects = run.images.get("test", 0), run.subjects.get("test", 0)
    known = f" of {plural(subjects, 'subject')}" if subjects else ""
    return f"{', '.join(names) or 'unnamed'}: {plural(test, 'test image')}{known}"


def _code(run: Record) -> str:
    commit = str(run.git.get("commit") or "")
    state = " with uncommitted changes" if run.git.get("dirty") else ""
    recorded = f"GreenPose {run.software.get('greenpose', 'of unknown version')}"
    return f"{recorded}, commit {commit[:12]}{state}" if commit else recorded


def _spent_by(failure: Failure, compared: Study) -> str:
    """Return what a run drew before it ended; metered as the page's other runs were, for all that is known."""
    symbol = mark(energy_kind(compared.records))
    seconds = failure.seconds
    time = with_prefix(seconds, "s") if seconds < 1 else f"{plain(seconds)}{NBSP}s"
    grams = "emissions not measured: it ended before the grid intensity was known"
    if failure.co2eq_g is not None:
        grams = f"{symbol}{plain(failure.co2eq_g)}{NBSP}gCO2eq"
    return f"{time}, {symbol}{with_prefix(1000 * failure.energy_kwh, 'Wh')}, {grams}, until {failure.at}"


def _grade(compared: Study) -> str:
    return max((run.grade for run in compared.records), default="")


def _resource(name: str) -> str:
    return files("greenpose.report").joinpath(name).read_text(encoding="utf-8")


def _safe(text: str) -> Any:
    """Return text that is markup already: the style sheet, our own SVG, JSON without `<`."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704  made by this room, and every name in it is escaped there
