"""Footprint regressions planted in a copy of GreenPose, and which gate finds them: `python -m benchmarks.mutants`.

Each mutant is what a careless change could do. The exact gate counts it: exits against a baseline of the clean code
(`greenpose check --baseline`), all networks of the quick grid; a training's step and the way of images to batches
beside the clean code (`--against --train`, `--data`). What it does not find, the paired gate runs against the clean
code (`greenpose check --against`), the network of two exits only; with `--both` it runs all mutants.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import yaml

from benchmarks import conclude
from benchmarks.planted import PLANTED, Mutant
from greenpose.check.paired.against import Options, compare_sides
from greenpose.check.paired.revisions import Side, Sides, this_side
from greenpose.check.paired.work import DATA, EXITS, TRAIN, Work, counted_findings
from greenpose.config import packaged_experiment
from greenpose.data.splits import SYNTHETIC_WINDOW_MM
from greenpose.errors import GreenPoseError

CLEAN = Path(str(files("greenpose")))
WANTED = 20
UNCOUNTED = "cannot be counted"
"""What stands for a mutant that fails where the clean code does not."""
MISTAKE = 2
"""Exit code of a check that could not be made."""
TIMED = "HRNet4-OKD-DS"
"""The experiment of the quick grid that the paired gate runs, and that is trained; its teacher is frozen."""
PHOTOS = "seed: 3, patients: {train: 4, val: 1, test: 1}, frames: {train: 8, val: 2, test: 2}"
WORKS = {work.name: work for work in (EXITS, TRAIN, DATA)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the gates said of a mutant."""

    mutant: Mutant
    """The mutant."""
    exact: tuple[str, ...]
    """Quantities that the exact gate calls regressed."""
    paired: tuple[str, ...] | None
    """What the paired gate calls regressed, with the change of its CPU time; None if it was not asked."""
    remark: str = ""
    """What else was said, where neither found it."""

    @property
    def caught(self) -> bool:
        """Return whether a gate found it."""
        return bool(self.exact or self.paired)


