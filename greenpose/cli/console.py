"""The console: results to stdout, progress and complaints to stderr, one JSON document instead where asked.

What is the user's, as a name or a path, is shown as it is: no markup is read in it, nothing in it steers the terminal.
"""

import codecs
import errno
import functools
import inspect
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, NamedTuple, TextIO

import typer
from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from greenpose.errors import FaultsError, GreenPoseError, said
from greenpose.formatting import in_log, shown

EXIT_OK = 0
EXIT_REGRESSED = 1
EXIT_USAGE = 2
EXIT_UNSURE = 3
EXIT_RUNS_FAILED = 4
EXIT_INTERRUPTED = 130

MOST_COLUMNS = 1000
"""No table of ours is wider."""
WIDTH = 120
"""Columns of output that goes to a file or a pipe."""

EPILOG = (
    "Exit codes: 0 fine; 1 regressed, or doctor --strict unmet; 2 usage, configuration or data error; "
    "3 inconclusive or incomparable; 4 a grid finished with failed runs; 130 interrupted."
)


class Manner(NamedTuple):
    """How a command is to answer."""

    json: bool = False
    """With one JSON document on stdout and nothing else."""
    quiet: bool = False
    """With results and errors only."""
    verbose: bool = False
    """With more, where there is more to say."""


PLAIN = Manner()
MANNERS = {
    "json": (bool, typer.Option("--json", help="Print one JSON document on stdout, nothing else.")),
    "quiet": (bool, typer.Option("--quiet", "-q", help="Print results and errors only.")),
    "verbose": (bool, typer.Option("--verbose", "-v", help="Say more, where there is more to say.")),
}
"""The options that every command has, whether or not it has more to say."""


def gathered(
    name: str, kind: Callable[..., object], options: Mapping[str, tuple[Any, Any]], default: Any = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator, by which a command takes `options` in the place of its parameter `name`: a `kind` of them.

    Each option is a type, and what typer is to know of it.
    """

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def taking(**given: Any) -> None:
            taken = {option: given.pop(option) for option in options}
            command(**given, **{name: kind(**taken)})

        own = [each for each in inspect.signature(command).parameters.values() if each.name != name]
        added = [
            inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[of, about])
            for option, (of, about) in options.items()
        ]
        signature = inspect.Signature([*own, *added])
        taking.__dict__["__signature__"] = signature
        taking.__annotations__ = {name: each.annotation for name, each in signature.parameters.items()}
        return taking

    return decorated


def with_manners(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that takes these options in the place of its parameter `manner`, and tells faults in words."""

    @functools.wraps(command)
    def answered(*, manner: Manner, **given: Any) -> None:
        try:
            command(**given, manner=manner)
        except (GreenPoseError, EOFError, ImportError, OSError) as error:
            faults = faults_in(error, command.__name__)
            if not faults:
                raise
            for fault in faults:
                err().print(note(fault, "error"), soft_wrap=True)
            if manner.json:
                print_json({"error": list(faults)})
            raise typer.Exit(EXIT_USAGE) from error

    return gathered("manner", Manner, MANNERS, default=False)(answered)


def faults_in(error: Exception, command: str = "") -> tuple[str, ...]:
    """Return what is the user's or the machine's fault in a command's error, in words; nothing for one of our own."""
    if isinstance(error, GreenPoseError):
        return error.faults if isinstance(error, FaultsError) else (str(error),)
    if isinstance(error, EOFError):
        return (f"something read ended before it was whole: {error}",)
    if isinstance(error, ImportError):
        ours = (error.name or "greenpose").partition(".")[0] == "greenpose"
        return () if ours else (_cannot_import(error, command),)
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        return ("another process ended before it was told everything; nothing was judged",)
    return (f"{getattr(error, 'filename', None) or 'input/output'}: {getattr(error, 'strerror', None) or error}",)


EXTRAS: Mapping[str, frozenset[str]] = {
    "train": frozenset(
        ("PIL", "codecarbon", "cv2", "jaxtyping", "ptflops", "pycocotools", "safetensors", "thop", "torch")
    ),
    "deploy": frozenset(("nncf", "onnx", "onnxruntime", "onnxscript", "openvino")),
    "predict": frozenset(("PIL", "cv2", "jaxtyping", "onnxruntime", "openvino")),
    "init": frozenset(("sleap_io",)),
    "slurm": frozenset(("submitit",)),
}
"""What each extra brings beside what `pip install greenpose` does, by the names that are imported."""


def _cannot_import(error: ImportError, command: str) -> str:
    """Return which extra brings a package that is not installed: the command's own, where that has it."""
    bring = [extra for extra, packages in EXTRAS.items() if error.name in packages]
    if not bring or not isinstance(error, ModuleNotFoundError):
        return f"{error.name} cannot be imported: {said(error)}; install it again"
    extra = command if command in bring else bring[0]
    return f"{error.name}, which this needs, is not installed: pip install 'greenpose[{extra}]' brings it"


PLAINER = str.maketrans(
    dict(zip("\u00a0\u202f–—−←·“”‘’✓•µ²₂∼≈†│─━▁▂▃▄▅▆▇█", "  ---<.\"\"''v*u22~~+|--12345678", strict=True))
    | {"→": "->", "▼": "v", "×": "x", "…": "...", "±": "+/-", "≤": "<=", "≥": ">=", "°": " deg"}
)
"""What stands for signs of ours that a terminal cannot show."""


class Output(Console):
    """A console on which no number of a table is cut, and that nothing shown on it steers.

    In a narrower terminal the lines of a table go on in the next. Bars and status lines are drawn by hooks that rich
    pushes; the one that writes out what would steer the terminal stays behind them all.
    """

    def __init__(self, **options: Any) -> None:
        """Take what rich's console takes; no markup is read."""
        super().__init__(highlight=False, markup=False, emoji=False, **options)
        super().push_render_hook(_Harmless())

    def push_render_hook(self, hook: RenderHook) -> None:
        """Add a hook, before the last one."""
        with self._lock:
            self._render_hooks.insert(-1, hook)

    def pop_render_hook(self) -> None:
        """Remove the hook that was added last."""
        with self._lock:
            del self._render_hooks[-2]

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, as wide as the tables among the objects need."""
        columns = self.width
        self.width = max([columns, *(self._needed(each) for each in objects if isinstance(each, Table))])
        try:
            super().print(*objects, **options)
        finally:
            self.width = columns

    def _needed(self, table: Table) -> int:
        """Return how many columns a table takes of which words would be cut or left out; none where they would not."""
        wide = self.options.update(width=MOST_COLUMNS, max_width=MOST_COLUMNS)
        whole = self._words(table, self.options) == self._words(table, wide)
        return 0 if whole else Measurement.get(self, wide, table).maximum

    def _words(self, table: Table, options: ConsoleOptions) -> list[str]:
        lines = self.render_lines(table, options, pad=False)
        return sorted(word for line in lines for word in "".join(part.text for part in line).split())


def out() -> Console:
    """Return the console for results."""
    width = None if sys.stdout.isatty() else WIDTH
    return Output(width=width)


def err(*, quiet: bool = False) -> Console:
    """Return the console for progress and complaints."""
    width = None if sys.stderr.isatty() else WIDTH
    return Output(stderr=True, width=width, quiet=quiet)


def note(says: str, level: str = "note") -> Text:
    """Return a line that is to be noticed, of a level: a note, a warning, or an error, which is red."""
    return Text.assemble((f"{level}: ", "red" if level == "error" else "yellow"), says)


def print_json(document: Any) -> None:
    """Print the one JSON document of a command; what stdout cannot hold is escaped."""
    whole = codecs.lookup(sys.stdout.encoding or "ascii").name == "utf-8"
    sys.stdout.write(json.dumps(document, indent=1, ensure_ascii=not whole, default=str) + "\n")


def last_streams() -> None:
    """Let stdout and stderr take everything to the end: closed ones drop it, narrow ones take what they can show."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # closed, as by `>&-`: the next file opened would get its number, and all that is printed
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    codecs.register_error("plainer", _plainer)
    sys.stdout = _lasting(sys.stdout, 1)
    sys.stderr = _lasting(sys.stderr, 2)


def delivered(code: int) -> int:
    """Return the exit code of an answer that is out; refuse one that was cut, lest its code be taken for a verdict."""
    sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, _Lasting) and raw.lost is not None:
        raise GreenPoseError(f"standard output: {raw.lost} before the answer was out; its code is no verdict")
    return code


