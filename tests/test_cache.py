import os
import subprocess
import sys
from pathlib import Path

import pytest

from greenpose.files import cache_folder

NO_HOME = 54321
"""A uid that no passwd file knows."""


def test_a_tilde_stands_for_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/of/somebody")
    monkeypatch.setenv("GREENPOSE_CACHE", "~/kept")
    assert cache_folder() == Path("/home/of/somebody/kept")
    monkeypatch.delenv("GREENPOSE_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path("/home/of/somebody/.cache/greenpose")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"GREENPOSE_CACHE": "/var/kept"}, "/var/kept"),
        ({"XDG_CACHE_HOME": "/var/kept"}, "/var/kept/greenpose"),
        ({}, "GREENPOSE_CACHE is not set, and this user has no home folder: set it to a folder"),
        ({"GREENPOSE_CACHE": "~/kept"}, "GREENPOSE_CACHE is ~/kept, and this user has no home folder"),
    ],
)
def test_a_user_without_a_home_folder_is_told_to_set_one_or_has(settings, said):
    code = (
        f"import os; from greenpose.files import cache_folder; from greenpose.errors import GreenPoseError\n"
        f"os.setuid({NO_HOME})\n"
        "try: print(cache_folder())\n"
        "except GreenPoseError as error: print(error)\n"
    )
    kept = {key: value for key, value in os.environ.items() if key not in ("HOME", "GREENPOSE_CACHE", "XDG_CACHE_HOME")}
    done = subprocess.run([sys.executable, "-c", code], env=kept | settings, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(said)
