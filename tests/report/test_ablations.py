"""Paired differences: the right partner, seed by seed."""

import pytest

from greenpose.metrics import MACS, TRAIN_ENERGY
from greenpose.report.figures.ablations import ablation_charts, ablation_pictures, ablation_table, draw
from greenpose.report.ranking import leaders
from greenpose.report.study import short_name, study
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
    (found,) = ablation_charts(study(runs))
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
    (found,) = ablation_charts(study(runs))
    assert found.id == "pairs-together"
    assert [pair.exit for pair in found.pairs] == [3]
    assert found.pairs[0].differences == (pytest.approx(-5),)


def test_a_shallower_exit_stands_against_the_final_one_trained_alone_with_what_it_takes_of_that():
    runs = [plain(seed, ap={3: 0.85 + 0.01 * seed, 4: 0.99}) for seed in (1, 2, 3)]
    runs += [run("HRNet4", (4,), seed=seed, ap={4: 0.9}) for seed in (1, 2, 3)]
    together, shallower = ablation_charts(study(runs))
    assert (together.id, [pair.exit for pair in together.pairs]) == ("pairs-together", [4])
    assert (shallower.id, [pair.exit for pair in shallower.pairs]) == ("pairs-shallower", [3])
    (row,) = ablation_table(shallower).sections[0].rows
    assert row.cells[1].value.startswith("−3.0")
    joint, alone = ([each for each in runs if each.experiment == name] for name in ("HRNet4-DS", "HRNet4"))
    wanted = [100 * one.train_energy_kwh / other.train_energy_kwh for one, other in zip(joint, alone, strict=True)]
    assert shallower.pairs[0].price(TRAIN_ENERGY).known == pytest.approx(sum(wanted) / 3)
    assert shallower.pairs[0].price(MACS).known == pytest.approx(100 * joint[0].exit(3).macs / alone[0].exit(4).macs)


def otherwise(seed, *, kwh, passes=1, **sections):
    made = run("other", (3, 4), seed=seed, ap={3: 0.88 + 0.01 * seed, 4: 0.9}, train_energy_kwh=kwh)
    config = made.config | {key: made.config.get(key, {}) | given for key, given in sections.items()}
    exits = [each.model_copy(update={"passes": passes}) for each in made.exits]
    return made.model_copy(update={"config": config, "exits": exits})


@pytest.mark.parametrize(
    ("sections", "passes"),
    [
        ({"train": {"recipe": "green", "epochs": 39}}, 1),
        ({"data": {"decode": "dark"}}, 1),
        ({"test": {"flip": True}}, 2),
    ],
    ids=["recipe", "decoding", "mirrored test"],
)
def test_other_choices_stand_against_the_papers_with_what_they_add(sections, passes):
    runs = [plain(seed, ap={3: 0.86, 4: 0.9}, train_energy_kwh=2e-3) for seed in (1, 2, 3)]
    runs += [otherwise(seed, kwh=2e-3 + 1e-4 * seed, passes=passes, **sections) for seed in (1, 2, 3)]
    (found,) = ablation_charts(study(runs))
    assert (found.id, [pair.against for pair in found.pairs]) == ("pairs-chosen", ["HRNet4-DS"] * 2)
    assert found.pairs[0].differences == (pytest.approx(3), pytest.approx(4), pytest.approx(5))
    assert found.pairs[0].added.known == pytest.approx(0.2)  # Wh
    assert found.pairs[0].price(MACS).known == pytest.approx(100 * passes)


@pytest.mark.parametrize("section", ["model", "loss", "data"])
def test_what_differs_in_more_than_choices_is_not_held_against_the_papers_recipe(section):
    other = otherwise(1, kwh=1e-3, train={"recipe": "green"}, **{section: {"other": 1}})
    assert ablation_charts(study([plain(), other])) == []


@pytest.mark.parametrize(
    "other",
    [plain(seed=2), plain(host=OTHER_HOST), plain(evaluated=False), run("HRNet3", (3,), seed=2)],
    ids=["another seed", "another machine", "no accuracy", "alone with another seed"],
)
def test_what_is_no_partner_makes_no_pair(other):
    assert ablation_charts(study([taught(), other])) == []


