""""""

import itertools
import json
import random
import statistics

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rich.console import Console

from greenpose.check import CheckVerdict, RatioSpan, Selection, history
from greenpose.check.history import FEWEST, MOST_VALUES, SHORTEST, read_trends, remember, steps
from greenpose.cli.check_history import print_trend, sparkline
from greenpose.errors import CheckError
from tests.check.candidates import finding, mixed


def append(folder, values, *, name="quick", start=0, **changes):
    for day, value in enumerate(values, start=start + 1):
        verdict = CheckVerdict(subject="a", against="b", findings=(finding(head=value, **changes),))
        remember(folder, verdict, name=name, at=f"2026-11-{day:02d}T08:00:00+00:00", commit=f"{day:040x}")


def trends(folder, *only):
    return read_trends(folder, only=Selection(only))


def test_what_was_appended_is_read_back_oldest_first(tmp_path):
    append(tmp_path, [3.0], start=2)
    append(tmp_path, [1.0, 2.0])
    (trend,) = trends(tmp_path)
    assert (trend.check, trend.quantity, trend.unit) == ("quick", "exit3.macs", "MACs")
    assert [point.value for point in trend.points] == [1.0, 2.0, 3.0]
    assert trend.points[0].commit == f"{1:040x}"


def test_every_finding_with_a_value_is_a_row_and_pairs_keep_their_ratio(tmp_path):
    remember(tmp_path, mixed(), name="quick", at="2026-11-25T08:00:00+00:00", commit=None)
    rows = [json.loads(line) for line in (tmp_path / "quick.jsonl").read_text().splitlines()]
    assert {row["quantity"] for row in rows} == {one.name for one in mixed().findings if one.head is not None}
    (paired,) = (row for row in rows if row["way"] == "paired")
    assert (paired["value"], paired["unit"]) == (1.012, "of base")


def test_a_ratio_without_a_value_is_left_out(tmp_path):
    append(tmp_path, [1.0], way="paired", ratio=RatioSpan(0.5, float("inf"), float("inf")))
    with pytest.raises(CheckError, match="holds no history"):
        trends(tmp_path)


def test_checks_are_kept_apart_and_torn_lines_passed_over(tmp_path):
    append(tmp_path, [1.0])
    append(tmp_path, [5.0], name="slow")
    with (tmp_path / "slow.jsonl").open("a") as file:
        file.write('{"schema": "greenpose.history/1", "at": "2026\n[]\n{"schema": "other"}\n')
        row = (tmp_path / "slow.jsonl").read_text().splitlines()[0]
        file.write(row.replace("MACs", "\\ud800") + "\n")  # half a character, which no page could hold
    assert [(trend.check, len(trend.points)) for trend in trends(tmp_path)] == [("quick", 1), ("slow", 1)]


def test_the_mark_of_a_byte_order_hides_no_row(tmp_path):
    append(tmp_path, [1.0, 2.0])
    file = tmp_path / "quick.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert [point.value for trend in trends(tmp_path) for point in trend.points] == [1.0, 2.0]


def test_what_is_not_there_is_refused_in_words(tmp_path):
    with pytest.raises(CheckError, match="holds no history; greenpose check CANDIDATE --history"):
        trends(tmp_path / "nowhere")
    append(tmp_path, [1.0])
    with pytest.raises(CheckError, match=r"exit3.mac: matches no quantity here; did you mean exit3.macs"):
        trends(tmp_path, "exit3.mac")


@pytest.mark.parametrize(
    "change",
    [{"check": ["a"]}, {"quantity": 3.5}, {"value": True}, {"value": float("nan")}, {"at": None}, {"commit": 7}],
)
def test_a_row_that_is_none_is_passed_over_and_a_file_of_such_rows_is_named(tmp_path, change):
    append(tmp_path, [1.0, 2.0])
    file = tmp_path / "quick.jsonl"
    first, second = file.read_text().splitlines()
    file.write_text(f"{json.dumps(json.loads(first) | change)}\n{second}\n")
    (trend,) = trends(tmp_path)
    assert [point.value for point in trend.points] == [2.0]
    file.write_text(f"{json.dumps(json.loads(first) | change)}\n")
    with pytest.raises(CheckError, match=r"quick\.jsonl: not a line in it is the row of a check"):
        trends(tmp_path)


def printed(found) -> str:
    console = Console(width=100)
    with console.capture() as text:
        print_trend(found, console)
    return text.get()


def test_the_trend_says_where_a_level_changed_and_by_how_much(tmp_path):
    append(tmp_path, [1e9] * 8 + [1.1e9] * 6)
    text = printed(trends(tmp_path))
    assert "▁▁▁▁▁▁▁▁██████" in text
    said = " ".join(text.split())
    assert "1.00 GMACs → 1.10 GMACs (+10.0 %) since 2026-11-09T08:00:00+00:00, commit 0000000000" in said


def test_without_the_library_no_changes_are_marked_and_the_trend_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(history, "find_spec", lambda _: None)
    append(tmp_path, [1e9] * 8 + [1.1e9] * 6)
    (trend,) = trends(tmp_path)
    assert trend.steps == ()
    assert "pip install 'greenpose[history]'" in printed([trend])


