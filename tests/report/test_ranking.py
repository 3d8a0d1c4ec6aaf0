"""The front against brute force."""

from hypothesis import given
from hypothesis import strategies as st

from greenpose.report.ranking import pareto_front, staircase

SMALL = st.integers(0, 6).map(float)
POINTS = st.lists(st.tuples(SMALL, SMALL), min_size=1, max_size=12)


def beaten(point, points):
    return any(other[0] <= point[0] and other[1] >= point[1] and other != point for other in points)


@given(POINTS)
def test_the_front_holds_exactly_the_points_that_no_other_beats(points):
    expected = {index for index, point in enumerate(points) if not beaten(point, points)}
    assert set(pareto_front(points)) == expected


@given(POINTS)
def test_the_front_goes_from_cheap_to_accurate(points):
    costs, accuracies = zip(*(points[index] for index in pareto_front(points)), strict=True)
    assert list(costs) == sorted(costs)
    assert list(accuracies) == sorted(accuracies)


@given(POINTS)
def test_no_point_lies_above_the_staircase(points):
    xs, ys = staircase(points, right=10.0)
    for cost, accuracy in points:
        reached = [y for x, y in zip(xs, ys, strict=True) if x <= cost]
        assert accuracy <= max(reached)


def test_the_staircase_goes_right_before_up():
    assert staircase([(1, 1), (2, 3)], right=5) == ([1, 2, 2, 5], [1, 1, 3, 3])
