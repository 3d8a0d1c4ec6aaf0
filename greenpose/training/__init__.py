"""Training a network with exits, and evaluating every exit."""

from greenpose.training.evaluate import (
    ExitPredictions,
    ExitScores,
    detections,
    judge,
    predict,
    score,
    similarities,
    validation_scores,
)
from greenpose.training.fit import Epoch, Files, Fitted, fit
from greenpose.training.step import unmetered

__all__ = [
    "Epoch",
    "ExitPredictions",
    "ExitScores",
    "Files",
    "Fitted",
    "detections",
    "fit",
    "judge",
    "predict",
    "score",
    "similarities",
    "unmetered",
    "validation_scores",
]
