"""A pytest plugin: tests fail when a network costs more than what was accepted.

    def test_footprint(footprint):
        footprint.check(net, torch.zeros(1, 3, 256, 192), name="exit3")

An image may also be a tuple, the network's inputs in their order, or a dict, its inputs by name.

Counted, not measured: parameters, MACs, bytes of activations, most bytes alive at once, and calls of torch's operators,
of the network as it is given (one in training mode calls other operators). `pytest --footprint-update` accepts; the
file, `footprint.json` beside pytest's configuration unless `footprint_file` says otherwise, is meant to be reviewed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from torch import Tensor, nn

SCHEMA = "greenpose.footprint/1"

Counts = dict[str, Any]
"""By name: a number, or the calls of each operator."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--footprint-update` and the setting `footprint_file`."""
    group = parser.getgroup("footprint", "footprint of networks")
    group.addoption("--footprint-update", action="store_true", help="Accept what networks cost now.")
    parser.addini("footprint_file", "File of accepted footprints, relative to the root.", default="footprint.json")


@pytest.fixture
def footprint(request: pytest.FixtureRequest) -> "Checker":
    """Return what compares a network's cost with what was accepted for it."""
    config = request.config
    path = config.rootpath / config.getini("footprint_file")
    return Checker(path=path, update=config.getoption("--footprint-update"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Checker:
    """Compares networks with a file of accepted footprints."""

    path: Path
    """The file."""
    update: bool
    """Whether to accept instead of comparing."""
    seen: set[str] = field(default_factory=set)
    """Names used in this test."""

    def check(self, net: "nn.Module", image: "Tensor | tuple[Any, ...] | dict[str, Any]", *, name: str) -> None:
        """Fail the test where `net` costs more, or otherwise, than accepted under `name`.

        `image` is a batch of one: a tensor, a tuple of the network's inputs, or a dict of them by name. What cannot be
        counted fails the test too.
        """
        __tracebackhide__ = True
        if name in self.seen:
            pytest.fail(f"footprint {name!r} is checked twice in this test; give each network its own name")
        self.seen.add(name)
        here = _counted(net, image)
        if self.update:
            _accept(self.path, name, here)
            return
        accepted = _read(self.path)
        if name not in accepted:
            pytest.fail(f"{self.path.name} has no {name!r} yet; run pytest --footprint-update and review the file")
        fault = _fault(accepted[name])
        if fault:
            pytest.fail(f"{self.path.name}: {name!r}: {fault}; remove it and accept anew")
        worse = _worse(accepted[name], here)
        if worse:
            hint = "if that is wanted, pytest --footprint-update and review the file"
            pytest.fail("\n".join([f"{name} costs more than {self.path.name} allows:", *worse, hint]))


def _counted(net: "nn.Module", image: Any) -> Counts:
    import torch

    from greenpose.check.footprint import minor
    from greenpose.counting import CountingError, count_network
    from greenpose.metrics import OPERATIONS

    inputs = image if isinstance(image, tuple) else () if isinstance(image, dict) else (image,)
    named = image if isinstance(image, dict) else {}
    try:
        sizes, calls = count_network(net, *inputs, **named)
        return {**sizes, OPERATIONS: calls, "input": _shapes(image), "torch": minor(torch.__version__)}
    except CountingError as error:
        pytest.fail(f"this network cannot be counted: {error}")


def _shapes(image: Any) -> str:
    """Return what goes in, as text: 1x3x8x8, (1x3x8x8, 1x5), {mask: 1x5}; of what is no tensor its value."""
    if isinstance(image, list | tuple):
        return f"({', '.join(map(_shapes, image))})"
    if isinstance(image, dict):
        return f"{{{', '.join(f'{name}: {_shapes(value)}' for name, value in sorted(image.items()))}}}"
    return "x".join(map(str, image.shape)) if hasattr(image, "shape") else repr(image)


def _worse(accepted: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Return a line for each quantity that rose, or that another input forbids to compare."""
    from greenpose.check.verdict import of_calls, of_counts
    from greenpose.metrics import BY_NAME, COUNTED, OPERATIONS, moved_by

    moved = f"not comparable: the input was {accepted['input']} and is {here['input']}"
    lines = []
    for metric in (*(each.name for each in COUNTED), OPERATIONS):
        if moved_by(metric, "input") and accepted["input"] != here["input"]:
            lines.append(f"  {metric}: {moved}")
            continue
        if moved_by(metric, "torch") and accepted["torch"] != here["torch"]:
            continue
        before, after = accepted[metric], here[metric]
        calls = of_calls(before, after) if metric == OPERATIONS else None
        outcome, says = calls or of_counts(before, after, BY_NAME[metric].counted_unit)
        lines += [f"  {metric}: {says}"] if outcome == "regressed" else []
    return lines


def _fault(accepted: Any) -> str:
    """Return what is wrong with an accepted footprint, as after an edit; empty where nothing is."""
    from greenpose.check.baseline import MOST
    from greenpose.metrics import COUNTED

    if not isinstance(accepted, dict):
        return f"is {accepted!r}, no footprint"
    calls = accepted.get("operations")
    numbers = {name: accepted.get(name) for name in (metric.name for metric in COUNTED)}
    numbers |= calls if isinstance(calls, dict) else {"operations": calls}
    words = {name: accepted.get(name) for name in ("input", "torch")}
    wrong = [name for name, value in numbers.items() if type(value) is not int or not 0 <= value <= MOST]
    wrong += [name for name, value in words.items() if not isinstance(value, str)]
    return f"no whole number, or no text, under {', '.join(map(str, wrong))}" if wrong else ""


def _read(path: Path) -> dict[str, Counts]:
    """Return the accepted footprints by name; none where there is no file yet."""
    from greenpose.schema import from_json

    if not path.exists():
        return {}
    try:
        document = from_json(path.read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA:
            pytest.fail(f"{path}: schema is {document['schema']!r}; this version reads {SCHEMA}")
        footprints: dict[str, Counts] = dict(document["footprints"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        pytest.fail(f"{path}: not a file of footprints ({type(error).__name__} {error}); remove it and accept anew")
    return footprints


def _accept(path: Path, name: str, here: Counts) -> None:
    """Put a footprint into the file; other processes, as those of pytest-xdist, wait meanwhile."""
    from greenpose.files import locked, write_text

    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_name(f".{path.name}.lock")):
        document = {"footprints": _read(path) | {name: here}, "schema": SCHEMA}
        write_text(path, json.dumps(document, indent=1, sort_keys=True) + "\n")
