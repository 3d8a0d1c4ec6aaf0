"""Runs of loops that are not ours: judged by their own metric, in its unit and direction, or told as a bill only."""

import re

import pytest

from greenpose.errors import ReportError
from greenpose.ledger.own import OwnRun
from greenpose.ledger.own_settings import settings_of
from greenpose.record import Basis, Interval, Record
from greenpose.record.metric import KNOWN, OwnMetric
from greenpose.report.conclusions.headline import headline
from greenpose.report.figures.energy import by_purpose
from greenpose.report.method_limits import limits
from greenpose.report.other_formats import to_latex, to_markdown
from greenpose.report.page import pictures_of, render
from greenpose.report.ranking import leaders, most_accurate, preference, useful
from greenpose.report.study import study
from greenpose.report.tidy_csv import lines
from tests.fakes.meters import TickingClock, TickingSource, metering
from tests.report.conclusions.recommended import first_screen
from tests.report.records import record

POSE = re.compile(r"\b(AP|AR|OKS|PCK|OKD|pose|keypoints?|HRNet\w*|heatmaps?)\b", flags=re.IGNORECASE)
WORDS = {"title": "loop", "version": "1"}


def own(metric: OwnMetric, values: dict[int, float], *, half: float = 0.0, seed: int = 1, name: str = "loop") -> Record:
    """A run of another loop with these exits, each value with an interval of so much on either side."""
    run = record("HRNet4-COKD", exits=tuple(values), seed=seed)
    bases = {
        number: Basis(
            unit=metric.unit,
            kind="computed",
            method="given by the program that was metered",
            type_a=Interval(low=value - half, high=value + half) if half else None,
        )
        for number, value in values.items()
    }
    exits = [
        entry.model_copy(
            update={
                **dict.fromkeys(
                    ("ap", "ap50", "ap75", "ar", "pck", "pck_corrected", "best_epoch", "break_even_images")
                ),
                "metrics": {metric.name: values[entry.exit]},
                "macs_by_counter": {},
                "basis": {
                    key: each
                    for key, each in entry.basis.items()
                    if not key.startswith(("ap", "ar", "pck", "break")) or key == "params"
                }
                | {f"metrics.{metric.name}": bases[entry.exit]},
            }
        )
        for entry in run.exits
    ]
    config = {"name": name, "seed": seed, "measure": {}, "settings": {"lr": 0.1}}
    told = {"name": f"{name}-{seed}", "experiment": name, "grid": "lab", "config": config, "own": "builder"}
    dataset = {"dataset": {"source": "photographs"}, "images": {"test": 400}, "subjects": {}, "notes": ["a try"]}
    without = {"validations": [], "forecast": None, "training_step": None, "doubts": [], "axes": {"seed": seed}}
    return run.model_copy(update={"metric": metric, "exits": exits, **told, **dataset, **without})


TOP1 = OwnMetric(name="top1", **KNOWN["top1"])
ERROR = OwnMetric(name="mpjpe", **KNOWN["mpjpe"], margin=2.0, floor=60.0)
PERPLEXITY = OwnMetric(name="perplexity", **KNOWN["perplexity"])
LIKELIHOOD = OwnMetric(name="log-likelihood", direction="higher")
RUNS = {
    "a fraction": (TOP1, {2: 0.61, 3: 0.902, 4: 0.91}, 0.002),
    "millimetres": (ERROR, {2: 71.0, 3: 41.1, 4: 40.9}, 0.3),
    "a plain number": (PERPLEXITY, {2: 31.0, 3: 24.2, 4: 24.1}, 0.05),
    "below zero": (LIKELIHOOD, {2: -3.2, 3: -1.41, 4: -1.4}, 0.002),
}


@pytest.mark.parametrize("what", RUNS)
def test_the_exit_to_use_follows_from_the_metrics_direction_and_margin(what):
    metric, values, half = RUNS[what]
    compared = study([own(metric, values, half=half, seed=seed) for seed in (1, 2, 3)])
    assert most_accurate(compared).exit == 4
    found = preference(compared)
    assert (found.other.exit, found.verdict) == (3, "within")
    assert [point.exit for point in leaders(compared)] == [4, 3, 2]


def test_a_floor_of_what_is_better_lower_is_a_ceiling():
    compared = study([own(ERROR, {2: 71.0, 3: 41.1, 4: 40.9}, half=0.3)])
    assert [point.exit for point in useful(compared)] == [3, 4]
    none = study([own(ERROR, {3: 71.1, 4: 70.9}, half=0.3)])
    screen = first_screen(none)
    assert screen["verdict"] == "Use none: the best mean joint error, 71\u00a0mm, is above the floor of 60\u00a0mm."
    assert screen["lights"][1]["level"] == "Sure"
    assert "the lowest mean joint error, 70.90\u00a0±0.30\u00a0mm" in headline(none)[0]
    assert dict(limits(none))["Recommendation"].endswith("Above mean joint error 60\u00a0mm (--floor) no exit is.")


