"""Samples give the same crops however they are kept, and say what they are scored against."""

import json

import numpy as np
import pytest

from greenpose.data import Framing, Samples, batches, decode_heatmaps, encode_heatmaps
from greenpose.data.samples import keeping
from greenpose.errors import DataError
from tests.data.planted import PROFILE, instance

_FRAMING = Framing.of((32, 32))


class CountingReader:
    """Draws a picture that depends on the image's name, and counts how often it was asked."""

    def __init__(self, channels=0):
        self.asked = []
        self.channels = channels

    def __call__(self, one):
        self.asked.append(one.image)
        width, height = one.image_size
        shape = (height, width, self.channels) if self.channels else (height, width)
        return np.random.default_rng(len(one.image) + one.image_id).integers(1, 256, shape, dtype=np.uint8)


def _instances(count=5):
    rng = np.random.default_rng(0)
    return [
        instance(
            id=n + 1,
            image_id=n // 2 + 10,
            image=f"frame{n // 2}",
            subject=f"p{n // 4}",
            joints=7 + 15 * rng.random((3, 2)),
            visibility=rng.integers(0, 3, 3),
        )
        for n in range(count)
    ]


def _samples(reader=None, **options):
    return Samples.build(_instances(), reader or CountingReader(), profile=PROFILE, framing=_FRAMING, **options)


def test_crops_are_the_same_whether_kept_or_cut_anew():
    kept, cut = _samples(), _samples(cache_bytes=0)
    np.testing.assert_array_equal(kept.crops([3, 0, 2]), cut.crops(np.array([3, 0, 2])))
    assert kept.crops([1]).shape == (1, 32, 32)


def test_crops_that_fit_are_read_once_per_image_and_never_again():
    reader = CountingReader()
    samples = _samples(reader)
    samples.crops([0, 4])
    assert reader.asked == ["frame0", "frame1", "frame2"]


def test_crops_that_do_not_fit_are_read_at_every_use():
    reader = CountingReader()
    samples = _samples(reader, cache_bytes=5 * 32 * 32 - 1)
    assert reader.asked == []
    samples.crops([0])
    samples.crops([0])
    assert reader.asked == ["frame0", "frame0"]


def test_crops_count_with_the_channels_that_they_have():
    for channels, needed in ((0, 5 * 32 * 32), (3, 5 * 32 * 32 * 3)):
        for size, reads in ((needed, 0), (needed - 1, 1)):
            reader = CountingReader(channels)
            samples = _samples(reader, cache_bytes=size)
            before = len(reader.asked)
            samples.crops([4])
            assert len(reader.asked) - before == reads


def test_crops_are_kept_in_colour_from_the_first_colour_image_on_where_they_fit_so():
    grey, colour = CountingReader(), CountingReader(channels=3)

    def mixed(**options):
        return _samples(lambda one: (colour if one.image == "frame1" else grey)(one), **options)

    np.testing.assert_array_equal(mixed().crops(range(5)), mixed(cache_bytes=0).crops(range(5)))
    assert mixed().crops([0]).shape == (1, 32, 32, 3)
    assert mixed(cache_bytes=10_000).crops([0]).shape == (1, 32, 32)


def test_whole_images_are_read_once_where_they_fit_and_at_every_use_where_not():
    for room, later in ((3 * 40 * 30, []), (2 * 40 * 30, ["frame2"]), (0, ["frame0", "frame2"])):
        reader = CountingReader()
        samples = _samples(keeping(reader, _instances(), most_bytes=room), cache_bytes=0)
        before = len(reader.asked)
        np.testing.assert_array_equal(samples.crops(range(5)), _samples().crops(range(5)))
        reader.asked[before:] = []
        list(samples.images([0, 1, 4]))
        assert reader.asked[before:] == later


def test_all_whole_images_that_cannot_be_read_are_named_at_once():
    def broken(one):
        raise DataError([f"{one.image}: is empty"])

    with pytest.raises(DataError) as caught:
        keeping(broken, _instances())
    assert caught.value.faults == ("frame0: is empty", "frame1: is empty", "frame2: is empty")


