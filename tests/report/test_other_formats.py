"""The table in LaTeX, held to its grammar; it compiles with pdflatex, booktabs and graphicx, where they are."""

import re
import shutil
import stat
import subprocess

import pytest

from greenpose.errors import ReportError
from greenpose.report.conclusions.headline import headline
from greenpose.report.other_formats import BROWSERS, escape, find_browser, to_latex, to_markdown, to_pdf
from greenpose.report.study import ComparisonSide, side_by_side, study
from tests.report.exits import MISSING_AP
from tests.report.published import published
from tests.report.records import failure, paper_grid, record

GRID = ("HRNet2", "HRNet3", "HRNet4", "HRNet4-OKD-DS", "HRNet4-COKD")


@pytest.fixture(scope="module")
def table():
    return to_latex(study(paper_grid((1, 2, 3), GRID)), title="100 % of the_grid & more", version="0.1.0")


def body(table):
    """Return the cells of every line between the rules that bear numbers."""
    inside = table[table.index(r"\midrule") : table.index(r"\bottomrule")]
    lines = [line for line in inside.splitlines() if line.endswith(r"\\")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)&", line.removesuffix(r"\\"))] for line in lines]


def width(row):
    spans = [int(each) for each in re.findall(r"\\multicolumn\{(\d+)\}", row)]
    return len(re.split(r"(?<!\\)&", row)) - len(spans) + sum(spans)


def test_every_line_has_as_many_cells_as_there_are_columns(table):
    columns = re.search(r"\\begin\{tabular\}\{@\{\}(\w+)@\{\}\}", table)[1]
    lines = [line for line in table.splitlines() if line.endswith(r"\\")]
    assert len(lines) == 3 + 8
    assert {width(line) for line in lines} == {len(columns)}


def test_braces_and_environments_are_balanced(table):
    for text in (table, to_latex(study([record("{}{", exits=(3,))]), title="}}{", version="0.1.0")):
        bare = re.sub(r"\\[{}]", "", text)
        depth = 0
        for character in bare:
            depth += {"{": 1, "}": -1}.get(character, 0)
            assert depth >= 0
        assert depth == 0
        begun, ended = re.findall(r"\\begin\{([\w*]+)\}", text), re.findall(r"\\end\{([\w*]+)\}", text)
        assert begun == ended[::-1]


def test_only_booktabs_and_graphicx_are_needed_and_only_the_rules_of_the_former_are_used(table):
    commands = set(re.findall(r"\\([A-Za-z]+)", "\n".join(line for line in table.splitlines() if line[0] != "%")))
    core = {
        "begin", "end", "centering", "scriptsize", "tiny", "setlength", "tabcolsep", "caption", "multicolumn", "approx",
        "sim", "pm", "times", "to", "textsubscript", "cdot",
    }  # fmt: skip
    assert commands - core == {"toprule", "cmidrule", "midrule", "bottomrule", "resizebox", "textwidth"}
    assert "|" not in table
    assert r"\hline" not in table


def test_what_is_left_of_other_alphabets_is_plain(table):
    assert [character for character in table if ord(character) > 127] == []


def test_the_columns_of_the_paper_come_first_and_every_number_has_its_unit(table):
    heads, units = [
        [cell.strip() for cell in line.removesuffix(r"\\").split("&")]
        for line in table.splitlines()
        if line.startswith((r"\#", " &  &  &  &  & ("))
    ]
    assert heads[:8] == [r"\#", "Experiment", "KD", "DS", "Exit", "AP", "AR", "PCK"]
    assert all(re.fullmatch(r"\(.+\)", unit) for unit in units[5:])


def test_an_experiment_stands_once_and_its_exits_below_it(table):
    lines = body(table)
    assert [line[0] for line in lines if line[0]] == ["1", "2", "3", "4", "5"]
    named = {line[1]: line for line in lines if line[1]}
    assert named["HRNet4-OKD-DS"][2:5] == [r"4 $\to$ 3", "yes", "3"]
    assert named["HRNet4-COKD"][2:5] == [r"3 $\to$ 2, 4 $\to$ 3", "no", "2"]
    assert named["HRNet4"][2:5] == ["--", "--", "4"]
    below = lines[lines.index(named["HRNet4-COKD"]) + 1]
    assert below[:5] == ["", "", "", "", "3"]
    assert below[-2:] == ["", ""], "the training of a run is one, whatever its exits"