def test_without_a_margin_of_its_own_a_number_has_one_of_two_percent_of_the_best():
    assert study([own(PERPLEXITY, {3: 30.0, 4: 20.0})]).margin == pytest.approx(0.4)
    assert study([own(TOP1, {3: 0.5, 4: 0.9})]).margin == 2
    assert study([record()]).margin == 2


def test_what_is_lost_is_counted_in_the_metrics_unit():
    compared = study([own(ERROR, {3: 42.4, 4: 40.9}, half=0.1)])
    screen = first_screen(compared)
    tile = screen["tiles"][0]
    assert (tile["name"], tile["value"]) == ("Mean joint error (lower is better)", "42\u00a0mm")
    assert tile["note"].startswith("1.5 mm lost (95\u00a0%: 1.4 to 1.6)")
    assert tile["share"] == pytest.approx(40.9 / 42.4)
    assert "a difference of 1.50\u00a0±0.14 mm" in headline(compared)[0]
    perhaps = study([own(TOP1, {3: 0.895, 4: 0.91}, half=0.001)])
    assert first_screen(perhaps)["tiles"][0]["note"].startswith("1.5 points lost")


@pytest.mark.parametrize("what", RUNS)
def test_no_form_of_the_report_speaks_of_pose(what):
    metric, values, half = RUNS[what]
    runs = [own(metric, values, half=half, seed=seed) for seed in (1, 2, 3)]
    compared = study(runs)
    page = render(runs, generated_at="2026", **WORDS)
    text = re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL)
    told = {
        "page": text,
        "markdown": to_markdown(compared, generated_at="2026", **WORDS),
        "latex": to_latex(compared, **WORDS),
        "csv": "\n".join(f"{line.quantity} {line.missing}" for run in runs for line in lines(run)),
    }
    assert {form: POSE.findall(said) for form, said in told.items()} == {form: [] for form in told}
    assert all(metric.row.label in said for form, said in told.items() if form != "csv")
    assert f"metrics.{metric.name}" in told["csv"]


def test_runs_that_are_judged_by_different_things_are_not_ranked_together():
    with pytest.raises(ReportError) as caught:
        study([own(TOP1, {3: 0.5}), own(ERROR, {3: 41.0}, name="other"), record()])
    said = str(caught.value)
    assert "judged by different metrics, so they cannot be ranked together" in said
    assert "top-1 accuracy (loop-1)" in said
    assert "mean joint error (other-1)" in said


@pytest.fixture
def bill(tmp_path):
    """A record without exits."""
    clock = TickingClock()

    def make_meter(log):
        return metering(clock, TickingSource(clock, watts=10.0), cpu_share=1.0, log=log)

    with OwnRun(settings_of("loop", country="ITA"), out=tmp_path, make_meter=make_meter) as run, run.window("train"):
        clock.advance(5)
    return run.result


def test_a_run_without_exits_has_a_page_of_its_bill_in_every_form(bill):
    page = render([bill], generated_at="2026", **WORDS)
    assert "This is the bill; no exit was given to choose between." in page
    assert 'id="went"' in page
    assert 'id="networks"' not in page
    compared = study([bill])
    assert "No exit was given" in to_markdown(compared, generated_at="2026", **WORDS)
    assert to_latex(compared, **WORDS)
    assert [picture.id for picture in pictures_of(compared)]


@pytest.mark.usefixtures("undrawn")
def test_a_bill_stands_beside_runs_that_have_exits(bill):
    assert "Top-1 accuracy" in render([bill, own(TOP1, {3: 0.5, 4: 0.6})], generated_at="2026", **WORDS)


def test_a_bills_tile_says_what_it_took_and_nothing_of_measuring(bill):
    (tile,) = first_screen(study([bill]))["tiles"]
    assert (tile["name"], "measuring" in tile["note"]) == ("In all", False)


def test_names_in_other_scripts_are_drawn_without_a_warning():
    """Warnings are errors in tests."""
    (first, *_) = pictures_of(study([own(TOP1, {3: 0.5, 4: 0.6}, name="実験 α")]))
    assert "実験" in first.panels[0].svg + str(first.data)


def test_a_loops_own_phases_are_training_wherever_energy_is_cut_by_purpose(bill):
    renamed = [phase.model_copy(update={"name": "fit"}) if phase.name == "train" else phase for phase in bill.phases]
    assert by_purpose(bill.model_copy(update={"phases": renamed})) == by_purpose(bill)
    assert by_purpose(bill)["Training steps"] == pytest.approx(50 / 3.6e6)


def test_a_programs_phase_is_training_too(bill):
    program = [bill.phases[0].model_copy(update={"name": "command"})]
    run = bill.model_copy(update={"own": "command", "phases": program})
    assert by_purpose(run)["Training steps"] == program[0].energy_kwh > 0
