"""Early exit at run time: each image leaves at the first exit that is sure enough of it."""

from greenpose.policy.cascade import Confidence
from greenpose.policy.document import compose_policy
from greenpose.policy.search import find_policy

__all__ = [
    "Confidence",
    "compose_policy",
    "find_policy",
]
