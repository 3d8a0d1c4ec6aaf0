"""Options that stand for settings of an experiment."""

import json


def changes(*, country: str | None = None, device: str | None = None) -> list[str]:
    """Return what `--country` and `--device` mean as `--set` options; a country takes the place of any other grid."""
    settings = [] if device is None else [f"process.device={json.dumps(device)}"]
    if country is not None:
        others = ("intensity_g_per_kwh", "hourly", "label")
        settings += [f"carbon.country={json.dumps(country)}", *(f"carbon.{other}=null" for other in others)]
    return settings
