"""The page that lists pages: what each says of itself, links that lead there, and what is none of ours."""

import json
import re
from urllib.parse import unquote

import pytest

from greenpose.report import render
from greenpose.report.index import IndexLine, description, index_page, is_index, pages_below, read_page
from reports import examples
from tests.cli.running import greenpose
from tests.report.html_tree import read
from tests.report.records import failure, paper_grid, record

pytestmark = pytest.mark.usefixtures("undrawn")
MADE = {"date": "2025-06-03T00:00:00Z", "version": "0.1.0"}


def written(path, entries=None, *, title="A title", date="2025-06-01T12:00:00+00:00"):
    path.parent.mkdir(parents=True, exist_ok=True)
    page = render(entries or [record("HRNet3")], title=title, generated_at=date, version="0.1.0")
    path.write_text(page, encoding="utf-8")
    return path


def listed(folder, at=None):
    """Title and address of each page that the index of a folder lists, in its order, and the index."""
    page = read(index_page(pages_below(folder), at=at or folder / "index.html", title="All", **MADE))
    return [(link.text, link.attributes["href"]) for link in page.all("a")], page


def test_a_report_says_its_verdict_date_grade_runs_and_size(tmp_path):
    runs = [*paper_grid((1, 2), ("HRNet3", "HRNet4-OKD")), failure()]
    line = read_page(written(tmp_path / "a.html", runs))
    assert (line.title, line.kind, line.date, line.grade) == ("A title", "report", "2025-06-01T12:00:00+00:00", "C")
    assert line.runs.replace("\u00a0", " ") == "4 runs, 1 not finished"
    assert line.size == (tmp_path / "a.html").stat().st_size
    assert re.match(r"\w.*HRNet", line.says)


def test_the_newest_comes_first_and_links_lead_to_the_pages_from_where_the_index_lies(tmp_path):
    places = {"old": "a/old one.html", "new": "b/c/new&#.html", "middle": "m%20.html"}
    for day, name in enumerate(("old", "middle", "new"), 1):
        written(tmp_path / places[name], title=name, date=f"2025-06-0{day}T00:00:00Z")
    for at in (tmp_path / "index.html", tmp_path / "b" / "index.html"):
        found, _ = listed(tmp_path, at)
        assert [title for title, _ in found] == ["new", "middle", "old"]
        for title, link in found:
            assert (at.parent / unquote(link)).resolve() == (tmp_path / places[title]).resolve()
            assert not re.search(r"[\s<>\"#?:]", link)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no page of GreenPose"),
        (b"<html><title>Somebody's</title></html>", "no page of GreenPose"),
        (b"\xff\xfe\x00<!--<![CDATA[<meta name=generator content='Word'>", "no page of GreenPose"),
        (b"<meta name='generator' content='GreenPose 1'><title>half a pa", "broken: it has no end"),
        (b"<style><meta name='generator' content='GreenPose 1'></style></html>", "no page of GreenPose"),
        (b"<body><meta name='generator' content='GreenPose 1'></html>", "no page of GreenPose"),
    ],
)
def test_what_is_none_of_ours_or_broken_is_named_and_nothing_fails(tmp_path, content, why):
    written(tmp_path / "good.html")
    (tmp_path / "odd.html").write_bytes(content)
    found, page = listed(tmp_path)
    assert [link for _, link in found] == ["good.html"]
    assert [each.text for each in page.all("section")[0].all("li")] == [f"odd.html: {why}"]


@pytest.mark.parametrize("about", ["", "{", "[1]", '{"kind": "else"}', '{"kind": ["report"]}'])
def test_a_page_that_does_not_say_what_it_is_is_listed_by_its_title(tmp_path, about):
    metas = f"<meta name='generator' content='GreenPose 0.0'><meta name='greenpose' content='{about}'>"
    (tmp_path / "old.html").write_text(f"{metas}<title>T</title></html>")
    line = read_page(tmp_path / "old.html")
    assert (line.title, line.kind, line.says) == ("T", "", "")
    _, page = listed(tmp_path)
    assert "Made by a version that did not say." in page.text


