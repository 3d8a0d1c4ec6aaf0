"""Image, joints and box are turned together, in images of any size, and unlabelled joints stay nowhere."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from greenpose.data.annotations import Pose
from greenpose.data.raw.images import turn_image, turn_pose

_SIZES = st.tuples(st.integers(2, 50), st.integers(2, 50))


def _pose(joints, visibility, box):
    return Pose(
        id=1,
        image_id=1,
        box=box,
        drawn_box=True,
        area=1.0,
        drawn_area=True,
        joints=np.array(joints, dtype=np.float64),
        visibility=np.array(visibility),
    )


@given(size=_SIZES, data=st.data())
def test_a_turned_joint_lies_on_the_pixel_that_it_lay_on(size, data):
    x, y = (data.draw(st.integers(0, side - 1)) for side in size)
    image = np.zeros(size[::-1], np.uint16)
    image[y, x] = 700
    turned = turn_pose(_pose([[x, y]], [2], (0.0, 0.0, 1.0, 1.0)), size)
    column, row = turned.joints[0].astype(int)
    assert turn_image(image)[row, column] == 700


@given(size=_SIZES, data=st.data())
def test_a_turned_box_spans_the_pixels_that_it_spanned(size, data):
    left, top = (data.draw(st.integers(0, side - 2)) for side in size)
    right, bottom = (data.draw(st.integers(low + 1, side - 1)) for low, side in zip((left, top), size, strict=True))
    image = np.zeros(size[::-1], np.uint8)
    image[top : bottom + 1, left : right + 1] = 1
    box = (float(left), float(top), float(right - left), float(bottom - top))
    x, y, width, height = turn_pose(_pose([[left, top]], [2], box), size).box
    rows, columns = np.nonzero(turn_image(image))
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (x, x + width, y, y + height)


def test_an_unlabelled_joint_stays_at_zero_and_flags_stay_as_they_are():
    turned = turn_pose(_pose([[3, 4], [0, 0], [9, 9]], [2, 0, 1], (1.0, 1.0, 5.0, 5.0)), (640, 480))
    np.testing.assert_array_equal(turned.joints, [[636, 475], [0, 0], [630, 470]])
    np.testing.assert_array_equal(turned.visibility, [2, 0, 1])


def test_turning_twice_changes_nothing():
    pose = _pose([[3.25, 4.5], [0, 0]], [1, 0], (1.5, 2.0, 5.0, 7.25))
    again = turn_pose(turn_pose(pose, (41, 30)), (41, 30))
    np.testing.assert_array_equal(again.joints, pose.joints)
    assert again.box == pose.box