def test_a_batch_with_one_colour_image_is_all_in_colour():
    grey, colour = CountingReader(), CountingReader(channels=3)
    mixed = _samples(lambda one: (colour if one.image == "frame1" else grey)(one))
    alone = _samples(grey).crops([0])
    assert mixed.crops([0, 2]).shape == (2, 32, 32, 3)
    np.testing.assert_array_equal(mixed.crops([0])[..., 1], alone)


def test_joints_of_a_crop_decode_to_the_image():
    samples = _samples()
    heatmaps, _ = encode_heatmaps(samples.joints, samples.visibility, input_size=(32, 32), heatmap_size=(8, 8), sigma=1)
    decoded, _ = decode_heatmaps(heatmaps, samples.centers, samples.scales, shift=False)
    labelled = samples.visibility > 0
    truth = np.stack([one.joints for one in _instances()])
    half_pixel = samples.scales[:, None, :1] * 200 / 8 / 2
    assert (np.abs(decoded - truth) <= half_pixel + 1e-3)[labelled].all()


def test_targets_are_those_of_the_batches():
    samples = _samples()
    found = np.concatenate([batch.heatmaps for batch in batches(samples, 2)])
    np.testing.assert_array_equal(samples.targets(), found)
    np.testing.assert_array_equal(samples.targets([1, 4]), found[[1, 4]])


def test_occluded_joints_count_like_visible_ones():
    expected = np.minimum(np.stack([one.visibility for one in _instances()]), 1)
    np.testing.assert_array_equal(_samples().visibility, expected)


def test_batches_hold_every_sample_once_in_order_or_shuffled():
    samples = _samples()
    ordered = [batch.indices.tolist() for batch in batches(samples, 2)]
    assert ordered == [[0, 1], [2, 3], [4]]
    shuffled = [batch.indices.tolist() for batch in batches(samples, 2, np.random.default_rng(3))]
    again = [batch.indices.tolist() for batch in batches(samples, 2, np.random.default_rng(3))]
    assert shuffled == again != ordered
    assert sorted(index for some in shuffled for index in some) == [0, 1, 2, 3, 4]


def test_a_part_has_the_samples_of_the_whole():
    whole = _samples()
    part = whole.take([4, 2]).take([1])
    np.testing.assert_array_equal(part.crops([0]), whole.crops([2]))
    np.testing.assert_array_equal(part.joints, whole.joints[[2]])
    assert part.subjects == (whole.subjects[2],)


def test_the_ground_truth_is_a_coco_document_numbered_from_one():
    samples = _samples()
    document = json.loads(json.dumps(samples.ground_truth))
    assert [a["id"] for a in document["annotations"]] == [1, 2, 3, 4, 5]
    assert [image["id"] for image in document["images"]] == [10, 11, 12]
    for annotation, one in zip(document["annotations"], _instances(), strict=True):
        rows = np.reshape(annotation["keypoints"], (3, 3))
        assert annotation["num_keypoints"] == np.count_nonzero(one.visibility)
        np.testing.assert_array_equal(rows[:, 2], one.visibility)
        np.testing.assert_array_equal(rows[:, :2], one.joints * (one.visibility > 0)[:, None])


def _drawn(path, instances=None, reader=None):
    source = ((one, (reader or CountingReader())(one)) for one in instances or _instances())
    return Samples.draw(path, source, profile=PROFILE, framing=_FRAMING)


@pytest.mark.parametrize("channels", [0, 3])
def test_samples_drawn_one_at_a_time_come_back_as_those_built_from_all_images(tmp_path, channels):
    path = tmp_path / "deep" / "train"
    _drawn(path, reader=CountingReader(channels))
    drawn, built = Samples.load(path), _samples(CountingReader(channels))
    assert list(path.parent.iterdir()) == [path]
    for fact in ("profile", "framing", "subjects", "boxes", "ground_truth"):
        assert getattr(drawn, fact) == getattr(built, fact)
    np.testing.assert_array_equal(drawn.crops(range(5)), built.crops(range(5)))
    np.testing.assert_array_equal(drawn.crops([3, 0, 2]), built.crops([3, 0, 2]))
    np.testing.assert_array_equal(drawn.joints, built.joints)
    with pytest.raises(IndexError, match="5 is out of bounds"):
        drawn.crops([5])


