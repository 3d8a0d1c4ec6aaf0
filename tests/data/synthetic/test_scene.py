"""The surroundings stay put, change when they should, and are where the image shows them."""

import numpy as np
import pytest

from greenpose.data.synthetic import Spec, admit
from greenpose.data.synthetic.scene import (
    ADULT_ARM_FRAMES,
    BLANKET_FRAMES,
    FAR_MM,
    Canvas,
    Moment,
    lay_blanket,
    reach_in,
)

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
    px_mm = one.camera.mattress_mm / one.camera.focal_px
    assert one.bed.x[row, column] == pytest.approx(30, abs=px_mm)
    assert one.bed.y[row, column] == pytest.approx(-20, abs=px_mm)


def empty(*, blend_mm=0.0):
    depth = np.full((60, 80), FAR_MM, dtype=np.float32)
    return Canvas(depth=depth, left=100, top=50, focal_px=500.0, blend_mm=blend_mm)


def test_a_balls_nearest_point_is_a_radius_before_its_centre():
    canvas = empty()
    canvas.ball(np.array([140.0, 80.0, 500.0]), 20.0)
    assert canvas.depth[30, 40] == pytest.approx(480)
    assert canvas.depth.min() == pytest.approx(480)


def test_a_ball_covers_a_disc():
    canvas = empty()
    canvas.ball(np.array([140.0, 80.0, 500.0]), 20.0)
    assert (canvas.depth < FAR_MM).sum() == pytest.approx(np.pi * 20**2, rel=0.02)


def test_a_capsule_covers_a_bar_with_round_ends_at_the_depth_between_its_ends():
    canvas = empty()
    canvas.capsule(np.array([120.0, 79.5, 500.0]), np.array([160.0, 79.5, 504.0]), (10.0, 10.0))
    assert (canvas.depth < FAR_MM).sum() == pytest.approx(40 * 20 + np.pi * 10**2, rel=0.03)
    assert canvas.depth[30, 40] == pytest.approx(502 - 10, abs=0.1)


def test_a_capsule_seen_end_on_is_a_ball():
    canvas = empty()
    canvas.capsule(np.array([140.0, 80.0, 500.0]), np.array([140.2, 80.0, 440.0]), (10.0, 10.0))
    assert canvas.depth[30, 40] == pytest.approx(430, abs=0.1)


def test_an_ellipsoid_covers_an_ellipse_whatever_its_direction():
    for turn in (0.0, 0.7):
        c, s = np.cos(turn), np.sin(turn)
        canvas = empty()
        axes = np.array([[20 * c, 20 * s], [-10 * s, 10 * c]])
        canvas.ellipsoid(np.array([140.0, 80.0, 500.0]), axes, 15.0)
        assert (canvas.depth < FAR_MM).sum() == pytest.approx(np.pi * 20 * 10, rel=0.02)
        assert canvas.depth[30, 40] == pytest.approx(485)


def test_the_nearer_of_two_solids_is_seen_whichever_is_drawn_first():
    near, far = (np.array([140.0, 80.0, 400.0]), 10.0), (np.array([144.0, 80.0, 500.0]), 20.0)
    one, other = empty(), empty()
    for canvas, order in ((one, (near, far)), (other, (far, near))):
        for centre, radius in order:
            canvas.ball(centre, radius)
    assert np.array_equal(one.depth, other.depth)
    assert one.depth[30, 40] == pytest.approx(390)


def test_melting_fills_the_crease_between_solids_and_spares_the_rest():
    sharp, soft = empty(), empty(blend_mm=8.0)
    for canvas in (sharp, soft):
        canvas.ball(np.array([125.0, 80.0, 500.0]), 20.0)
        canvas.ball(np.array([155.0, 80.0, 500.0]), 20.0)
    assert soft.depth[30, 40] == pytest.approx(sharp.depth[30, 40] - 2, abs=0.2)
    assert soft.depth[30, 20] == pytest.approx(sharp.depth[30, 20])


def test_solids_beside_the_canvas_leave_it_untouched():
    canvas = empty()
    canvas.ball(np.array([10.0, 10.0, 500.0]), 20.0)
    canvas.capsule(np.array([300.0, 80.0, 500.0]), np.array([340.0, 90.0, 500.0]), (10.0, 10.0))
    canvas.ellipsoid(np.array([140.0, -80.0, 500.0]), np.diag([5.0, 5.0]), 5.0)
    assert (canvas.depth == np.float32(FAR_MM)).all()
