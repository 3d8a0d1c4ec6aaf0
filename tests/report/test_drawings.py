"""Every kind of drawing: the same bytes each time, colours of the page, words for who does not see it."""

import itertools
import re

import pytest

from greenpose.metrics import ENERGY, MACS
from greenpose.report.drawing import VARIABLES, Sheet, finish
from greenpose.report.figures import ablations, break_even, early_exit, energy, exits, repeated_runs, tradeoff
from greenpose.report.figures.ablations import ablation_charts
from greenpose.report.figures.break_even import crossings
from greenpose.report.figures.early_exit import early_exit_charts
from greenpose.report.figures.energy import bill, flows
from greenpose.report.figures.exits import slopes
from greenpose.report.figures.repeated_runs import repeats
from greenpose.report.figures.tradeoff import scatter as points
from greenpose.report.study import study
from tests.report.html_tree import read
from tests.report.policies import policy_of
from tests.report.records import failure, paper_grid, record

STUDY = study([*paper_grid((1, 2, 3), ("HRNet3", "HRNet4", "HRNet4-OKD-DS")), failure()])
LEFT = record("HRNet4-COKD-DS")
DRAWINGS = {
    "scatter": lambda: tradeoff.draw(points(STUDY, ENERGY)),
    "slopes": lambda: exits.draw(slopes(STUDY)[0]),
    "flows": lambda: energy.draw(flows(STUDY)),
    "bill": lambda: energy.draw_bill(bill(STUDY)),
    "crossing": lambda: break_even.draw(crossings(STUDY)[0]),
    "pairs": lambda: ablations.draw(ablation_charts(STUDY)[0]),
    "repeats": lambda: repeated_runs.draw(repeats(STUDY)),
    "leaving": lambda: early_exit.draw(early_exit_charts(study([LEFT], policies=[policy_of(LEFT)]))[0]),
}


@pytest.fixture(scope="module", params=DRAWINGS)
def drawing(request):
    return DRAWINGS[request.param]().svg


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_drawing_is_the_same_every_time_whatever_the_users_settings(name):
    import matplotlib as mpl

    first = DRAWINGS[name]().svg
    with mpl.rc_context({"svg.hashsalt": None, "axes.linewidth": 7, "svg.fonttype": "path", "hatch.linewidth": 9}):
        assert DRAWINGS[name]().svg == first


def test_a_drawing_has_a_name_a_description_and_ids_of_its_own(drawing):
    (svg,) = read(drawing).children
    prefix = svg.attributes["id"].removesuffix("-svg")
    ids = [element.attributes["id"] for element in svg if "id" in element.attributes]
    assert svg.attributes["role"] == "img"
    assert [child.tag for child in svg.children[:2]] == ["title", "desc"]
    assert all(child.text.strip() for child in svg.children[:2])
    assert len(ids) == len(set(ids))
    assert all(each.startswith(f"{prefix}-") for each in ids)
    targets = re.findall(r'(?:href="#|url\(#)([^")]+)', drawing)
    assert set(targets) <= set(ids)


def test_a_drawing_has_no_colour_but_the_pages_and_asks_for_nothing(drawing):
    assert "http" not in drawing
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b(?=[;\"}])", drawing) == []
    assert re.findall(r"(?:fill|stroke):(?!none|var|url)\w+", drawing) == []
    assert set(re.findall(r"var\(--(\w+)\)", drawing)) <= set(VARIABLES.values())


def test_a_drawing_is_small_and_has_no_more_than_a_decimal(drawing):
    assert len(drawing) < 9000
    assert not re.search(r"<(?:path|text|use|rect)[^>]*\d\.\d{2}", drawing)


def test_lines_along_an_axis_name_one_coordinate_and_others_stay():
    steps = ["M 10 20 L 30 20 L 30.04 40 L 12 8 z M 5 5 L 5 5", "M 1 1 L 1 9 z L 1 3", "M 1 2 Q 3 2 4 2 L 9 2"]
    paths = "".join(f'<path d="{each}"/>' for each in steps)
    drawn = finish(f"<svg>{paths}</svg>", prefix="x", size=(9, 9), title="", description="", tooltips=())
    assert re.findall(' d="([^"]*)"', drawn) == [
        "M10 20H30V40L12 8zM5 5V5",
        "M1 1V9zL1 3",
        "M1 2Q3 2 4 2L9 2",  # one with curves is left alone
    ]


def test_neighbouring_parts_of_a_bar_differ_in_more_than_their_colour():
    looks = [(fill.get("hatch", ""), fill["facecolor"] == fill["edgecolor"]) for fill in energy.FILLS]
    looks += [(fill["hatch"], False) for fill in energy.WASTE.values()]
    solid = [index for index, (hatch, filled) in enumerate(looks) if filled]
    assert all(later - earlier > 1 for earlier, later in itertools.pairwise(solid))
    others = [look for index, look in enumerate(looks) if index not in solid]
    assert len(others) == len(set(others))


def test_every_line_of_a_slope_chart_has_its_own_stroke():
    styles = [(style["color"], style["linewidth"], str(style.get("linestyle"))) for style in exits.STYLES.values()]
    assert len(styles) == len(set(styles))


@pytest.mark.parametrize("name", DRAWINGS)
def test_the_same_drawing_can_be_had_as_an_image_of_twice_as_many_pixels(name):
    import io

    from matplotlib.image import imread

    drawing = DRAWINGS[name]()
    image = drawing.png()
    assert image == DRAWINGS[name]().png()
    height, width, _ = imread(io.BytesIO(image)).shape
    assert 1.5 < width / drawing.size[0] < 2.2
    assert 1.5 < height / drawing.size[1] < 2.5
    assert imread(io.BytesIO(image))[..., :3].std() > 0.02, "nothing is painted"


def test_drawings_on_one_page_look_as_they_do_alone_with_every_look_and_marker_written_once():
    alone = [draw().svg for draw in (*DRAWINGS.values(), lambda: tradeoff.draw(points(STUDY, MACS)))]
    sheet = Sheet()
    together = [sheet.share(each) for each in alone]
    page = "".join(together)
    rules = dict(re.findall(r"\.(c\d+)\{([^}]*)\}", page))
    assert len(rules) == len(set(rules.values())) == page.count("{")
    paths = {each.attributes["id"]: each for each in read(page).all("path") if "id" in each.attributes}
    assert len({each.attributes["d"] + each.attributes.get("class", "") for each in paths.values()}) == len(paths)
    for before, after in zip(alone, together, strict=True):
        own = dict(re.findall(r"\.(s\d+)\{([^}]*)\}", before))
        theirs = {each.attributes["id"]: each for each in read(before).all("path") if "id" in each.attributes}
        assert looks(before, own, theirs) == looks(after, rules, paths) != []


def looks(drawing, rules, paths):
    """Return what is painted, in order: the style of each element, and the path and style of each marker used."""
    found = []
    for each in read(drawing):
        if each.tag in {"defs", "style"} or each.inside("defs"):
            continue
        marker = paths.get(each.attributes.get("href", "").removeprefix("#"))
        path = (marker.attributes["d"], rules[marker.attributes["class"]]) if marker else None
        found.append((each.tag, rules.get(each.attributes.get("class")), path))
    return found
