"""The table in LaTeX, held to its grammar; it compiles with pdflatex, booktabs and graphicx, where they are."""

import re
import shutil
import subprocess

import pytest

from greenpose.report.forms import escape, to_latex
from greenpose.report.study import Side, side_by_side, study
from tests.report.exits import MISSING_AP
from tests.report.published import published
from tests.report.records import paper_grid, record

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
        side_by_side(Side(name="May", entries=old), Side(name="June", entries=new)), title="x", version="0.1.0"
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
