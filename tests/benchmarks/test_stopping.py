import pytest

from benchmarks.stopping import best_until, half_widths, rules, stop
from greenpose.record import Validation
from tests.report.records import record


def course(*aps):
    """Return the validations of one exit."""
    return [
        Validation(epoch=epoch, energy_kwh=0.001 * epoch, cpu_seconds=1.0, seconds=1.0, ap={"3": ap})
        for epoch, ap in enumerate(aps, start=1)
    ]


@pytest.mark.parametrize(
    ("rule", "aps", "ends"),
    [
        ("patience 2", (0.1, 0.2, 0.15, 0.2, 0.19, 0.18), 6),  # a tie is no waiting
        ("patience 2", (0.1, 0.3, 0.2, 0.2, 0.4), 4),
        ("patience 3", (0.1, 0.3, 0.2, 0.2, 0.4), 5),
        ("interval, patience 2", (0.1, 0.3, 0.305, 0.309, 0.6), 4),  # rises within the interval are none
        ("interval, patience 2", (0.1, 0.2, 0.3, 0.4), 4),
    ],
)
def test_a_rule_ends_a_training_where_no_rise_counted_for_as_long_as_it_waits(rule, aps, ends):
    assert stop(course(*aps), *rules(record(exits=[3], half=0.012))[rule]) == ends


def test_the_interval_on_fewer_subjects_is_wider_as_the_root_of_their_number():
    run = record(exits=[3], half=0.012)
    spread = run.exits[0].quantity("ap").type_a
    half = (spread.high - spread.low) / 2
    assert half_widths(run) == pytest.approx({3: half * (run.subjects["test"] / run.subjects["val"]) ** 0.5})


def test_what_counts_is_the_best_until_then():
    assert best_until(course(0.1, 0.3, 0.2), 3) == best_until(course(0.1, 0.3, 0.2), 2) == {3: 0.3}
