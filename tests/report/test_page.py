"""The page as a whole."""

import base64
import hashlib
import itertools
import json
import random
import re
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from greenpose.record import dumps
from greenpose.report import render, render_study, study
from greenpose.report.page import pack
from tests.report.exits import MISSING_AP
from tests.report.html_tree import read
from tests.report.published import published
from tests.report.records import OTHER_HOST, failure, paper_grid, record

GOLDEN = Path(__file__).parents[1] / "golden" / "report.html"
CONSTANT = {"title": "Two experiments", "generated_at": "2025-06-01T12:00:00+00:00", "version": "0.1.0"}
SMALL = [*paper_grid((1, 2), ("HRNet3", "HRNet4-OKD")), failure(message="loss is not finite <nan>")]
SETS = {
    "two experiments": SMALL,
    "one run": [record("HRNet4-OKD")],
    "nothing measured": [record("HRNet4-OKD", evaluated=False, metered=False)],
    "failures only": [failure(), failure(seed=2, reason="lost", phase="", co2eq_g=None)],
    "nothing": [],
    "two machines": [record("HRNet3", grade="A"), record("HRNet4", host=OTHER_HOST, half=None)],
    "twice the same run": [record("HRNet3"), record("HRNet3")],
}


@pytest.fixture(scope="module", params=SETS)
def page(request):
    return read(render(SETS[request.param], **CONSTANT))


@pytest.fixture(scope="module")
def small():
    return render(SMALL, **CONSTANT, command="greenpose report runs/paper -o paper.html")


def test_the_page_is_the_golden_one(small, request):
    """Made with the matplotlib of constraints.txt: another version may draw other bytes."""
    if request.config.getoption("--update-golden"):
        GOLDEN.write_text(small, encoding="utf-8")
    assert small == GOLDEN.read_text(encoding="utf-8")


def test_the_order_of_runs_does_not_change_a_byte(small):
    shuffled = random.Random(0).sample(SMALL, len(SMALL))
    assert render(shuffled, **CONSTANT, command="greenpose report runs/paper -o paper.html") == small


