"""Depth frames of made-up infants in a crib, with twelve annotated joints, drawn on demand.

`admit(Spec(seed=0), patient).frame(7)` is the eighth frame of one patient. Nothing is stored and nothing is learnt:
capsules and ellipsoids move by sums of sines and are seen by a model of a structured-light sensor.
"""

from greenpose.data.synthetic.body import JOINTS
from greenpose.data.synthetic.patient import Frame, Patient, admit, generate
from greenpose.data.synthetic.spec import Spec

__all__ = ["JOINTS", "Frame", "Patient", "Spec", "admit", "generate"]
