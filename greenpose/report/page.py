"""The page: everything computed above it, handed to the template, with the records embedded."""

import base64
import hashlib
import html
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import cache
from typing import Any

import yaml

from greenpose.formatting import NBSP, exact, listed, plain, shown, with_prefix
from greenpose.metrics import CO2, ENERGY, TRAIN_CO2, TRAIN_ENERGY
from greenpose.quantity import kind_mark
from greenpose.record import Failure, Record
from greenpose.report.check_verdict import Verdict, verdict_table
from greenpose.report.comparison import Changes, changes
from greenpose.report.conclusions.chapters import chapters
from greenpose.report.conclusions.choice import choice_picture
from greenpose.report.conclusions.first_screen import first_screen
from greenpose.report.conclusions.headline import headline
from greenpose.report.conclusions.next_steps import next_steps, told
from greenpose.report.deployment import recommend
from greenpose.report.disclosures.statements import disclosures
from greenpose.report.drawing import Sheet
from greenpose.report.figures.ablations import ablation_pictures
from greenpose.report.figures.artefacts import artefacts_picture
from greenpose.report.figures.break_even import break_even_picture, forecast_table, parts_table, teaching_table
from greenpose.report.figures.early_exit import early_exit_picture
from greenpose.report.figures.energy import bill_picture, energy_picture
from greenpose.report.figures.exits import (
    bf16_table,
    counter_sentences,
    counters_table,
    emissions_table,
    exits_picture,
    means_table,
    runs_table,
)
from greenpose.report.figures.hosts import hosts_picture, hosts_table
from greenpose.report.figures.learning_curves import learning_curves_picture, targets_table
from greenpose.report.figures.repeated_runs import precision, quality_table, repeats_picture, warnings
from greenpose.report.figures.samples import blocks_picture, poses, power_picture
from greenpose.report.figures.totals import totals_table
from greenpose.report.figures.tradeoff import front_table, tradeoff_pictures
from greenpose.report.figures.training import (
    MOST_FAILURES,
    allocation_table,
    crosscheck_sentences,
    crosscheck_table,
    phases_table,
    training_table,
)
from greenpose.report.figures.what_if import SUPPOSITIONS, scenario_data, scenario_table, scenario_words
from greenpose.report.glossary import Terms, glossary_of
from greenpose.report.header import facts
from greenpose.report.hosts import across_hosts
from greenpose.report.index import description, resource, runs_told
from greenpose.report.labels import seeds, setting_facts
from greenpose.report.many_runs import detailed, is_large, latest, notices, uncollected
from greenpose.report.method_limits import limits
from greenpose.report.picture import Picture
from greenpose.report.quantities import legend
from greenpose.report.study import Study, disturbances, energy_kind, run_names, study
from greenpose.tables import systematic_notes


def view_data(study: Study) -> str:
    """Return experiments with their exits and runs, and the scenario, as JSON safe inside a script element.

    Those that several hosts ran stand there once for all of them too, without runs.
    """
    names = {} if is_large(study) else dict(zip(map(id, study.records), run_names(study), strict=True))
    together = [group for group in across_hosts(study).groups if group.parts]
    data: dict[str, Any] = {
        "experiments": [
            *([group.label, list(group.exits), []] for group in together),
            *(
                [group.label, list(group.exits), [names[id(run)] for run in group.runs if names]]
                for group in study.groups
            ),
        ],
        "scenario": scenario_data(study),
    }
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