@pytest.mark.parametrize(("seeds", "verdict"), [((1,), "1\u00a0seed: open"), ((1, 2), "2\u00a0seeds: open")])
def test_fewer_than_three_seeds_leave_it_open(seeds, verdict):
    runs = [each for seed in seeds for each in (taught(seed, ap={3: 0.99, 4: 0.95}), plain(seed, ap={3: 0.5, 4: 0.95}))]
    assert ablation_charts(study(runs))[0].pairs[0].verdict == verdict


def test_a_supervised_exit_stands_against_the_same_exit_taught_alike_but_not_supervised():
    supervised = [taught(seed, ap={3: 0.9 + 0.01 * seed, 4: 0.95}) for seed in (1, 2, 3)]
    bare = [run("HRNet4-OKD", (3, 4), ("4->3",), seed=seed, ap={3: 0.88, 4: 0.95}) for seed in (1, 2, 3)]
    for each in bare:
        each.config["wiring"]["supervise"] = [4]
    (found,) = ablation_charts(study([*supervised, *bare]))
    assert found.id == "pairs-supervised"
    assert [(pair.name, pair.against) for pair in found.pairs] == [
        ("HRNet4-OKD-DS\u00a0·\u00a03", "HRNet4-OKD"),
        ("HRNet4-OKD-DS\u00a0·\u00a04", "HRNet4-OKD"),
    ]
    assert found.pairs[0].differences == (pytest.approx(3), pytest.approx(4), pytest.approx(5))


@pytest.mark.parametrize("section", ["wiring", "loss"])
def test_what_was_also_taught_otherwise_shows_no_effect_of_supervision(section):
    bare = run("HRNet4-OKD", (3, 4), ("4->3",))
    bare.config["wiring"]["supervise"] = [4]
    bare.config[section] = (
        bare.config.get(section, {}) | {"wiring": {"teach": ["3->4"]}, "loss": {"kd_weight": 7}}[section]
    )
    assert ablation_charts(study([taught(), bare])) == []


def test_pairs_beyond_those_drawn_are_the_ones_off_the_front_and_the_figure_says_so():
    sides = [(taught, "A"), (plain, "B")]
    runs = []
    for index in range(13):
        for make, _ in sides:
            each = make(ap={3: 0.5 + index / 50, 4: 0.6 + index / 50})
            each.axes["train.lr"] = index
            each.config["train"] = each.config["train"] | {"lr": index}
            runs.append(each)
    compared = study(runs)
    picture = next(each for each in ablation_pictures(compared) if each.id == "pairs-taught")
    assert picture.data.num_rows == 26
    assert picture.notes == ("Of 26\u00a0exits 24 are drawn, those on the front before others; the table has all.",)
    best = {short_name(point) for point in leaders(compared)} & {row.head for row in picture.data.sections[0].rows}
    drawn = picture.panels[0].svg.replace("&#160;", "\u00a0")
    assert best
    assert all(name in drawn for name in best)


def test_the_table_has_every_seed():
    runs = [taught(ap={3: 0.91, 4: 0.95}), plain(ap={3: 0.9, 4: 0.95}), taught(2, ap={3: 0.88, 4: 0.95})]
    runs.append(plain(2, ap={3: 0.9, 4: 0.95}))
    row = ablation_table(ablation_charts(study(runs))[0]).sections[0].rows[0]
    assert row.cells[-1].value == "1: 1.0; 2: −2.0"
    assert row.cells[1].value == "−0.5"


def test_of_very_many_seeds_not_each_has_a_dot_and_the_figure_says_so(monkeypatch):
    runs = [each for seed in range(7) for each in (taught(seed), plain(seed))]
    pairs = ablation_charts(study(runs))[0]
    every = len(draw(pairs).svg)
    assert not any("dot" in note for note in ablation_pictures(study(runs))[0].notes)
    monkeypatch.setattr("greenpose.report.figures.ablations.MOST_DOTS", 4)
    assert len(draw(pairs).svg) < every
    assert "Of more than 4 seeds not each has a dot" in ablation_pictures(study(runs))[0].notes[-1]
