"""Render the published reports from their records: `python -m reports.examples [RUNS...]`, or `make examples`.

Each folder here that holds records has a page made of them and of nothing else: a test holds the two together. RUNS are
folders of finished runs, such as `runs/quick`: their records take the place of those in the folder of that name.
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from greenpose import __version__
from greenpose.record import Record
from greenpose.report import render
from greenpose.report.index import IndexLine, index_page, read_page
from greenpose.store import collect
from reports import table1

REPORTS = Path(__file__).parent
PAGE = "index.html"
INDEX = REPORTS / PAGE
"""The page that lists the others."""


def examples(root: Path = REPORTS) -> list[Path]:
    """Return the folders that hold the records of a published report."""
    return sorted({record.parent.parent for record in root.glob("*/*/record.json")})


def page_of(folder: Path) -> str:
    """Return the page of a folder's records; its date is that of the last run."""
    entries = collect([folder])
    runs = [entry for entry in entries if isinstance(entry, Record)]
    return render(
        entries,
        title=f"GreenPose: the {folder.name} grid",
        generated_at=max(run.finished_at for run in runs),
        version=__version__,
        command=f"greenpose run --grid experiments/{folder.name}.yaml",
    )


def index(root: Path = REPORTS) -> str:
    """Return the page that lists the published ones; its date is that of the newest."""
    pages = [folder / PAGE for folder in examples(root)]
    date = max(line.date for line in map(read_page, pages) if isinstance(line, IndexLine))
    return index_page(pages, at=INDEX, title="Published reports of GreenPose", date=date, version=__version__)


def take_over(runs: Path, root: Path = REPORTS) -> Path:
    """Put the records of finished runs in the place of those of the same name, and return their folder."""
    folder = root / runs.name
    shutil.rmtree(folder, ignore_errors=True)
    for record in sorted(runs.glob("*/record.json")):
        target = folder / record.parent.name / record.name
        target.parent.mkdir(parents=True)
        shutil.copyfile(record, target)
    return folder


def main(arguments: Sequence[str]) -> int:
    """Take over the runs that are named, and render every page; return 2 where a folder holds no finished run."""
    folders = [Path(each) for each in arguments]
    empty = [folder for folder in folders if not any(folder.glob("*/record.json"))]
    if empty:
        grid = f"experiments/{empty[0].name}.yaml"
        sys.stdout.write(f"{empty[0]}: no finished run in it; run greenpose run --grid {grid} first\n")
        return 2
    for folder in folders:
        take_over(folder)
    for folder in examples():
        page = folder / PAGE
        page.write_text(page_of(folder), encoding="utf-8")
        sys.stdout.write(f"{page.relative_to(REPORTS.parent)}\n")
    INDEX.write_text(index(), encoding="utf-8")
    if table1.FOLDER.is_dir():
        table1.PAGE.write_text(table1.page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
