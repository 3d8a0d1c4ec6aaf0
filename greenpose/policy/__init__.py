"""Early exit at run time: each image leaves at the first exit that is sure enough of it."""

from greenpose.policy.calibrate import Setting, calibrate, cheapest
from greenpose.policy.cascade import Cascade, Left, Thresholds
from greenpose.policy.compose import compose_policy
from greenpose.policy.confidence import CONFIDENCES, Confidence, entropy, peak
from greenpose.policy.find import Found, find_policy
from greenpose.policy.seen import Seen, look
from greenpose.policy.ways import Ways

__all__ = [
    "CONFIDENCES",
    "Cascade",
    "Confidence",
    "Found",
    "Left",
    "Seen",
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
