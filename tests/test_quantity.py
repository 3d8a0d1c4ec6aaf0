"""Laws of one number: sums, factors, ratios, kinds; and that published records say the same after a round trip."""

import math
import statistics
from dataclasses import replace
from functools import reduce
from operator import add

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenpose.intervals import Bounds
from greenpose.quantity import KINDS, Quantity, amount, mean_of, missing, over_runs, ratio, worst
from greenpose.record import dumps, loads
from greenpose.record.numbers import Numbers, basis_of
from tests.test_examples import EXAMPLES

POSITIVE = st.floats(0.01, 100)


@given(st.lists(POSITIVE, min_size=2, max_size=5))
def test_an_amount_is_no_less_than_nothing_and_else_as_it_was(values):
    mean = mean_of(values)
    each = amount(mean)
    assert each.value == mean.value
    assert each.type_a is mean.type_a is None or each.type_a == (max(0.0, mean.type_a.low), mean.type_a.high)


def test_a_quantity_is_scaled_with_its_intervals_and_type_b_becomes_factors():
    quantity = Quantity(value=0.5, kind="computed", method="how", type_a=Bounds(0.4, 0.7), type_b=Bounds(0.25, 1.0))
    each = quantity * 100
    assert (each.value, each.type_a) == (50, (40, 70))
    assert each.factors == (0.5, 2.0)
    assert (each.kind, each.method) == ("computed", "how")


def test_a_missing_quantity_keeps_its_reason():
    quantity = missing("no test split")
    assert (quantity * 100).missing == "no test split"


def test_three_runs_have_students_interval():
    values = [1.0, 2.0, 4.0]
    mean = over_runs([Quantity(value=value, kind="measured") for value in values])
    half = 4.302652729911275 * statistics.stdev(values) / math.sqrt(3)  # 97.5 % point of t with 2 degrees of freedom
    assert mean.value == pytest.approx(7 / 3)
    assert mean.type_a == pytest.approx((7 / 3 - half, 7 / 3 + half))


def test_two_runs_have_their_range():
    mean = over_runs([Quantity(value=value, kind="measured") for value in (3.0, 1.0)])
    assert (mean.value, mean.type_a) == (2, (1, 3))


def test_one_run_keeps_its_own_interval():
    only = Quantity(value=3.0, type_a=Bounds(2.0, 5.0), kind="modelled")
    assert over_runs([only]) == only


def test_equal_runs_have_no_interval_and_exactly_their_value():
    mean = over_runs([Quantity(value=7.644512256, kind="counted")] * 3)
    assert (mean.value, mean.type_a) == (7.644512256, None)


def test_sums_in_another_order_are_no_spread():
    mean = over_runs([Quantity(value=value, kind="measured") for value in (0.1 + 0.2, 0.3, 0.3)])
    assert mean.type_a is None
    assert over_runs([Quantity(value=0.0, kind="measured")] * 2).value == 0


def test_runs_without_the_number_are_left_out():
    have = Quantity(value=3.0, kind="measured")
    absent = missing("counter broke")
    assert over_runs([absent, have]) == have
    assert over_runs([absent, absent]).missing == "counter broke"


def test_a_mean_is_as_trustworthy_as_its_worst_part():
    assert over_runs([Quantity(value=1.0, kind="measured"), Quantity(value=2.0, kind="modelled")]).kind == "modelled"
    assert worst(["counted", "computed"]) == "computed"


@given(POSITIVE, POSITIVE, st.floats(0.01, 0.3), st.floats(0.01, 0.3))
def test_relative_intervals_of_a_ratio_add_in_quadrature(part, whole, first, second):
    found = ratio(
        Quantity(value=part, type_a=Bounds(part * (1 - first), part * (1 + first))),
        Quantity(value=whole, type_a=Bounds(whole * (1 - second), whole * (1 + second))),
    )
    assert found.value == pytest.approx(part / whole)
    assert found.relative_half_width == pytest.approx(math.hypot(first, second))


def test_nothing_is_divided_by_zero_or_by_nothing():
    zero, none = Quantity(value=0.0), missing("no counter")
    assert ratio(Quantity(value=1.0), zero).value is None
    assert ratio(Quantity(value=1.0), none).missing == "no counter"
    assert ratio(zero, Quantity(value=1.0)).value == 0


amounts = st.floats(0.001, 1e6)
parts = st.floats(0, 1)
kinds = st.sampled_from(KINDS[:-1])


