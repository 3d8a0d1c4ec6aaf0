"""Solids drawn as height fields are as near, as wide and as sharp as geometry says."""

import numpy as np
import pytest

from greenpose.data.synthetic.scene import FAR_MM, Canvas


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
