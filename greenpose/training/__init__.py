"""Training a network with exits, and evaluating every exit."""

from greenpose.training.checkpoint import save_best
from greenpose.training.evaluate import ExitPredictions, ExitScores, judge, predict, score, validation_scores
from greenpose.training.fit import Best, Epoch, EpochSelection, Files, Fitted, TrainingCallbacks, fit
from greenpose.training.step import Window, unmetered

__all__ = [
    "Best",
    "Epoch",
    "EpochSelection",
    "ExitPredictions",
    "ExitScores",
    "Files",
    "Fitted",
    "TrainingCallbacks",
    "Window",
    "fit",
    "judge",
    "predict",
    "save_best",
    "score",
    "unmetered",
    "validation_scores",
]