def test_modelled_numbers_are_marked_and_measured_ones_are_not(table):
    for line in body(table):
        assert line[11].startswith(r"$\approx$")
        assert not line[10].startswith("$")
    measured = body(to_latex(study([record("HRNet3", grade="A")]), title="x", version="0.1.0"))
    assert not any(cell.startswith("$") for cell in measured[0])


def test_missing_numbers_say_so_and_the_caption_says_why():
    table = to_latex(study([record("HRNet4", evaluated=False)]), title="x", version="0.1.0")
    assert body(table)[0][5:8] == ["not measured"] * 3
    assert f"not measured: {MISSING_AP}".lower() in table.lower()


def test_each_experiment_of_two_sides_has_a_line_on_each():
    old, new = (tuple(paper_grid((seed,), ("HRNet3",))) for seed in (1, 2))
    table = to_latex(
        side_by_side(ComparisonSide(name="May", entries=old), ComparisonSide(name="June", entries=new)),
        title="x",
        version="0.1.0",
    )
    assert [line[1] for line in body(table)] == ["HRNet3 (first)", "HRNet3 (second)"]
    assert "First: May. Second: June." in table


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
def test_it_compiles_without_a_warning_and_fits_the_page(tmp_path):
    for package in ("booktabs", "graphicx"):
        if subprocess.run(["kpsewhich", f"{package}.sty"], capture_output=True, check=False).returncode:
            pytest.skip(f"LaTeX has no {package}")
    text = to_latex(study(published(experiments=11, seeds=3)), title="Table 1, 100 % of it", version="0.1.0")
    paper = rf"\documentclass{{article}}\usepackage{{booktabs,graphicx}}\begin{{document}}{text}\end{{document}}"
    (tmp_path / "paper.tex").write_text(paper)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert re.findall(r"(?:Over|Under)full.*|LaTeX Warning.*", done.stdout) == []
    assert "Output written on paper.pdf (1 page" in done.stdout


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("50 % & $5 #1 a_b", r"50 \% \& \$5 \#1 a\_b"),
        ("{x}^~\\", r"\{x\}\textasciicircum{}\textasciitilde{}\textbackslash{}"),
        ("CO2eq ±3", r"CO\textsubscript{2}eq $\pm$3"),
        ("two\nlines", "two lines"),
    ],
)
def test_special_characters_print_as_they_are(text, latex):
    assert escape(text) == latex


@pytest.mark.parametrize("evil", ["a\rb", "a\x1b[31mb", "a\x07b", "a\u202eb", "a\u2028b"])
def test_a_name_neither_ends_a_line_nor_steers_a_terminal(evil):
    text = to_latex(study([record(evil, exits=(3,))]), title=evil, version="0.1.0")
    plain = to_latex(study([record("ab", exits=(3,))]), title="ab", version="0.1.0")
    assert len(text.splitlines()) == len(plain.splitlines())
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", text)


CONSTANT = {"title": "Two experiments", "generated_at": "2025-06-01T12:00:00+00:00", "version": "0.1.0"}
SMALL = [*paper_grid((1, 2), ("HRNet3", "HRNet4-OKD")), failure()]


