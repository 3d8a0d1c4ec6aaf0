"""Runs that are alike are asked together: a question gives what each of them answers, in one go where it can."""

import pytest

from greenpose.metrics import OF_EXIT, OF_TRAINING
from greenpose.quantity import over_runs
from greenpose.record import Record, dumps
from greenpose.report.differences import _run_share
from greenpose.report.figures.break_even import added_kwh
from greenpose.report.figures.energy import by_activity, by_component, by_purpose
from greenpose.report.figures.totals import run_total
from greenpose.report.quantities import disturbance, of_exit, of_record
from greenpose.report.study import Together, gross_kwh
from greenpose.store.similar_records import Alike, AlikeReader
from tests.report.published import published

UNLIKE = 20
"""The run, in the middle, that has a word that no other has and is read in full."""
QUESTIONS = {
    "a whole number": lambda run: run.seed,
    "a word that differs": lambda run: run.name,
    "a word that is the same": lambda run: run.experiment,
    "a sum": gross_kwh,
    "numbers by name": by_purpose,
    "numbers by name or none": by_component,
    "a median and the smaller of two": by_activity,
    "nothing below zero": added_kwh,
    "a part of another object": lambda run: run_total(run).seconds,
    "two, each zero up to a limit": lambda run: disturbance(run.exits[0]),
    "lists of a list": lambda run: [[each.epoch, each.energy_kwh, each.ap] for each in run.validations],
    "words of a list": lambda run: run.exits[0].measurement.get("warnings"),
    "a condition on which they differ": lambda run: "even" if run.seed % 2 == 0 else run.train_seconds,
    "the larger of two": lambda run: max(run.train_seconds, 30 * run.seed),
    "a word that decides": lambda run: run.config_hash < "8",
    "a word to be put into another": lambda run: f"{run.name}!",
    "a number to be put into a word": lambda run: f"{run.train_seconds:.1f} s",
    "an object": lambda run: run.exits[0],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return the runs of an experiment with several exits, most of them read by what they are alike in."""
    folder, reader = tmp_path_factory.mktemp("runs"), AlikeReader(after=3)
    found: list[Record] = []
    some = [run for run in published(experiments=5, seeds=40) if len(run.exits) > 1]
    for index, run in enumerate([run for run in some if run.experiment == some[0].experiment]):
        file = folder / f"{index:02}.json"
        told = run.model_copy(update={"notes": ["one of its own"]}) if index == UNLIKE else run
        file.write_text(dumps(told), encoding="utf-8")
        found.append(reader(file))
    assert not isinstance(found[UNLIKE], Alike)
    assert sum(isinstance(run, Alike) for run in found) > len(found) / 2
    return found


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
def test_each_says_together_what_it_says_alone(runs, ask):
    assert _plain(Together(runs).each(ask)) == _plain([ask(run) for run in runs])


@pytest.mark.parametrize("metric", [*OF_EXIT, *OF_TRAINING], ids=lambda metric: metric.name)
def test_a_mean_over_all_is_that_of_each(runs, metric):
    for index in range(len(runs[0].exits)):

        def ask(run, index=index):
            return of_record(run, metric) if metric.of_run else of_exit(run.exits[index], metric)

        assert over_runs(Together(runs).quantities(ask)) == over_runs([ask(run) for run in runs])
        if not metric.of_run and metric.name in ("params", "ap", "energy_j_per_image"):
            number = runs[0].exits[index].exit
            alone = over_runs([_run_share(run, number, metric) for run in runs])
            assert over_runs(Together(runs).quantities(lambda run, at=number: _run_share(run, at, metric))) == alone


def test_those_that_are_alike_are_asked_once(runs):
    asked = []
    Together(runs).each(lambda run: asked.append(run) or gross_kwh(run))
    assert len(asked) < len(runs) / 2


def _plain(answer):
    """Return an answer with lists for tuples."""
    if isinstance(answer, list | tuple):
        return [*map(_plain, answer)]
    return {key: _plain(each) for key, each in answer.items()} if isinstance(answer, dict) else answer
