"""The verdict of a check, attached to the page: what `greenpose check --format json` wrote."""

from pydantic import BaseModel, ConfigDict, ValidationError

from greenpose.errors import RecordError
from greenpose.formatting import exact, number, plain
from greenpose.schema import dotted, from_json
from greenpose.tables import Column, Table, TableCell, table_of

SCHEMA = "greenpose.verdict/1"


class Span(BaseModel):
    """An interval with its best estimate; an end that is unbounded is null."""

    model_config = ConfigDict(allow_inf_nan=False)

    low: float | None
    value: float
    high: float | None


class Finding(BaseModel):
    """What the check found of one quantity; what the page does not show is skipped."""

    model_config = ConfigDict(allow_inf_nan=False)

    name: str
    verdict: str
    says: str
    unit: str = ""
    base: float | None = None
    head: float | None = None
    ratio: Span | None = None
    pairs: int | None = None


class Verdict(BaseModel):
    """A verdict as the page reads it."""

    model_config = ConfigDict(frozen=True)

    subject: str
    against: str
    summary: str
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()


def read_verdict(text: str, *, where: str) -> Verdict:
    """Return the verdict in a JSON document.

    Raises:
        RecordError: if the text is no JSON, or no verdict of a schema that this version reads.
    """
    try:
        data = from_json(text)
    except ValueError as error:
        raise RecordError([f"{where}: {error}"]) from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise RecordError(
            [f"{where}: schema is {schema!r}, not {SCHEMA}; write it with greenpose check CANDIDATE --format json"]
        )
    try:
        return Verdict.model_validate(data)
    except ValidationError as error:
        raise RecordError(
            [f"{where}: {dotted(each['loc'])}: {each['msg'].lower()}" for each in error.errors()]
        ) from None


def verdict_table(verdict: Verdict) -> Table:
    """Return the findings in the order of the document, which is that of the check."""
    found = verdict.findings
    return table_of(
        "findings",
        f"{verdict.subject} against {verdict.against}. Ratios have 99 % intervals, over pairs of turns.",
        ("Quantity",),
        [each.name for each in found],
        [
            ("Against", [_amount(each.base, each) for each in found]),
            ("Candidate", [_amount(each.head, each) for each in found]),
            (Column(head="Candidate / against", unit="ratio"), map(_ratio, found)),
            ("Verdict", [each.verdict for each in found]),
            ("In words", [each.says for each in found]),
        ],
    )


def _amount(value: float | None, finding: Finding) -> str:
    """Return a number with its unit, whole ones in full; of paired turns there is only the ratio."""
    if value is None:
        return "not measured" if finding.ratio is None else "–"
    said = exact(int(value)) if value.is_integer() else plain(value, 4)
    return f"{said} {finding.unit}".strip()


def _ratio(finding: Finding) -> TableCell:
    ratio = finding.ratio
    if ratio is None:
        if not finding.base or finding.head is None:
            return TableCell(value="–")
        return TableCell(value=plain(finding.head / finding.base, 4))
    text = number(ratio.value, ratio.low, ratio.high)
    pairs = f"{finding.pairs} pairs" if finding.pairs else ""
    return TableCell(value=text.value, interval=", ".join(filter(None, (text.interval, pairs))))
