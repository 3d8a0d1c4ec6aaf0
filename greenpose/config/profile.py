"""What a data set annotates: its keypoints, how they are joined and mirrored, and how sharply OKS judges each."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, field_validator

from greenpose.config.yaml_files import YAML, read_yaml
from greenpose.errors import ConfigError
from greenpose.schema import NO_TRUTH, Document, parsed

Index = Annotated[int, Field(ge=0, le=1000), NO_TRUTH]
"""Number of a keypoint, from 0."""
Pair = tuple[Index, Index]
Area = Literal["box", "mask", "drawn"]
ValueT = TypeVar("ValueT")
SIGMAS = (0.001, 1.0)
"""Smallest and largest OKS spread that is taken, in square roots of the area; assumed."""

Spread = Annotated[float, NO_TRUTH, Field(json_schema_extra={"minimum": SIGMAS[0], "maximum": SIGMAS[1]})]


class Profile(Document):
    """A skeleton and the figures that its accuracy is judged by."""

    name: str = Field(min_length=1)
    """What the profile is called on the command line and in records."""
    category: str = Field(min_length=1)
    """The COCO category that carries these keypoints."""
    keypoints: tuple[str, ...] = Field(min_length=1)
    """Keypoint names in the order in which every file and heatmap has them."""
    skeleton: tuple[Pair, ...] = ()
    """Pairs of keypoint indices (from 0) that are drawn as limbs."""
    flip_pairs: tuple[Pair, ...] = ()
    """Pairs of keypoint indices (from 0) that change places in a mirror."""
    upper_body: Annotated[tuple[Index, ...], Field(exclude_if=lambda upper: not upper)] = ()
    """Keypoint indices (from 0) of the upper half of the body, the others being the lower one's; empty: it has no such
    halves."""
    sigmas: tuple[Spread, ...]
    """OKS spread of each keypoint, a fraction of the square root of the area; one per keypoint."""
    sigma_source: str = Field(min_length=1)
    """Where the sigmas come from; "assumed" when nobody measured them."""
    area: Area = "drawn"
    """Which area OKS uses: `box` = width x height of the box, `mask` = the annotated silhouette,
    `drawn` = whatever the annotation's own `area` holds. APs across areas cannot be compared."""

    @property
    def num_keypoints(self) -> int:
        """Return how many keypoints a pose has."""
        return len(self.keypoints)

    @field_validator("keypoints", mode="after")
    @classmethod
    def _strip_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        stripped = tuple(name.strip() for name in names)
        twice = [name for name, count in Counter(stripped).items() if count > 1]
        if twice:
            raise ValueError(f"{', '.join(twice)} named more than once; every keypoint needs its own name")
        return stripped

    @field_validator("sigmas", mode="after")
    @classmethod
    def _check_sigmas(cls, sigmas: tuple[float, ...], info: Any) -> tuple[float, ...]:
        faults = sigma_faults(sigmas)
        names = info.data.get("keypoints")
        if names is not None and len(sigmas) != len(names):
            faults.append(f"{len(sigmas)} values for {len(names)} keypoints; one is needed for each")
        return _or_raise(sigmas, faults)

    @field_validator("skeleton", mode="after")
    @classmethod
    def _check_skeleton(cls, pairs: tuple[Pair, ...], info: Any) -> tuple[Pair, ...]:
        return _or_raise(pairs, _pair_faults(pairs, info.data.get("keypoints")))

    @field_validator("flip_pairs", mode="after")
    @classmethod
    def _check_flip_pairs(cls, pairs: tuple[Pair, ...], info: Any) -> tuple[Pair, ...]:
        counts = Counter(index for pair in pairs for index in pair)
        twice = [f"keypoint {index} is in more than one pair" for index, count in counts.items() if count > 1]
        return _or_raise(pairs, _pair_faults(pairs, info.data.get("keypoints")) + twice)

    @field_validator("upper_body", mode="after")
    @classmethod
    def _check_upper_body(cls, upper: tuple[Index, ...], info: Any) -> tuple[Index, ...]:
        num = len(info.data.get("keypoints", ()))
        faults = [f"[{i}] is {index}, indices go from 0 to {num - 1}" for i, index in enumerate(upper) if index >= num]
        if num and len(set(upper)) >= num:
            faults.append("names every keypoint; the lower half needs some too")
        return _or_raise(upper, faults if num else [])


def sigma_faults(sigmas: Sequence[float]) -> list[str]:
    """Return what is wrong with OKS spreads: one beyond the subject's size calls every pose right, 0 calls none so."""
    low, high = SIGMAS
    return [
        f"[{i}] is {sigma}, must be from {low:g} to {high:g}; measured ones are between 0.02 and 0.2"
        for i, sigma in enumerate(sigmas)
        if not low <= sigma <= high
    ]


def _or_raise(value: ValueT, faults: Sequence[str]) -> ValueT:
    if faults:
        raise ValueError("; ".join(faults))
    return value


def _pair_faults(pairs: Sequence[Pair], names: Sequence[str] | None) -> list[str]:
    if names is None:
        return []
    last = len(names) - 1
    outside = [f"[{i}] is {list(p)}, indices go from 0 to {last}" for i, p in enumerate(pairs) if max(p) > last]
    return outside + [f"[{i}] joins keypoint {p[0]} with itself" for i, p in enumerate(pairs) if p[0] == p[1]]


def own_profile(path: Path) -> Profile:
    """Return the profile in a file of one's own.

    Raises:
        ConfigError: with every fault of the file.
    """
    return parsed(Profile, read_yaml(path), where=str(path), error=ConfigError)


def from_here(profile: Any) -> Any:
    """Return a profile; the path of one's own is taken from the current folder, not from beside a file."""
    return str(Path(profile).expanduser().absolute()) if isinstance(profile, str) and is_file(profile) else profile


def is_file(profile: str | Path) -> bool:
    """Return whether a profile is given by the path of its YAML, not by the name of one that ships."""
    return Path(profile).suffix in YAML
