"""What a run knows at its end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from greenpose.config import Experiment
from greenpose.config.accounting import Budget
from greenpose.counting import ExitCount
from greenpose.data import Samples
from greenpose.data.boxes import Detected
from greenpose.metering import ExitMeasurement, Log, Meter, Window
from greenpose.record import Forecast
from greenpose.run.segments import StepCosts
from greenpose.training import ExitScores, Fitted

_AREAS = {"box": "width x height of the box", "mask": "annotated silhouette", "drawn": "as annotated"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that a run knows at its end."""

    cell: Mapping[str, Any]
    """Name, grid, axes, hash and configuration as the grid wrote them."""
    config: Experiment
    """The same configuration, validated."""
    splits: Mapping[str, Samples]
    """The data."""
    annotations: Mapping[str, str]
    """SHA-256 of each split's annotation file; none for generated data."""
    boxes: Detected | None
    """The detected boxes that the test split was searched by; None: the annotated ones."""
    counts: Mapping[int, ExitCount]
    """Parameters and MACs of each exit."""
    epochs: Sequence[Mapping[str, Any]]
    """Lines of `epochs.jsonl`."""
    fitted: Fitted
    """How training went."""
    scores: Mapping[int, ExitScores]
    """Accuracy on the test split."""
    measured: Mapping[int, ExitMeasurement]
    """Inference of each exit."""
    step: StepCosts | None
    """Parts of a training step; None for a network with a single exit."""
    forecast: Forecast | None
    """What was expected early in training; None where the windows of its first epochs are lost."""
    budget: Budget
    """Limits that the run was given."""
    earlier: Log
    """The log of windows as earlier attempts left it."""
    windows: Sequence[Window]
    """All windows of all attempts."""
    gaps: Sequence[str]
    """What is missing from the log of windows though the totals hold it."""
    meter: Meter
    """The meter of this attempt."""

    @property
    def area(self) -> str:
        """Return which area scales OKS: APs across areas cannot be compared."""
        if self.config.data.source == "synthetic":
            return "body pixels"
        return _AREAS[self.splits["test"].profile.area]

    @property
    def searched(self) -> str:
        """Return which boxes of the test split were searched for poses."""
        return "annotated" if self.boxes is None else f"detected ({self.boxes.file})"
