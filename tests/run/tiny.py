"""The main job, shrunk to seconds."""

from pathlib import Path
from typing import Any

from greenpose.config import Cell

TINY = """
name: tiny
base:
  data:
    input_size: [32, 32]
    synthetic:
      size: [160, 120]
      patients: {train: 3, val: 2, test: 2}
      frames: {train: 4, val: 2, test: 2}
  model: {width: 4, stem_width: 4, modules: [1, 1, 1], blocks: 1}
  loss: {kd_weight: 42}
  train: {epochs: 2, batch: 4, lr: 2.0e-3, milestones: [1], patience: 9}
  measure: {batch: 2, min_window_seconds: 0.005, max_blocks: 3, max_seconds: 0.5}
  carbon: {country: ITA}
experiments:
  HRNet2: {model.exits: [2]}
  HRNet3-OKD-DS: {model.exits: [2, 3], wiring.teach: [3->2], wiring.supervise: [2, 3], measure.step_blocks: 3}
"""


def write_grid(folder: Path) -> None:
    """Leave the grid in a folder, as tiny.yaml."""
    (folder / "tiny.yaml").write_text(TINY)


def written(cell: Cell) -> dict[str, Any]:
    """Return what a run's folder says of it before it begins."""
    about = {"name": cell.name, "grid": cell.grid, "axes": cell.axes, "config_hash": cell.config_hash}
    return about | {"experiment": cell.config.model_dump(mode="json")}


class Silent:
    """An observer that minds nothing."""

    def phase(self, name, total=None): ...

    def step(self, done, note=""): ...

    def training(self, *, done, rate, loss, energy_wh): ...

    def say(self, line, *, detail=False): ...
