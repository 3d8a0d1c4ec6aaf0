"""Early exit at run time: each image leaves at the first exit that is sure enough of it."""

from greenpose.policy.calibrate import Setting, SplitOutputs, calibrate, cheapest, look
from greenpose.policy.cascade import CONFIDENCES, Cascade, Confidence, Exited, PathCosts, Thresholds, entropy, peak
from greenpose.policy.compose import compose_policy
from greenpose.policy.find import FoundPolicy, find_policy

__all__ = [
    "CONFIDENCES",
    "Cascade",
    "Confidence",
    "Exited",
    "FoundPolicy",
    "PathCosts",
    "Setting",
    "SplitOutputs",
    "Thresholds",
    "calibrate",
    "cheapest",
    "compose_policy",
    "entropy",
    "find_policy",
    "look",
    "peak",
]
