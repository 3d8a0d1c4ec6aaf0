"""What a program says of its own run: name, seed, grid, data, what exits are judged by; checked before it begins."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints, field_validator

from greenpose.config import CarbonConfig, MeasureConfig
from greenpose.errors import GreenPoseError, RecordError
from greenpose.metering import carbon_of
from greenpose.record.metric import KNOWN, OwnMetric
from greenpose.schema import Document, parsed

LONGEST_NAME = 100
"""Characters of a run's name; a folder is called so."""


class OwnSettings(Document):
    """What a program says of its own run."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_NAME)]
    """Name of the experiment; runs that differ in their seed only share it."""
    seed: Annotated[int, Field(ge=-(2**63), lt=2**64)] = 0
    """Seed of the run's random numbers."""
    carbon: CarbonConfig
    """What turns joules into grams."""
    metrics: list[OwnMetric] = Field(default_factory=list)
    """What exits are measured by; the first one is what they are judged by."""
    data: str = ""
    """What the data are called."""
    digest: str | None = None
    """Digest of the data: runs with another one are on other data."""
    images: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """Images, or whatever is processed, per split."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """What else the run was set to: learning rate, batch size."""
    measure: MeasureConfig = MeasureConfig()
    """How exits are metered."""
    notes: list[str] = Field(default_factory=list)
    """What is to be told with it."""

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, name: str) -> str:
        if name in (".", "..") or any(letter in '/\\:*?"<>|' or not letter.isprintable() for letter in name):
            raise ValueError('a folder is called so: it may hold neither / \\ : * ? " < > | nor line breaks')
        name.encode()  # half of a surrogate pair is refused as any other wrong text is
        return name

    @field_validator("settings")
    @classmethod
    def _can_be_written(cls, settings: dict[str, Any]) -> dict[str, Any]:
        try:
            json.dumps(settings, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"give numbers, text, lists and mappings: {error}") from None
        return settings

    @field_validator("digest")
    @classmethod
    def _is_a_digest(cls, digest: str | None) -> str | None:
        if digest is not None and not re.fullmatch("[0-9a-f]{6,128}", digest):
            raise ValueError("must be hexadecimal digits, or a pathlib.Path whose digest it is to be")
        return digest

    @property
    def config(self) -> dict[str, Any]:
        """Return what the record keeps as the configuration."""
        return self.model_dump(mode="json", include={"name", "seed", "carbon", "measure", "settings"})

    @property
    def digest_of_config(self) -> str:
        """Return what tells runs of other settings apart: the SHA-256 of the configuration."""
        return hashlib.sha256(json.dumps(self.config, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def settings_of(
    name: str,
    *,
    country: str | None = None,
    carbon: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    digest: str | Path | None = None,
    notes: Any = (),
    **others: Any,
) -> OwnSettings:
    """Return what a program says of its run, checked.

    Raises:
        GreenPoseError: with every fault.
    """
    given = {
        "name": name,
        "carbon": {**({"country": country} if country is not None else {}), **(carbon or {})},
        "metrics": [_described(each, said) for each, said in (metrics or {}).items()],
        "digest": digest_of(digest) if isinstance(digest, Path) else digest,
        "notes": [notes] if isinstance(notes, str) else notes,
    }
    found = parsed(OwnSettings, given | others, where="experiment", error=RecordError)
    carbon_of(**found.carbon.model_dump())  # an unknown country is told before anything is written
    return found


def _described(name: str, said: Any) -> Any:
    """Return a metric as it is checked: a word says which way is better, a mapping all that differs from the known."""
    mine = {"direction": said} if isinstance(said, str) else dict(said) if isinstance(said, Mapping) else said
    return {"name": name, **KNOWN.get(name, {}), **mine} if isinstance(mine, dict) else mine


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's files with their names.

    Raises:
        GreenPoseError: if it cannot be read.
    """
    found = hashlib.sha256()
    try:
        path.stat()
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                found.update(f"{file.relative_to(path).as_posix()}\0".encode(errors="surrogateescape"))
                with file.open("rb") as content:
                    found.update(hashlib.file_digest(content, "sha256").digest())
    except OSError as error:
        raise GreenPoseError(f"digest: {path}: cannot be read: {error.strerror}") from None
    return found.hexdigest()
