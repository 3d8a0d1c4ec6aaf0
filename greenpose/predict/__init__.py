"""Poses in images and films, found by a run or an artefact, with the bill for finding them."""

from greenpose.predict.bill import PredictionBill
from greenpose.predict.boxes import Regions
from greenpose.predict.estimator import Estimator, of_artefact, of_run
from greenpose.predict.job import Watcher, find_poses, remarks
from greenpose.predict.outputs import Drawn
from greenpose.predict.search import Account

__all__ = [
    "Account",
    "Drawn",
    "Estimator",
    "PredictionBill",
    "Regions",
    "Watcher",
    "find_poses",
    "of_artefact",
    "of_run",
    "remarks",
]
