"""The surroundings stay put, change when they should, and are where the image shows them."""

import numpy as np
import pytest

from greenpose.data.synthetic import Spec, admit
from greenpose.data.synthetic.scene import ADULT_ARM_FRAMES, BLANKET_FRAMES, Moment, lay_blanket, reach_in

SPEC = Spec(size=(160, 120), blanket=1.0, adult_arm=0.5)


def moment(patient, index):
    return Moment(spec=SPEC, patient=patient, index=index, trunk_mm=130.0)


def covered(one, index):
    return lay_blanket(one.bed.depth.copy(), one.bed, moment(one.number, index))


def test_a_blanket_stays_for_its_block_of_frames_and_is_sometimes_taken_away():
    laid = 0
    for patient in range(8):
        one = admit(SPEC, patient)
        first, last = covered(one, BLANKET_FRAMES), covered(one, 2 * BLANKET_FRAMES - 1)
        assert (first is None) == (last is None)
        if first is not None:
            assert np.array_equal(first, last)
            laid += 1
    assert 0 < laid < 8


def test_without_the_habit_there_is_never_a_blanket():
    one = admit(Spec(size=(160, 120), blanket=0.0), 0)
    assert all(covered(one, index) is None for index in range(0, 600, BLANKET_FRAMES))


def test_an_arm_reaches_in_for_whole_blocks_and_as_often_as_asked():
    one = admit(SPEC, 0)
    blocks = [
        {reach_in(one.bed.depth.copy(), one.camera, moment(0, ADULT_ARM_FRAMES * block + k)) for k in (0, 24)}
        for block in range(40)
    ]
    assert all(len(block) == 1 for block in blocks)
    assert 10 <= sum(block == {True} for block in blocks) <= 30


def test_a_cloth_lies_before_what_it_covers_on_flat_ground():
    flat = np.full((120, 160), 700.0, dtype=np.float32)
    one = next(one for patient in range(8) if covered(one := admit(SPEC, patient), 0) is not None)
    mask = lay_blanket(flat, one.bed, moment(one.number, 0))
    assert (flat[~mask] == 700).all()
    assert flat[mask].mean() == pytest.approx(694, abs=1.5)


def test_a_crib_has_walls_nearer_and_a_floor_farther_than_the_mattress():
    bare = admit(Spec(size=(160, 120), clutter=0.0), 0).bed.depth
    changes = [
        admit(Spec(size=(160, 120), clutter=1.0), p).bed.depth - admit(Spec(size=(160, 120), clutter=0.0), p).bed.depth
        for p in range(6)
    ]
    assert min(change.min() for change in changes) < -40
    assert max(change.max() for change in changes) > 100
    assert bare.std() < 60


def test_the_bed_map_agrees_with_the_camera():
    one = admit(SPEC, 2)
    seen = one.camera.project(np.array([[30.0, -20.0, 0.0]]))[0]
    column, row = np.rint(seen[:2]).astype(int)
    px_mm = one.mattress_mm / one.camera.focal_px
    assert one.bed.x[row, column] == pytest.approx(30, abs=px_mm)
    assert one.bed.y[row, column] == pytest.approx(-20, abs=px_mm)
