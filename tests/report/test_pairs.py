"""Paired differences: the right partner, seed by seed."""

import pytest

from greenpose.report.pairs import comparisons, pairs_table
from greenpose.report.study import study
from tests.report.records import OTHER_HOST, record


def run(name, exits, teach=(), *, seed=1, ap=None, **changes):
    made = record(name, exits=exits, seed=seed, ap=ap, **changes)
    made.config["wiring"] = {"teach": list(teach), "supervise": list(exits)}
    return made


def taught(seed=1, **changes):
    return run("HRNet4-OKD-DS", (3, 4), ("4->3",), seed=seed, **changes)


def plain(seed=1, **changes):
    return run("HRNet4-DS", (3, 4), seed=seed, **changes)


def test_a_taught_exit_stands_against_the_same_exit_without_a_teacher_of_the_same_seed():
    runs = [taught(seed, ap={3: 0.9 + 0.01 * seed, 4: 0.95}) for seed in (1, 2, 3)]
    runs += [plain(seed, ap={3: 0.88, 4: 0.95}) for seed in (1, 2, 3)]
    (found,) = comparisons(study(runs))
    assert found.id == "pairs-taught"
    assert [(pair.name, pair.against) for pair in found.pairs] == [
        ("HRNet4-OKD-DS\u00a0·\u00a03", "HRNet4-DS"),
        ("HRNet4-OKD-DS\u00a0·\u00a04", "HRNet4-DS"),
    ]
    assert found.pairs[0].differences == (pytest.approx(3), pytest.approx(4), pytest.approx(5))
    assert found.pairs[0].verdict == "better"
    assert found.pairs[1].verdict == "no difference shown"


def test_exits_trained_together_stand_against_those_trained_alone():
    runs = [plain(ap={3: 0.85, 4: 0.95}), run("HRNet3", (3,), ap={3: 0.9})]
    (found,) = comparisons(study(runs))
    assert found.id == "pairs-together"
    assert [pair.exit for pair in found.pairs] == [3]
    assert found.pairs[0].differences == (pytest.approx(-5),)


@pytest.mark.parametrize(
    "other",
    [plain(seed=2), plain(host=OTHER_HOST), plain(evaluated=False), run("HRNet3", (3,), seed=2)],
    ids=["another seed", "another machine", "no accuracy", "alone with another seed"],
)
def test_what_is_no_partner_makes_no_pair(other):
    assert comparisons(study([taught(), other])) == []


@pytest.mark.parametrize(("seeds", "verdict"), [((1,), "1\u00a0seed: open"), ((1, 2), "2\u00a0seeds: open")])
def test_fewer_than_three_seeds_leave_it_open(seeds, verdict):
    runs = [each for seed in seeds for each in (taught(seed, ap={3: 0.99, 4: 0.95}), plain(seed, ap={3: 0.5, 4: 0.95}))]
    assert comparisons(study(runs))[0].pairs[0].verdict == verdict


def test_the_table_has_every_seed():
    runs = [taught(ap={3: 0.91, 4: 0.95}), plain(ap={3: 0.9, 4: 0.95}), taught(2, ap={3: 0.88, 4: 0.95})]
    runs.append(plain(2, ap={3: 0.9, 4: 0.95}))
    row = pairs_table(comparisons(study(runs))[0]).sections[0].rows[0]
    assert row.cells[-1].value == "1: 1.0; 2: −2.0"
    assert row.cells[1].value == "−0.5"
