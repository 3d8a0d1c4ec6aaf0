"""The split by patient: who is trained on, who chooses the epoch, who is tested: the paper's, or another."""

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PlainSerializer

from greenpose.config import read_yaml
from greenpose.data.check import SPLITS
from greenpose.data.findings import Notebook, first_few
from greenpose.errors import DataError
from greenpose.schema import Document

_NAME = re.compile(r"pz[-_ ]?0*(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawPatient:
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


def find_patients(raw: Path, notebook: Notebook) -> tuple[RawPatient, ...]:
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
    return tuple(RawPatient(number=number, file=same[0]) for number, same in sorted(exports.items()))


def _image_folders(raw: Path) -> list[Path]:
    return [path for path in (raw / "images").glob("*") if path.is_dir() and patient_number(path.name) is not None]


PAPER = (3, 4, 5, 6, 7, 11, 14, 15, 16, 17, 20, 21, 22, 24, 25, 26, 30, 34, 36, 37, 39, 42, 43, 66, 73, 74, 76)
"""The paper's patients in the order of its script, which is that of their numbers."""
PAPER_SEED = 1
_TRAIN_SHARE, _VAL_SHARE = 0.8, 0.1

_LEAK = (
    "frames of one patient are nearly alike, so that such a test tells nothing of new patients (synthetic infants: "
    "AP .99 on new frames, .54 on new patients)"
)

By = Literal["patient", "frame"]
Rule = Literal["paper", "seed", "named", "file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Which split somebody asks for; with nothing asked for it is the paper's."""

    seed: int | None = None
    """Seed of another draw; None for none."""
    val: tuple[int, ...] | None = None
    """Patients to validate on; None to have them drawn."""
    test: tuple[int, ...] | None = None
    """Patients to test on; None to have them drawn."""
    file: Path | None = None
    """YAML or JSON file with the patients of each split; None for none."""
    by_frame: bool = False
    """Whether the frames of each patient are dealt out, so that every patient is in every split."""
    leak_known: bool = False
    """Whether it is known that such a test tells nothing of new patients."""


def _number_in(name: Any) -> Any:
    return patient_number(name) if isinstance(name, str) else name


class Division(Document):
    """Who is in which split, and by which rule."""

    by: By
    """What is dealt out: `patient`, or `frame`, which leaks."""
    rule: Rule
    """`paper`: as its script draws it; `seed`: drawn likewise; `named`: on the command line; `file`: in a file."""
    seed: int | None
    """Seed of the draw; null where nothing was drawn."""
    note: str
    """The rule in words; patients of the paper that are not here are named."""
    patients: dict[str, tuple[Annotated[int, BeforeValidator(_number_in), PlainSerializer(patient_name)], ...]]
    """Patients of each split, in the order drawn or named; by their names in a file."""

    def deal(self, patient: int, count: int) -> list[str]:
        """Return the split of each of a patient's frames."""
        if self.by == "patient":
            return [next(split for split in SPLITS if patient in self.patients[split])] * count
        order = list(range(count))
        random.Random(f"{self.seed}/{patient}").shuffle(order)
        parts = _cut(order)
        split_of = {frame: split for split, frames in parts.items() for frame in frames}
        return [split_of[frame] for frame in range(count)]


def draw(patients: Sequence[int], seed: int) -> dict[str, tuple[int, ...]]:
    """Return the splits as the paper's script draws them: shuffled, 80 % to train on, 10 % to validate, the rest.

    Source: the paper's official code, script that organises images and annotations.
    """
    order = list(patients)
    random.Random(seed).shuffle(order)
    return {split: tuple(part) for split, part in _cut(order).items()}


def _cut(order: Sequence[int]) -> dict[str, Sequence[int]]:
    num_train = int(len(order) * _TRAIN_SHARE)
    num_val = math.ceil(len(order) * _VAL_SHARE)
    return {
        "train": order[:num_train],
        "val": order[num_train : num_train + num_val],
        "test": order[num_train + num_val :],
    }


def divide(found: Sequence[int], wish: Wish) -> Division:
    """Return the split of the found patients, sorted by number, that is asked for.

    Raises:
        DataError: several splits are asked for, or one by frame that isn't known to leak, or it names patients that are
            not there, or one twice, leaves one out, or leaves a split without patients.
    """
    named = wish.val is not None or wish.test is not None
    asked = [
        *(["--seed"] if wish.seed is not None and not wish.by_frame else []),
        *(["--val and --test"] if named else []),
        *(["--split"] if wish.file is not None else []),
        *(["--by-frame"] if wish.by_frame else []),
    ]
    if len(asked) > 1:
        raise DataError([f"{' and '.join(asked)}: each is a split of its own; give one of them"])
    if wish.by_frame and not wish.leak_known:
        raise DataError([f"--by-frame: {_LEAK}; if that is wanted, say so with --i-know-it-leaks"])
    division = _by_wish(found, wish, named=named)
    faults = [] if wish.by_frame else _faults(found, division)
    if faults:
        raise DataError(faults)
    return division


def _by_wish(found: Sequence[int], wish: Wish, *, named: bool) -> Division:
    if wish.by_frame:
        seed = PAPER_SEED if wish.seed is None else wish.seed
        note = f"the frames of every patient dealt out 80/10/10 with seed {seed}, so that the test knows every patient"
        return Division(by="frame", rule="seed", seed=seed, patients=dict.fromkeys(SPLITS, tuple(found)), note=note)
    if wish.file is not None:
        return _of("file", _read(wish.file), f"as {wish.file.name} says")
    if named:
        val, test = wish.val or (), wish.test or ()
        rest = tuple(number for number in found if number not in {*val, *test})
        return _of("named", {"train": rest, "val": val, "test": test}, "val and test as named, all others train")
    if wish.seed is not None:
        return _drawn(found, wish.seed, f"drawn with seed {wish.seed} from the patients found")
    if set(found) <= set(PAPER):
        return _paper(found)
    strangers = first_few(patient_name(number) for number in found if number not in PAPER)
    text = f"drawn with the paper's seed from the patients found; not the paper's split, which knows no {strangers}"
    return _drawn(found, PAPER_SEED, text)


def _paper(found: Sequence[int]) -> Division:
    whole = draw(PAPER, PAPER_SEED)
    here = {split: tuple(number for number in numbers if number in found) for split, numbers in whole.items()}
    lacking = [patient_name(number) for number in PAPER if number not in found]
    note = "the paper's"
    if lacking:
        note = f"the paper's, but {len(lacking)} of its 27 patients are not here ({first_few(lacking)})"
    return Division(by="patient", rule="paper", seed=PAPER_SEED, patients=here, note=note)


def _drawn(found: Sequence[int], seed: int, note: str) -> Division:
    return Division(by="patient", rule="seed", seed=seed, patients=draw(found, seed), note=note)


def _of(rule: Rule, patients: Mapping[str, Sequence[int]], note: str) -> Division:
    whole = {split: tuple(patients[split]) for split in SPLITS}
    return Division(by="patient", rule=rule, seed=None, patients=whole, note=note)


def _read(file: Path) -> dict[str, tuple[int, ...]]:
    """Return the patients of each split as a file lists them.

    Raises:
        DataError: it doesn't have the three splits, or names something that is no patient.
    """
    content = read_yaml(file)
    if set(content) != set(SPLITS) or not all(isinstance(names, list) for names in content.values()):
        keys = ", ".join(map(str, content))
        raise DataError([f"{file}: must hold the lists train, val and test, as `val: [6, 16, 5]`; it has {keys}"])
    return {split: parse_patients(map(str, content[split]), where=f"{file}: {split}") for split in SPLITS}


def parse_patients(names: Iterable[str], *, where: str) -> tuple[int, ...]:
    """Return the numbers of patients that are named 6 or pz6, each once.

    Raises:
        DataError: with everything that is no patient's name.
    """
    numbers = {name: int(name) if name.strip().isdecimal() else patient_number(name) for name in names}
    wrong = [repr(name) for name, number in numbers.items() if number is None]
    if wrong:
        raise DataError([f"{where}: {', '.join(wrong)}: no patients; name them as 6 or pz6"])
    return tuple(dict.fromkeys(number for number in numbers.values() if number is not None))


def _faults(found: Sequence[int], division: Division) -> list[str]:
    times = Counter(number for numbers in division.patients.values() for number in numbers)
    strangers = sorted(number for number in times if number not in found)
    twice = sorted(number for number, count in times.items() if count > 1)
    nowhere = sorted(number for number in found if number not in times)
    empty = [split for split in SPLITS if not division.patients[split]]
    here = f"here are {', '.join(map(patient_name, found))}"
    faults = [f"split: {_names(strangers)}: no such patients; {here}"] if strangers else []
    faults += [f"split: {_names(twice)}: in several splits; a patient belongs to one, whole"] if twice else []
    faults += [f"split: {_names(nowhere)}: in no split; every patient found needs one"] if nowhere else []
    if empty:
        text = f"no patients for {' and '.join(empty)}; name them with --val and --test; {here}"
        faults.append(f"split ({division.note}): {text}")
    return faults


def _names(numbers: Sequence[int]) -> str:
    return ", ".join(map(patient_name, numbers))
