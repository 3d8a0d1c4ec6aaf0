"""Options that stand for settings of an experiment, and settings themselves."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer

from greenpose.errors import ConfigError

SetOption = Annotated[list[str] | None, typer.Option("--set", help="Dotted key=value, e.g. train.epochs=5.")]
CountryOption = Annotated[str | None, typer.Option(help="ISO alpha-3 code of the electricity grid, e.g. ITA.")]
DeviceOption = Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N.")]

STANDS_FOR = {
    "carbon.country": "--country",
    "process.device": "--device",
    "process.threads": "--threads",
    "measure.batch": "--batch",
    "measure.max_seconds": "--max-seconds",
}
"""Settings that have an option of their own."""


def changes(
    *,
    country: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    batch: int | None = None,
    max_seconds: float | None = None,
) -> list[str]:
    """Return what the options mean as `--set` options; a country takes the place of any other grid."""
    values = (country, device, threads, batch, max_seconds)
    settings = [
        f"{key}={json.dumps(value)}" for key, value in zip(STANDS_FOR, values, strict=True) if value is not None
    ]
    if country is not None:
        settings += [f"carbon.{other}=null" for other in ("intensity_g_per_kwh", "hourly", "label")]
    return settings


@contextmanager
def as_written(settings: Sequence[str] | None) -> Iterator[None]:
    """Name in every fault the option that the user wrote; `settings` are those that were written as `--set`.

    Raises:
        ConfigError: in the place of the one that is raised inside.
    """
    set_by_hand = {setting.partition("=")[0].strip() for setting in settings or ()}
    try:
        yield
    except ConfigError as error:
        faults = list(error.faults)
        for key, option in STANDS_FOR.items():
            if key not in set_by_hand:
                before = f"--set {key}: "
                faults = [
                    option + ": " + each.removeprefix(before) if each.startswith(before) else each for each in faults
                ]
        raise ConfigError(faults) from None
