"""A picture is shown with its own record only, and only if it is whole."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from greenpose.store import RunFolder, pictures
from greenpose.store.pictures import MOST_BYTES, with_texts
from tests.report.records import record


def drawn(size=(30, 20)) -> bytes:
    """A small PNG of noise."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0]), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> RunFolder:
    """A run's folder with its record and its picture."""
    made = RunFolder(tmp_path_factory.mktemp("run"))
    made.write_record(record("HRNet4-OKD"))
    return made


WHOLE = with_texts(drawn(), "12 test images. Überall.", record("HRNet4-OKD"))


def found(folder: RunFolder, png: bytes) -> list[str]:
    folder.predictions.write_bytes(png)
    return [each.words for each in pictures([folder.path])]


def test_what_a_picture_says_of_itself_is_read_by_others_too(folder):
    assert Image.open(io.BytesIO(WHOLE)).text["Description"] == "12 test images. Überall."
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(WHOLE))), np.asarray(Image.open(io.BytesIO(drawn()))))
    assert found(folder, WHOLE) == ["12 test images. Überall."]
    (one,) = pictures([folder.path / "record.json", folder.path])
    assert one.size == (30, 20)


@given(at=st.integers(0, len(WHOLE) - 1), bit=st.integers(0, 7))
def test_a_picture_with_any_bit_changed_is_not_shown(folder, at, bit):
    spoiled = bytearray(WHOLE)
    spoiled[at] ^= 1 << bit
    assert found(folder, bytes(spoiled)) == []


@given(length=st.integers(0, len(WHOLE) - 1))
def test_a_picture_that_is_cut_short_is_not_shown(folder, length):
    assert found(folder, WHOLE[:length]) == []


def test_nor_is_one_of_another_record_one_that_says_nothing_or_one_that_is_too_large(folder):
    assert found(folder, with_texts(drawn(), "of another", record("HRNet4-OKD", seed=2))) == []
    assert found(folder, drawn()) == []
    assert found(folder, with_texts(drawn((300, 300)), "large", record("HRNet4-OKD"))) == []
    assert len(drawn((300, 300))) > MOST_BYTES
    folder.predictions.unlink()
    assert pictures([folder.path]) == []
