"""Augmentation's settings: how far an epoch's training images may differ from what was annotated.

Within a range by a normal distribution around its middle, which has its ends one standard deviation away and stops
there, as mmpose's.

Sources: HRNet's configurations for COCO (Sun et al. 2019, `w32_256x192_adam_lr1e-3.yaml`) and mmpose's
`RandomBBoxTransform` (OpenMMLab Pose Estimation Toolbox, 2023), which refines them.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from greenpose.schema import NO_TRUTH, Document


def _pair(ends: Any) -> Any:
    if isinstance(ends, list | tuple) and len(ends) == 2:
        return ends
    raise ValueError(f"{ends} is no range; write two numbers, the least and the greatest, e.g. [0.8, 1.2]")


def _rising(ends: tuple[float, float]) -> tuple[float, float]:
    low, high = ends
    if low > high:
        raise ValueError(f"[{low:g}, {high:g}] is the wrong way round; write [{high:g}, {low:g}]")
    return ends


RANGE = (BeforeValidator(_pair), AfterValidator(_rising))
"""What two numbers are marked with that are the ends of a range."""
Turn = Annotated[float, Field(ge=0, le=180), NO_TRUTH]
"""Degrees of an angle."""
Part = Annotated[float, Field(ge=0, le=1), NO_TRUTH]
"""A part of a whole."""
Zoom = Annotated[float, Field(ge=0.1, le=10), NO_TRUTH]
"""A factor that neither empties a crop nor lets it shrink to a point."""
Light = Annotated[float, Field(ge=-1, le=1), NO_TRUTH]
"""A part of the grey levels, taken away or added."""
Spread = Annotated[float, Field(ge=0, le=50), NO_TRUTH]
"""Standard deviation of a blur, in pixels."""
Millimetres = Annotated[float, Field(ge=-65_535, le=65_535), NO_TRUTH]
"""A difference of depth."""


class AugmentConfig(Document):
    """How training images are changed, each anew in every epoch."""

    rotation: Turn = 40.0
    """Most degrees that a crop is turned by, either way, about its middle, in 60 % of the images, as mmpose's."""
    scale: Annotated[tuple[Zoom, Zoom], *RANGE] = (0.65, 1.35)
    """Least and greatest factor of a crop's size, as HRNet's for COCO; above 1 the subject becomes smaller."""
    shift: Part = 0.16
    """Farthest that a crop is moved, in width and in height, of its own, in 30 % of the images, as mmpose's."""
    half_body: Part = 0.0
    """Part of the images with more than half of the joints labelled of which the upper or the lower half of the body is
    cropped; needs the profile's `upper_body`. 0.3 is HRNet's for COCO."""
    contrast: Annotated[tuple[Zoom, Zoom], *RANGE] = (1.0, 1.0)
    """Least and greatest factor of the distance of grey levels or colours from mid-grey; 8-bit images only."""
    brightness: Annotated[tuple[Light, Light], *RANGE] = (0.0, 0.0)
    """Least and most that is added to them, of their range; 8-bit images only."""
    blur: Annotated[tuple[Spread, Spread], *RANGE] = (0.0, 0.0)
    """Least and greatest standard deviation of a Gaussian blur, in pixels of the crop; 8-bit images only."""
    depth_noise_mm: Annotated[float, Field(ge=0, le=1000), NO_TRUTH] = 0.0
    """Greatest standard deviation of noise that is added to every pixel of a depth image; depth only."""
    depth_dropout: Part = 0.0
    """Greatest part of a depth image that is lost, in patches of 4 x 4 pixels of the crop; depth only."""
    depth_shift_mm: Annotated[tuple[Millimetres, Millimetres], *RANGE] = (0.0, 0.0)
    """Least and greatest distance that everything is moved from the camera by; depth only."""

    @property
    def of_light(self) -> list[str]:
        """Return the settings that change grey levels or colours of 8-bit images."""
        plain = {"contrast": (1.0, 1.0), "brightness": (0.0, 0.0), "blur": (0.0, 0.0)}
        return [name for name, ends in plain.items() if getattr(self, name) != ends]

    @property
    def of_depth(self) -> list[str]:
        """Return the settings that change what a depth sensor says."""
        plain = {"depth_noise_mm": 0.0, "depth_dropout": 0.0, "depth_shift_mm": (0.0, 0.0)}
        return [name for name, value in plain.items() if getattr(self, name) != value]
