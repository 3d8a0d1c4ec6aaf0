"""What exits of an own loop are judged by, where that is not AP of pose: name, unit, and which way is better."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from greenpose.errors import RecordError
from greenpose.metrics import MOST, PERCENT, Metric
from greenpose.record.numbers import Basis
from greenpose.schema import Document, parsed

Direction = Literal["higher", "lower"]
"""Which way is better."""
FRACTION = "fraction"
"""Unit of what is recorded between 0 and 1, and shown in percent."""
KNOWN: Mapping[str, Mapping[str, Any]] = {
    **{
        name: {"label": label, "unit": FRACTION, "direction": "higher"}
        for name, label in {
            "accuracy": "accuracy",
            "top1": "top-1 accuracy",
            "top5": "top-5 accuracy",
            "balanced_accuracy": "balanced accuracy",
            "precision": "precision",
            "recall": "recall",
            "f1": "F1",
            "auc": "AUC",
            "auroc": "AUROC",
            "map": "mAP",
            "miou": "mIoU",
            "dice": "Dice",
        }.items()
    },
    "error_rate": {"label": "error rate", "unit": FRACTION, "direction": "lower"},
    "wer": {"label": "word error rate", "unit": FRACTION, "direction": "lower"},
    "mpjpe": {"label": "mean joint error", "unit": "mm", "direction": "lower"},
    "psnr": {"label": "PSNR", "unit": "dB", "direction": "higher"},
    **{
        name: {"label": name, "direction": "lower"}
        for name in ("loss", "perplexity", "mae", "mse", "rmse", "nll", "fid")
    },
}
"""Metrics of which everybody knows unit and direction; of others the user says them."""
Short = Annotated[str, StringConstraints(max_length=60)]
"""A word or two."""


class OwnMetric(Document):
    """What exits are judged by where it is not AP of pose."""

    name: Annotated[Short, StringConstraints(min_length=1)]
    """Name in `metrics` of each exit."""
    label: Short = ""
    """What it is called in sentences, tables and charts; by default its name."""
    unit: Short = ""
    """Unit of the recorded numbers: `fraction` for what lies between 0 and 1 and is shown in percent; empty for a plain
    number."""
    direction: Direction
    """Which way is better: `higher` or `lower`."""
    scale: float = Field(default=1.0, gt=0, le=MOST)
    """Factor from the recorded unit to the one that is shown: 100 for a fraction."""
    margin: float | None = Field(default=None, ge=0, le=MOST)
    """By how much a cheaper exit may be worse and still be recommended, in the unit that is shown; null: 2 percentage
    points of a fraction, else 2 % of the best exit's."""
    floor: float | None = Field(default=None, ge=-MOST, le=MOST)
    """What an exit must reach to be recommended, in the unit that is shown, from above where lower is better; null:
    nothing."""

    @model_validator(mode="before")
    @classmethod
    def _percent(cls, data: Any) -> Any:
        """Show fractions in percent."""
        if isinstance(data, dict) and data.get("unit") == FRACTION:
            return {"scale": PERCENT} | data
        return data

    @property
    def row(self) -> Metric:
        """Return it as the catalogue has AP, so that page, gate and all forms read both alike."""
        return _row(*(getattr(self, name) for name in _OF_ROW))


def described(name: str, basis: Basis | None) -> Metric:
    """Return the row of a metric that stands beside the one that exits are judged by; a record tells its unit."""
    known: dict[str, Any] = {"direction": "higher", **KNOWN.get(name, {})}
    return parsed(
        OwnMetric, known | {"name": name, "unit": basis.unit if basis else ""}, where=name, error=RecordError
    ).row


_OF_ROW = ("name", "label", "unit", "direction", "scale", "margin", "floor")


@lru_cache
def _row(
    name: str, label: str, unit: str, direction: Direction, scale: float, margin: float | None, floor: float | None
) -> Metric:
    """Return the row; the same object for the same words, since figures are told apart by it."""
    words = label or name
    fraction = unit == FRACTION
    return Metric(
        name=f"metrics.{name}",
        recorded=unit,
        label=f"{words[:1].upper()}{words[1:]}",
        unit="%" if fraction else unit,
        scale=scale,
        most_decimals=1 if fraction else None,
        words=words,
        kind="computed",
        method="given by the program that was metered",
        convention=f"{words}, as the program that was metered gives it",
        most=1.0 if fraction and direction == "higher" else MOST,
        signed=not fraction,
        table="exits",
        latex="Accuracy",
        lower=direction == "lower",
        margin=margin,
        floor=floor,
    )
