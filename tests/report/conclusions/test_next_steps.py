"""What to do next: what each rule says of records made for it, what it saves by a closed formula, and the ranking."""

import math
import re
import shlex
import subprocess
from functools import cache
from statistics import fmean

import pytest

from greenpose.formatting import kwh_to_joules
from greenpose.record import Validation
from greenpose.report import render, study
from greenpose.report.conclusions.next_steps import LARGE_SHARE, MOST, told
from greenpose.report.figures.what_if import DEFAULT
from greenpose.report.other_formats import to_markdown
from greenpose.store import collect
from reports.examples import REPORTS, examples
from tests.cli.running import greenpose
from tests.report.conclusions.recommended import next_steps
from tests.report.html_tree import read
from tests.report.policies import policy_of
from tests.report.records import failure, paper_grid, record

WITHIN = {3: 0.935, 4: 0.94}
CONSTANT = {"title": "t", "generated_at": "2025-06-01T12:00:00+00:00", "version": "0.1.0"}


def steps(entries, **more):
    return {step.name: step for step in next_steps(study(entries, **more))}


@cache
def options_of(command):
    return set(re.findall(r"--[a-z-]+", greenpose(command, "--help", cwd=REPORTS).out))


def seeds(ap=WITHIN, count=5, experiment="HRNet4-OKD", **changes):
    """Runs whose two exits differ by the same in every seed, a little apart from one another."""
    return [
        record(experiment, seed=n, ap={k: value + 0.001 * (n % 2) for k, value in ap.items()}, **changes)
        for n in range(1, count + 1)
    ]


def taught(run, course, joules=1000.0):
    """The run with a validation AP an epoch, at so many joules each."""
    told = [
        Validation(epoch=n, energy_kwh=n * joules / 3.6e6, cpu_seconds=n, seconds=n, ap={4: ap, 3: ap - 0.01})
        for n, ap in enumerate(course, 1)
    ]
    return run.model_copy(update={"validations": told, "epochs": len(course)})


def test_a_smaller_exit_within_the_margin_is_to_be_exported_and_saves_what_the_ratio_leaves():
    runs = seeds()
    step = steps(runs)["Leave at a smaller exit"]
    whole = fmean(run.exit(4).energy_j_per_image for run in runs)
    share = fmean(run.exit(3).relative_to_final["energy_j_per_image"] for run in runs)
    assert step.state == "act"
    assert step.saves.value == pytest.approx(whole * (1 - share))
    assert step.joules == pytest.approx(whole * (1 - share) * DEFAULT.per_year)
    assert step.command == f"greenpose export runs/paper/{runs[0].name} --exit 3"


def test_its_interval_is_that_of_energy_and_ratio_in_quadrature():
    run = record("HRNet4-OKD", ap={3: 0.939, 4: 0.94}, half=0.001)
    saved = steps([run])["Leave at a smaller exit"].saves
    energy, ratio = (
        run.exit(4).quantity("energy_j_per_image"),
        run.exit(3).quantity("relative_to_final.energy_j_per_image"),
    )
    first, second = (each.type_a.high - each.type_a.low for each in (energy, ratio))
    wide = math.hypot(first * (1 - ratio.value), second * energy.value)
    assert saved.type_a.high - saved.type_a.low == pytest.approx(wide)


@pytest.mark.parametrize(
    ("entries", "exit_state", "settle_state"),
    [
        (seeds(), "act", "pass"),
        (seeds({3: 0.80, 4: 0.94}), "pass", "pass"),
        ([record("HRNet4-OKD", ap={3: 0.925, 4: 0.94}, half=0.05)], "not applicable", "look"),
        (seeds({3: 0.05, 4: 0.06}), "not applicable", "not applicable"),
        ([record("HRNet4-OKD", evaluated=False)], "not applicable", "not applicable"),
        (seeds(metered=False), "not applicable", "pass"),
    ],
    ids=["within", "beyond", "open", "useless", "no AP", "no energy"],
)
def test_an_exit_is_recommended_as_the_answer_recommends_it(entries, exit_state, settle_state):
    found = steps(entries)
    assert (found["Leave at a smaller exit"].state, found["Settle the recommendation"].state) == (
        exit_state,
        settle_state,
    )


def test_what_is_open_names_its_price_and_is_ranked_by_what_is_left_of_its_saving():
    runs = [record("HRNet4-OKD", seed=n, ap={3: 0.925 + 0.004 * n, 4: 0.95}) for n in (1, 2, 3)]
    step = steps(runs)["Settle the recommendation"]
    (count,) = re.findall(r"about (\d+)\xa0?more seed|about (\d+) more seed", step.finding)[:1]
    count = int(next(filter(None, count)))
    price = count * kwh_to_joules(fmean(sum(phase.energy_kwh for phase in run.phases) for run in runs))
    assert step.state == "look"
    assert step.joules == pytest.approx(max(0.0, step.saves.value * DEFAULT.per_year - price))
    last = 3 + count
    expected = "{4.." + str(last) + "}" if count > 4 else None
    assert (f"--seed={expected}" in step.command) if expected else step.command.endswith(f"--seed {last}")


