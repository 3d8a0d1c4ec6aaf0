"""How good poses are: PCK on heatmaps, OKS AP and AR on keypoints, and how far either can be trusted.

All figures are fractions.
"""

from greenpose.accuracy.bootstrap import (
    oks_ap_difference_interval,
    oks_ap_interval,
    share_difference_interval,
    share_interval,
)
from greenpose.accuracy.oks import detect, oks_ap
from greenpose.accuracy.pck import mean_share, pck, pck_hits, peak_hits

__all__ = [
    "detect",
    "mean_share",
    "oks_ap",
    "oks_ap_difference_interval",
    "oks_ap_interval",
    "pck",
    "pck_hits",
    "peak_hits",
    "share_difference_interval",
    "share_interval",
]
