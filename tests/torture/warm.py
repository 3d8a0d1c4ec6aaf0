"""Loaded by the process that others are forked from: all of GreenPose, and what runs, pages and sizes load besides."""

import gc
import os
import pkgutil
import sys
import tempfile
import threading
from importlib import import_module
from pathlib import Path

import greenpose
from greenpose.cli.app import app
from greenpose.config import expand, load_grid
from greenpose.grid import plan
from greenpose.metering import MicroPlan
from greenpose.run import calibrate, execute
from tests.run.tiny import Silent, written
from tests.torture.nursery import GRID, command, settings

# How sure figures are is asked of none that is forked: windows and trial epochs as short as they may be.
MicroPlan.__init__.__kwdefaults__["min_window_seconds"] = 0.005
os.fsync = lambda _: None  # as in `conftest.py`
calibrate.EPOCH_SECONDS, calibrate.MOST_BLOCKS = 0.02, calibrate.LEAST_BLOCKS

for found in pkgutil.walk_packages(greenpose.__path__, "greenpose."):
    if found.name not in ("greenpose.__main__", "greenpose.pytest_plugin"):
        import_module(found.name)

before = Path.cwd()
with tempfile.TemporaryDirectory() as place:
    os.chdir(place)
    os.environ.update(settings(place))
    Path("t.yaml").write_text(GRID)
    Path("b.yaml").write_text("budgets: [{budget: exit3.macs <= 9e9}]")
    one = plan(expand(load_grid(Path("t.yaml")), where="t.yaml"), Path("runs"))[-1]
    one.folder.path.mkdir(parents=True)
    one.folder.write_cell(written(one.cell))
    execute(one.folder, observer=Silent())
    for words in (
        ("report", one.folder.path, "-o", "page.html"),
        ("profile", "t.yaml"),
        ("check", one.folder.path, "--budgets", "b.yaml"),
        ("check", "--help"),
        ("export", one.folder.path, "--to", "pt2", "-o", "files"),
    ):
        code, said, _ = command(*words)
        assert code == 0, said
    os.chdir(before)
gc.collect()
gc.freeze()  # whoever is forked shares these pages, and does not look through them for garbage
assert threading.active_count() == 1, "what is forked must not hold threads"
assert "torch" in sys.modules
assert app