def compact(script: str) -> str:
    """Return a script without what is for readers only: comments on lines of their own, indentation, air at arrows."""
    lines = (line.strip().replace(" => ", "=>") for line in script.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def compact_style(style: str) -> str:
    """Return a style sheet without the blanks that mean nothing; strings stay as they are."""
    return re.sub(r'("[^"]*")|\s*([{};,])\s*|(:)\s+', lambda found: "".join(filter(None, found.groups())), style)


def digest(script: str) -> str:
    """Return what names the script in the page's content security policy, so that no other one runs."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


_OWN = ("name", "seed")
"""Settings that differ anyway."""


def configurations(study: Study) -> str:
    """Return the configurations as YAML: one document for each, led by a comment; empty where no run finished."""
    documents: list[str] = []
    base: dict[str, Any] = {}
    for group in study.groups:
        config = dict(group.runs[0].config)
        said = "in full" if not base else f"what differs from {study.groups[0].label}"
        changed = config if not base else differing(config, base)
        base = base or config
        text = yaml.safe_dump(changed, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
        documents.append(f"# {' '.join(group.label.split())}, {said}; seeds {seeds(group.runs)}\n{text}")
    return "---\n".join(documents)


def differing(config: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a configuration that is not as in `base`; what only `base` has is null."""
    found: dict[str, Any] = {}
    for key in dict.fromkeys((*config, *base)):
        ours, theirs = config.get(key), base.get(key)
        if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
            inner = differing(ours, theirs)
            found |= {key: inner} if inner else {}
        elif ours != theirs and key not in _OWN:
            found[key] = ours
    return found


def pack(entries: Sequence[Record | Failure]) -> str:
    """Return the entries' own JSON, compressed so that a browser can read it, inside a JSON document.

    It is field by field, the value of every run beside those of the others, which takes half the room of a list of
    runs: one table for the records, one for the failures. No `<` is left, which could end a script element.
    """
    tables = []
    for kind in (Record, Failure):
        runs = [entry.model_dump(mode="json", by_alias=True) for entry in entries if isinstance(entry, kind)]
        fields = dict.fromkeys(field for run in runs for field in run)
        tables += [{field: [run.get(field) for run in runs] for field in fields}] if runs else []
    text = json.dumps(tables, separators=(",", ":"))
    data = base64.b64encode(zlib.compress(text.encode(), 9)).decode()
    return json.dumps({"encoding": "JSON, deflate (zlib), base64", "data": data})


def with_records(page: str, entries: Sequence[Record | Failure], *, beside: int = 0) -> str:
    """Return the page with the records in it, or with a sentence that they would make it larger than people send.

    Bytes that have a limit of their own, such as those of pictures, stand `beside`.
    """
    if len(entries) <= MOST_RECORDS:
        held = (
            f"<p>This page holds its {len(entries)} records in the element <code>#greenpose-records</code>: their "
            "JSON field by field, compressed (deflate, base64).</p>\n"
            f'<script type="application/json" id="greenpose-records">{pack(entries)}</script>'
        )
        if len(page.encode()) + len(held) - beside <= MOST_BYTES:
            return page.replace(_PLACE, held, 1)
    absent = (
        f"<p>The {exact(len(entries))} records would make this page larger than people send, so they are not in it. "
        "Every number of every run: <code>greenpose report RUNS -o FILE.csv</code>.</p>"
    )
    return page.replace(_PLACE, absent, 1)


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
MOST_RECORDS = 40
"""Entries beyond which records do not fit, so that they are not compressed in vain."""
MOST_BYTES = 500 * 1024
"""Size of a page that people send; it holds the records where it stays within this."""
_PLACE = "<!-- records -->"
"""Where the template leaves room for them; what people write cannot look so, since it is escaped."""


def render(
    entries: Sequence[Record | Failure],
    *,
    title: str,
    generated_at: str,
    version: str,
    command: str = "",
    verdict: Verdict | None = None,
    full: bool = False,
) -> str:
    """Return one self-contained HTML page about the runs; the same input gives the same bytes, in any order of runs.

    `generated_at` and `version` are printed as they are. Nothing is read but the package's own template.
    """
    return render_study(
        study(entries),
        title=title,
        generated_at=generated_at,
        version=version,
        command=command,
        verdict=verdict,
        full=full,
    )


def render_study(
    compared: Study,
    *,
    title: str,
    generated_at: str,
    version: str,
    command: str = "",
    verdict: Verdict | None = None,
    full: bool = False,
) -> str:
    """Return the page about runs that are grouped already, or that two sides set beside each other.

    Chapters but the first are closed, on screen and on paper, unless it is `full`.
    """
    glossary = glossary_of(compared)
    template, sheet, terms = _template(), Sheet(), Terms(dict(glossary))
    # the script shortens the charts' titles to what lies behind "AP against "
    against = f".slice({len(f'{compared.accuracy.label} against ')})"
    with uncollected() if is_large(compared) else nullcontext():
        script, content = compact(resource("page.js")).replace(".slice(11)", against), _content(compared)
        page = template.render(
            sheet=sheet,
            terms=terms,
            title=title,
            generated_at=generated_at,
            about=_about(compared, content["screen"]["verdict"], generated_at),
            version=version,
            command=command,
            style=_safe(compact_style(resource("style.css"))),
            script=_safe(script),
            script_hash=digest(script),
            long_table=LONG_TABLE,
            glossary=glossary,
            opened=full,
            verdict=verdict,
            findings=verdict_table(verdict) if verdict else None,
            **content,
        )
    page = _STEERING.sub(lambda found: shown(found[0]), page)
    beside = sum(len(each["address"]) for each in content.get("poses", ()))
    return with_records(page, [*compared.records, *compared.failures], beside=beside)


_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffe\uffff]")
"""What no page of ours holds, and somebody's text may: controls, marks of direction, what is no character."""