def test_ids_are_unique_and_references_find_them(page):
    ids = [element.attributes["id"] for element in page if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    for element in page:
        for name in ("aria-labelledby", "href"):
            for target in (element.attributes.get(name) or "").replace("#", "").split():
                assert target in ids


def test_headings_begin_with_one_h1_and_skip_no_level(page):
    levels = [int(each.tag[1]) for each in page.all("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))


def test_language_viewport_and_skip_link_are_there(page):
    (html,) = page.all("html")
    assert html.attributes["lang"] == "en"
    assert any(meta.attributes.get("name") == "viewport" for meta in page.all("meta"))
    assert page.all("body")[0].all("a")[0].attributes == {"class": "skip", "href": "#main"}


def test_nothing_is_loaded_and_nothing_may_be(page):
    policy = [meta.attributes["content"] for meta in page.all("meta") if "http-equiv" in meta.attributes]
    scripts = [each.text for each in page.all("script") if "type" not in each.attributes]
    (allowed,) = re.findall(r"script-src 'sha256-([^']*)'", policy[0])
    assert policy == [f"default-src 'none'; script-src 'sha256-{allowed}'; style-src 'unsafe-inline'; img-src data:"]
    assert [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in scripts] in ([allowed], [])
    for element in page:
        assert element.tag not in {"link", "iframe", "object", "embed", "img", "base", "form"}
        assert not any(name.startswith("on") for name in element.attributes)
        for name in ("src", "srcset", "poster", "data", "action", "background", "href"):
            assert "//" not in (element.attributes.get(name) or "")
    assert all(script.attributes.get("type", "application/json") == "application/json" for script in page.all("script"))
    for style in page.all("style"):
        assert "@import" not in style.text
        assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)", style.text))


def test_every_table_has_a_caption_scopes_and_its_own_scrolling_box(page):
    for table in page.all("table"):
        assert table.all("caption")[0].text.strip()
        assert all(head.attributes["scope"] in {"col", "row", "rowgroup"} for head in table.all("th"))
        assert all(re.match(r"\w", head.text) for head in table.all("th"))
        assert table.parent.attributes["class"] == "scroll"
        assert table.parent.attributes["tabindex"] == "0"


def test_every_line_of_a_table_fills_its_columns(page):
    for table in page.all("table"):
        (head,) = table.all("thead")
        width = len(head.all("th"))
        for body in table.all("tbody"):
            spanned = 0
            for row in body.all("tr"):
                groups = [each for each in row.all("th") if each.attributes["scope"] == "rowgroup"]
                if groups:
                    spanned = int(groups[0].attributes.get("rowspan", 1))
                assert len(row.all("th", "td")) + (1 if spanned and not groups else 0) == width
                spanned = max(0, spanned - 1)


def test_every_number_in_a_table_has_a_unit(page):
    for table in page.all("table"):
        heads = table.all("thead")[0].all("th")
        num_named = len(heads) - len(table.all("tbody")[0].all("tr")[0].all("td")) if table.all("td") else 0
        for row in table.all("tbody")[0].all("tr"):
            for head, cell in zip(heads[num_named:], row.all("td"), strict=True):
                wordy = cell.attributes.get("class") == "t"
                units = [each.text for each in head.all("span") if each.attributes["class"] == "unit"]
                assert wordy or (all(units) and units), f"{table.attributes['id']}: {head.text}"


def test_every_chart_says_in_words_what_it_shows_and_has_its_data(page):
    for svg in page.all("svg"):
        assert svg.attributes["role"] == "img"
        assert [child.tag for child in svg.children[:2]] == ["title", "desc"]
        figure = svg.parent
        while figure.tag != "figure":
            figure = figure.parent
        assert figure.all("details")[0].all("table")


@pytest.mark.usefixtures("undrawn")
def test_non_zero_numbers_never_print_as_zero():
    tiny = record("HRNet4-OKD")
    exits = []
    for entry in tiny.exits:
        energy = entry.basis["energy_j_per_image"].model_copy(update={"type_a": None, "type_b": None})
        exits.append(
            entry.model_copy(
                update={"energy_j_per_image": 3e-7, "ap": 2e-5, "basis": {**entry.basis, "energy_j_per_image": energy}}
            )
        )
    compared = study([tiny.model_copy(update={"exits": exits, "train_energy_kwh": 4e-9})])
    page = read(render_study(replace(compared, floor=0.0), **CONSTANT))
    text = page.all("main")[0].text
    assert "300\u00a0nJ per image" in text
    assert "0.002" in text
    (exits_table,) = [table for table in page.all("table") if table.attributes["id"] == "exits"]
    values = [cell.text for cell in exits_table.all("td") if cell.attributes.get("class") != "t"]
    assert [value for value in values if not re.search("[1-9]", value)] == []


@pytest.mark.parametrize("page", ["nothing measured"], indirect=True)
def test_missing_values_show_their_reason(page):
    (table,) = [each for each in page.all("table") if each.attributes["id"] == "exits"]
    notes = [each for each in page.all("ol") if MISSING_AP in each.text]
    cells = [cell.text for cell in table.all("td") if cell.text.startswith("not measured")]
    assert cells.count("not measured1") == 12
    assert notes[0].all("li")[0].text == f"not measured: {MISSING_AP}"


@pytest.mark.parametrize("page", ["one run"], indirect=True)
def test_modelled_numbers_are_told_by_symbol_and_words(page):
    (banner,) = [each for each in page.all("p") if (each.attributes.get("class") or "").startswith("banner")]
    assert banner.text.startswith("Grade C: modelled. Energy is modelled from CPU time")
    assert "off, energy by ×0.5–2 and emissions by ×0.5–2; ratios on one machine hold better" in banner.text
    assert "≈ modelled" in page.all("thead")[0].text


def test_runs_that_did_not_finish_are_listed_with_their_message(small):
    (failed,) = [each for each in read(small).all("ul") if each.attributes.get("class") == "failures"]
    assert "HRNet4-COKD-seed=1-0badc0de" in failed.text
    assert "loss is not finite <nan>" in failed.text
    assert "failed in train" in failed.text


def test_hostile_names_stay_text():
    evil = "<script>alert('x')</script>"
    entries = [
        record(evil, exits=(3,), name=evil, axes={evil: evil}, host={"cpu": evil}, git={"commit": evil}),
        failure(evil, message=f"</p></section>{evil}", name=evil),
    ]
    page = render(entries, title=evil, generated_at=evil, version=evil, command=evil)
    assert "<script>alert" not in page
    tree = read(page)
    assert tree.all("h1")[0].text == evil
    assert [script.attributes.get("id") for script in tree.all("script")] == [
        "greenpose-records",
        "greenpose-view",
        None,
    ]


def test_the_records_are_in_the_page_as_they_are(small):
    (script,) = [each for each in read(small).all("script") if each.attributes.get("id") == "greenpose-records"]
    found = {each["name"]: each for each in unpacked(script.text)}
    assert found == {each.name: json.loads(dumps(each)) for each in SMALL}


def test_nothing_is_compared_with_everyday_things(small):
    words = read(small).all("main")[0].text.lower()
    assert not any(re.search(rf"\b{word}\b", words) for word in ("car", "cars", "tree", "trees", "flight", "kettle"))


@pytest.mark.slow
@pytest.mark.parametrize(("experiments", "seeds", "held"), [(20, 3, False), (8, 3, True)])
def test_sixty_runs_as_real_ones_are_and_fewer_with_their_records_fit_in_half_a_mebibyte(experiments, seeds, held):
    page = render(published(experiments=experiments, seeds=seeds), **CONSTANT, command="greenpose report runs/paper")
    assert len(page.encode()) <= 500 * 1024
    assert ('id="greenpose-records"' in page) is held
    assert ("<p>The 60 records would make this page larger than people send" in page) is not held


def test_the_script_is_twelve_kibibytes_at_most_and_asks_for_nothing(small):
    (script,) = [each.text for each in read(small).all("script") if not each.attributes]
    assert len(script.encode()) <= 12 * 1024
    assert not re.search(r"fetch|XMLHttp|import|eval|Function\(|innerHTML|https?:|\.src\b|localStorage|cookie", script)


def test_importing_the_room_is_light():
    heavy = {"torch", "matplotlib", "pandas", "jinja2", "numpy"}
    code = f"import greenpose.report, sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_control_and_no_mark_of_direction_reaches_the_page():
    page = render([record()], title="a\x1b[31m\u202eb\ufffe", generated_at="now", version="1")
    assert r"<title>a\x1b[31m\u202eb\ufffe</title>" in page
    assert not {"\x1b", "\u202e", "\ufffe"} & {*page}


def unpacked(text):
    said = json.loads(text)
    assert said["encoding"] == "JSON, deflate (zlib), base64"
    tables = json.loads(zlib.decompress(base64.b64decode(said["data"])))
    return [dict(zip(table, run, strict=True)) for table in tables for run in zip(*table.values(), strict=True)]


def test_no_tag_can_end_the_script_element():
    run = record("HRNet3", name="</script><script>alert(1)</script>")
    assert "<" not in pack([run])
    assert unpacked(pack([run])) == [json.loads(dumps(run))]
