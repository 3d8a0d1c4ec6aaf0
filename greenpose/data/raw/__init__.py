"""BabyPose as it leaves the annotation tool, one export per patient, made into a COCO folder split by patient."""

from greenpose.data.raw.plan import Request
from greenpose.data.raw.prepare import Manifest, Prepared, prepare
from greenpose.data.raw.splits import Wish

__all__ = ["Manifest", "Prepared", "Request", "Wish", "prepare"]
