"""The baseline file: what each exit is allowed to cost, one value a line, and which of its values are checked."""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StrictFloat, StrictInt, ValidationError, WrapValidator
from pydantic_core import PydanticCustomError

from greenpose.check.verdict import few
from greenpose.errors import CheckError
from greenpose.metrics import CONVENTIONS, SCORE, convention_of
from greenpose.schema import Document, from_json, keys_in, near, parse

SCHEMA: Literal["greenpose.baseline/1"] = "greenpose.baseline/1"
FILE = Path("greenpose-baseline.json")
"""Where a baseline lies unless told otherwise."""
KEY = re.compile(r"(?:(?P<experiment>[^/]+)/)?(?P<where>exit\d+)\.(?P<metric>\w+)(?:\.(?P<operator>.+))?")
AP_DECIMALS = 4
"""Decimals of an AP in the file: far below its interval, and readable."""
MOST = 2**53
"""Greatest count: whole numbers beyond it are not told apart in floating point."""


def _number(value: Any, check: Callable[[Any], Any]) -> Any:
    """Return a number, or say once that it is none: of two types that fit, pydantic reports each."""
    try:
        return check(value)
    except ValidationError:
        raise PydanticCustomError("number", "is not a number") from None


Value = Annotated[StrictInt | StrictFloat, WrapValidator(_number)]


class Context(Document):
    """What must agree before an experiment's values are compared with it."""

    data: str | None = None
    """What accuracy was evaluated on; null for what was only profiled."""
    input: str
    """Width and height of an image, e.g. `64x64`."""
    network: str
    """Shape of the network."""
    torch: str
    """Minor version of torch; `peak_bytes` and `operations` belong to it."""


class Margins(Document):
    """How much worse something may be than the baseline before it counts."""

    ap: float = Field(default=0.02, ge=0, lt=1)
    """Of AP, as a fraction: the floor is the baseline's AP minus this."""
    score: float | None = Field(default=None, ge=0, exclude_if=lambda value: value is None)
    """Of what exits of an own loop are judged by, in its unit; left out: 0.02 of a fraction, else 2 % of the value."""


