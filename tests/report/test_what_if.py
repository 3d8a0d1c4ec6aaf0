"""What exits would come to under other suppositions."""

import dataclasses
import json

import pytest

from greenpose.metrics import CO2, SCI
from greenpose.report.figures.what_if import (
    DEFAULT,
    MOST_LINES,
    Scenario,
    outcomes,
    scenario_table,
    scenario_words,
    shown_outcomes,
    uses,
)
from greenpose.report.page import compact, compact_style, view_data
from greenpose.report.quantities import energy_figure
from greenpose.report.ranking import leaders
from greenpose.report.study import short_name, study
from tests.report.records import OTHER_HOST, paper_grid, record, with_making

STUDY = study([with_making(run) for run in paper_grid((1, 2, 3), ("HRNet3", "HRNet4-OKD"))])
DISTILLED = 1
"""Place of HRNet4-OKD's exit 3, which is a student."""


def values(use, **changes):
    return [each.value for each in outcomes(use, dataclasses.replace(DEFAULT, **changes))]


def test_the_default_scenario_emits_what_the_records_say_of_1000_images():
    for use, point in zip(uses(STUDY), STUDY.points, strict=True):
        assert values(use)[0] == pytest.approx(point.figure(CO2).value, rel=1e-5)
        assert values(use)[1] == pytest.approx(point.figure(SCI).value, rel=1e-5)


def test_an_exit_s_year_and_its_share_of_training_follow_the_closed_formulas():
    use = uses(STUDY)[DISTILLED]
    joules, images = use.joules.value, 0.5 * 86400 * 3 * 365.25
    found = values(use, images_per_second=0.5, devices=3, years=2, intensity_g_per_kwh=50, pue=1.4)
    assert found == pytest.approx(
        [
            joules / 3600 * 1.4 * 50,
            joules / 3600 * 1.4 * 50 + use.making_g.value,
            use.training_g.value / (images * 2) * 1000,
            joules * 1.4 * images / 3600,
            joules * 1.4 * images / 3.6e6 * 50,
            use.images.value / (0.5 * 86400 * 3),
        ]
    )


@pytest.mark.parametrize("column", range(6))
def test_intervals_are_as_wide_relative_to_their_value_under_every_scenario(column):
    use = uses(STUDY)[DISTILLED]
    before, after = (outcomes(use, Scenario(images_per_second=n, devices=2.0))[column] for n in (0.001, 10.0))
    assert (before.type_a is None) == (after.type_a is None)
    if before.type_a:
        assert before.type_a.low / before.value == pytest.approx(after.type_a.low / after.value)
        assert before.type_a.low < before.value < before.type_a.high


def test_what_is_not_known_of_an_exit_is_missing_with_its_reason():
    (use,) = uses(study([record("HRNet3", metered=False)]))
    found = outcomes(use)
    assert [each.value is None for each in found] == [True, True, False, True, True, True]
    assert all(each.missing for each in found if each.value is None)


def test_pages_with_many_exits_tell_of_the_most_telling_ones_and_say_so():
    many = study([record(f"E{index}", exits=(3, 4)) for index in range(MOST_LINES)])
    names = [use.name for use in uses(many)]
    assert len(names) == MOST_LINES
    assert {short_name(point) for point in leaders(many)} <= set(names)
    assert f"Of {2 * MOST_LINES}\u00a0exits {MOST_LINES} are told of" in scenario_table(many).caption
    assert "are told of" not in scenario_table(STUDY).caption


def test_an_exit_without_energy_or_from_another_machine_pushes_out_no_other():
    unmetered = [record(f"E{index}", exits=(3,), ap={3: 0.1}, metered=False) for index in range(MOST_LINES)]
    best = record("Zenith", exits=(4,), ap={4: 0.99})
    assert "Zenith" in [use.name for use in uses(study([*unmetered, best]))]
    elsewhere = [record(f"E{index}", exits=(3,), ap={3: 0.1}, host=OTHER_HOST) for index in range(MOST_LINES)]
    assert any("Zenith" in use.name for use in uses(study([*elsewhere, best])))


@pytest.mark.parametrize(("wh", "unit"), [(0.19, "mWh"), (2.7, "Wh"), (950.0, "Wh"), (2700.0, "kWh")])
def test_training_energy_has_a_prefix_under_which_its_parts_read_too(wh, unit):
    found = energy_figure([wh / 1e3, wh / 2e3])
    assert found.unit == unit
    assert wh / 1e3 * found.scale == pytest.approx(wh / {"mWh": 1e-3, "Wh": 1, "kWh": 1e3}[unit])


def test_outcomes_are_shown_with_prefixes_under_which_they_read_well():
    table = scenario_table(STUDY)
    units = {column.head: column.unit for column in table.columns}
    assert units["Energy of a year"] == "kWh"
    assert units["Training, shared out"] == "µgCO2eq/1000 images"
    data = json.loads(view_data(STUDY))["scenario"]
    assert data["scale"] == [figure.scale for figure in shown_outcomes(uses(STUDY))]
    assert len(data["scale"]) == len(table.columns)


def test_a_field_holds_the_intensity_as_the_page_prints_it_and_computes_with_the_record_s():
    run = record("HRNet3")
    precise = run.model_copy(update={"carbon": run.carbon.model_copy(update={"intensity_g_per_kwh": 330.718})})
    data = json.loads(view_data(study([precise])))["scenario"]
    assert data["default"]["g"] == 331
    assert data["uses"][0][4] == 330.718


def test_the_words_name_the_grid_where_all_runs_share_it():
    other = record("HRNet4", host=OTHER_HOST)
    carbon = other.carbon.model_copy(update={"intensity_g_per_kwh": 56.0})
    assert scenario_words(STUDY).startswith("331\u00a0gCO2eq/kWh, PUE\u00a01.00, 10\u00a0images a second")
    mixed = study([record("HRNet3"), other.model_copy(update={"carbon": carbon})])
    assert scenario_words(mixed).startswith("grid and PUE as recorded")
    assert json.loads(view_data(mixed))["scenario"]["default"]["g"] is None


def test_a_script_loses_comments_indentation_and_air_at_arrows_only():
    assert compact("// why\nlet a;\n\n  a = b => '//';\n") == "let a;\na = b=>'//';"


def test_a_style_sheet_loses_blanks_but_those_that_mean_something():
    sheet = 'a b :is(i, u) {\n  width: calc(1px + 2px);\n  content: ": x, y;";\n}\nb { c: d }\n'
    assert compact_style(sheet) == 'a b :is(i,u){width:calc(1px + 2px);content:": x, y;";}b{c:d}'
