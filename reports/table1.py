"""Our Table 1 beside the paper's: test AP of every exit, from the records of `table1_small`."""

from pathlib import Path

from greenpose.metrics import AP
from greenpose.record import Record
from greenpose.report.study import Point, study
from greenpose.store import collect

FOLDER = Path(__file__).parent / "table1_small"
PAGE = FOLDER.with_suffix(".md")
PAPER: dict[str, dict[int, float]] = {
    "HRNet2": {2: 67.73},
    "HRNet3": {3: 91.54},
    "HRNet4": {4: 94.17},
    "HRNet3-OKD": {2: 74.17, 3: 76.27},
    "HRNet3-OKD-DS": {2: 72.45, 3: 74.75},
    "HRNet4-OKD": {3: 92.63, 4: 93.77},
    "HRNet4-OKD-DS": {3: 93.58, 4: 95.13},
    "HRNet4-MSOKD": {2: 70.71, 3: 93.28, 4: 93.30},
    "HRNet4-MSOKD-DS": {2: 68.81, 3: 92.03, 4: 93.39},
    "HRNet4-COKD": {2: 62.34, 3: 69.23, 4: 77.43},
    "HRNet4-COKD-DS": {2: 74.82, 3: 79.51, 4: 81.52},
}
"""Test AP in %, by experiment in the paper's order and exit. Source: Cacciatore et al. 2025, Table 1."""

HEAD = """# Table 1, small, beside the paper's

Test AP in %. Left the paper: HRNet-W32 pretrained on COCO, BabyPose, one run each, without intervals. Right ours: the
same 11 experiments in the small profile of `experiments/table1_small.yaml`, from scratch, on synthetic depth infants,
mean of 3 seeds with Student's t at 95 %. **The two are not the same task**: compare how rows of one side stand to each
other, not numbers across. Footprint, intervals over patients and records: `table1_small/index.html`.
Made by `make examples`.

| | experiment | paper exit 2 | exit 3 | exit 4 | ours exit 2 | exit 3 | exit 4 |
|--:|---|--:|--:|--:|--:|--:|--:|
"""


def page(folder: Path = FOLDER) -> str:
    """Return both tables side by side, as Markdown."""
    compared = study([entry for entry in collect([folder]) if isinstance(entry, Record)])
    groups = {group.label: group for group in compared.groups}
    lines = []
    for number, (name, theirs) in enumerate(PAPER.items(), start=1):
        ours = {exit_: Point(group=groups[name], exit=exit_).figure(AP) for exit_ in groups[name].exits}
        cells = [f"{theirs[exit_]:.2f}" if exit_ in theirs else "" for exit_ in (2, 3, 4)]
        cells += [str(ours[exit_].text(most_decimals=1)) if exit_ in ours else "" for exit_ in (2, 3, 4)]
        lines.append(f"| {number} | {name} | {' | '.join(cells)} |\n")
    return HEAD + "".join(lines)
