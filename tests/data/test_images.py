"""Images are read as they are, and depth only through a window that was named."""

import cv2
import numpy as np
import pytest

from greenpose.data.images import image_reader, read_header, read_image, window_depth
from greenpose.errors import DataError
from tests.data.fakes import instance

_DEPTH = np.array([[0, 300, 400], [650, 900, 2000]], dtype=np.uint16)


def _save(path, array):
    assert cv2.imwrite(str(path), array)
    return path


def _noise(shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_depth_becomes_grey_between_the_windows_ends_and_no_return_stays_zero():
    expected = [[0, 1, 1], [128, 255, 255]]
    np.testing.assert_array_equal(window_depth(_DEPTH, (400, 900)), expected)


def test_synthetic_depth_in_other_types_is_windowed_alike():
    np.testing.assert_array_equal(window_depth(_DEPTH.astype(np.float32), (400, 900)), window_depth(_DEPTH, (400, 900)))


@pytest.mark.parametrize("window", [(900, 400), (500, 500), (-1, 500)])
def test_an_empty_window_is_refused(window):
    with pytest.raises(DataError, match="near < far"):
        window_depth(_DEPTH, window)


def test_a_depth_file_is_read_through_its_window(tmp_path):
    path = _save(tmp_path / "d.png", _DEPTH)
    np.testing.assert_array_equal(read_image(path, window=(400, 900)), window_depth(_DEPTH, (400, 900)))


def test_a_depth_file_without_a_window_is_refused_and_its_range_named(tmp_path):
    path = _save(tmp_path / "d.png", _DEPTH)
    with pytest.raises(DataError, match=r"d\.png: is 16-bit depth \(300 to 2000 mm\)"):
        read_image(path)


def test_an_eight_bit_file_with_a_window_is_refused(tmp_path):
    path = _save(tmp_path / "g.png", _noise((6, 5)))
    with pytest.raises(DataError, match=r"g\.png: is an 8-bit image"):
        read_image(path, window=(400, 900))


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 3), (6, 5, 4)])
def test_an_eight_bit_png_comes_back_grey_or_in_rgb_order(tmp_path, shape):
    array = _noise(shape)
    expected = array if len(shape) == 2 else array[..., 2::-1]
    np.testing.assert_array_equal(read_image(_save(tmp_path / "x.png", array)), expected)


def test_a_jpeg_keeps_its_channels(tmp_path):
    assert read_image(_save(tmp_path / "g.jpg", _noise((16, 24)))).shape == (16, 24)
    assert read_image(_save(tmp_path / "c.jpg", _noise((16, 24, 3)))).shape == (16, 24, 3)


@pytest.mark.parametrize("name", ["x.png", "x.jpg"])
@pytest.mark.parametrize("kept", [0, 5, 200, -30])
def test_a_truncated_file_is_named(tmp_path, name, kept):
    path = _save(tmp_path / name, _noise((64, 64)))
    path.write_bytes(path.read_bytes()[:kept])
    for read in (read_image, read_header):
        with pytest.raises(DataError, match=name):
            read(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "no.png", tmp_path):
        for read in (read_image, read_header):
            with pytest.raises(DataError, match="cannot be read"):
                read(path)


def test_a_text_file_is_no_image(tmp_path):
    path = tmp_path / "x.png"
    path.write_text("not an image at all")
    for read in (read_image, read_header):
        with pytest.raises(DataError, match="cannot be decoded"):
            read(path)


def test_a_float_image_is_refused_by_its_type(tmp_path):
    path = _save(tmp_path / "x.tiff", np.zeros((4, 4), np.float32))
    with pytest.raises(DataError, match="float32"):
        read_image(path)


@pytest.mark.parametrize(
    ("name", "array", "bits"),
    [
        ("g.png", _noise((31, 47)), 8),
        ("d.png", np.zeros((31, 47), np.uint16), 16),
        ("g.jpg", _noise((31, 47)), 8),
        ("c.jpg", _noise((31, 47, 3)), 8),
        ("b.bmp", _noise((31, 47, 3)), 8),
    ],
)
def test_a_header_tells_width_height_and_bits(tmp_path, name, array, bits):
    header = read_header(_save(tmp_path / name, array))
    assert (header.size, header.bits) == ((47, 31), bits)


def test_a_reader_reads_an_instances_file(tmp_path):
    path = _save(tmp_path / "d.png", _DEPTH)
    read = image_reader(window=(400, 900))
    np.testing.assert_array_equal(read(instance(image=str(path))), window_depth(_DEPTH, (400, 900)))