def test_two_seeds_ask_for_a_third_and_one_test_split_for_more_of_its_subjects():
    two = steps([record("HRNet4-OKD", seed=n, ap={3: 0.93, 4: 0.94 + 0.001 * n}) for n in (1, 2)])
    assert two["Settle the recommendation"].command == "greenpose run paper.yaml --only HRNet4-OKD --seed 3"
    one = steps([record("HRNet4-OKD", ap={3: 0.93, 4: 0.94}, half=0.05)])["Settle the recommendation"]
    (needed,) = re.findall(r"patients.test=(\d+)", one.command)
    assert int(needed) > 12


@pytest.mark.parametrize(
    ("course", "state", "epoch", "after"),
    [
        ([0.1, 0.5, 0.9, 0.8, 0.9, 0.7], "act", 3, 3000.0),
        ([0.1, 0.5, 0.6, 0.7, 0.8, 0.9], "pass", None, None),
        ([0.1] * 29 + [0.9, 0.8], "pass", None, None),
        ([0.9], "not applicable", None, None),
    ],
    ids=["best at 3 of 6", "best at the end", "3 % after it", "one validation"],
)
def test_epochs_after_the_last_best_are_joules_to_save(course, state, epoch, after):
    step = steps([taught(run, course) for run in seeds(count=3)])["Stop training earlier"]
    assert step.state == state
    if epoch:
        assert step.saves.value == pytest.approx(after)
        assert step.joules == pytest.approx(3 * after)
        assert (
            step.command
            == f"greenpose run paper.yaml --only HRNet4-OKD --seed 1 --seed 2 --seed 3 --set train.epochs={epoch}"
        )


def test_the_slowest_run_says_until_when_all_are_trained():
    runs = seeds(count=3)
    early, late = [0.1, 0.9, 0.8, 0.8, 0.8, 0.8], [0.1, 0.2, 0.3, 0.9, 0.8, 0.8]
    step = steps([taught(runs[0], early), taught(runs[1], late), taught(runs[2], early)])["Stop training earlier"]
    assert "train.epochs=4" in step.command
    assert step.saves.value == pytest.approx(2000.0)


@pytest.mark.parametrize("change", [{"schedule": "one-cycle"}, {"grow": {"3": 0.45}}])
def test_a_schedule_that_is_spread_over_all_epochs_is_only_worth_a_look(change):
    runs = [taught(run, [0.1, 0.9, 0.8, 0.8]) for run in seeds(count=3)]
    other = [run.model_copy(update={"config": run.config | {"train": run.config["train"] | change}}) for run in runs]
    assert steps(runs)["Stop training earlier"].state == "act"
    step = steps(other)["Stop training earlier"]
    assert step.state == "look"
    assert "another course" in step.finding


def test_one_that_still_rises_gains_points_and_says_what_as_many_epochs_again_cost():
    runs = [taught(run, [0.1, 0.2, 0.3, 0.4 + 0.01 * n]) for n, run in enumerate(seeds(count=3))]
    step = steps(runs)["Train longer"]
    assert step.state == "look"
    assert step.saves.value == pytest.approx(fmean([10, 11, 12]))
    assert step.command.endswith("--set train.epochs=8")
    assert steps([taught(run, [0.1, 0.4, 0.4, 0.4]) for run in runs])["Train longer"].state == "pass"


def measuring(share):
    """A run of which so much went into measuring."""
    run = record("HRNet4-OKD")
    rest = sum(phase.energy_kwh for phase in run.phases if phase.name != "inference")
    phases = [
        phase.model_copy(update={"energy_kwh": rest * share / (1 - share)}) if phase.name == "inference" else phase
        for phase in run.phases
    ]
    return run.model_copy(update={"phases": phases})


def test_much_measuring_may_be_halved_and_saves_half_of_its_joules():
    run = measuring(0.42)
    step = steps([run])["Spend less on measuring"]
    (joules,) = (kwh_to_joules(phase.energy_kwh) for phase in run.phases if phase.name == "inference")
    assert step.state == "look"
    assert "42 % of the bill" in step.finding.replace("\u00a0", " ")
    assert step.saves.value == pytest.approx(joules / 2)
    assert step.command == "greenpose run paper.yaml --only HRNet4-OKD --seed 1 --set measure.min_window_seconds=0.25"
    assert steps([measuring(LARGE_SHARE - 0.01)])["Spend less on measuring"].state == "pass"


def test_windows_are_not_shortened_below_what_a_slow_counter_needs():
    run = measuring(0.42)
    slow = [part.model_copy(update={"details": part.details | {"update_period_s": 0.02}}) for part in run.components]
    assert steps([run.model_copy(update={"components": slow})])["Spend less on measuring"].state == "not applicable"


