"""Labels: what runs, their settings and their hosts are called, and what tells those from others that are alike."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from greenpose.formatting import NBSP, exact, plain, plural, shown
from greenpose.record import Record

_HOST_WORDS = {"cpu": "{}", "gpus": "{}", "vcpus": "{} logical CPUs", "ram_gb": "{} GB memory", "os": "{}"}
"""What is told of a machine, and how."""
MANY_SEEDS = 12
"""Seeds beyond which not each is named."""
MOST_SETTINGS = 3
"""Settings by which runs of one name are told apart; beyond, by the hash of all of them."""
LONGEST_SETTINGS = 80
"""Characters that these may take in a label."""


def label_of(record: Record) -> str:
    """Return what a run's group is called: its experiment, and the axes of the grid but the seed."""
    last = {name: str(value).rpartition("/")[2] or value for name, value in record.axes.items()}  # of a path
    axes = [f"{name.rpartition('.')[2]}={value}" for name, value in last.items() if name != "seed"]
    return shown(" ".join([record.experiment, *axes]))


def identity_of(record: Record) -> tuple[str, ...]:
    """Return what runs of one group share: the setting, then everything else but the seed, annotations included."""
    config = {key: value for key, value in record.config.items() if key != "seed"}
    exits = sorted(entry.exit for entry in record.exits)
    settled = json.dumps([label_of(record), exits, config], sort_keys=True, default=str)
    return setting(record), settled, json.dumps(record.dataset.get("annotations_sha256"), sort_keys=True)


def run_order(record: Record) -> tuple[Any, ...]:
    """Return a sorting key: by experiment, seed, name and time."""
    return natural(record.experiment), record.seed, record.name, record.started_at, record.finished_at


def natural(text: str) -> list[tuple[int, str]]:
    """Return a sorting key that puts HRNet2 before HRNet10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]


def letters(index: int) -> str:
    """Return `A` to `Z`, then `AA`, `AB` and so on, as spreadsheets name their columns."""
    before, last = divmod(index, 26)
    return (letters(before - 1) if before else "") + chr(ord("A") + last)


def seeds(runs: Sequence[Record]) -> str:
    """Return the seeds of runs in words: each, or of very many the first and the last."""
    found = sorted({run.seed for run in runs})
    if len(found) <= MANY_SEEDS:
        return ", ".join(map(str, found))
    return f"{found[0]}–{found[-1]} ({exact(len(found))} of them)"


def labelled(name: str, own: str, settings: Sequence[str], side: str) -> str:
    """Return a name with its side and setting, those that there are several of."""
    parts = [side] if side else []
    parts += [f"setting {letters(settings.index(own))}"] if len(settings) > 1 else []
    return f"{name} ({', '.join(parts)})" if parts else name


def told_apart(
    labels: Mapping[tuple[str, ...], str], found: Mapping[tuple[str, ...], Sequence[Record]]
) -> dict[tuple[str, ...], str]:
    """Return labels that no two groups share: those that do are followed by the settings in which they differ.

    Where these are many, or nothing in the configuration, they are followed by the beginning of its hash, and where
    even that is the same, by a number.
    """
    alike: dict[str, list[tuple[str, ...]]] = {}
    for key, label in labels.items():
        alike.setdefault(label, []).append(key)
    apart: dict[tuple[str, ...], str] = {}
    for label, keys in alike.items():
        words = _differences([found[key][0] for key in keys]) if len(keys) > 1 else [""]
        again = Counter(words)
        for number, (key, said) in enumerate(zip(keys, words, strict=True), 1):
            unlike = said if again[said] == 1 else f"{said}, {number} of {len(keys)}"
            apart[key] = f"{label} ({unlike})" if unlike else label
    return apart


def _differences(runs: Sequence[Record]) -> list[str]:
    """Return for each of several runs the settings in which it differs from the others: `train.lr=0.01`."""
    told = [flat(run.config) | {"annotations": _annotations(run)} for run in runs]
    keys = [key for key in dict.fromkeys(key for each in told for key in each) if key not in ("seed", "name")]
    keys = [key for key in keys if len({each.get(key) for each in told}) > 1]
    if not 0 < len(keys) <= MOST_SETTINGS:
        return [run.config_hash[:8] for run in runs]
    said = [shown(", ".join(_told(key, each.get(key, "not set")) for key in keys)) for each in told]
    return said if max(map(len, said)) <= LONGEST_SETTINGS else [run.config_hash[:8] for run in runs]


def _told(key: str, value: str) -> str:
    return f"{key}{' ' if key == 'annotations' else '='}{value}"


def _annotations(run: Record) -> str:
    """Return what tells the run's annotations from others, split by split."""
    return "/".join(digest[:6] for digest in run.dataset.get("annotations_sha256", {}).values()) or "not told"


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return a configuration with dotted keys."""
    found: dict[str, str] = {}
    for key, value in config.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": str(value)}
    return found


def setting(record: Record) -> str:
    """Return what has to be equal before seconds and joules are compared: machine, process, energy source."""
    fingerprint = record.host.get("fingerprint") or json.dumps(record.host, sort_keys=True, default=str)
    name = record.host.get("host")  # last, so that letters follow the kind of machine
    sources = [[part.component, part.kind, part.method] for part in record.components]
    process = [record.process.get(key) for key in ("device", "torch_threads", "concurrent_workers")]
    process += [True] if record.process.get("shared_node") else []
    return json.dumps([fingerprint, process, sources, record.carbon.country, name], default=str)


def host_name(record: Record) -> str:
    """Return the machine in words: what its fingerprint says of processor, memory and system."""
    host = record.host
    parts = [words.format(_host_word(host[key])) for key, words in _HOST_WORDS.items() if host.get(key)]
    return ", ".join(parts) or "a machine that the record does not describe"


def _host_word(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return plain(value, 2) if isinstance(value, float) else str(value)


def host_of(record: Record) -> str:
    """Return what tells a host from others, machines of one make included: its fingerprint and its name's digest."""
    return " ".join(str(record.host.get(key)) for key in ("fingerprint", "host"))


def setting_facts(run: Record) -> list[tuple[str, str]]:
    """Return under which circumstances a run was measured: machine, threads, allocator, neighbours, energy sources."""
    process = run.process
    threads = process.get("torch_threads")
    workers = process.get("concurrent_workers", 1)
    pinned = process.get("pinned")
    environment = process.get("environment") or {}
    return [
        ("Machine", host_name(run)),
        ("Threads", plural(threads, "torch thread") if threads else "not recorded"),
        ("Allocator", _allocator(pinned, environment)),
        (
            "Other runs at the same time",
            "unknown: a shared node" if process.get("shared_node") else _neighbours(workers),
        ),
        ("Energy sources", "; ".join(f"{part.component}: {part.method} ({part.kind})" for part in run.components)),
        ("Software", ", ".join(f"{name}{NBSP}{version}" for name, version in run.software.items())),
    ]


def _allocator(pinned: bool | None, environment: Mapping[str, str]) -> str:
    settings = ", ".join(f"{name}={value}" for name, value in environment.items())
    state = {True: "pinned", False: "not pinned: identical code may differ between two processes", None: "not recorded"}
    return f"{state[pinned]} ({settings})" if settings else state[pinned]


def _neighbours(workers: int) -> str:
    return "none" if workers <= 1 else f"{workers - 1}: their load is in these joules and seconds"
