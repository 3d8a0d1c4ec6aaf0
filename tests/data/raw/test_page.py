"""docs/data.md names everything that a manifest can hold and every option there is."""

from pathlib import Path

import pytest

from greenpose.data.annotations import LEFT_OUT, MENDED
from greenpose.data.raw.prepare import Areas, Counts, Depth, Manifest, PatientNote, Remark
from greenpose.data.raw.splits import Division
from tests.data.raw.exports import write_tree
from tests.pages import blocks_of

PAGE = (Path(__file__).parents[3] / "docs" / "data.md").read_text()
_MODELS = (Manifest, Division, Depth, Counts, Areas, PatientNote, Remark)


@pytest.mark.parametrize("model", _MODELS)
def test_every_field_of_the_manifest_is_on_the_page_and_says_what_it_means(model):
    for name, field in model.model_fields.items():
        assert f"`{field.alias or name}`" in PAGE, name
        assert field.description, name


@pytest.mark.parametrize("kind", [*LEFT_OUT, *MENDED])
def test_every_kind_of_annotation_that_is_left_out_or_mended_is_on_the_page(kind):
    assert f"`{kind}`" in PAGE


def test_what_is_expected_is_all_that_a_sound_raw_tree_has(tmp_path):
    (block,) = blocks_of("data.md", "text")
    raw = write_tree(tmp_path / "RAW")
    found = [set(tmp_path.glob(line.split()[0].replace("N", "*"))) for line in block.text.splitlines()]
    assert all(found)
    assert set.union(*found) == set(raw.rglob("*.*"))
