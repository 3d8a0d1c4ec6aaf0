"""Footprint regressions planted in a copy of GreenPose, and which gate finds them: `python -m benchmarks.mutants`.

Each mutant is what a careless change could do. The exact gate counts it against a baseline of the clean code
(`greenpose check --baseline`); the paired gate runs it against the clean code (`greenpose check --against`).
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from benchmarks.planted import MUTANTS, Mutant
from benchmarks.verdict import conclude
from greenpose.check.against import Options, compare_sides
from greenpose.check.sides import Side, Sides, this_side
from greenpose.config import packaged_experiment
from greenpose.errors import GreenPoseError

CLEAN = Path(str(files("greenpose")))
WANTED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the gates said of a mutant."""

    mutant: Mutant
    """The mutant."""
    exact: tuple[str, ...]
    """Quantities that the exact gate calls regressed."""
    paired: tuple[str, ...]
    """Exits that the paired gate calls regressed, with the change of their CPU time."""
    remark: str = ""
    """What else was said, where neither found it."""

    @property
    def caught(self) -> bool:
        """Return whether a gate found it."""
        return bool(self.exact or self.paired)


def main() -> int:
    parser = argparse.ArgumentParser(description="Plant footprint regressions and see which gate finds them.")
    parser.add_argument("--only", action="append", help="only mutants whose name contains this; repeatable")
    parser.add_argument("--exact", action="store_true", help="leave the paired gate out, which takes minutes")
    options = parser.parse_args()
    chosen = [one for one in MUTANTS if not options.only or any(part in one.name for part in options.only)]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        baseline = accept(Path(folder))
        for mutant in chosen:
            found.append(try_out(mutant, Path(folder), baseline, paired=not options.exact))
            print(f"{mutant.name}: {'caught' if found[-1].caught else 'missed'}", file=sys.stderr)
    return report(found, all_of_them=not options.only and not options.exact)


def accept(folder: Path) -> Path:
    """Return the baseline of the clean code."""
    baseline = folder / "baseline.json"
    done = _greenpose(CLEAN.parent, "--baseline", baseline, "--update", "--reason", "the clean code")
    assert done.returncode == 0, done.stderr
    return baseline


def try_out(mutant: Mutant, folder: Path, baseline: Path, *, paired: bool) -> Found:
    """Return what the gates say of a mutant, in a copy of the package made for it."""
    root = folder / mutant.name.replace(" ", "-")
    shutil.copytree(CLEAN, root / "greenpose", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(packaged_experiment("quick").parent, root / "experiments", dirs_exist_ok=True)
    mutant.plant(root / "greenpose")
    exact, remark = _counted(root, baseline)
    regressed, said = _paired(root) if paired else ((), "")
    shutil.rmtree(root)
    return Found(
        mutant=mutant, exact=exact, paired=regressed, remark="; ".join(part for part in (remark, said) if part)
    )


def _counted(root: Path, baseline: Path) -> tuple[tuple[str, ...], str]:
    """Return the quantities that regressed, and what was said if it could not be counted at all."""
    done = _greenpose(root, "--baseline", baseline, "--json")
    if not done.stdout:
        error = done.stderr.strip().splitlines()[-1].partition(":")[0]
        return (f"cannot be counted ({error})",), ""
    findings = [one for one in json.loads(done.stdout)["findings"] if one["outcome"] == "regressed"]
    return tuple(dict.fromkeys(one["metric"] for one in findings)), ""


def _paired(root: Path) -> tuple[tuple[str, ...], str]:
    """Return the exits that regressed, and what the ratios were."""
    mutant = Side(name="mutant", python=sys.executable, root=root, tree=None)
    sides = Sides(base=this_side("clean"), head=mutant, against="the clean code", repository=None)
    try:
        verdict = compare_sides(packaged_experiment("quick"), sides, Options())
    except GreenPoseError as error:
        return ("crash",), str(error)
    ratios = {one.where: f"{100 * (one.ratio.value - 1):+.0f} %" for one in verdict.findings if one.ratio}
    regressed = tuple(f"{one.where} {ratios[one.where]}" for one in verdict.of("regressed"))
    said = ", ".join(f"{one.where} {ratios.get(one.where, '')} {one.outcome}" for one in verdict.findings)
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
    """Print one table of all mutants, and return the exit code."""
    print("| planted | exact gate | paired gate (CPU time) |")
    print("|---|---|---|")
    for one in found:
        print(f"| {one.mutant.name} | {', '.join(one.exact) or '-'} | {', '.join(one.paired) or '-'} |")
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
