"""Whose exports there are: `annotations/pzN.json`, whatever the numbers."""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from greenpose.data.findings import Notebook

_NAME = re.compile(r"pz[-_ ]?0*(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """One patient's export."""

    number: int
    """The N of pzN."""
    file: Path
    """The export."""

    @property
    def name(self) -> str:
        """Return the patient's name, as everywhere in the set."""
        return patient_name(self.number)


def patient_name(number: int) -> str:
    """Return pzN."""
    return f"pz{number}"


def patient_number(name: str) -> int | None:
    """Return the N of pzN, also where it is written PZ_03; None for another name."""
    match = _NAME.fullmatch(name.strip())
    return int(match[1]) if match else None


def find_patients(raw: Path, notebook: Notebook) -> tuple[Patient, ...]:
    """Return the patients with an export below `raw`, by number; exports and images that fit nobody are noted."""
    files = sorted((raw / "annotations").glob("*.json"))
    exports: defaultdict[int, list[Path]] = defaultdict(list)
    for file in files:
        number = patient_number(file.stem)
        if number is not None:
            exports[number].append(file)
    if not exports:
        found = f"found {len(files)} other .json files there" if files else "found none"
        notebook.add("error", f"no export annotations/pzN.json, N being a patient's number; {found}")
    twice = [" = ".join(file.name for file in same) for same in exports.values() if len(same) > 1]
    notebook.count("error", twice, "{n} patients have several exports", field="annotations")
    strays = [file.name for file in files if patient_number(file.stem) is None]
    notebook.count("warning", strays, "{n} files are not named pzN.json and left out", field="annotations")
    idle = sorted(folder.name for folder in _image_folders(raw) if patient_number(folder.name) not in exports)
    notebook.count("warning", idle, "{n} patients have images and no export, and are left out", field="images")
    return tuple(Patient(number=number, file=same[0]) for number, same in sorted(exports.items()))


def _image_folders(raw: Path) -> list[Path]:
    return [path for path in (raw / "images").glob("*") if path.is_dir() and patient_number(path.name) is not None]
