"""Where things that can be made again are kept."""

import os
from pathlib import Path

from greenpose.errors import GreenPoseError


def cache_folder() -> Path:
    """Return the folder: $GREENPOSE_CACHE, else greenpose/ in the user's cache folder.

    Raises:
        GreenPoseError: if neither is set and the user has no home folder, as an arbitrary uid in a container.
    """
    own = os.environ.get("GREENPOSE_CACHE")
    try:
        if own:
            return Path(own).expanduser()
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "greenpose"
    except RuntimeError:
        raise GreenPoseError(
            f"GREENPOSE_CACHE is {own or 'not set'}, and this user has no home folder: set it to a folder for what "
            "can be made again, e.g. GREENPOSE_CACHE=/tmp/greenpose"
        ) from None
