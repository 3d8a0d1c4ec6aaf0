"""Where things that can be made again are kept."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder: $GREENPOSE_CACHE, else greenpose/ in the user's cache folder."""
    own = os.environ.get("GREENPOSE_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "greenpose"