def rows(text):
    """Return the cells of every table line; an escaped bar is no border."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]


def tables(text):
    return [block for block in re.split(r"\n\n", text) if block.startswith("|")]


def test_the_answer_comes_first_word_for_word():
    text = to_markdown(study(SMALL), **CONSTANT)
    blocks = text.split("\n\n")
    assert blocks[0] == "# Two experiments"
    unescaped = [re.sub(r"\\(.)", r"\1", block) for block in blocks]
    assert unescaped[1 : 1 + len(headline(study(SMALL)))] == headline(study(SMALL))


def test_every_line_of_a_table_has_as_many_cells_as_its_heading():
    for table in tables(to_markdown(study(SMALL), **CONSTANT)):
        assert len({len(cells) for cells in rows(table)}) == 1
        assert re.fullmatch(r"(\| -?:?--:? )+\|", table.splitlines()[1])


def test_the_bill_counts_what_did_not_finish():
    bill = tables(to_markdown(study(SMALL), **CONSTANT))[-1]
    assert [cells[0].strip() for cells in rows(bill)[2:]] == ["Finished", "Failed", "All"]
    assert [cells[1].strip() for cells in rows(bill)[2:]] == ["4", "1", "5"]


def test_every_missing_number_has_a_footnote_with_its_reason():
    text = to_markdown(study([record("HRNet4-OKD", evaluated=False, metered=False)]), **CONSTANT)
    used = set(re.findall(r"not measured(\[\^[\w-]+\])", text))
    told = dict(re.findall(r"^(\[\^[\w-]+\]): not measured: (.+)$", text, flags=re.MULTILINE))
    assert used
    assert used == set(told)
    assert MISSING_AP in told.values()


def test_names_cannot_turn_into_markup():
    evil = "<b>*x*</b> | [y](z) `q`"
    text = to_markdown(study([record(evil, exits=(3,))]), **(CONSTANT | {"title": evil}))
    assert not re.search(r"(?<!\\)[<*`\[]b?x?", text.replace("[^", ""))
    for table in tables(text):
        assert len({len(cells) for cells in rows(table)}) == 1


@pytest.mark.parametrize(
    "evil",
    [
        "# x",
        "a\n\n# x",
        "a\r\n## x",
        "```\nx",
        "<script>x</script>",
        "\x1b[31mx",
        "a\x1b]8;;http://x\x07",
        "\u202ex",
        "https://x.y",
    ],
)
def test_a_name_is_no_heading_fence_link_or_escape(evil):
    plain = to_markdown(study([record("N", exits=(3,)), failure("N")]), **(CONSTANT | {"title": "N"}))
    text = to_markdown(study([record(evil, exits=(3,)), failure(evil)]), **(CONSTANT | {"title": evil}))
    assert len(text.splitlines()) == len(plain.splitlines())
    assert [line for line in text.splitlines()[1:] if line.startswith("#")] == re.findall(
        "^## .*$", plain, re.MULTILINE
    )
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e`]|<script|(?<!\\\\):(?=//)", text.replace("\\`", ""))


def test_nothing_finished_is_said_in_words():
    assert "No run finished, so there is nothing to compare." in to_markdown(study([failure()]), **CONSTANT)


def test_two_sides_stay_apart_and_what_changed_is_told():
    old, new = (tuple(paper_grid((seed, 3), ("HRNet3", "HRNet4"))) for seed in (1, 2))
    compared = side_by_side(ComparisonSide(name="May", entries=old), ComparisonSide(name="June_2", entries=new))
    text = to_markdown(compared, **CONSTANT)
    assert "First side: May\n\nSecond side: June\\_2" in text
    assert text.split("\n\n")[1].startswith("From the first side to the second: ")
    assert "## What changed" in text
    every = text.split("## Every exit")[1].split("##")[0]
    named = [cells for cells in rows(every) if "(first)" in cells[0] or "(second)" in cells[0]]
    assert [cells[0].strip() for cells in named] == [
        "HRNet3 (first)", "HRNet3 (second)", "HRNet4 (first)", "HRNet4 (second)",
    ]  # fmt: skip
    assert {cells[3].strip() for cells in named} == {"2"}, "runs of one side"


def fake(folder, script):
    path = folder / "chromium"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


PRINTS = """
for each; do
  case "$each" in
    --print-to-pdf=*) target="${each#--print-to-pdf=}" ;;
    file://*) source="${each#file://}" ;;
  esac
done
{ printf '%%PDF '; cat "$source"; } > "$target"
"""


def test_the_browser_is_given_the_page_and_what_it_prints_comes_back(tmp_path):
    browser = fake(tmp_path, PRINTS)
    assert to_pdf("<p>CO₂</p>", browser=str(browser)) == "%PDF <p>CO₂</p>".encode()


def test_a_browser_that_prints_nothing_is_quoted(tmp_path):
    browser = fake(tmp_path, "echo first >&2; echo no display >&2; exit 1")
    with pytest.raises(ReportError, match="printed nothing: no display"):
        to_pdf("<p></p>", browser=str(browser))


def test_a_machine_without_a_browser_is_told_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ReportError, match=r"-o FILE\.html"):
        find_browser()
    browser = fake(tmp_path, PRINTS)
    assert find_browser() == str(browser)


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="no browser on this machine")
def test_a_real_browser_prints_the_page():
    assert to_pdf("<h1>Report</h1>", browser=find_browser()).startswith(b"%PDF-")
