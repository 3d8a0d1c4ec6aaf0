"""Records as JSON text, and back."""

import contextlib
import json
from typing import Any

from pydantic import ValidationError

from greenpose.errors import RecordError
from greenpose.record.run import FAILURE_SCHEMA, SCHEMA, Failure, Record
from greenpose.schema import Document, parse


def dumps(document: Document) -> str:
    """Return the document as JSON text, keys in the order in which they are documented, one line break at the end."""
    return json.dumps(document.model_dump(mode="json", by_alias=True), indent=1, ensure_ascii=False) + "\n"


def loads(text: str, *, where: str) -> Record | Failure:
    """Return the record or failure written in `text`.

    Raises:
        RecordError: if the text is no JSON, of an unknown schema, or breaks it; all faults are named.
    """
    for kind in (Record, Failure):  # thrice as fast as parsing first, and what is at fault is found below
        with contextlib.suppress(ValidationError):
            return kind.model_validate_json(text)
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise RecordError([f"{where}: not JSON: {error}"]) from None
    schema = data.get("schema") if isinstance(data, dict) else None
    kinds: dict[Any, type[Record | Failure]] = {SCHEMA: Record, FAILURE_SCHEMA: Failure}
    if schema not in kinds:
        raise RecordError([f"{where}: schema is {schema!r}; this version reads {' and '.join(kinds)}"])
    document, faults = parse(kinds[schema], data, where=where)
    if document is None:
        raise RecordError(faults)
    return document
