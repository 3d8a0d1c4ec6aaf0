"""What a reader sees without scrolling: a verdict in a sentence, four tiles, three lights, and one chart."""

import re
from statistics import fmean

import pytest

from greenpose.intervals import Bounds
from greenpose.metrics import AP, ENERGY, MACS
from greenpose.quantity import Quantity
from greenpose.report.comparison import changes
from greenpose.report.conclusions.chapters import chapters
from greenpose.report.conclusions.first_screen import TWICE, year_g
from greenpose.report.conclusions.screen_words import share_words, signed_points
from greenpose.report.disclosures.statements import disclosures
from greenpose.report.figures.totals import run_total
from greenpose.report.glossary import GLOSSARY, Terms
from greenpose.report.many_runs import latest
from greenpose.report.other_formats import to_markdown
from greenpose.report.ranking import preference
from greenpose.report.study import ComparisonSide, Point, side_by_side, study
from greenpose.report.tidy_csv import lines
from greenpose.store import collect
from reports.examples import examples
from tests.report.conclusions.recommended import choice_picture, first_screen, next_steps, verdict
from tests.report.records import OTHER_HOST, failure, paper_grid, record

PUBLISHED = {folder.name: study(collect([folder])) for folder in examples()}
SETS = {
    "no run": study([failure()]),
    "not evaluated": study([record("HRNet4-OKD", evaluated=False)]),
    "nothing learnt": study([record("HRNet4-OKD", ap={3: 0.0, 4: 0.0})]),
    "below the floor": study([record("HRNet4-OKD", ap={3: 0.05, 4: 0.15})]),
    "one exit": study([record("HRNet4")]),
    "one run": study([record("HRNet4-OKD")]),
    "not metered": study([record("HRNet4-OKD", metered=False)]),
    "two machines": study([record("HRNet3"), record("HRNet4", host=OTHER_HOST)]),
    "a grid with failures": study([*paper_grid(), failure(), failure(seed=2)]),
    "two sides": side_by_side(
        *(ComparisonSide(name=name, entries=tuple(paper_grid((seed,)))) for name, seed in (("May", 1), ("June", 2)))
    ),
} | PUBLISHED


def all_words(compared):
    screen = first_screen(compared)
    tiles = [str(value) for tile in screen["tiles"] for key, value in tile.items() if key != "share"]
    return [screen["verdict"], screen["advice"], *tiles, *(light["words"] for light in screen["lights"])]


@pytest.mark.parametrize("name", SETS)
def test_the_verdict_has_fifteen_words_at_most_and_no_bracket(name):
    compared = SETS[name]
    said = first_screen(compared)["verdict"]
    for group in compared.groups:
        said = said.replace(group.label, "name")
    assert len(said.split(" ")) <= 15, said  # a number and its unit, `exit 3`, are one word
    assert not re.search(r"[][(){}]", said)


@pytest.mark.parametrize("name", SETS)
def test_the_verdict_is_open_where_the_margin_is_not_settled_and_only_there(name):
    found = preference(SETS[name])
    if found and found.other and not SETS[name].sides:
        assert verdict(SETS[name]).startswith("Open") == (found.verdict == "open")


@pytest.mark.parametrize("name", SETS)
def test_there_are_five_numbers_in_large_print_at_most_with_two_digits_each(name):
    screen = first_screen(SETS[name])
    assert len(screen["tiles"]) <= 4
    for tile in screen["tiles"]:
        for number in re.findall(r"\d[\d.]*", tile["value"]):
            assert len(number.replace(".", "").strip("0")) <= 2, tile["value"]
            assert not number.startswith("0.0")
        assert "µ" not in tile["value"]


@pytest.mark.parametrize("name", SETS)
def test_no_word_of_it_is_a_negative_cost_or_a_false_zero(name):
    for text in all_words(SETS[name]):
        assert not re.search(r"−\d+[\d.]* (?:m?J|m?Wh|m?g)\b|nan|inf|None", text), text


def test_a_camera_emits_what_its_images_draw_on_its_grid():
    run = record("HRNet4-OKD")
    point = study([run]).points[0]
    joules = point.figure(ENERGY).known * 10 * 86400 * 365.25
    assert year_g(point) == pytest.approx(joules / 3.6e6 * run.carbon.intensity_g_per_kwh * run.carbon.pue)


