"""Published runs as other hosts would have run them: another machine, and every energy times a known factor."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from greenpose.record import Record
from reports.examples import REPORTS

MACHINES: Mapping[str, Mapping[str, Any]] = {
    "A": {"host": "aaaaaaaaaaaa", "fingerprint": "0000000000a0", "cpu": "AMD EPYC 9B14"},
    "B": {
        "host": "bbbbbbbbbbbb",
        "fingerprint": "0000000000b0",
        "cpu": "Intel Xeon 8481C",
        "instruction_sets": ["AMX"],
    },
    "C": {"host": "cccccccccccc", "fingerprint": "0000000000b0", "cpu": "Intel Xeon 8481C", "gpus": ["NVIDIA H200"]},
}
"""Three hosts, of which the last two are of one make."""


def table_1(*, seeds: Sequence[int] = (1, 2, 3), names: Sequence[str] = ()) -> list[Record]:
    """Return the published runs of Table 1 at small size, with these seeds, all or of these experiments."""
    texts = (path.read_text(encoding="utf-8") for path in sorted(REPORTS.glob("table1_small/*/record.json")))
    runs = [Record.model_validate(json.loads(text)) for text in texts]
    return [run for run in runs if run.seed in seeds and (not names or run.experiment in names)]


def on_host(run: Record, host: str, factor: float = 1.0, *, shared: bool = False) -> Record:
    """Return a run as a host would have done it that takes so many times the energy for everything."""
    document = _scaled(run.model_dump(mode="json", by_alias=True), factor, "")
    document["host"] = document["host"] | dict(MACHINES[host])
    document["process"] |= {"shared_node": True} if shared else {}
    for name in ("started_at", "finished_at"):
        later = datetime.fromisoformat(document[name]) + timedelta(minutes=ord(host))
        document[name] = later.isoformat()
    return Record.model_validate(document)


def _scaled(value: Any, factor: float, name: str) -> Any:
    """Return the tree with every energy and emission, and the ends of their intervals, times a factor; no ratios."""
    if name == "relative_to_final":
        return value
    if isinstance(value, dict):
        inherited = name if _is_energy(name) else ""
        return {key: _scaled(each, factor, inherited or key) for key, each in value.items()}
    if isinstance(value, list):
        return [_scaled(each, factor, name) for each in value]
    return value * factor if isinstance(value, float) and _is_energy(name) else value


def _is_energy(name: str) -> bool:
    energies = (
        "energy_kwh",
        "energy_j_per_image",
        "co2eq_g",
        "sci_g",
        "train_energy",
        "train_co2eq",
        "train_sci",
        "idle_watts",
    )
    return name.removeprefix("net_").startswith(energies)