def test_a_name_that_looks_like_markup_is_shown_as_it_is(tmp_path):
    append(tmp_path, [1.0, 2.0])
    file = tmp_path / "quick.jsonl"
    file.write_text(file.read_text().replace("exit3.macs", "[/x]").replace("MACs", "[bold]"))
    assert "[/x]" in printed(trends(tmp_path))
    assert "[bold]" in printed(trends(tmp_path))


def test_a_flat_course_is_a_flat_line(tmp_path):
    append(tmp_path, [2.0] * 3)
    assert sparkline(trends(tmp_path)[0]) == "▁▁▁"


def test_what_was_accepted_is_where_the_base_changed_with_the_reason_that_the_baseline_gave(tmp_path):
    for day, (base, reason) in enumerate(
        [(1.0, "first"), (1.0, "first"), (2.0, "wider"), (2.0, "wider"), (1.0, "")], 1
    ):
        verdict = CheckVerdict(subject="a", against="b", findings=(finding(head=base, base=base), finding("exit4")))
        remember(tmp_path, verdict, name="quick", at=f"2026-11-{day:02d}", commit=None, reason=reason)
    exit3, exit4 = trends(tmp_path)
    assert [(place, exit3.points[place].reason) for place in exit3.accepted] == [(2, "wider"), (4, "")]
    assert exit4.accepted == []


def test_a_ratio_s_base_another_revision_s_count_and_a_budget_s_reason_are_nobody_s_acceptance(tmp_path):
    for day, base in enumerate([1.0, 2.0], 1):
        counted = finding("train", "forward_macs", file=None, base=base)
        paired = finding(way="paired", ratio=RatioSpan(1, 1, 1), base=base)
        budget = finding("exit4", way="budget", base=base)
        verdict = CheckVerdict(subject="a", against="b", findings=(paired, budget, counted))
        remember(tmp_path, verdict, name="quick", at=f"2026-11-{day:02d}", commit=None, reason="of the baseline")
    first, second, third = trends(tmp_path)
    assert (first.accepted, second.accepted, third.accepted) == ([], [1], [])
    assert {one.points[1].reason for one in (first, second, third)} == {""}


def noisy(levels, *, each: int, sigma: float, seed: int = 1):
    chance = random.Random(seed)
    return [level + chance.gauss(0, sigma) for level in levels for _ in range(each)]


def deviation(values):
    return sum(abs(value - statistics.median(values)) for value in values) if values else 0.0


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(-9, 9), min_size=FEWEST, max_size=14))
def test_no_other_pieces_of_that_number_fit_better(values):
    count, found = len(values), steps(values)
    number = len(found)
    assume(number <= 2)
    cuts = [(0, *inner, count) for inner in itertools.combinations(range(1, count), number)]
    allowed = [pieces for pieces in cuts if all(b - a >= SHORTEST for a, b in itertools.pairwise(pieces))]
    costs = [sum(deviation(values[a:b]) for a, b in itertools.pairwise(pieces)) for pieces in allowed]
    edges = [0, *(step.index for step in found), count]
    assert sum(deviation(values[a:b]) for a, b in itertools.pairwise(edges)) == pytest.approx(min(costs))


@pytest.mark.parametrize("place", [3, 5, 10, 17])
def test_a_step_of_a_counted_quantity_is_found_exactly(place):
    values = [1e9] * place + [1.1e9] * (20 - place)
    (step,) = steps(values)
    assert (step.index, step.before, step.after) == (place, 1e9, 1.1e9)


def test_several_steps_are_found_in_order():
    found = steps(noisy([1.0, 1.2, 0.9, 1.0], each=12, sigma=0.01))
    assert [step.index for step in found] == pytest.approx([12, 24, 36], abs=1)
    assert [step.after for step in found] == pytest.approx([1.2, 0.9, 1.0], abs=0.01)


def test_a_value_that_never_changes_has_no_step():
    assert steps([5.0] * 50) == ()
    assert steps([0.0] * 50) == ()


@pytest.mark.parametrize("draw", ["gauss", "heavy"])
def test_noise_alone_hardly_ever_shows_a_step(draw):
    chance = random.Random(7)
    draws = {
        "gauss": lambda: chance.gauss(1, 0.02),
        "heavy": lambda: 1 + 0.02 * chance.gauss(0, 1) / max(0.1, abs(chance.gauss(0, 1))),
    }
    false = sum(bool(steps([draws[draw]() for _ in range(25)])) for _ in range(150))
    assert false <= 6  # 1 % expected; more than 6 of 150 has a chance below 1 in 1000


def test_a_step_of_three_deviations_is_nearly_always_found_where_it_is():
    found = [steps(noisy([1.0, 1.06], each=15, sigma=0.02, seed=seed)) for seed in range(60)]
    right = sum(len(one) == 1 and abs(one[0].index - 15) <= 1 for one in found)
    assert right >= 52  # 94 % expected


def test_single_outliers_are_no_steps():
    values = noisy([1.0], each=30, sigma=0.005)
    values[7] = values[20] = 1.5
    assert steps(values) == ()


def test_too_few_values_say_nothing():
    values = [1.0] * 5 + [2.0] * (FEWEST - 6)
    assert steps(values) == ()
    assert steps([*values, 2.0])


def test_only_the_newest_values_are_looked_at_and_places_count_from_the_first():
    values = [1.0] * 50 + [2.0] * (MOST_VALUES - 10) + [3.0] * 10
    (step,) = steps(values)
    assert step.index == len(values) - 10
