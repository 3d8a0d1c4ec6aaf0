"""The profiles that ship, and one's own, by name, by path, or as an experiment holds them."""

from importlib import resources
from pathlib import Path

from greenpose.config.profile import Profile, is_file, own_profile, sigma_faults
from greenpose.config.read import parse_yaml
from greenpose.errors import ConfigError
from greenpose.schema import near

__all__ = ["Profile", "load_profile", "profile_names", "sigma_faults"]


def profile_names() -> list[str]:
    """Return the names of the packaged profiles, sorted."""
    folder = resources.files("greenpose.data") / "profiles"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_profile(profile: str | Path | Profile) -> Profile:
    """Return a packaged profile by its name, one's own by the path of its file, or the one that is given.

    Raises:
        ConfigError: no such profile (near names are given) or a faulty file (every fault is given).
    """
    if isinstance(profile, Profile):
        return profile
    if is_file(profile):
        return own_profile(Path(profile))
    if str(profile) not in profile_names():
        hint = near(str(profile), profile_names())
        raise ConfigError([f"profile {str(profile)!r} is not known; {hint} Or give the path of a .yaml file."])
    packaged = resources.files("greenpose.data") / "profiles" / f"{profile}.yaml"
    return Profile.model_validate(parse_yaml(packaged.read_text(encoding="utf-8"), where=f"{profile}.yaml"))
