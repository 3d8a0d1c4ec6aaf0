"""Supervised loss, distillation, wiring, and their sum."""

from greenpose.losses.heatmaps import Normalise, heatmap_kl, heatmap_mse
from greenpose.losses.objective import LossTerms, Objective
from greenpose.losses.wiring import Edge, Wiring

__all__ = ["Edge", "LossTerms", "Normalise", "Objective", "Wiring", "heatmap_kl", "heatmap_mse"]
