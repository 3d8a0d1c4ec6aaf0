"""What a run knows at its end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from greenpose.config import Experiment
from greenpose.config.budget import Budget
from greenpose.counting import ExitCount
from greenpose.data import Samples
from greenpose.metering import ExitMeasurement, Meter, Window
from greenpose.record import Forecast
from greenpose.run.segments import StepCosts
from greenpose.training import ExitScores, Fitted


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that a run knows at its end."""

    cell: Mapping[str, Any]
    """Name, grid, axes, hash and configuration as the grid wrote them."""
    config: Experiment
    """The same configuration, validated."""
    splits: Mapping[str, Samples]
    """The data."""
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
    """What was expected early in training; None for a run too short to expect anything."""
    budget: Budget
    """Limits that the run was given."""
    windows: Sequence[Window]
    """All windows of all attempts."""
    meter: Meter
    """The meter of this attempt."""
