"""The headline's sentences, case by case."""

import pytest

from greenpose.report.headline import headline
from greenpose.report.study import study
from tests.report.records import MISSING_AP, OTHER_HOST, failure, record


def words(entries):
    return [sentence.replace("\u00a0", " ") for sentence in headline(study(entries))]


APART = {"HRNet4-OKD": {3: 0.90, 4: 0.95}}
CASES = {
    "nothing finished": (
        [failure()],
        ["No run finished, so there is nothing to compare.", "1 run that did not finish took 412 s, 1.26 Wh and 0.417"],
        [],
    ),
    "one exit alone": (
        [record("HRNet3", ap={3: 0.925})],
        ["HRNet3 reaches AP 92.5 [91.1–93.6] % with 4.69 GMACs and ≈", "there is no other exit to compare it with"],
        ["distinguishable", "keeps"],
    ),
    "overlapping intervals": (
        [record("HRNet4-OKD", ap={3: 0.94, 4: 0.945})],
        [
            "HRNet4-OKD exit 3 costs 61 % of the MACs and ",
            "of HRNet4-OKD exit 4, the most accurate exit, and is not distinguishable from it in AP: "
            "94.0 [92.6–95.1] % against 94.5 [93.1–95.6] %, and the 95 % intervals overlap.",
        ],
        ["keeps"],
    ),
    "separate intervals": (
        [record("HRNet4-OKD", ap={3: 0.90, 4: 0.95})],
        ["HRNet4-OKD exit 3 keeps 94.7 % of the AP of HRNet4-OKD exit 4", "at 61 % of the MACs and 7"],
        ["distinguishable", "chance);"],
    ),
    "no intervals": (
        [record("HRNet4-OKD", ap={3: 0.90, 4: 0.95}, half=None)],
        ["without intervals this may be chance"],
        ["distinguishable"],
    ),
    "no accuracy": (
        [record("HRNet4-OKD", evaluated=False)],
        [f"AP was not measured ({MISSING_AP}), so no exit can be preferred; HRNet4-OKD exit 3 costs 61 % of the MACs"],
        ["keeps", "distinguishable"],
    ),
    "nothing learnt": (
        [record("HRNet4-OKD", ap={3: 0.0, 4: 0.0})],
        ["AP is 0 at every exit, so the exits differ in cost only; HRNet4-OKD exit 3 costs 61 % of the MACs"],
        ["keeps"],
    ),
    "hardly anything learnt": (
        [record("HRNet4-OKD", ap={3: 0.0, 4: 0.002})],
        ["AP is not distinguishable from 0 at any exit (highest: HRNet4-OKD exit 4, 0.2 ["],
        ["keeps"],
    ),
    "energy not metered": (
        [record("HRNet4-OKD", ap={3: 0.90, 4: 0.95}, metered=False)],
        ["at 61 % of the MACs."],
        ["energy per image"],
    ),
    "the cheapest is the best": (
        [record("HRNet4-OKD", ap={3: 0.96, 4: 0.95})],
        ["HRNet4-OKD exit 3 has the highest AP (", "and none of all 2 exits needs fewer MACs"],
        ["keeps"],
    ),
    "two machines": (
        [record("HRNet3", ap={3: 0.90}), record("HRNet4", ap={4: 0.95}, host=OTHER_HOST)],
        [
            "HRNet3 (setting A) keeps 94.7 % of the AP of HRNet4 (setting B)",
            "at 61 % of the MACs.",
            "the runs come from 2 different settings, so time, energy and emissions do not compare",
        ],
        ["energy per image"],
    ),
    "modelled energy": (
        [record("HRNet4-OKD", grade="C")],
        ["Mind that energy is modelled, not measured", "≈"],
        [],
    ),
    "measured energy": (
        [record("HRNet4-OKD", grade="A", seed=1), record("HRNet4-OKD", grade="A", seed=2)],
        ["In all, 2 finished runs took"],
        ["modelled", "≈", "Mind that"],
    ),
    "one seed": (
        [record("HRNet4-OKD", grade="A")],
        ["every experiment ran with one seed, so chance between trainings is in no interval"],
        [],
    ),
    "not converged": (
        [record("HRNet4-OKD", converged=False)],
        ["metering stopped before it was as precise as asked for 2 exits"],
        [],
    ),
    "emissions of a failure unknown": (
        [record("HRNet3"), failure(co2eq_g=None)],
        ["1 finished run and 1 run that did not finish took", "at least ≈"],
        [],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_headline_says_what_the_data_bear(case):
    entries, present, absent = CASES[case]
    sentences = words(entries)
    text = " ".join(sentences)
    assert len(sentences) <= 3
    assert all(sentence.endswith(".") for sentence in sentences)
    assert [part for part in present if part not in text] == []
    assert [part for part in absent if part in text] == []


def test_the_cheapest_of_all_exits_that_cannot_be_told_apart_is_named():
    entries = [record("HRNet4-COKD", ap={2: 0.93, 3: 0.935, 4: 0.94})]
    assert words(entries)[0].startswith("HRNet4-COKD exit 2 costs 24 % of the MACs")


def test_a_cheaper_exit_that_is_clearly_worse_is_not_named_instead():
    entries = [record("HRNet4-COKD", ap={2: 0.70, 3: 0.935, 4: 0.94})]
    assert words(entries)[0].startswith("HRNet4-COKD exit 3 costs 61 % of the MACs")


def test_a_share_within_one_run_is_the_within_block_ratio():
    run = record("HRNet4-OKD", ap={3: 0.9, 4: 0.95})
    ratio = run.exit(3).relative_to_final["energy_j_per_image"]
    assert f"{100 * ratio:.1f} ±" in words([run])[0]
