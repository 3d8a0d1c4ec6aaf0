"""What can be chosen about a synthetic set, and the independent random streams it is drawn from."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from greenpose.errors import ConfigError

NATIVE_WIDTH = 640
"""Frame width in px for which focal length, noise and shadows are stated; other widths scale from it."""

_SHARES = ("blanket", "adult_arm", "clothing", "clutter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A set of synthetic patients; the same spec always gives the same frames."""

    seed: int = 0
    """Chooses the set; patients and frames are numbered within it."""
    size: tuple[int, int] = (640, 480)
    """Width and height of a frame in px."""
    yaw_spread_deg: float = 180.0
    """Each patient is filmed from a side drawn uniformly from plus or minus this; 0 is head up."""
    blanket: float = 0.5
    """Share of patients that lie under a blanket now and then."""
    adult_arm: float = 0.06
    """Share of 25-frame blocks in which an adult's forearm reaches in."""
    clothing: float = 0.4
    """Share of patients in loose clothes, which hide where trunk and limbs meet."""
    clutter: float = 0.7
    """Share of patients with a crib wall in view, and likewise with a nest roll and with a tube."""
    noise_gain: float = 1.0
    """Factor on the sensor's noise and dropouts; 0 is a perfect sensor that still casts shadows."""

    def __post_init__(self) -> None:
        """Refuse a spec that cannot be drawn.

        Raises:
            ConfigError: with all faults of the spec.
        """
        faults = [
            f"synthetic.{name}: {getattr(self, name)} is not a share; choose 0 to 1"
            for name in _SHARES
            if not 0 <= getattr(self, name) <= 1
        ]
        if not 0 <= self.seed < 2**32:
            faults.append(f"synthetic.seed: {self.seed} is out of range; choose 0 to 4294967295")
        if min(self.size) < 16:
            faults.append(f"synthetic.size: {self.size} is too small; choose at least 16 x 16 px")
        if not 0 <= self.yaw_spread_deg <= 180:
            faults.append(f"synthetic.yaw_spread_deg: {self.yaw_spread_deg} is out of range; choose 0 to 180")
        if not 0 <= self.noise_gain <= 10:
            faults.append(f"synthetic.noise_gain: {self.noise_gain} is out of range; choose 0 to 10")
        if faults:
            raise ConfigError(faults)

    @property
    def px_scale(self) -> float:
        """Return this frame's px per native px."""
        return self.size[0] / NATIVE_WIDTH


class Purpose(IntEnum):
    """What a random stream is for; streams of different purposes never share numbers."""

    BANK = 1
    BUILD = 2
    MOTION = 3
    VIEW = 4
    BED = 5
    BLANKET = 6
    ADULT_ARM = 7
    LABEL = 8
    SENSOR = 9
    SHOT = 10
    FOLDS = 11


def stream(spec: Spec, purpose: Purpose, *, patient: int = 0, frame: int = 0) -> np.random.Generator:
    """Return the random numbers of one purpose for one patient and frame, whatever else was drawn before."""
    return np.random.default_rng([spec.seed, patient, int(purpose), frame])
