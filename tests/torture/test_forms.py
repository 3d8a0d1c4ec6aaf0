"""Hostile words in records, budgets and verdicts: every form that GreenPose writes keeps its own structure."""

import csv
import io
import itertools
import json
import os
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

from markdown_it import MarkdownIt

from tests.torture import SIZES, conclude, dice, size
from tests.torture.nursery import command, settings
from tests.torture.test_reading import at_work

WORDS = (
    *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '" onmouseover="alert(1)'),
    *("'><svg onload=alert(1)>", "</title><b>", "</style><script>1</script>", "<!--", "]]>", "&lt;i&gt;&amp;"),
    *("javascript:alert(1)", "<a href=//x>y</a>", "=1+1", "+1", "-1+cmd|' /C calc'!A0", "@SUM(1)", "\t=1", "\r=1"),
    *('"', 'a","b', "a;b", "a\nb", "a\rb", "a\r\n=1", "::error file=x::y", "\n::error::y", "\r::add-mask::y"),
    *("%0A::warning::y", "##[error]y", "x::y,line=1::z", "\x1b[31mred", "\x1b]8;;http://x\x1b\\y\x1b]8;;\x1b\\"),
    *("\x07", "\x08\x08", "\x00", "\x9b31m", "\x85", "\u2028::error::x", "\u202egnp", "\u2066x\u2069"),
    *("\u200e\u200f", "\ufffe", "\uffff", "\x0b\x0c", "\x1c::error::x", "# head", "\n# head", "[a](http://x)"),
    *("![a](http://x)", "`` ` ``", "```\nx", "|", "a|b|c", "\n|x|y|", "<b>", "**b**", "> x", "\n- x", "\n1. x"),
    *("\\|", "\\", "a\\`b", "~~x~~", "http://x.test/y", "@someone", "#1", "--- ", "\n---", "<details>"),
    *("\\input{/etc/passwd}", "\\write18{x}", "$x$", "%x", "a%\nb", "{", "}", "a & b", "#1_2^3~", "\\end{tabular}"),
    *("\\\\", "[/x]", "[bold]b", "[link=http://x]y[/link]", "[red", "\\[/x]", ":smile:", "../../../etc/passwd"),
    *("/etc/passwd", "C:\\aux"),
)
BESIDE = ("{}", "a {}", "{} b", "a{}b", "{0}{0}")
PLAIN = "ordinary"
FIELDS = (
    *(("name",), ("experiment",), ("grid",), ("host", "cpu"), ("host", "os"), ("software", "torch"), ("git", "commit")),
    *(("carbon", "label"), ("carbon", "country"), ("config", "name"), ("stopped",), ("axes",), ("dataset", "files")),
)
BAD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffe\uffff]")
FORMULA = re.compile(r"[=@\t\r]|[+-](?!(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$|inf$)", re.IGNORECASE)
PRINTED = ("terminal", "md", "xml", "sarif", "json", "github")
"""Forms that a job may print into its log, where some lines are commands."""
ENDS = ("html", "md", "csv", "tex")
ANSWERS = ("txt", "xml", "sarif", "github", "md", "json")


class Tags(HTMLParser):
    """The elements of a page and the names of their attributes."""

    def __init__(self, page):
        super().__init__()
        self.found = set()
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found |= {tag, *(f"{name}=" for name, _ in attrs)}

    def handle_comment(self, data):
        self.found.add("comment" if data else "empty comment")


def html(page):
    """Return what kinds of element and attribute there are."""
    return Tags(page).found


def marks(page):
    """Return how many blocks of each kind there are, and which kinds of mark inside them."""
    tokens = MarkdownIt("commonmark").enable("table").parse(page)
    inner = {child.type for token in tokens for child in token.children or ()}
    return Counter(token.type for token in tokens), inner - {"text", "softbreak", "text_special", "code_inline"}


def rows(page):
    """Return the numbers of cells, and of cells that a spreadsheet would work out."""
    read = [*csv.reader(io.StringIO(page, newline=""))]
    return [len(row) for row in read], sum(bool(FORMULA.match(cell)) for row in read for cell in row)


def latex(page):
    """Return the lines, and how often each line divides, comments and opens something."""
    said = re.sub(r"\\(textbackslash|textasciitilde|textasciicircum|text\w+)(\{\})?", "", page)
    said = re.sub(r"\\[&%$#_{}~^\\]", lambda found: "\\\\" if found[0] == "\\\\" else "", said)
    return Counter(re.findall(r"\\[A-Za-z]+|\\\\|[%&$#^~]", said)), said.count("{") - said.count("}"), page.count("\n")


def tags(page):
    """Return the elements of a file of XML, in order."""
    return [element.tag for element in ET.fromstring(page).iter()]


def shape(page):
    """Return the keys of a JSON document, without what is between them."""

    def keys(node):
        if isinstance(node, dict):
            return {name: keys(value) for name, value in node.items()}
        return [keys(value) for value in node] if isinstance(node, list) else type(node).__name__

    return keys(json.loads(page))


def commands(page):
    """Return how each line of a job's log begins, where that is a command."""
    return [found[1] for line in re.split("[\n\r]", page) if (found := re.match(r"(::\w+|##\[\w+)", line))]