@st.composite
def numbers(draw) -> Quantity:
    """A number above zero with both intervals around it, each of which may be absent."""
    value = draw(amounts)
    ends = [Bounds(value * (1 - draw(parts)), value * (1 + draw(parts))) if draw(st.booleans()) else None for _ in "ab"]
    return Quantity(
        value=value,
        unit="J",
        kind=draw(kinds),
        method="drawn",
        type_a=ends[0],
        type_b=ends[1],
        repeats=draw(st.integers(1, 9)),
        disturbed=draw(st.booleans()),
    )


def ends(each: Quantity) -> tuple[object, ...]:
    return each.value, each.type_a, each.type_b


def close(one: Quantity, other: Quantity) -> bool:
    return all(
        ours is theirs or (ours is not None and theirs is not None and ours == pytest.approx(theirs))
        for ours, theirs in zip(ends(one), ends(other), strict=True)
    )


@given(st.lists(numbers(), min_size=1, max_size=4))
def test_a_sum_adds_ends_to_ends_and_knows_an_interval_only_where_all_parts_do(some):
    whole = reduce(add, some)
    assert whole.value == pytest.approx(sum(each.value for each in some))
    for name in ("type_a", "type_b"):
        known = [getattr(each, name) for each in some]
        found = getattr(whole, name)
        if None in known:
            assert found is None
        else:
            assert found == pytest.approx(tuple(map(sum, zip(*known, strict=True))))
    assert whole.kind == worst(each.kind for each in some)
    assert whole.disturbed == any(each.disturbed for each in some)
    assert whole.repeats == min(each.repeats for each in some)


@given(numbers(), numbers(), amounts)
def test_a_factor_may_be_taken_before_or_after_the_sum(one, other, factor):
    assert close((one + other) * factor, one * factor + other * factor)
    assert close(one + other, other + one)


@given(numbers(), amounts)
def test_a_factor_changes_the_unit_and_not_how_sure_a_number_is(one, factor):
    found = one * factor
    assert found.relative_half_width == pytest.approx(one.relative_half_width)
    assert (found.factors is None) == (one.factors is None)
    if one.factors is not None:
        assert found.factors == pytest.approx(one.factors)
    assert replace(found, value=one.value, type_a=one.type_a, type_b=one.type_b) == one


@given(numbers(), numbers())
def test_a_ratio_joins_relative_intervals_in_quadrature_and_loses_what_is_systematic(part, whole):
    found = ratio(part, whole)
    assert found.value == pytest.approx(part.value / whole.value)
    assert (found.type_b, found.kind) == (None, worst((part.kind, whole.kind)))
    wide = [each.relative_half_width for each in (part, whole) if each.type_a is not None]
    if any(wide):
        assert found.relative_half_width == pytest.approx(math.hypot(*wide))
    else:
        assert found.type_a is None


@given(numbers(), st.sampled_from(["not recorded", "left out"]))
def test_what_is_missing_stays_missing_with_its_reason(known, why):
    absent = missing(why, unit="J")
    for found in (absent * 3, absent + known, known + absent, ratio(absent, known)):
        assert (found.value, found.kind, found.type_a, found.type_b) == (None, "not_covered", None, None)
        assert why in found.missing
    with pytest.raises(ValueError, match=why):
        _ = absent.known
    assert over_runs([absent, known]) == known


@given(st.lists(kinds, max_size=5))
def test_what_is_made_of_several_is_as_good_as_the_worst(some):
    assert worst(some) == (max(some, key=KINDS.index) if some else "not_covered")


@given(numbers())
def test_runs_that_say_the_same_differ_by_nothing(one):
    found = over_runs([one, one, one])
    assert (found.value, found.type_a, found.kind) == (pytest.approx(one.value), None, one.kind)


def all_numbers(document: object) -> list[Numbers]:
    """Every part of a document whose numbers have a basis, itself included."""
    if isinstance(document, list):
        return [found for each in document for found in all_numbers(each)]
    if not hasattr(type(document), "model_fields"):
        return []
    inside = [found for name in type(document).model_fields for found in all_numbers(getattr(document, name))]
    return [*([document] if isinstance(document, Numbers) else []), *inside]


@pytest.mark.parametrize("folder", EXAMPLES)
def test_every_published_number_is_a_quantity_and_back_the_same_bytes(folder):
    for path in folder.glob("*/record.json"):
        text = path.read_text(encoding="utf-8")
        record = loads(text, where=path.name)
        found = all_numbers(record)
        assert len(found) > 5
        for part in found:
            back = {name: basis_of(part.quantity(name)) for name in part.basis}
            assert back == part.basis
            part.basis.update(back)
        assert dumps(record) == text


def test_an_interval_of_nothing_but_rounding_is_not_shown():
    assert str(Quantity(value=61.3, type_a=Bounds(61.3, 61.3 * (1 + 1e-12)), kind="measured").text()) == "61.3"