@cache
def _template() -> Any:
    """Return the page's template, compiled once; drawings and terms are those of the page that is rendered."""
    import jinja2

    @jinja2.pass_context
    def drawing(context: Any, drawing: Any) -> Any:
        return _safe(context["sheet"].share(drawing))

    @jinja2.pass_context
    def explain(context: Any, text: Any) -> Any:
        return _safe(context["terms"].explain(text))

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {
        "drawing": drawing,
        "explain": explain,
        "text": lambda text: _safe(html.escape(text, quote=False)),  # between tags, quotes are what they are
    }
    return environment.from_string(resource("page.html.j2"))


def _content(compared: Study) -> dict[str, Any]:
    """Return what the template shows; tables of runs only where any run finished."""
    recommended, changed = recommend(latest(compared)), changes(compared)
    content: dict[str, Any] = {
        "study": compared,
        "own": any(run.own for run in compared.records),
        "screen": first_screen(compared, recommended, changed),
        "choice": choice_picture(recommended),
        "headline": answer(compared),
        "facts": facts(compared),
        "notices": notices(compared),
        "steps": told(next_steps(recommended)),
        "grade": _grade(compared),
        "grades": {grade: (name, words.format(_off(compared))) for grade, (name, words) in GRADES.items()},
        "totals": totals_table(compared),
        "spent": bill_picture(compared),
        "failures": [(each, _spent_by(each, compared)) for each in compared.failures[:MOST_FAILURES]],
    }
    return content | (_of_finished(compared, detailed(compared), changed) if compared.records else {})


def _of_finished(compared: Study, shown: Study, changed: Changes | None) -> dict[str, Any]:
    """Return what finished runs have to tell; tables tell of `shown`, which is part of what was compared."""
    texts = disclosures(shown)
    return {
        "chapters": chapters(compared, changed, num_texts=len(texts)),
        "changes": changed,
        "energy": energy_picture(shown),
        "learning_curves": learning_curves_picture(shown),
        "targets": targets_table(shown),
        "phases": phases_table(shown),
        "parts": parts_table(shown),
        "allocation": allocation_table(shown),
        "crosscheck": crosscheck_table(shown),
        "crosscheck_sentences": crosscheck_sentences(compared),
        "power": power_picture(compared),
        "hosts": hosts_table(compared),
        "settings": {letter: setting_facts(run) for letter, run in compared.settings.items()},
        "limits": limits(compared),
        "disclosures": texts,
        "configurations": configurations(across_hosts(shown)),
        **(_of_exits(compared, shown) if compared.points else {}),
        **_of_single_runs(compared),
    }