def test_no_source_is_no_split_and_leaves_no_file(tmp_path):
    with pytest.raises(DataError, match="no instances"):
        Samples.draw(tmp_path / "train", iter(()), profile=PROFILE, framing=_FRAMING)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_crops_that_is_gone_or_cut_short_is_named(tmp_path):
    path = tmp_path / "x"
    samples = _drawn(path)
    path.write_bytes(path.read_bytes()[: 5 * 32 * 32 - 1])
    with pytest.raises(DataError, match=r"x: ends early"):
        samples.crops([0])
    path.unlink()
    with pytest.raises(DataError, match=r"x: cannot be read any more"):
        samples.crops([0])


def test_target_places_are_where_the_target_heatmaps_peak():
    samples = _samples()
    heatmaps = samples.targets()
    flat = heatmaps.reshape(*heatmaps.shape[:2], -1).argmax(-1)
    np.testing.assert_array_equal(samples.target_places, np.stack([flat % 8, flat // 8], -1))


def test_nothing_is_left_behind_when_drawing_fails(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        _drawn(tmp_path / "taken")
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 broken"])
def test_a_broken_file_of_samples_is_named(tmp_path, content):
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x: holds no samples"):
        Samples.load(path)


def test_a_file_of_another_layout_is_refused(tmp_path):
    path = tmp_path / "x"
    with path.open("wb") as file:
        np.savez(file, about=np.array(json.dumps({"layout": 0})))
    with pytest.raises(DataError, match="layout is 0"):
        Samples.load(path)


def test_all_unreadable_images_are_named_at_once():
    def broken(one):
        raise DataError([f"{one.image}: is empty"])

    with pytest.raises(DataError) as caught:
        _samples(broken)
    assert caught.value.faults == ("frame0: is empty", "frame1: is empty", "frame2: is empty")


def test_no_instances_are_no_split():
    with pytest.raises(DataError, match="no instances"):
        Samples.build([], CountingReader(), profile=PROFILE, framing=_FRAMING)


def test_poses_of_another_skeleton_and_boxes_beside_the_image_are_refused_together():
    wrong = [
        instance(joints=np.zeros((2, 2)), visibility=np.array([1, 1])),
        instance(id=2, box=(50.0, 5.0, 10.0, 10.0)),
    ]
    with pytest.raises(DataError, match="2 keypoints") as caught:
        Samples.build(wrong, CountingReader(), profile=PROFILE, framing=_FRAMING)
    assert "nothing lies in the image" in caught.value.faults[1]


def test_64_bit_ids_are_kept_whole_in_memory_and_in_the_file(tmp_path):
    """In an array of numbers, ids on both sides of 2^63 become floats that are no longer told apart."""
    ids = [2**63 - 1, 2**63, 2**63 + 1]
    some = [instance(id=id_, image_id=id_, image=f"frame{id_}") for id_ in ids]
    built = Samples.build(some, CountingReader(), profile=PROFILE, framing=_FRAMING)
    for kept in (built, _drawn(tmp_path / "x", some)):
        assert kept.image_ids.tolist() == ids
        assert [one.id for one in kept.instances] == ids
        assert list(kept.subject_of_image) == ids


def test_drawn_images_in_grey_and_in_colour_do_not_go_into_one_file(tmp_path):
    grey, colour = CountingReader(), CountingReader(channels=3)
    with pytest.raises(DataError, match="crop 2 is 32x32x3, the first one 32x32"):
        _drawn(tmp_path / "x", _instances(2), reader=lambda one: (colour if one.id == 2 else grey)(one))
    assert not any(tmp_path.iterdir())