def test_measuring_is_told_as_its_share_of_the_bill():
    run = record("HRNet4-OKD")
    measured = sum(phase.energy_kwh for phase in run.phases if phase.name in ("inference", "segments"))
    tile = first_screen(study([run]))["tiles"][-1]
    assert tile["share"] == pytest.approx(measured / run_total(run).energy_kwh)
    assert f"{100 * tile['share']:.2g}\u00a0% was measuring" in tile["note"]


@pytest.mark.parametrize(("grade", "level"), [("A", "Sure"), ("B", "Likely"), ("C", "Rough")])
def test_joules_are_as_sure_as_the_grade_says(grade, level):
    light = first_screen(study([record("HRNet4-OKD", grade=grade)]))["lights"][-1]
    assert light["level"] == level


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ((0.51, 0.55), "95\u00a0%: −45 to −49\u00a0%"),
        ((0.9, 1.2), "95\u00a0%: +20 to −10\u00a0%"),
        ((0.1, 1.0), "how much is unknown"),
        ((-0.2, 1.3), "how much is unknown"),
    ],
)
def test_an_interval_that_says_nothing_is_unknown(ends, words):
    assert share_words(Quantity(value=0.53, kind="measured", type_a=Bounds(*ends))) == words


def test_two_sides_begin_with_what_moved_most_and_answer_for_the_second():
    compared = SETS["two sides"]
    screen = first_screen(compared)
    assert screen["verdict"] == changes(compared).verdict
    assert screen["advice"].startswith("On the second side, ")


def test_the_chart_names_the_best_the_choice_and_the_cheapest_and_says_what_is_saved():
    compared = PUBLISHED["table1_small"]
    picture, found = choice_picture(compared), preference(compared)
    assert [drawing.id for drawing in picture.panels] == ["choice", "choice-narrow"]
    named = {row.cells[-1].value: row.head for row in picture.data.sections[0].rows}
    assert named["use for now"].replace("\u00a0·\u00a0", " exit ") == found.best.label
    assert named["perhaps"].replace("\u00a0·\u00a0", " exit ") == found.other.label
    lost = found.other.figure(AP).known - found.best.figure(AP).known
    assert f"−47\u00a0% energy, perhaps −{abs(lost):.1f}\u00a0points" in picture.panels[0].description


def test_an_exit_that_is_the_most_accurate_of_all_saves_beside_all_of_its_network():
    compared = PUBLISHED["claim"]
    found, screen = preference(compared), first_screen(compared)
    assert (found.verdict, found.best.exit) == ("beyond", 3)
    share = fmean(run.exit(3).relative_to_final["energy_j_per_image"] for run in found.best.group.runs)
    gained = fmean(run.exit(3).ap - run.exit(4).ap for run in found.best.group.runs)
    saved = f"{100 * (1 - share):.0f}\u00a0%"
    assert screen["verdict"].endswith(f"the most accurate, and it saves {saved} energy beside exit\u00a04.")
    assert screen["tiles"][1]["value"] == f"−{saved}"
    assert screen["lights"][0]["level"] == "Sure"
    arrow = f"The arrow says −{saved} energy, +{100 * gained:.1f}\u00a0points."
    assert all(arrow in panel.description for panel in choice_picture(compared).panels)
    step = next(step for step in next_steps(compared) if step.name == "Leave at a smaller exit")
    assert step.state == "act"
    assert step.command.endswith("--exit 3")


def test_nothing_is_said_to_be_saved_where_all_of_the_network_is_to_be_used():
    compared = study([record("HRNet4-OKD", seed=n, ap={3: 0.80 + n / 1000, 4: 0.94}) for n in range(5)])
    screen = first_screen(compared)
    assert screen["verdict"] == "Use exit\u00a04 of HRNet4-OKD: cheaper exits lose too much accuracy."
    assert "exit\u00a03, saves 29\u00a0% energy but loses 14 points" in screen["advice"]
    assert (screen["lights"][0]["level"], screen["of"]) == ("No", "With exit\u00a04 of HRNet4-OKD:")
    assert "arrow" not in choice_picture(compared).panels[0].description