class _Lasting(io.FileIO):
    """A stream's file that is written to as long as that goes, and takes everything else too."""

    lost: str | None = None
    """Why something was not written; None while everything was."""

    def write(self, data: Any) -> int:
        """Write bytes, or drop them where nobody can take them any more."""
        try:
            return super().write(data) or 0
        except OSError as error:
            self.lost = error.strerror or str(error)
            return memoryview(data).nbytes


def _lasting(stream: TextIO | None, number: int) -> TextIO:
    raw = _Lasting(number, "w", closefd=False)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    line_buffering = number == 2 or raw.isatty()
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=encoding, errors="plainer", line_buffering=line_buffering)


def _plainer(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for text that a stream cannot hold: a plainer sign, else the letter's code."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return text.translate(PLAINER).encode("ascii", "backslashreplace").decode(), error.end


class _Harmless(RenderHook):
    """Writes out what in a line would steer the terminal, or the job whose log it is in."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Return what is printed instead."""
        return [_Shown(each) for each in renderables]


class _Shown:
    def __init__(self, inner: ConsoleRenderable) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        line: list[Segment] = []
        for text, style, control in console.render(self._inner, options):
            first, *others = [text] if control else text.split("\n")
            line.append(Segment(first, style, control) if control else Segment(shown(first), style))
            for other in others:
                yield from _no_command(line)
                yield Segment.line()
                line = [Segment(shown(other), style)]
        yield from _no_command(line)


def _no_command(line: list[Segment]) -> list[Segment]:
    """Return a line that no CI system takes for a command."""
    text = "".join(segment.text for segment in line if not segment.control)
    safe = in_log(text)
    return line if safe == text else [Segment(safe, line[0].style)]
