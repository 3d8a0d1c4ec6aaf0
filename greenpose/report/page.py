"""The page: everything computed above it, handed to the template, with the records embedded.

Numbers are rounded to six significant digits, ends of intervals from repetition to four; systematic error is kept as
factors of its number, to three. A basis is `[k, type A]`: `bases[k]` holds its unit, kind, method, missing reason and
the factors of type B (the ends themselves where the number is zero or missing). `columns` holds each field of all
entries, by the number of the entry: what is alike lies together. That document is written as bzip2 in base64: there is
one bzip2, while what deflate makes of a text differs from one build of zlib to the next, and the same records are to
give the same page everywhere.
"""

import base64
import bz2
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from greenpose.errors import ReportError
from greenpose.formatting import NBSP, listed, plain, shown, with_prefix
from greenpose.metrics import CO2, ENERGY, TRAIN_CO2, TRAIN_ENERGY
from greenpose.quantity import kind_mark
from greenpose.record import FAILURE_SCHEMA, SCHEMA, Failure, Record
from greenpose.report.comparison import changes
from greenpose.report.disclosures import disclosures
from greenpose.report.drawing import Sheet
from greenpose.report.figures.ablations import pairs_pictures
from greenpose.report.figures.break_even import forecast_table, parts_table, teaching_table, winning_picture
from greenpose.report.figures.early_exit import leaving_picture
from greenpose.report.figures.energy import bill_picture, energy_picture
from greenpose.report.figures.exits import (
    counter_sentences,
    counters_table,
    emissions_table,
    exits_picture,
    means_table,
    runs_table,
)
from greenpose.report.figures.learning_curves import courses_picture, targets_table
from greenpose.report.figures.repeated_runs import precision, repeats_picture, sureness_table, warnings
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
from greenpose.report.gallery import Picture
from greenpose.report.headline import headline
from greenpose.report.limits import limits
from greenpose.report.quantities import disturbance, legend
from greenpose.report.scale import detailed, is_large, notices, restricted
from greenpose.report.study import SECOND, Study, energy_kind, facts, seeds, setting_facts, study
from greenpose.report.tables import systematic_notes
from greenpose.report.verdict import Verdict, verdict_table


def view_data(study: Study) -> str:
    """Return experiments with their exits and runs, and the scenario, as JSON safe inside a script element."""
    runs_are_told = not is_large(study)
    data: dict[str, Any] = {
        "experiments": [
            [group.label, list(group.exits), [run.name for run in group.runs if runs_are_told]]
            for group in study.groups
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
    import yaml

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


LAYOUT = "greenpose.report-data/2"
FACTOR_DIGITS = 3
"""Significant digits of systematic error as factors of its number."""
_ENDS = ("low", "high")


def pack(entries: Sequence[Record | Failure]) -> str:
    """Return the entries as JSON, safe inside a script element: no `<` is left in it."""
    bases: dict[str, int] = {}
    columns: dict[str, dict[int, Any]] = {}
    for index, entry in enumerate(entries):
        for key, value in _pack_bases(_dump(entry), bases).items():
            columns.setdefault(key, {})[index] = value
    text = _compact({"bases": [json.loads(each) for each in bases], "columns": columns})
    return _compact(
        {
            "schema": LAYOUT,
            "note": "numbers are rounded to 6 significant digits, intervals to 4, systematic error, as factors, to 3",
            "encoding": "JSON, bzip2, base64",
            "data": base64.b64encode(bz2.compress(text.encode())).decode(),
        }
    )


def unpack(text: str) -> list[Record | Failure]:
    """Return the entries that `pack` wrote.

    Raises:
        ReportError: if the text has another layout.
    """
    said = json.loads(text)
    if said.get("schema") != LAYOUT:
        raise ReportError(
            f"the records of the page have the layout {said.get('schema')!r}; this version reads {LAYOUT}"
        )
    document = json.loads(bz2.decompress(base64.b64decode(said["data"])))
    kinds: dict[str, type[Record | Failure]] = {SCHEMA: Record, FAILURE_SCHEMA: Failure}
    columns: dict[str, dict[str, Any]] = document["columns"]
    entries = [
        {key: each[index] for key, each in columns.items() if index in each} for index in columns.get("schema", {})
    ]
    return [kinds[entry["schema"]].model_validate(_expand_bases(entry, document["bases"])) for entry in entries]


def _dump(entry: Record | Failure) -> dict[str, Any]:
    schema = SCHEMA if isinstance(entry, Record) else FAILURE_SCHEMA
    said = entry.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {"schema": schema} | {key: _rounded(value) for key, value in said.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _pack_bases(value: Any, bases: dict[str, int]) -> Any:
    """Return the tree with every `basis` mapping in its short form; new kinds of basis are added to `bases`."""
    if isinstance(value, list):
        return [_pack_bases(each, bases) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: {name: _short(basis, bases, _number(value, name)) for name, basis in each.items()}
        if key == "basis" and isinstance(each, dict)
        else _pack_bases(each, bases)
        for key, each in value.items()
    }


def _short(basis: dict[str, Any], bases: dict[str, int], number: float | None) -> list[Any]:
    """Return a basis as the number of its kind and its interval from repetition.

    Systematic error belongs to the kind, as factors of the number: it comes from coefficients that many numbers share.
    """
    same = {key: each for key, each in basis.items() if key not in {"type_a", "type_b"}}
    if basis.get("type_b"):
        same["factors"] = [_end(basis["type_b"][end] / (number or 1), FACTOR_DIGITS) for end in _ENDS]
    short: list[Any] = [bases.setdefault(_compact(same), len(bases))]
    return [*short, [_end(basis["type_a"][end], 4) for end in _ENDS]] if basis.get("type_a") else short


def _number(numbers: dict[str, Any], name: str) -> float | None:
    """Return the number that a basis is about; a dotted name leads into a mapping."""
    field, _, key = name.partition(".")
    value = numbers.get(field)
    return value.get(key) if key and isinstance(value, dict) else value


def _end(value: float, digits: int) -> float:
    """Return an end of an interval at so many digits, as an integer where it is one: it takes two bytes less."""
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded.is_integer() else rounded


def _long(short: list[Any], bases: list[dict[str, Any]], number: float | None) -> dict[str, Any]:
    basis = dict(bases[short[0]])
    factors = basis.pop("factors", None)
    if short[1:]:
        basis["type_a"] = dict(zip(_ENDS, short[1], strict=True))
    if factors:
        basis["type_b"] = {end: _end(each * (number or 1), 6) for end, each in zip(_ENDS, factors, strict=True)}
    return basis


def _expand_bases(value: Any, bases: list[dict[str, Any]]) -> Any:
    """Return the tree with every short basis written out."""
    if isinstance(value, list):
        return [_expand_bases(each, bases) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: {name: _long(each, bases, _number(value, name)) for name, each in inner.items()}
        if key == "basis" and isinstance(inner, dict)
        else _expand_bases(inner, bases)
        for key, inner in value.items()
    }


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


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


def pictures_of(study: Study) -> list[Picture]:
    """Return all figures that the page of these runs has, in its order."""
    if not study.records:
        return [picture for picture in (bill_picture(study),) if picture]
    found = (
        *tradeoff_pictures(study),
        leaving_picture(study),
        exits_picture(study),
        energy_picture(study),
        courses_picture(study),
        winning_picture(study),
        *pairs_pictures(study),
        bill_picture(study),
        repeats_picture(study),
    )
    return [picture for picture in found if picture]


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
    symbol = kind_mark(energy_kind(compared.records))
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