class Baseline(Document):
    """What was accepted, when, why, and by which versions."""

    schema_: Literal["greenpose.baseline/1"] = Field(default=SCHEMA, alias="schema")
    """Version of this layout."""
    reason: str = Field(min_length=1)
    """Why these values are fine, in the words of whoever accepted them last."""
    accepted_at: str
    """UTC time of that, ISO 8601."""
    commit: str | None = None
    """What was checked out then; null outside a repository. The change that it belongs to usually comes right after."""
    greenpose: str
    """Version of GreenPose that wrote the file."""
    conventions: dict[str, str]
    """What each quantity counts; values under another convention are not compared."""
    margins: Margins = Margins()
    """Tolerances; yours to edit."""
    experiments: dict[str, Context] = Field(min_length=1)
    """By name, what makes their values comparable."""
    values: dict[str, Value]
    """`exit3.macs`, or with several experiments `HRNet4/exit3.macs`; `exit3.operations.add` is the calls of one
    operator. Parameters, MACs, bytes per image, calls per inference, AP as a fraction; `exit3.score` is what an own
    loop is judged by."""

    def key(self, experiment: str, name: str) -> str:
        """Return the key of an experiment's quantity."""
        return key_of(self.experiments, experiment, name)

    def values_of(self, experiment: str) -> dict[str, float]:
        """Return an experiment's values by name without the experiment."""
        start = self.key(experiment, "")
        return {key.removeprefix(start): value for key, value in self.values.items() if key.startswith(start)}

    @property
    def places(self) -> dict[tuple[str, str], float]:
        """Return all values by experiment and name."""
        return {(one, name): value for one in self.experiments for name, value in self.values_of(one).items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """A baseline and where each of its values stands."""

    name: str
    """The file, as the user named it."""
    baseline: Baseline
    """What it holds."""
    lines: Mapping[str, int]
    """Line of each key of `values`, from 1."""


def key_of(experiments: Mapping[str, Any], experiment: str, name: str) -> str:
    """Return the key of a quantity: with the experiment's name only where the file holds several."""
    return f"{experiment}/{name}" if len(experiments) > 1 else name


def read_baseline(path: Path) -> Filed:
    """Return the baseline in a file.

    Raises:
        CheckError: if there is no such file or it is damaged; all faults are named.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        remedy = f"make one: greenpose check CANDIDATE --baseline {path} --update --reason TEXT"
        raise CheckError([f"{path}: no such file; {remedy}"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise CheckError([f"{path}: cannot be read: {error}"]) from None
    return _parse(text, str(path))


def dumps(baseline: Baseline) -> str:
    """Return the file's text: sorted, one value a line."""
    document = baseline.model_dump(mode="json", by_alias=True)
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _parse(text: str, where: str) -> Filed:
    data = _object(text, where)
    baseline, faults = parse(Baseline, data, where=where)
    lines = _lines(text)
    for key, line in lines.items():
        faults = [fault.replace(f"{where}: values.{key}: ", f"{where}:{line}: values.{key}: ", 1) for fault in faults]
    if baseline is not None:
        faults = [f"{where}:{lines.get(key, 1)}: {fault}" for key, fault in _key_faults(baseline)]
    if baseline is None or faults:
        raise CheckError(faults)
    return Filed(name=where, baseline=baseline, lines=lines)


def _object(text: str, where: str) -> dict[str, Any]:
    """Return the JSON object in a text, a key given twice refused."""
    if any(line.startswith(("<<<<<<< ", ">>>>>>> ")) for line in text.splitlines()):
        raise CheckError([f"{where}: has the marks of a merge conflict; settle it, or take one side and --update"])
    try:
        data = from_json(text)
    except ValueError as error:
        raise CheckError([f"{where}: not a baseline: {error}"]) from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if not isinstance(data, dict) or schema != SCHEMA:
        raise CheckError([f"{where}: schema is {schema!r}; this version reads {SCHEMA}"])
    return data


def _lines(text: str) -> dict[str, int]:
    """Return the line on which each key of `values` stands."""
    lines, number, before = {}, 1, 0
    for path, start in keys_in(text):
        number, before = number + text.count("\n", before, start), start
        if len(path) == 2 and path[0] == "values":
            lines[str(path[1])] = number
    return lines


def _key_faults(baseline: Baseline) -> Iterator[tuple[str, str]]:
    """Yield each key of `values` that means nothing, and why."""
    several = len(baseline.experiments) > 1
    for key, value in baseline.values.items():
        match = KEY.fullmatch(key)
        fault = _name_fault(match) if match else f"write exit3.macs{' after EXPERIMENT/' if several else ''}"
        if match and not fault:
            fault = _experiment_fault(match["experiment"], list(baseline.experiments), several=several)
        if match and not fault:
            fault = _value_fault(value, match["metric"])
        if fault:
            yield key, f"values.{key}: {fault}"


def _value_fault(value: float, metric: str) -> str:
    if metric == SCORE.name:
        return "" if math.isfinite(value) else f"{value} is no finite number"
    if metric == "ap":
        return "" if 0 <= value <= 1 else f"{value} is out of range: AP is a fraction between 0 and 1"
    counted = 0 <= value <= MOST and value == int(value)
    return "" if counted else f"{value} is out of range: a count is a whole number between 0 and {MOST}"


def _name_fault(match: re.Match[str]) -> str:
    metric = match["metric"]
    if not convention_of(metric):
        return f"{metric} is not compared exactly; {near(metric, sorted(CONVENTIONS))}"
    if (metric == "operations") != (match["operator"] is not None):
        return "write exit3.operations.OPERATOR for the calls of an operator, and no further part for anything else"
    return ""


def _experiment_fault(experiment: str | None, known: list[str], *, several: bool) -> str:
    if several and experiment is None:
        return f"begin with the experiment, e.g. {known[0]}/"
    if experiment is not None and experiment not in known:
        return f"no experiment {experiment} above; {near(experiment, known)}"
    return "" if several or experiment is None else "leave the experiment out: there is only one"


OWN = re.compile(r"(exit\d+(/\w+)?|final|train|run)\.")
"""How a name without an experiment begins."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Patterns of names; without any, everything is selected."""

    patterns: tuple[str, ...] = ()
    """Names such as `exit3.macs`, `HRNet4/exit3.macs`, `exit3`, `HRNet4`, with `*` for anything."""

    def __contains__(self, name: str) -> bool:
        """Return whether a quantity is selected; without an experiment, a pattern means that of every experiment."""
        return not self.patterns or any(_fits(pattern, name) for pattern in self.patterns)

    def require(self, names: Iterable[str]) -> None:
        """Refuse patterns that select nothing.

        Raises:
            CheckError: naming each of them, with near matches.
        """
        known = sorted(names)
        faults = [
            f"--only {pattern}: matches no quantity here; {_hint(pattern, known)}"
            for pattern in self.patterns
            if not any(_fits(pattern, name) for name in known)
        ]
        if faults:
            raise CheckError(faults)


def without_experiment(name: str) -> str:
    """Return `exit3.macs` of `HRNet4/exit3.macs`; a name that has no experiment stays as it is."""
    return name if OWN.match(name) else name.partition("/")[2] or name


def _fits(pattern: str, name: str) -> bool:
    """Return whether a pattern means a name, or what the name belongs to."""
    names = {name, without_experiment(name)}
    endings = ("", ".*", "/*") if not OWN.match(f"{pattern}.") else ("", ".*")
    return any(fnmatchcase(each, pattern + ending) for each in names for ending in endings)


def _hint(pattern: str, known: Sequence[str]) -> str:
    """Return near matches among quantities and experiments; where there are none, what can be written."""
    short = [name for name in known if ".operations." not in name]
    experiments = sorted({name.partition("/")[0] for name in short if not OWN.match(name)})
    hint = near(pattern, [*experiments, *short])
    if hint.startswith("did") or not short:
        return hint
    example = without_experiment(short[0])
    says = f"name an exit or a quantity, as {example.partition('.')[0]} or {example}"
    return f"{says}, or an experiment: {few(experiments, 8)}" if experiments else says