def test_words_of_a_page_cannot_act(tmp_path):
    evil = "</p><script>x</script>\u202e\"'&"
    written(tmp_path / "a.html", [record(evil, exits=(3,))], title=evil)
    text = index_page(pages_below(tmp_path), at=tmp_path / "index.html", title=evil, **MADE)
    assert "<script" not in text
    assert "\u202e" not in text
    assert read(text).all("script") == []


def test_an_unreadable_page_hidden_folders_and_links_to_folders_do_no_harm(tmp_path):
    written(tmp_path / "a.html")
    written(tmp_path / ".hidden" / "b.html")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "gone.html").symlink_to(tmp_path / "nowhere.html")
    assert [path.name for path in pages_below(tmp_path)] == ["a.html", "gone.html"]
    assert read_page(tmp_path / "gone.html") == "cannot be read: No such file or directory"


def test_the_index_is_a_static_page_that_describes_itself_and_may_be_made_anew(tmp_path):
    written(tmp_path / "a.html")
    _, page = listed(tmp_path)
    assert page.all("script") == []
    assert [each.text for each in page.all("h1")] == ["All"]
    target = tmp_path / "index.html"
    assert is_index(target)
    target.write_text(index_page([], at=target, title="All", **MADE))
    assert is_index(target)
    assert not is_index(tmp_path / "a.html")


def test_the_command_lists_a_folder_names_what_it_cannot_and_spares_a_report(tmp_path):
    written(tmp_path / "r" / "a.html", title="First")
    (tmp_path / "r" / "odd.html").write_text("<p>")
    done = greenpose("report", "--index", "r", "--date", "2025-06-03", cwd=tmp_path)
    assert (done.code, done.out) == (0, "r/index.html\n"), done.err
    assert done.err == "not listed: r/odd.html: no page of GreenPose\n"
    first = (tmp_path / "r" / "index.html").read_bytes()
    again = greenpose("report", "--index", "r", "--date", "2025-06-03", "--json", cwd=tmp_path)
    assert json.loads(again.out) == {"report": "r/index.html", "files": ["r/index.html"]}
    assert (tmp_path / "r" / "index.html").read_bytes() == first
    written(tmp_path / "s" / "index.html")
    refused = greenpose("report", "--index", "s", cwd=tmp_path)
    assert (refused.code, refused.err) == (
        2,
        "error: s/index.html: is there and is no index; name another file, -o FILE.html\n",
    )
    assert greenpose("report", "--index", "s", "-o", "all.html", cwd=tmp_path).code == 0
    assert "s/index.html" in (tmp_path / "all.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "report takes RUNS"),
        (["--index", "nowhere"], "--index nowhere: is no folder"),
        (["--index", ".", "runs", "--floor", "0"], "leave RUNS and --floor out"),
        (["--index", ".", "-o", "a.md"], "an index is one HTML file"),
    ],
)
def test_a_user_is_told_what_an_index_takes(tmp_path, arguments, message):
    done = greenpose("report", *arguments, cwd=tmp_path)
    assert done.code == 2
    assert message in done.err


def test_the_published_pages_have_one():
    assert examples.INDEX.read_text(encoding="utf-8") == examples.index(), "run make examples"
    links = [each.attributes["href"] for each in read(examples.index()).all("a")]
    assert sorted(links) == [f"{folder.name}/{examples.PAGE}" for folder in examples.examples()]


def test_a_description_comes_back_as_it_was_given(tmp_path):
    said = description("history", says="„Of 3“ <none>", date="2025", grade="", runs="7 checks")
    assert json.loads(said)["says"] == "„Of 3“ <none>"
    (tmp_path / "h.html").write_text(
        f"<meta name=generator content=GreenPose><meta name=greenpose content='{said}'></html>", encoding="utf-8"
    )
    line = read_page(tmp_path / "h.html")
    assert isinstance(line, IndexLine)
    assert (line.kind, line.says, line.runs) == ("history", "„Of 3“ <none>", "7 checks")
