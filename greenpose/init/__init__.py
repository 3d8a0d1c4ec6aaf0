"""A profile and an experiment for a folder that somebody has labelled, whatever tool they used."""

from greenpose.init.proposal import Circumstances, Proposal
from greenpose.init.survey import Made, Surveyed, look, make, target_faults

__all__ = ["Circumstances", "Made", "Proposal", "Surveyed", "look", "make", "target_faults"]
