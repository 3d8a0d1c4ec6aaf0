"""The benchmark of metering's own cost judges the job that is promised, and can fail."""

import pytest

from benchmarks.overhead import JOB_EPOCHS, Times, counted, layout
from greenpose.run.callbacks import crosschecked

JOBS = 3
PLAN = layout(JOBS, paired=True, seed=3)


def times(*, plain=0.001, checked=0.021, waited=0.0, fsyncs=10):
    """Epochs of ten seconds: what the meter takes in a plain and a cross-checked one, waiting for the disk, fsyncs."""
    inside = {epoch: checked if crosschecked(number) else plain for epoch, number in PLAN.metered.items()}
    every = range(1, PLAN.epochs + 1)
    return Times(
        wall=dict.fromkeys(every, 10.0),
        cpu=dict.fromkeys(every, 10.0),
        inside=inside,
        waited=dict.fromkeys(PLAN.metered, waited),
        fsyncs=dict.fromkeys(PLAN.metered, fsyncs),
    )


def test_of_each_pair_one_epoch_is_metered_and_they_stand_for_the_jobs_own():
    assert list(PLAN.metered.values()) == [*range(1, JOB_EPOCHS + 1)] * JOBS
    assert len(PLAN.pairs) == JOBS * JOB_EPOCHS
    assert all(metered in PLAN.metered and other not in PLAN.metered for metered, other in PLAN.pairs)
    assert {abs(metered - other) for metered, other in PLAN.pairs} == {1}
    assert {metered > other for metered, other in PLAN.pairs} == {True, False}
    assert min(map(min, PLAN.pairs)) == 3


def test_a_quick_look_meters_every_epoch_of_one_job():
    quick = layout(1, paired=False, seed=0)
    assert quick.epochs == 2 + JOB_EPOCHS
    assert len(quick.metered) == JOB_EPOCHS
    assert quick.pairs == []


def test_cross_checked_epochs_count_as_often_as_the_job_has_them(capsys):
    """One epoch of eight costs 0.21 %, the others 0.01 %."""
    assert counted(times(), PLAN, thread=0.0, quick=False) == []
    assert f"{(0.021 + 7 * 0.001) / 80:.3%}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wrong", "thread", "complaint"),
    [
        ({"plain": 0.06}, 0.0, "metering takes 0.5"),
        ({"checked": 0.5}, 0.0, "metering takes 0.6"),
        ({}, 0.05, "metering takes 0.6"),
        ({"waited": 0.03}, 0.0, "fsyncs take 0.3"),
    ],
)
def test_each_part_can_break_the_promise(wrong, thread, complaint, capsys):
    faults = counted(times(**wrong), PLAN, thread=thread, quick=False)
    assert complaint in faults[0]
    assert capsys.readouterr().out
    assert counted(times(**wrong), PLAN, thread=thread, quick=True) == []


def test_the_upper_end_of_the_interval_is_held_to_the_promise(capsys):
    """The median job is within it, but the three differ so much that the next one may not be."""
    found = times(plain=0.03)
    found.inside |= dict.fromkeys(list(PLAN.metered)[:JOB_EPOCHS], 0.09)
    assert counted(found, PLAN, thread=0.0, quick=False)
    assert "together 0.289%" in capsys.readouterr().out


def test_a_quick_look_counts_fsyncs_and_waits_for_a_slow_disk_without_complaint(capsys):
    assert counted(times(waited=3.0), PLAN, thread=0.0, quick=True) == []
    assert "of wall time, 240 in 240.0 s" in capsys.readouterr().out
    assert counted(times(waited=3.0), PLAN, thread=0.0, quick=False)
    assert counted(times(fsyncs=11), PLAN, thread=0.0, quick=True) == ["264 fsyncs in 240.0 s, promised one a second"]
