"""The sensor's shadows, steps and noise are as a structured-light sensor's."""

import numpy as np
import pytest

from greenpose.data.synthetic import Spec
from greenpose.data.synthetic.sensor import BASELINE_MM, FOCAL_PX, Sensor, sense

SPEC = Spec()


def step_edge():
    """Return a post 100 mm before a wall at 700 mm, columns 200 to 299."""
    surface = np.full((480, 640), 700.0, dtype=np.float32)
    surface[:, 200:300] = 600
    return surface


@pytest.mark.parametrize("right", [True, False])
def test_a_post_casts_a_shadow_as_wide_as_the_step_in_disparity_on_one_side(right):
    depth = sense(step_edge(), Sensor(gain=0.0, projector_right=right), SPEC, patient=0, index=0)
    dark = np.flatnonzero((depth == 0).all(axis=0))
    width = FOCAL_PX * BASELINE_MM * (1 / 600 - 1 / 700)
    assert len(dark) == int(width - 1.5)  # what is lit within a matching window's reach is still found
    assert dark[0] == 300 if right else dark[-1] == 199
    assert (depth == 0).sum() == 480 * len(dark)


def test_depth_comes_in_steps_of_an_eighth_of_a_disparity():
    ramp = np.linspace(690, 710, 640, dtype=np.float32)[None].repeat(480, axis=0)
    depth = sense(ramp, Sensor(gain=0.0, projector_right=True), SPEC, patient=0, index=0)
    assert np.abs(depth[0].astype(float) - ramp[0]).max() < 1.3
    assert len(np.unique(depth)) == pytest.approx(20 / 1.43, abs=2)


def test_noise_at_a_flat_wall_is_about_a_millimetre_and_unbiased():
    """.07 px of .061 px/mm disparity slope at 700 mm, and slow waves besides."""
    wall = np.full((480, 640), 700.0, dtype=np.float32)
    depth = sense(wall, Sensor(gain=1.0, projector_right=True), SPEC, patient=0, index=0)
    seen = depth[depth > 0].astype(float)
    assert seen.mean() == pytest.approx(700, abs=0.6)
    assert 0.7 < seen.std() < 2.5


def test_edges_fray_and_flat_walls_do_not():
    depth = sense(step_edge(), Sensor(gain=1.0, projector_right=True), SPEC, patient=0, index=0)
    holes = depth == 0
    assert 0.25 < holes[:, 200].mean() < 0.45
    assert holes[:, 400:].mean() < 0.01