STRUCTURE = {"html": html, "md": marks, "csv": rows, "tex": latex, "xml": tags, "sarif": shape, "json": shape}


def differs(ending, page, plain):
    """Return what a hostile word changed beyond words; nothing where it changed nothing."""
    faults = []
    found = BAD.search(page.replace("\r\n", "\n") if ending == "csv" else page)
    if found and ending not in ("sarif", "json"):  # which escape what needs to be, and are read by programs
        faults.append(f"{found[0]!r} is in it: {page[max(0, found.start() - 40) : found.end() + 20]!r}")
    if ending in PRINTED and commands(page) != commands(plain):
        faults.append(f"{len(commands(page))} commands instead of {len(commands(plain))}")
    try:
        now, was = (STRUCTURE[ending](each) for each in (page, plain)) if ending in STRUCTURE else (0, 0)
    except (ValueError, ET.ParseError, csv.Error) as error:
        return [*faults, f"cannot be read: {error}"]
    if now != was and not (isinstance(now, set) and now <= was):
        more = now - was if isinstance(now, set | Counter) else f"{now} instead of {was}"
        faults.append(f"another structure: {str(more)[:200]}")
    return faults


def write(word, field, endings):
    """Write record, failure and budgets with a word in them, and every form of both commands; return what is said."""
    record = json.loads(Path("sound.json").read_text())
    holder = record
    for key in field[:-1]:
        holder = holder[key]
    holder[field[-1]] = {word: word} if field[-1] in ("axes", "files") else word
    Path("run").mkdir(exist_ok=True)
    Path("run/record.json").write_bytes(json.dumps(record).encode())
    failure = json.loads(Path("failure.json").read_text()) | {"message": word, "phase": word}
    Path("lost").mkdir(exist_ok=True)
    Path("lost/failure.json").write_text(json.dumps(failure))
    budgets = [
        {"budget": "exit3.macs <= 1", "reason": word},
        {"budget": "exit4.macs <= 1", "level": "warn", "reason": word},
    ]
    Path("u.yaml").write_text(json.dumps({"budgets": budgets}))
    outputs = [part for ending in endings for part in ("-o", f"page.{ending}")]
    date = ("--date", "2026-01-01T00:00:00Z")
    said = [command("report", "run", "lost", *outputs, "--title", word, *date)]
    said.append(
        command("check", "run", "--budgets", "u.yaml", "--format", "text,junit,sarif,github,markdown,json", "-o", "out")
    )
    return said


def pages():
    """Return each file that was written, by what it is."""
    found = {f"report.{ending}": Path(f"page.{ending}") for ending in ENDS}
    found |= {f"check.{file.suffix[1:]}": file for file in Path("out").glob("*") if file.suffix[1:] in ANSWERS}
    return {name: file.read_bytes().decode() for name, file in found.items() if file.exists()}


def clear():
    for file in (*Path().glob("page.*"), *Path("out").glob("*")):
        file.unlink()


def attack(folder, number, fields, endings, told):
    """Put hostile words through every form, in this process."""
    os.chdir(folder)
    os.environ.update(settings(folder))
    rolled = dice("forms")
    words = [
        form.format(word) if "{" not in word and "}" not in word else word
        for form, word in itertools.product(BESIDE, WORDS)
    ]
    first, rest = words[: len(WORDS)], words[len(WORDS) :]
    rolled.shuffle(first)
    rolled.shuffle(rest)
    plain, faults, refused, forms = {}, [], 0, Counter()
    for word in [*first, *rest][:number]:
        field = rolled.choice(fields)
        if field not in plain:
            clear()
            plain[field] = [said for _, said, _ in write(PLAIN, field, endings)], pages()
        clear()
        label = f"{word!r} as {'.'.join(field)}"
        for (code, said, fault), what, was in zip(
            write(word, field, endings), ("report", "check"), plain[field][0], strict=True
        ):
            refused += code == 2
            forms["terminal"] += bool(said)
            if fault is not None or code not in (0, 1, 2, 3):
                faults.append(f"{label}: {what}: {type(fault).__name__}: {str(fault)[:100]}")
            faults += [f"{label}: {what}'s own words: {one}" for one in differs("terminal", said, was) if code != 2]
        for name, page in pages().items():
            forms[name] += 1
            ending = name.rpartition(".")[2]
            faults += [f"{label}: {name}: {one}" for one in differs(ending, page, plain[field][1].get(name, ""))]
    told.write_text(json.dumps({"faults": faults, "refused": refused, "forms": forms}))


@SIZES
def test_hostile_words_change_no_form_beyond_its_words(tmp_path, full):
    from greenpose.record import dumps
    from tests.report.records import failure, record

    (tmp_path / "sound.json").write_text(dumps(record("HRNet4-OKD")))
    (tmp_path / "failure.json").write_text(dumps(failure("HRNet3")))
    number, told = size(full, short=5, whole=200), tmp_path / "told.json"
    assert at_work(attack, str(tmp_path), number, FIELDS if full else FIELDS[:1], ENDS if full else ENDS[1:], told) == 0
    left = json.loads(told.read_text())
    assert len(left["forms"]) >= (8 if full else 7)
    conclude("hostile words", number, left["faults"], refusals=left["refused"], **left["forms"])