def main() -> int:
    parser = argparse.ArgumentParser(description="Plant footprint regressions and see which gate finds them.")
    parser.add_argument("--only", action="append", help="only mutants whose name contains this; repeatable")
    parser.add_argument("--of", choices=sorted(WORKS), help="only mutants of this work")
    gates = parser.add_mutually_exclusive_group()
    gates.add_argument("--exact", action="store_true", help="leave the paired gate out, which takes minutes")
    gates.add_argument("--both", action="store_true", help="ask the paired gate about all of them")
    options = parser.parse_args()
    chosen = [one for one in PLANTED if not options.only or any(part in one.name for part in options.only)]
    chosen = [one for one in chosen if options.of in (None, one.of)]
    found = []
    print("| planted | exact gate | paired gate (CPU time) |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for mutant in chosen:
            one = bench.count(mutant)
            if options.both or not (one.exact or options.exact):
                one = bench.time(one)
            found.append(one)
            timed = "not asked" if one.paired is None else ", ".join(one.paired) or "-"
            print(f"| {mutant.name} | {', '.join(one.exact) or '-'} | {timed} |", flush=True)
    return report(found, all_of_them=not options.only and not options.of and not options.exact)


class Bench:
    """Plants mutants in copies of the package, in a folder of their own, and asks the gates."""

    def __init__(self, folder: Path) -> None:
        """Count the clean code."""
        self._folder = folder
        self._baseline = folder / "baseline.json"
        done = _greenpose(CLEAN.parent, "--baseline", self._baseline, "--update", "--reason", "the clean code")
        assert done.returncode == 0, done.stderr
        self._timed = folder / "timed.yaml"
        grid = yaml.safe_load(packaged_experiment("quick").read_text(encoding="utf-8"))
        grid["experiments"] = {TIMED: grid["experiments"][TIMED]}
        grid["base"]["loss"]["detach_teacher"] = True
        self._timed.write_text(yaml.safe_dump(grid), encoding="utf-8")
        self._photos = folder / "photos.yaml"
        _write_photos(folder / "photos")
        grid["base"]["data"] = {**grid["base"]["data"], "source": "coco", "root": str(folder / "photos")}
        del grid["base"]["data"]["synthetic"]
        self._photos.write_text(yaml.safe_dump(grid), encoding="utf-8")

    def _file(self, mutant: Mutant) -> Path:
        return self._photos if mutant.of == "data" else self._timed

    def count(self, mutant: Mutant) -> Found:
        """Return what the exact gate says of a mutant."""
        with self._planted(mutant) as root:
            if mutant.of != "exits":
                exact = _counted_beside(root, self._file(mutant), WORKS[mutant.of])
                return Found(mutant=mutant, exact=exact, paired=None)
            exact = _counted(root, self._baseline)
        if any(each.startswith(UNCOUNTED) for each in exact):
            clean = _counted(CLEAN.parent, self._baseline)
            assert not clean, f"{mutant.name}: {exact}, but so does the clean code: {clean}"
        return Found(mutant=mutant, exact=exact, paired=None)

    def time(self, found: Found) -> Found:
        """Return what the paired gate says, too."""
        with self._planted(found.mutant) as root:
            regressed, said = _paired(root, self._file(found.mutant), WORKS[found.mutant.of])
        return replace(found, paired=regressed, remark=said)

    @contextmanager
    def _planted(self, mutant: Mutant) -> Iterator[Path]:
        """Hold a copy of the package with a mutant in it."""
        root = self._folder / mutant.name.replace(" ", "-")
        shutil.copytree(CLEAN, root / "greenpose", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(packaged_experiment("quick").parent, root / "experiments", dirs_exist_ok=True)
        mutant.plant(root / "greenpose")
        try:
            yield root
        finally:
            shutil.rmtree(root)


def _counted(root: Path, baseline: Path) -> tuple[str, ...]:
    """Return the quantities that regressed, or that it cannot be counted at all: either way the check fails."""
    done = _greenpose(root, "--baseline", baseline, "--json")
    if done.returncode == MISTAKE:
        said = " ".join(done.stderr.split())
        assert UNCOUNTED in said, said
        return (f"{UNCOUNTED} ({said.partition(' mode: ')[2].partition(':')[0]})",)
    assert done.returncode in (0, 1, 3), done.stderr
    findings = [one for one in json.loads(done.stdout)["findings"] if one["outcome"] == "regressed"]
    return tuple(dict.fromkeys(one["metric"] for one in findings))


def _counted_beside(root: Path, file: Path, work: Work) -> tuple[str, ...]:
    """Return what is counted of a training's step, or of images' way, and regressed beside the clean code."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        ((network, label),) = work.networks(file, Path(folder), ())
        asked, more = stack.enter_context(work.asked(network))
        clean, mutant = (
            stack.enter_context(side.worker({**asked.request(), **more}))
            for side in (this_side("clean"), _mutant_side(root))
        )
        try:
            found = [*counted_findings(work, label, clean.hello, mutant.hello)]
        except GreenPoseError as error:
            return (f"cannot be run ({error})",)
    return tuple(one.name for one in found if one.outcome == "regressed")


def _mutant_side(root: Path) -> Side:
    return Side(name="mutant", python=sys.executable, root=root, tree=None)


def _write_photos(root: Path) -> None:
    """Write a folder of images, of which some show several subjects."""
    from greenpose.config.experiment import SyntheticConfig
    from greenpose.data import Instance, load_profile
    from greenpose.data.folders import write_coco
    from greenpose.data.synthetic import generate

    config = SyntheticConfig.model_validate(yaml.safe_load(f"{{{PHOTOS}}}"))

    def twice(split: str) -> Iterator[tuple[Instance, np.ndarray]]:
        for instance, image in generate(config, split):
            yield instance, image
            x, y, width, height = instance.box
            beside = (x + 1, y + 1, width - 1, height - 1)
            yield replace(instance, id=instance.id + 10**6, box=beside, joints=instance.joints + 1), image

    splits = {split: twice(split) for split in ("train", "val", "test")}
    write_coco(root, splits, profile=load_profile("babypose"), window=SYNTHETIC_WINDOW_MM)


def _paired(root: Path, timed: Path, work: Work) -> tuple[tuple[str, ...], str]:
    """Return what regressed, and what the ratios were."""
    sides = Sides(base=this_side("clean"), head=_mutant_side(root), against="the clean code", repository=None)
    try:
        verdict = compare_sides(timed, sides, Options(works=(work,)))
    except GreenPoseError as error:
        return ("crash",), str(error)
    ratios = {one.where: f"{100 * (one.ratio.value - 1):+.0f} %" for one in verdict.findings if one.ratio}
    regressed = tuple(f"{one.where} {ratios[one.where]}" for one in verdict.of("regressed") if one.ratio)
    found = [one for one in verdict.findings if one.ratio]
    said = ", ".join(f"{one.where} {ratios[one.where]} {one.outcome}: {one.says}" for one in found)
    return regressed, said


def _greenpose(root: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a check of the quick grid by the package below `root`."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "greenpose",
        "check",
        str(packaged_experiment("quick")),
        *map(str, arguments),
    ]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def report(found: Sequence[Found], *, all_of_them: bool) -> int:
    """Print how many were caught and what was missed, and return the exit code."""
    missed = [one for one in found if not one.caught]
    print(f"\n{len(found)} planted: {sum(bool(one.exact) for one in found)} by the exact gate, ", end="")
    print(f"{sum(bool(one.paired) for one in found)} by the paired gate, {len(missed)} by neither")
    for one in missed:
        print(f"missed: {one.mutant.name}: {one.mutant.why_missed or 'unexpected'} ({one.remark})")
    faults = [f"{one.mutant.name}: missed" for one in missed if not one.mutant.why_missed]
    faults += [f"only {len(found)} planted, {WANTED} wanted"] if len(found) < WANTED else []
    return conclude(faults if all_of_them else [])


if __name__ == "__main__":
    sys.exit(main())
