"""The recipe gives the numbers that it gave when the golden figures were made."""

import numpy as np

from tests.recipe import S, exit_output, model_entry, targets, u


def test_the_recipe_gives_its_published_numbers():
    expected = [0.3214968559, 0.4990264601, 0.4885818441, 0.6687003067]
    np.testing.assert_allclose(u("conv1.weight", 4), expected, atol=5e-11)


def test_signed_numbers_are_filled_in_c_order():
    assert S("x", (2, 3))[1, 2] == 2 * u("x", 6)[5] - 1


def test_a_convolution_is_scaled_by_its_fan_in():
    weight = model_entry("conv1.weight", (64, 3, 3, 3))
    assert weight.dtype == np.float32
    assert np.abs(weight).max() <= np.sqrt(3 / 27)


def test_targets_peak_at_one_where_visible_and_are_zero_elsewhere():
    target, weight = targets("A", 4, 12, (48, 64))
    np.testing.assert_array_equal(target.max((2, 3)), weight[..., 0])
    assert exit_output("A", 4, target).shape == (4, 12, 64, 48)
