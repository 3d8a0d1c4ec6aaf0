"""The index: one page that lists the reports and histories under a folder, by what each page says of itself."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from greenpose.formatting import exact, plural, shown, with_prefix

NAME = "index.html"
"""What the index is called where nobody says otherwise."""
META = "greenpose"
"""Name of the element in which a page says what it is."""
KINDS = ("report", "history", "index")
"""What a page of GreenPose can be."""
HEAD = 16 * 1024
"""Bytes at a page's beginning in which it says so: before its style sheet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexLine:
    """A page of GreenPose, as it describes itself; what it does not say is empty."""

    path: Path
    """Where it lies."""
    size: int
    """Bytes."""
    title: str = ""
    """Its title."""
    kind: str = ""
    """One of `KINDS`; empty for a page of a version that did not say."""
    says: str = ""
    """Its verdict, in a sentence."""
    date: str = ""
    """When it was made, as printed on it."""
    grade: str = ""
    """How well its energy was measured: A, B or C."""
    runs: str = ""
    """How much it is about: `4 runs`."""


def description(kind: str, *, says: str, date: str, grade: str = "", runs: str = "") -> str:
    """Return what a page says of itself, for its element `<meta name="greenpose">`; `read_page` reads it."""
    return json.dumps({"kind": kind, "says": says, "date": date, "grade": grade, "runs": runs}, ensure_ascii=False)


def runs_told(done: int, failed: int) -> str:
    """Return `4 runs`, or `3 runs, 1 not finished`."""
    return plural(done, "run") + (f", {exact(failed)} not finished" if failed else "")


def pages_below(folder: Path) -> list[Path]:
    """Return the HTML files in and below a folder, in order; hidden folders and links to folders are left out."""
    found = []
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(where, name) for name in sorted(names) if Path(name).suffix.lower() in (".html", ".htm")]
    return found


def read_page(path: Path) -> IndexLine | str:
    """Return what a page says of itself, or why it cannot be listed."""
    try:
        with path.open("rb") as file:
            beginning, size = file.read(HEAD), path.stat().st_size
            file.seek(max(0, size - HEAD))
            whole = b"</html>" in file.read()
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    head = _Head()
    head.feed(beginning.decode("utf-8", errors="replace"))
    if not head.metas.get("generator", "").startswith("GreenPose"):
        return "no page of GreenPose"
    if not whole:
        return "broken: it has no end"
    return IndexLine(path=path, size=size, title=shown(" ".join(head.title.split())), **_described(head.metas))


def _described(metas: dict[str, str]) -> dict[str, str]:
    """Return what a page says; nothing where an earlier version made it, or somebody changed it."""
    try:
        said = json.loads(metas.get(META, ""))
    except ValueError:
        return {}
    if not isinstance(said, dict) or said.get("kind") not in KINDS:
        return {}
    return {key: shown(str(said.get(key, ""))) for key in ("kind", "says", "date", "grade", "runs")}


class _Head(HTMLParser):
    """Reads title and named metas of a page's head; nothing in it can fail."""

    def __init__(self) -> None:
        super().__init__()
        self.title, self.metas, self._in_title, self._over = "", dict[str, str](), False, False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._over = self._over or tag in ("style", "body")
        said = dict(attrs)
        if tag == "meta" and not self._over and said.get("name"):
            self.metas[str(said["name"])] = said.get("content") or ""
        self._in_title = tag == "title" and not self._over and not self.title

    def handle_data(self, data: str) -> None:
        self.title += data if self._in_title else ""


def is_index(path: Path) -> bool:
    """Return whether a file may be written over by an index: there is none, or it is one."""
    found = read_page(path) if path.exists() else None
    return found is None or (isinstance(found, IndexLine) and found.kind == "index")


def index_page(pages: Iterable[Path], *, at: Path, title: str, date: str, version: str) -> str:
    """Return the page that lists others, newest first, with links from where it will lie; what is none is named."""
    import jinja2

    found = [(path, read_page(path)) for path in pages]
    lines = sorted((each for _, each in found if isinstance(each, IndexLine)), key=lambda each: str(each.path))
    lines.sort(key=lambda each: each.date, reverse=True)
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(resource("index.html.j2")).render(
        title=shown(title),
        date=date,
        version=version,
        about=description("index", says=f"Lists {plural(len(lines), 'page')}.", date=date),
        style=resource("style.css"),
        lines=[(_link(each.path, at), each, with_prefix(each.size, "B", 2)) for each in lines],
        others=list(_others(found, at)),
    )


def _others(found: Sequence[tuple[Path, IndexLine | str]], at: Path) -> Iterator[str]:
    for path, each in sorted(found, key=lambda pair: str(pair[0])):
        if isinstance(each, str):
            yield f"{shown(os.path.relpath(path, at.parent))}: {each}"


def _link(path: Path, at: Path) -> str:
    """Return where a page lies from the index, as an address: no scheme, and nothing in it that is markup."""
    return quote(Path(os.path.relpath(path, at.parent)).as_posix())


def resource(name: str) -> str:
    """Return a file of this room, such as the style sheet of its pages."""
    return files("greenpose.report").joinpath(name).read_text(encoding="utf-8")