def test_while_the_choice_is_open_large_print_tells_of_the_exit_to_use_for_now():
    compared = PUBLISHED["table1_small"]
    found, screen = preference(compared), first_screen(compared)
    assert found.verdict == "open"
    accuracy, energy, camera, _ = screen["tiles"]
    best, other = (f"{point.figure(AP).known:.0f}\u00a0%" for point in (found.best, found.other))
    assert (accuracy["value"], accuracy["aside"]) == (best, f"→ {other}")
    best, other = (f"≈{1e3 * point.figure(ENERGY).known:.1f}\u00a0mJ" for point in (found.best, found.other))
    assert (energy["value"], energy["aside"]) == (best, f"→ {other}")
    grams = [f"≈{year_g(point):.2g}" for point in (found.best, found.other)]
    assert [float(each.strip("→ ≈g")) for each in (camera["value"], camera["aside"])] == [
        float(each.strip("≈")) for each in grams
    ]
    picture = choice_picture(compared)
    said = "The arrow says −47\u00a0% energy, perhaps −1.8\u00a0points"
    assert all(said in panel.description for panel in picture.panels)


def test_points_at_the_arrow_have_the_digits_of_points_elsewhere():
    lost = [signed_points(value, AP) for value in (-20.04, -9.96, -1.84, 0.31, -0.04, 14.2)]
    assert lost == ["−20", "−10", "−1.8", "+0.3", "0.0", "+14"]


def test_macs_of_a_small_network_have_no_leading_zeros_anywhere_on_the_page():
    compared = PUBLISHED["table1_small"]
    assert max(point.figure(MACS).known for point in compared.points) < 1
    assert (compared.shown(MACS).unit, compared.shown(MACS).scale) == ("MMACs", pytest.approx(1e-6))
    markdown = to_markdown(compared, title="t", generated_at="", version="")
    assert re.search(r"^\| .*\| MACs, MMACs \|", markdown, re.MULTILINE)
    assert "µ" not in markdown
    assert "mg/million images" in markdown
    small = min(entry.macs for run in compared.records for entry in run.exits)
    assert f"| {small / 1e6:.3g} |" in markdown.replace("\\", "")
    large = study([record("HRNet4")])
    assert large.shown(MACS) is MACS


def test_no_interval_of_a_share_ends_below_nothing_or_above_all():
    runs = [record("HRNet4", seed=seed, ap={4: ap}) for seed, ap in ((1, 0.2), (2, 0.9), (3, 0.95))]
    ends = study(runs).points[0].figure(AP).type_a
    assert (ends.low, ends.high) == (0, 100)
    assert AP.utmost == 100


@pytest.mark.parametrize("name", ["one exit", "no run", "nothing learnt"])
def test_there_is_no_chart_without_a_choice(name):
    assert choice_picture(SETS[name]) is None


@pytest.mark.parametrize("name", SETS)
def test_each_chapter_says_its_answer_in_a_line(name):
    if SETS[name].records:
        for _, heading, said in chapters(SETS[name], changes(SETS[name]), num_texts=5):
            assert 0 < len(said) <= 120, heading


def test_terms_are_explained_once_where_they_stand_alone_and_nothing_becomes_markup():
    terms = Terms()
    said = terms.explain("exit 3 of HRNet4-OKD-DS: AP <b> AP, two exits")
    assert said.count('class="tip"') == 3
    assert f'HRNet4-OKD-DS<span class="tip" role="note">OKD: {GLOSSARY["OKD"]} DS: {GLOSSARY["DS"]}</span>' in said
    assert "&lt;b&gt;" in said
    assert terms.explain("AP of an exit of HRNet3-OKD") == "AP of an exit of HRNet3-OKD"
    assert terms.explain("HRNet4-COKD-DS").count("COKD: ") == terms.explain("HRNet4-COKD").count("HRNet4-COKD") == 1
    assert GLOSSARY.keys() - terms.left.keys() == {"AP", "exit", "OKD", "DS", "COKD"}


