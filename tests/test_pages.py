"""Python on pages of the documentation runs as it stands there."""

import pytest

from tests.pages import PAGES, ROOT, blocks, run_blocks

WITH_A_FEW = [page for page in PAGES if page.name != "api.md" and any(not one.title for one in blocks(page, "python"))]


def test_every_python_block_of_the_page_on_the_api_runs(tmp_path):
    said = run_blocks(ROOT / "docs/api.md", tmp_path)
    assert "grade" in said
    assert (tmp_path / "runs/lab/my-loop/record.json").exists()
    assert (tmp_path / "runs/lab2/exits/record.json").exists()


@pytest.mark.parametrize("page", WITH_A_FEW, ids=lambda page: page.name)
def test_every_python_block_of_a_page_with_a_few_runs(page, tmp_path):
    (tmp_path / "report.html").write_bytes((ROOT / "reports/quick/index.html").read_bytes())
    said = run_blocks(page, tmp_path)
    assert ("CO2eq" in said) is (page.name != "report.md")


def test_an_error_in_a_block_names_the_page_and_the_line(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A page\n\n```python\nnumber = 1\n```\n\ntext\n\n```python\nnumber / 0\n```\n")
    assert [(block.line, block.text) for block in blocks(page)] == [(3, "number = 1\n"), (9, "number / 0\n")]
    with pytest.raises(AssertionError, match=r"page\.md\", line 10"):
        run_blocks(page, tmp_path)
