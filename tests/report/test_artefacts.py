"""Exported models on the page: front, recommendation, what to do next; no trace of them where none was measured."""

import math
from itertools import product

import pytest

from greenpose.report import render, render_study, study
from greenpose.report.deployment import POSSIBLE, chosen, deployments, not_tried
from greenpose.report.figures.artefacts import artefacts_picture, artefacts_table
from greenpose.report.figures.what_if import DEFAULT
from greenpose.report.other_formats import to_latex, to_markdown
from greenpose.report.page import answer, pictures_of
from greenpose.report.ranking import preference
from greenpose.report.tidy_csv import tidy_lines
from tests.artefact_costs import cost, known_of, turns
from tests.report.conclusions.recommended import choice_picture, first_screen, next_steps
from tests.report.html_tree import read
from tests.report.records import OTHER_HOST, record

CONSTANT = {"title": "Exported", "generated_at": "2025-06-01T12:00:00+00:00", "version": "0.1.0"}
RUN = record("HRNet4-OKD", ap={3: 0.935, 4: 0.94}, half=0.004)
TORCH = (cost("torch", exit_=3, share=0.6, ap=0.935), cost("torch", exit_=4, share=1.0, ap=0.94))
NARROW, WIDE = (-0.004, -0.006, -0.002), (-0.004, -0.03, 0.02)
INT8 = cost("openvino", "int8", share=0.07, ap=0.931, change=NARROW)
FILES = (cost("onnx", share=0.48, ap=0.935), cost("onnx", "int8", share=0.16, ap=0.927, change=NARROW), INT8)


def measured(*files, changes=None):
    return study([RUN], artefacts=[known_of(RUN, turns([*TORCH, *files], RUN)).model_copy(update=changes)])


def step_of(compared):
    return next(step for step in next_steps(compared) if step.name == "Use an exported model")


@pytest.mark.parametrize("files", [FILES, FILES[-1:]])
def test_the_first_screens_chart_leads_from_the_most_accurate_exit_to_the_file_to_use(files):
    compared = measured(*files)
    picture = choice_picture(compared)
    first, second = picture.data.sections[0].rows
    assert (first.cells[-1].value, second.cells[-1].value) == ("most accurate", "use this")
    assert second.head == "HRNet4-OKD\u00a0·\u00a03, int8 in OpenVINO"
    whole, part = (float(row.cells[0].value.lstrip("≈").split("†")[0]) for row in (first, second))
    assert part == pytest.approx(0.07 * whole, rel=0.01)
    assert second.cells[1].value == "93.1"
    for panel in picture.panels:
        assert "The arrow says −93\u00a0% energy, −0.9\u00a0points." in panel.description
        assert "open" not in panel.description
    wide, narrow = ([text.text for text in read(panel.svg).all("text")] for panel in picture.panels)
    assert {"use this: exit\u00a03, int8 in OpenVINO", "most accurate: exit\u00a04 in torch"} <= {*wide}
    assert {"use this", "most accurate"} <= {*narrow}


def test_a_single_exit_is_charted_beside_its_file():
    run = record("HRNet4", ap={4: 0.94}, half=0.004)
    files = [cost("torch", exit_=4, share=1.0, ap=0.94), cost("onnx", "int8", exit_=4, share=0.3, ap=0.94)]
    assert choice_picture(study([run])) is None
    picture = choice_picture(study([run], artefacts=[known_of(run, turns(files, run))]))
    assert [row.head for row in picture.data.sections[0].rows] == ["HRNet4", "HRNet4, int8 in onnxruntime"]


@pytest.mark.usefixtures("undrawn")
def test_a_page_without_artefacts_has_no_trace_of_them():
    compared = study([RUN])
    page = render_study(compared, **CONSTANT)
    assert page == render([RUN], **CONSTANT)
    assert "xported model" not in page
    assert "xported model" not in to_markdown(compared, **CONSTANT)
    assert to_latex(compared, title="t", version="0").count(r"\begin{table*}") == 1


@pytest.mark.parametrize(
    "changes", [{"run": "another"}, {"config_hash": "0" * 64}, {"run_finished_at": "2020-01-01T00:00:00+00:00"}]
)
def test_artefacts_of_another_record_are_not_shown(changes):
    compared = measured(*FILES, changes=changes)
    assert deployments(compared) == []
    assert artefacts_picture(compared) is None
    assert "Use exit" in first_screen(compared)["verdict"]
    assert "OpenVINO" not in first_screen(compared)["verdict"]


