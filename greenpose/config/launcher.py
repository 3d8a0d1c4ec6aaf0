"""Who starts the runs of a grid: this machine, Slurm, or files for Slurm, and what is asked of the cluster for them."""

import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from greenpose.config.yaml_files import read_yaml
from greenpose.errors import ConfigError
from greenpose.schema import Document, parsed

OURS = frozenset(
    ("array", "chdir", "error", "export", "job-name", "no-requeue", "open-mode", "output", "parsable", "requeue")
) | {"signal", "test-only", "wait", "wrap"}
"""Options of sbatch by which runs are found again; nobody else gives them."""
STANDS_FOR = ("partition", "account", "time", "exclusive")
"""Options of sbatch that are settings of their own here."""
TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<first>\d+)(?::(?P<second>\d+))?(?::(?P<third>\d+))?")


class Launcher(Document):
    """Where runs are started, and with what; it stands in no run's hash."""

    kind: Literal["local", "slurm", "script"] = "local"
    """`local`: this machine; `slurm`: an array of jobs, by submitit; `script`: files for sbatch, submitted by hand."""
    partition: str | None = None
    """Slurm's partition; null: its default."""
    account: str | None = None
    """The account that pays; null: one's default."""
    time: str | None = None
    """How long a job may take, as Slurm writes it, in quotes: `"12:00:00"`, `"2-00"`, `"90"` (minutes). Then it is
    queued again, and its run goes on from its last epoch."""
    parallel: int | None = Field(default=None, ge=1)
    """Jobs at a time; null: as many as Slurm lets."""
    exclusive: bool = True
    """A job has its node for itself. Else energy is modelled from CPU time, and no exit is ranked by it."""
    setup: list[str] = Field(default_factory=list)
    """Lines of shell before the runs, on the node: `module load ...`. The job ends where one fails."""
    slurm: dict[str, str | int | bool] = Field(default_factory=dict)
    """Further options of sbatch without their dashes: `gres: "gpu:1"`, `mem: 32G`; true for one without a value."""

    @field_validator("time")
    @classmethod
    def _is_time(cls, text: str | None) -> str | None:
        if text is not None and minutes_of(text) < 1:
            raise ValueError(f"{text!r} is no time as Slurm writes it: minutes, hours:minutes:seconds, or days-hours")
        return text

    @field_validator("slurm")
    @classmethod
    def _are_options(cls, given: dict[str, str | int | bool]) -> dict[str, str | int | bool]:
        for name, value in given.items():
            if name in STANDS_FOR:
                raise ValueError(f"{name} is a setting of its own: --{name}, or launcher.{name}")
            if name in OURS:
                raise ValueError(f"{name} is set by GreenPose, which finds its runs by it")
            if not re.fullmatch(r"[a-z][a-z-]*", name) or value is False or "\n" in str(value):
                raise ValueError(f"{name}: {value!r}: give an option of sbatch and its value, e.g. mem: 32G")
        return given

    @property
    def minutes(self) -> int:
        """Return how long a job may take, in minutes, rounded up; `time` must be given."""
        assert self.time is not None
        return minutes_of(self.time)

    @property
    def checked_setup(self) -> list[str]:
        """Return the lines of shell, each followed by one that ends the job where it failed."""
        failed = '[ $? -eq 0 ] || { echo "greenpose: line {0} of setup failed" >&2; exit 1; }'
        return [
            part for number, line in enumerate(self.setup, 1) for part in (line, failed.replace("{0}", str(number)))
        ]

    def told(self) -> str:
        """Return in words what is asked for."""
        asked = {name: value for name in ("partition", "account", "time", "parallel") if (value := getattr(self, name))}
        parts = [f"{name} {value}" for name, value in asked.items()] + [
            "exclusive" if self.exclusive else "shared nodes"
        ]
        parts += [f"{name}={value}" for name, value in self.slurm.items()] + [f"setup `{line}`" for line in self.setup]
        return ", ".join(parts)


def minutes_of(text: str) -> int:
    """Return a time as Slurm writes it, in minutes, rounded up; 0 where it is none.

    Source: sbatch(1), --time: minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes,
    days-hours:minutes:seconds.
    """
    found = TIME.fullmatch(text.strip())
    if found is None:
        return 0
    first, second, third = (int(found[name] or 0) for name in ("first", "second", "third"))
    if found["days"] is not None:
        return math.ceil(int(found["days"]) * 1440 + first * 60 + second + third / 60)
    return math.ceil(first * 60 + second + third / 60) if found["third"] else math.ceil(first + second / 60)


def user_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where a user keeps what holds for all grids: `~/.config/greenpose/launcher.yaml`."""
    return Path(environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()) / "greenpose" / "launcher.yaml"


def launcher_of(given: Mapping[str, Any], section: Launcher, file: Path) -> Launcher:
    """Return who starts the runs: the options `given`, over the grid's section, over the user's file.

    Raises:
        ConfigError: if the file is wrong, an option has no launcher that it could belong to, or time is not given.
    """
    layers = [section.model_dump(exclude_unset=True), given]
    if file.exists():
        own = parsed(Launcher, read_yaml(file), where=str(file), error=ConfigError)
        layers.insert(0, own.model_dump(exclude_unset=True))
    options = {key: value for layer in layers for key, value in layer.get("slurm", {}).items()}
    asked = {key: value for layer in layers for key, value in layer.items()} | {"slurm": options}
    launcher = parsed(Launcher, asked, where="--launcher", error=ConfigError)
    idle = [name for name in given if name != "kind"] if launcher.kind == "local" else []
    if idle:
        names = {"exclusive": "exclusive/--share"}
        said = ", ".join(f"--{names.get(name, name)}" for name in idle)
        raise ConfigError([f"{said}: asks something of a cluster; add --launcher slurm, or --launcher script"])
    if launcher.kind != "local" and launcher.time is None:
        why = "how long a job may take before it is queued again, and goes on"
        raise ConfigError([f"--launcher {launcher.kind}: needs --time, e.g. --time 12:00:00: {why}"])
    return launcher


def settings_of(options: Sequence[str]) -> dict[str, str | bool]:
    """Return sbatch's options from `key=value`, or a `key` that takes none."""
    pairs = (option.removeprefix("--").partition("=") for option in options)
    return {key: value if equals else True for key, equals, value in pairs}
