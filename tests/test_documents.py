import ast
import re
from collections import Counter
from pathlib import Path

import pytest

import greenpose
from greenpose.record import Exit, Record
from greenpose.record.artefacts import ArtefactCost, ArtefactCosts, Turns
from tests.documents import experiment_page, profile_page, record_page, schemas

DOCS = Path(__file__).parent.parent / "docs"
MADE = {
    "record.md": record_page(),
    "experiment.md": experiment_page(),
    "profile.md": profile_page((DOCS / "profile.md").read_text()),
}
PAGES = MADE | {f"schema/{name}": text for name, text in schemas().items()}


@pytest.mark.parametrize("name", PAGES)
def test_the_page_says_what_the_code_says(name, request):
    path = DOCS / name
    if request.config.getoption("--update-golden"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(PAGES[name])
    assert path.read_text() == PAGES[name], "run pytest tests/test_documents.py --update-golden and read the difference"


@pytest.mark.parametrize("model", [Record, Exit, ArtefactCosts, Turns, ArtefactCost])
def test_every_field_of_the_record_says_what_it_means(model):
    assert [name for name, field in model.model_fields.items() if not field.description] == []


def test_no_two_classes_of_the_package_have_one_name():
    package = Path(greenpose.__file__).parent
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in package.rglob("*.py")]
    names = Counter(node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    assert [name for name, times in names.items() if times > 1] == []


def test_files_that_pages_and_benchmarks_name_are_there():
    root = DOCS.parent
    pages = [*DOCS.glob("**/*.md"), *(root / "benchmarks").glob("*.py"), root / "README.md", root / "CONTRIBUTING.md"]
    named = {
        found
        for page in pages
        for found in re.findall(r"\b(?:greenpose|tests|benchmarks)/[\w/]+\.py\b", page.read_text())
    }
    rooms = "|".join(sorted(path.parent.name for path in (root / "greenpose").glob("*/__init__.py")))
    told = set(re.findall(rf"`((?:{rooms})/[a-z_0-9/]+)`", (DOCS / "architecture.md").read_text()))
    assert len(named) > 2
    assert len(told) > 20
    assert [name for name in sorted(named) if not (root / name).is_file()] == []
    assert [name for name in sorted(told) if not list((root / "greenpose").glob(f"{name.rstrip('/')}*"))] == []


def test_the_drawing_of_rooms_names_every_file_of_the_package():
    package, page = Path(greenpose.__file__).parent, (DOCS / "architecture.md").read_text()
    drawn = set(re.findall(r"[a-z_0-9]+", page.split("```text\n")[2].split("```")[0]))
    assert [
        path.stem for path in package.rglob("*.py") if not path.stem.startswith("__") and path.stem not in drawn
    ] == []