def test_the_page_stays_well_formed_and_has_the_front_its_table_and_a_place():
    found = read(render_study(measured(*FILES), **CONSTANT))
    ids = [element.attributes["id"] for element in found if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    assert {"exported", "artefacts-figure", "artefacts-data", "artefacts-1-svg"} <= set(ids)
    (figure,) = [each for each in found.all("figure") if each.attributes["id"] == "artefacts-figure"]
    texts = [each.text for each in figure.all("text")]
    assert "exit\u00a03, int8 in OpenVINO" in texts
    assert "Energy beside exit\u00a04 in torch (%), ≈ modelled, log scale" in texts
    assert "artefacts" in [picture.id for picture in pictures_of(measured(*FILES))]


def test_what_a_file_changes_is_not_buried_under_an_interval_that_all_files_share():
    """APs here have intervals of ±5 points, changes of ±0.2: the axis reaches as far as the latter only."""
    (panel,) = artefacts_picture(measured(*FILES)).panels
    written = [text.text for text in read(panel.svg).all("text")]
    points = [float(text) for text in written if text.replace(".", "").isdecimal() and float(text) > 85]
    assert 100 in points  # of energy
    assert 92 <= min(points) <= max(each for each in points if each < 100) <= 95
    table = artefacts_table(measured(*FILES))
    ap = [column.head for column in table.columns].index("AP")
    assert all("±" in row.cells[ap].interval for row in table.sections[0].rows)


def test_on_the_front_is_what_no_other_beats_in_both():
    """By looking at every pair: cheaper or as cheap, more accurate or as accurate, and different."""
    some = [
        cost("onnx", "fp32", sha256=f"{s}{a}", share=s, ap=a) for s, a in product((0.2, 0.3, 0.5), (0.90, 0.92, 0.95))
    ]
    table = artefacts_table(measured(*some))
    every = [(0.6, 0.935), (1.0, 0.94), *((each.relative_to_final["energy_j_per_image"], each.ap) for each in some)]
    beaten = [any(s <= x and a >= y and (s, a) != (x, y) for s, a in every) for x, y in every]
    shown = [row.cells[-1].value for row in table.sections[0].rows]
    assert shown == ["no" if each else "yes" for each in beaten]


def test_the_cheapest_file_that_keeps_within_the_margin_is_recommended_with_what_was_not_tried():
    screen = first_screen(measured(*FILES))
    assert screen["verdict"] == (
        "Use exit\u00a03 of HRNet4-OKD, int8 in OpenVINO: 93\u00a0% less energy, almost the same accuracy."
    )
    assert len(screen["verdict"].replace("HRNet4-OKD", "name").split(" ")) <= 15
    assert screen["of"] == "With exit\u00a03, int8 in OpenVINO instead of exit\u00a04 in torch float32:"
    assert screen["advice"] == (
        "In torch exit\u00a03 saves 30\u00a0%; the rest is int8 in OpenVINO. "
        "Not tried: float32 in OpenVINO, bf16 in OpenVINO, float32 in torch.export and bf16 in torch.export."
    )
    values = {tile["name"]: tile["value"] for tile in screen["tiles"]}
    assert values["Energy per image"] == "−93\u00a0%"
    assert values["Accuracy (AP, higher is better)"] == "93\u00a0%"
    assert "exit\u00a03, int8 in OpenVINO: ≈\u202f7.00" in answer(measured(*FILES))[0].replace("≈7", "≈\u202f7")


@pytest.mark.parametrize("change", [WIDE, (-0.05, -0.06, -0.04)], ids=["open", "beyond"])
def test_a_file_that_is_not_known_to_keep_within_the_margin_is_not_recommended(change):
    """The margin is 2 points, of which the exit takes about half by its interval."""
    compared = measured(cost("openvino", "int8", share=0.07, ap=0.93, change=change), FILES[0])
    assert chosen(compared, preference(compared)).cost.format == "onnx"
    assert "float32 in onnxruntime" in first_screen(compared)["verdict"]


def test_without_a_file_that_will_do_the_exit_is_recommended_and_the_page_says_so():
    compared = measured(cost("onnx", "int8", share=0.2, ap=0.6, change=(-0.3, -0.35, -0.25)))
    plain = first_screen(study([RUN]))
    assert first_screen(compared)["verdict"] == plain["verdict"]
    assert first_screen(compared)["tiles"] == plain["tiles"]
    assert first_screen(compared)["advice"] == (
        "Of 1\u00a0exported model that was measured none is known to save energy within the margin."
        " Exit\u00a04 was not exported."
    )
    assert step_of(compared).state == "pass"


def test_a_file_that_is_not_shown_to_save_is_not_recommended():
    compared = measured(cost("onnx", exit_=4, share=0.99, ap=0.94, spread=0.05))
    assert chosen(compared, preference(compared)) is None
    assert first_screen(compared)["advice"].endswith("within the margin.")


def test_where_the_exit_itself_is_open_the_page_says_what_its_file_may_save_and_what_was_not_tried():
    """Exit 3 is one point below exit 4 with an interval of two points either way: open at a margin of two."""
    run = record("HRNet4-OKD", ap={3: 0.93, 4: 0.94}, half=0.02)
    files = [cost("openvino", "int8", share=0.07, ap=0.926, change=NARROW)]
    for more, ends in (([], " Not tried: exit\u00a04 as a file."), ([cost("onnx", exit_=4, share=1.2, ap=0.94)], "")):
        compared = study([run], artefacts=[known_of(run, turns([*TORCH, *files, *more], run))])
        said = "Exit\u00a03, int8 in OpenVINO takes 7.0\u00a0% of the energy, if it is accurate enough."
        assert first_screen(compared)["advice"].endswith(f"{said}{ends}")
        assert step_of(compared).state == "look"


def test_numbers_that_others_took_the_cpu_from_bear_the_mark_and_sizes_do_not():
    crowded = cost("onnx", share=0.5, ap=0.93, measurement={"foreign_cpu_share": 0.5})
    row = artefacts_table(measured(crowded)).sections[0].rows[-1]
    marked = ["†" in cell.value for cell in row.cells]
    assert marked == [False] * 4 + [True] * 6 + [False] * 3


def test_what_it_saves_is_the_energy_of_the_most_accurate_exit_less_the_files_share():
    step = step_of(measured(*FILES))
    energy = RUN.exit(4).quantity("energy_j_per_image")
    half = math.hypot((energy.type_a.high - energy.type_a.low) / 2 * 0.93, energy.value * 0.07 * 0.02)
    assert step.state == "act"
    assert step.saves.value == pytest.approx(0.93 * energy.value)
    assert step.saves.type_a.high - step.saves.value == pytest.approx(half)
    assert step.joules == pytest.approx(step.saves.value * DEFAULT.per_year)
    assert step.command == f"greenpose export runs/paper/{RUN.name} --exit 3 --to openvino --precision int8"
    assert next_steps(measured(*FILES))[0] == step


def test_a_file_whose_loss_is_open_is_to_be_looked_at_and_one_that_was_folded_says_how():
    step = step_of(measured(cost("pt2", "fp32", share=0.5, ap=0.931, change=WIDE, folded=True)))
    assert step.state == "look"
    assert "is not settled" in step.finding
    assert step.command.endswith("--exit 3 --to pt2 --precision fp32 --fold-bn")


def test_loss_of_exit_and_file_come_together():
    compared = measured(*FILES)
    best = preference(compared).best
    file = chosen(compared, preference(compared))
    less = file.less_ap(best)
    assert less.value == pytest.approx(-0.5 - 0.4)
    halves = [(RUN.exit(k).basis["ap"].type_a.high - RUN.exit(k).basis["ap"].type_a.low) * 50 for k in (3, 4)]
    assert less.type_a.high - less.value == pytest.approx(math.hypot(*halves, 0.2))
    assert file.share_of(compared, best).value == pytest.approx(0.07)


def test_everything_that_can_be_exported_is_either_tried_or_not():
    compared = measured(*FILES)
    point = chosen(compared, preference(compared)).point
    assert len(not_tried(compared, point)) == sum(map(len, POSSIBLE.values())) - len(FILES)
    every = [cost(kind, precision, ap=0.93) for kind, some in POSSIBLE.items() for precision in some]
    assert not_tried(measured(*every), point) == []


def test_every_number_of_every_file_is_in_the_csv_and_machines_are_told_apart():
    other = turns(FILES[:1], RUN, host=OTHER_HOST)
    for known, ends in (
        (known_of(RUN, turns([*TORCH, *FILES], RUN)), ""),
        (known_of(RUN, turns(FILES, RUN), other), "@"),
    ):
        text = list(tidy_lines({"": [RUN]}, [known]))
        costs = [each for one in known.measurements for each in one.costs]
        new = [line for line in text if ",artefacts." in line]
        assert len(new) == sum(len(each.basis) for each in costs)
        assert len(text) == len(new) + len(list(tidy_lines({"": [RUN]})))
        assert all(("@" in line) is bool(ends) for line in new)
    assert f",3,artefacts.exit3-int8.xml@{RUN.host['fingerprint']}.ap,0.931,fraction,computed," in "".join(text)


def test_markdown_and_latex_have_a_line_for_each_exit_in_torch_and_each_file():
    text = to_markdown(measured(*FILES), **CONSTANT)
    told = text.partition("## Exported models")[2].partition("##")[0]
    assert told.count("| HRNet4-OKD |") == 5
    latex = to_latex(measured(*FILES), title="t", version="0")
    assert latex.count(r"\begin{table*}") == latex.count(r"\end{table*}") == 2
    second = latex.rpartition(r"\begin{table*}")[2]
    assert sum(line.endswith(r"\\") for line in second.splitlines()) == 2 + 5
    columns = second.partition(r"\begin{tabular}{@{}")[2].partition("@{}}")[0]
    assert all(line.count("&") == len(columns) - 1 for line in second.splitlines() if line.endswith(r"\\"))