@pytest.mark.parametrize("name", SETS)
def test_the_exit_that_the_tiles_are_about_is_named_above_them(name):
    compared, screen = SETS[name], first_screen(SETS[name])
    found = preference(latest(compared))
    if found is None or found.other is None:
        assert screen["of"] == ""
        return
    told, against = found.other, found.best
    if found.verdict == "beyond":  # what is saved is beside all of its network
        told, last = found.best, max(found.best.group.exits)
        against = None if told.exit == last else Point(group=told.group, exit=last)
    is_open = found.verdict == "open"
    assert screen["of"].startswith("For now " if is_open else "With ")
    alone = against is not None and told.group == against.group  # the verdict has just named the network
    assert (told.group.label in screen["of"]) is not alone
    assert len(told.group.exits) == 1 or f"exit\u00a0{told.exit}" in screen["of"]
    assert (" instead of " in screen["of"]) is (against is not None and not is_open)
    assert (" → perhaps " in screen["of"]) is is_open
    cameras = [tile for tile in screen["tiles"] if tile["name"].startswith("CO2eq") and "aside" in tile]
    assert all("both truly ×" in camera["note"] for camera in cameras)


def test_below_the_floor_it_is_sure_that_none_is_good_enough_where_the_interval_says_so():
    lights = {light["about"]: light for light in first_screen(SETS["below the floor"])["lights"]}
    assert lights["no exit is accurate enough"]["level"] == "Sure"
    compared = study([record("HRNet4-OKD", ap={3: 0.05, 4: 0.195})])
    high = max(point.figure(AP).type_a.high for point in compared.points)
    level = {light["about"]: light for light in first_screen(compared)["lights"]}["no exit is accurate enough"]["level"]
    assert level == ("Sure" if high < compared.floor else "Rough")
    assert high >= compared.floor


def test_a_note_of_the_chart_speaks_of_what_is_drawn():
    assert "rey:" in choice_picture(PUBLISHED["quick"]).notes[0]
    assert "rey:" not in choice_picture(SETS["one run"]).notes[0]


def test_two_passes_over_each_image_are_in_the_first_line_the_macs_the_caveats_and_the_table_of_numbers():
    once = record("HRNet4-OKD")
    exits = [entry.model_copy(update={"passes": 2}) for entry in once.exits]
    compared = study([once, once.model_copy(update={"experiment": "mirrored", "name": "m", "exits": exits})])
    assert f" · 1\u00a0run {TWICE} · " in first_screen(compared)["identity"]
    assert TWICE not in first_screen(study([once]))["identity"]
    alone, twice = (Point(group=group, exit=3).figure(MACS).known for group in compared.groups)
    assert twice == 2 * alone
    said = "1 of 2 runs computed each test image twice"
    assert said in to_markdown(compared, title="t", generated_at="", version="").replace("\u00a0", " ")
    rows = [row for run in compared.records for row in lines(run) if row.quantity == "passes"]
    assert [(row.experiment, row.exit, row.value) for row in rows] == [("mirrored", 3, 2), ("mirrored", 4, 2)]
    annex = next(each.text for each in disclosures(compared) if "FLOPs (estimated)" in each.text)
    assert len(set(re.findall(r"([\d.e+]+) FLOPs \(estimated\)", annex))) == 1


def test_what_is_not_the_papers_stands_in_the_first_line():
    plain = record("HRNet4-OKD")

    def changed(**parts):
        config = {**plain.config, **{name: {**(plain.config.get(name) or {}), **part} for name, part in parts.items()}}
        return plain.model_copy(update={"config": config})

    def line(*others, **parts):
        return first_screen(study([changed(**parts), *others]))["identity"]

    unsaid = line()
    assert line(data={"decode": "quarter"}, train={"augment": None}) == unsaid
    before, grid, after = unsaid.partition(" · ITA grid")
    assert line(data={"decode": "dark"}) == f"{before} · decoded by DARK{grid}{after}"
    assert line(data={"decode": "udp"}, train={"augment": {}}) == f"{before} · decoded by UDP · augmented{grid}{after}"
    mixed = line(changed(data={"decode": "udp"}), data={"decode": "dark"}, train={"augment": {}})
    assert " · 1\u00a0run decoded by DARK · 1\u00a0run augmented · 1\u00a0run decoded by UDP · " in mixed