def _of_exits(compared: Study, shown: Study) -> dict[str, Any]:
    """Return what exits have to tell; nothing of it stands on a page of runs that have none."""
    return {
        "front": front_table(latest(compared)),
        "tradeoff": tradeoff_pictures(compared),
        "on_one_host": hosts_picture(compared),
        "early_exit": early_exit_picture(shown),
        "artefacts": artefacts_picture(shown),
        "slopes": exits_picture(shown),
        "poses": poses(compared),
        "break_even": None if any(run.own for run in compared.records) else break_even_picture(shown),
        "ablations": ablation_pictures(shown),
        "exits": means_table(shown),
        "emissions": emissions_table(shown),
        "teaching": teaching_table(shown),
        "counters": counters_table(shown),
        "counter_sentences": counter_sentences(compared),
        "scenario": scenario_table(shown),
        "supposed": scenario_words(compared),
        "suppositions": SUPPOSITIONS,
        "view": _safe(view_data(shown)),
        "repeats": repeats_picture(shown),
        "blocks": blocks_picture(compared),
        "quality": quality_table(shown),
        "precision": precision(shown),
        "warnings": warnings(shown),
        "legend": legend(),
        "disturbed": any(any(each) for point in compared.points for each in disturbances(point)),
    }


def pictures_of(study: Study) -> list[Picture]:
    """Return all figures that the page of these runs has, in its order."""
    if not study.points:
        of_bill = (energy_picture(study) if study.records else None, bill_picture(study), power_picture(study))
        return [picture for picture in of_bill if picture]
    found = (
        choice_picture(recommend(latest(study))),
        *tradeoff_pictures(study),
        hosts_picture(study),
        early_exit_picture(study),
        artefacts_picture(study),
        exits_picture(study),
        energy_picture(study),
        learning_curves_picture(study),
        break_even_picture(study),
        *ablation_pictures(study),
        bill_picture(study),
        repeats_picture(study),
        power_picture(study),
        blocks_picture(study),
    )
    return [picture for picture in found if picture]


def answer(compared: Study) -> list[str]:
    """Return the answer in three sentences; of two sides what changed, the answer of the second one, what to mind.

    The bill of both stands under Total bill.
    """
    found = headline(across_hosts(compared))
    changed = changes(compared)
    if changed is None:
        return found
    return [changed.summary, headline(latest(compared))[0], *found[2:]]


def _of_single_runs(compared: Study) -> dict[str, Any]:
    """Return the tables with a line for each run; none where there are very many."""
    if is_large(compared):
        return {"runs": None, "in_bf16": None, "bill": None, "forecast": None}
    return {
        "runs": runs_table(compared) if compared.repeated and compared.points else None,
        "in_bf16": bf16_table(compared),
        "bill": training_table(compared),
        "forecast": forecast_table(compared),
    }


def _spent_by(failure: Failure, compared: Study) -> str:
    """Return what a run drew before it ended; metered as the page's other runs were, for all that is known."""
    symbol = kind_mark(energy_kind(compared))
    seconds = failure.seconds
    time = with_prefix(seconds, "s") if seconds < 1 else f"{plain(seconds)}{NBSP}s"
    grams = "emissions not measured: it ended before the grid intensity was known"
    if failure.co2eq_g is not None:
        grams = f"{symbol}{with_prefix(failure.co2eq_g, 'gCO2eq')}"
    return f"{time}, {symbol}{with_prefix(1000 * failure.energy_kwh, 'Wh')}, {grams}, until {failure.at}"


def _about(compared: Study, says: str, date: str) -> str:
    """Return what the page says of itself to an index of pages."""
    runs = runs_told(len(compared.records), len(compared.failures))
    return description("report", says=says, date=date, grade=_grade(compared), runs=runs)


def _grade(compared: Study) -> str:
    return max((run.grade for run in compared.records), default="")


def _off(compared: Study) -> str:
    """Return the systematic errors that columns of the page have, in words; empty where none is known."""
    said = []
    for name, figures in {"energy": (ENERGY, TRAIN_ENERGY), "emissions": (CO2, TRAIN_CO2)}.items():
        found = [point.figure(figure) for point in compared.points for figure in figures]
        said += [f"{name} by {note.removeprefix('syst. ')}" for note in systematic_notes(found)]
    return f", {listed(said)}" if said else ""


def _safe(text: str) -> Any:
    """Return text that is markup already: the style sheet, our own SVG, JSON without `<`."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704  made by this room, and every name in it is escaped there