def test_a_policy_that_holds_the_margin_saves_the_difference_and_one_that_does_not_is_no_finding():
    run = record("HRNet4-OKD")
    curve = policy_of(run)
    chosen, final = curve.points[curve.chosen], curve.exits[-1]
    step = steps([run], policies=[curve])["Let each image leave when it is sure"]
    assert step.state == "act"
    assert step.saves.value == pytest.approx(final.energy_j_per_image - chosen.energy_j_per_image)
    assert step.command == f"greenpose policy runs/paper/{run.name} --ap {curve.wanted_ap:.3g}"
    poor = [point.model_copy(update={"ap_less_final": -0.1}) for point in curve.points]
    assert (
        steps([run], policies=[curve.model_copy(update={"points": poor})])["Let each image leave when it is sure"].state
        == "pass"
    )
    assert steps([run])["Let each image leave when it is sure"].state == "not applicable"


def process(run, **changes):
    return run.model_copy(update={"process": run.process | changes})


@pytest.mark.parametrize(
    ("name", "run", "state"),
    [
        ("Pin allocator and threads", record(), "pass"),
        ("Pin allocator and threads", process(record(), pinned=False), "act"),
        ("Pin allocator and threads", process(record(), pinned=None), "not applicable"),
        ("Measure on a quiet machine", record(), "pass"),
        ("Measure on a quiet machine", process(record(), concurrent_workers=2), "look"),
        ("Measure on a quiet machine", process(record(), shared_node=True), "look"),
        ("Measure on a quiet machine", record(converged=False), "look"),
        ("Measure with a power counter", record(grade="A"), "pass"),
        ("Measure with a power counter", record(grade="B"), "look"),
        ("Measure with a power counter", record(grade="C"), "look"),
    ],
)
def test_circumstances_are_worth_a_look_where_the_record_says_so(name, run, state):
    assert steps([run])[name].state == state


def test_runs_that_did_not_finish_are_to_be_mended_and_drew_what_they_drew():
    found = next_steps(study([failure(), failure(seed=2, energy_kwh=0.001)]))
    assert [step.name for step in found] == ["Mend what did not finish"]
    assert found[0].joules == pytest.approx(kwh_to_joules(0.00126 + 0.001))
    assert next_steps(study([])) == []


@pytest.mark.parametrize("folder", examples(), ids=lambda folder: folder.name)
def test_steps_of_published_runs_are_ranked_few_and_have_commands_that_exist(folder):
    full, others = told(next_steps(study(collect([folder]))))
    assert 1 <= len(full) <= MOST
    assert len(full) + len(others) == 10
    states = [step.state for step in (*full, *others)]
    assert states == sorted(states, key=("act", "look", "pass", "not applicable").index)
    for state in ("act", "look"):
        joules = [step.joules for step in full if step.state == state]
        assert joules == sorted(joules, reverse=True)
    for step in full:
        command, *arguments = shlex.split(step.command)[1:]
        assert {each.partition("=")[0] for each in arguments if each.startswith("--")} <= options_of(command)


@pytest.mark.parametrize(("name", "runs"), [("quick", 2), ("table1_small", 15), ("table1_small", 3)])
def test_commands_that_run_more_are_understood_as_they_stand(name, runs, tmp_path):
    """Bash expands them, and the command says what it would run."""
    full, _ = told(next_steps(study(collect([REPORTS / name]))))
    planned = []
    for step in full:
        if step.command.startswith("greenpose run"):
            words = subprocess.run(
                ["bash", "-c", f"printf '%s\n' {step.command} --dry-run --json"],
                capture_output=True,
                text=True,
                check=True,
            )
            done = greenpose(*words.stdout.split("\n")[1:-1], cwd=tmp_path)
            assert done.code == 0, done.err
            planned.append(len(done.json["runs"]))
    assert runs in planned


def test_quick_spent_two_fifths_on_measuring_and_leaves_open_what_to_deploy():
    full, _ = told(next_steps(study(collect([REPORTS / "quick"]))))
    assert "41 % of the bill" in next(s for s in full if "measuring" in s.name).finding.replace("\u00a0", " ")
    assert full[0].name == "Settle the recommendation"


def test_page_and_markdown_tell_the_same_steps():
    entries = [*paper_grid((1, 2, 3), ("HRNet3", "HRNet4-OKD")), failure(message="`nan` <b>")]
    full, others = told(next_steps(study(entries)))
    (section,) = (
        each for each in read(render(entries, **CONSTANT)).all("section") if each.attributes.get("class") == "next"
    )
    assert [each.text for each in section.all("code")] == [step.command for step in full]
    assert len(section.all("details")[0].all("li")) == len(others)
    markdown = to_markdown(study(entries), **CONSTANT)
    said = markdown[markdown.index("## What to do next") :].split("\n## ")[0]
    assert re.findall(r"^\| (\w.*?) \| (?:act|look|pass|not applicable) \|", said, flags=re.MULTILINE) == [
        step.name for step in (*full, *others)
    ]
    assert "<b>" not in said
