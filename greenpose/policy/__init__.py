"""Early exit at run time: each image leaves at the first exit that is sure enough of it."""

from greenpose.policy.calibrate import ExitOutputs, Setting, calibrate, cheapest, look
from greenpose.policy.cascade import CONFIDENCES, Cascade, Confidence, Left, Thresholds, Ways, entropy, peak
from greenpose.policy.compose import compose_policy
from greenpose.policy.find import FoundPolicy, find_policy

__all__ = [
    "CONFIDENCES",
    "Cascade",
    "Confidence",
    "ExitOutputs",
    "FoundPolicy",
    "Left",
    "Setting",
    "Thresholds",
    "Ways",
    "calibrate",
    "cheapest",
    "compose_policy",
    "entropy",
    "find_policy",
    "look",
    "peak",
]
