"""Images are read as they are, and depth only through a window that was named."""

import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from greenpose.data.images import decode_stored, image_reader, read_header, read_image, window_depth
from greenpose.errors import DataError
from tests.data.planted import instance

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


@pytest.mark.parametrize(
    ("name", "message"), [("x.png", "cannot be decoded"), ("no.png", "cannot be read"), ("", "cannot be read")]
)
def test_a_text_a_missing_file_and_a_folder_are_no_images(tmp_path, name, message):
    (tmp_path / "x.png").write_text("not an image at all")
    for read in (read_image, read_header):
        with pytest.raises(DataError, match=message):
            read(tmp_path / name)


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


_PICTURE = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8), (0, 0), 3)


def _jpeg(progressive=0):
    return cv2.imencode(".jpg", _PICTURE, [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive])[1].tobytes()


def _png(chunks):
    parts = [struct.pack(">I", len(c)) + kind + c + struct.pack(">I", zlib.crc32(kind + c)) for kind, c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _empty_png(width, height):
    size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return _png([(b"IHDR", size), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")])


def _pillow(kind, image=_PICTURE, **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize(
    "change",
    [
        lambda data: data + b"trailer \xff" * 1000,
        lambda data: data[:2] + b"\xff\xff\xff" + data[2:],
        lambda data: data[:-2] + b"\xff\xff" + data[-2:],
    ],
    ids=["trailer", "fill bytes before a marker", "fill bytes before the end"],
)
def test_a_jpeg_that_decoders_read_whole_is_whole(tmp_path, progressive, change):
    data = change(_jpeg(progressive))
    path = tmp_path / "x.jpg"
    path.write_bytes(data)
    assert read_header(path).size == (160, 120)
    np.testing.assert_array_equal(read_image(path), cv2.imdecode(np.frombuffer(data, np.uint8), -1)[..., ::-1])
    assert decode_stored(data, path, thorough=True).shape == (120, 160, 3)
    assert Image.open(io.BytesIO(data)).convert("RGB").size == (160, 120)


def test_a_png_with_a_trailer_is_whole(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(_pillow("png") + bytes(9000))
    assert read_header(path).size == (160, 120)
    np.testing.assert_array_equal(read_image(path), _PICTURE)


@pytest.mark.parametrize(("kept", "progressive"), [(0.4, 0), (0.5, 0), (0.9, 0), (0.5, 1), (0.9, 1)])
def test_a_jpeg_that_was_cut_and_closed_again_is_named_wherever_it_is_read(tmp_path, kept, progressive):
    """A baseline one ends in grey, a progressive one is blurred."""
    data = _jpeg(progressive)
    path = tmp_path / "x.jpg"
    path.write_bytes(data[: int(len(data) * kept)] + b"\xff\xd9")
    with pytest.raises(DataError, match=r"x\.jpg: is truncated: it is closed like a whole JPEG"):
        read_image(path)


def test_a_whole_jpeg_that_ends_in_mid_grey_is_whole():
    grey = np.full((64, 64), 128, np.uint8)
    grey[:20] = 7
    data = cv2.imencode(".jpg", grey)[1].tobytes()
    assert decode_stored(data, "x.jpg")[-1, -1] == 128


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image", [_PICTURE, _PICTURE[:, :120]], ids=["wide", "square"])
def test_a_header_tells_how_exif_turns_the_pixels(tmp_path, kind, orientation, image):
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / f"x.{kind}"
    path.write_bytes(_pillow(kind, image, exif=exif))
    header = read_header(path)
    assert (header.orientation, header.size) == (orientation, image.shape[1::-1])


def test_an_exif_note_that_makes_no_sense_is_none(tmp_path):
    path = tmp_path / "x.jpg"
    for note in (b"", b"II*\x00", b"II*\x00\x08\x00\x00\x00\xff\xff", b"MM\x00*" + bytes(40), os.urandom(64)):
        path.write_bytes(
            _jpeg()[:2] + b"\xff\xe1" + struct.pack(">H", len(note) + 8) + b"Exif\0\0" + note + _jpeg()[2:]
        )
        assert read_header(path).orientation == 1


@pytest.mark.parametrize("kind", ["png", "webp", "gif", "tiff"])
def test_the_first_of_several_frames_is_taken_and_the_others_are_told(tmp_path, kind):
    path = tmp_path / f"x.{kind}"
    flat = np.full((20, 30, 3), 77, np.uint8)
    path.write_bytes(_pillow(kind, flat, save_all=True, append_images=[Image.fromarray(255 - flat)]))
    assert read_header(path).animated
    assert abs(read_image(path).astype(int) - 77).max() <= 2
    path.write_bytes(_pillow(kind, flat))
    assert not read_header(path).animated


@pytest.mark.parametrize("side", [15_000, 60_000, 2**31 - 1])
def test_an_image_that_would_fill_the_memory_is_refused_by_its_header(tmp_path, side):
    path = tmp_path / "x.png"
    path.write_bytes(_empty_png(side, side))
    for read in (read_header, read_image):
        with pytest.raises(DataError, match=r"megapixels, more than the 200 that are taken.*GREENPOSE_MAX_MEGAPIXELS"):
            read(path)


@pytest.mark.parametrize("kind", ["gif", "bmp", "tiff", "webp", "jpeg"])
def test_the_limit_holds_for_every_format(tmp_path, kind, monkeypatch):
    path = tmp_path / f"x.{kind}"
    path.write_bytes(_pillow(kind))
    assert read_header(path).size == (160, 120)
    monkeypatch.setenv("GREENPOSE_MAX_MEGAPIXELS", "0.019")
    for read in (read_header, read_image):
        with pytest.raises(DataError, match=r"160 x 120 are 0.0192 megapixels, more than the 0.019"):
            read(path)


def test_the_limit_can_be_raised_and_what_decoders_refuse_then_is_named(tmp_path, monkeypatch):
    path = tmp_path / "x.png"
    path.write_bytes(_empty_png(60_000, 60_000))
    monkeypatch.setenv("GREENPOSE_MAX_MEGAPIXELS", "5000")
    assert read_header(path).size == (60_000, 60_000)
    with pytest.raises(DataError, match=r"x\.png: cannot be decoded"):
        read_image(path)


@pytest.mark.parametrize("text", ["many", "0", "-3", "nan"])
def test_a_limit_that_is_no_number_is_named(tmp_path, monkeypatch, text):
    path = tmp_path / "x.png"
    path.write_bytes(_pillow("png"))
    monkeypatch.setenv("GREENPOSE_MAX_MEGAPIXELS", text)
    with pytest.raises(DataError, match=f"GREENPOSE_MAX_MEGAPIXELS={text}: must be a number above 0"):
        read_header(path)


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff", "gif", "bmp"])
def test_whatever_is_damaged_in_a_file_it_is_read_or_named(tmp_path, kind):
    rng = np.random.default_rng(0)
    data, path = _pillow(kind), tmp_path / f"x.{kind}"
    for _ in range(150):
        damaged = bytearray(data[: rng.integers(0, len(data) + 1)])
        for place in rng.integers(0, max(1, min(len(damaged), 80)), 3):
            damaged[place : place + 1] = bytes(rng.integers(0, 256, 1, dtype=np.uint8))
        path.write_bytes(damaged)
        for read in (read_header, read_image):
            assert f"x.{kind}" in _said(read, path)


def _said(read, path):
    try:
        read(path)
    except DataError as error:
        return str(error)
    return path.name
