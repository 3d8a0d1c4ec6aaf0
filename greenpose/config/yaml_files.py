"""Reading YAML that people write: a folder, an empty file, a key given twice are all told in words, with the line."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from greenpose.errors import ConfigError
from greenpose.schema import near, nearest, shown

YAML = (".yaml", ".yml")
"""How the name of a file of settings ends."""
MOST_BYTES = 1_000_000
"""No file of settings is larger; YAML of that size would be read for half a minute."""
MOST_VALUES = 100_000
"""Values of one file, those that an alias repeats included."""
DEEPEST = 50
"""Levels of one file."""
MOST_OPENED = 250
"""Lists and mappings that one line can open inside of each other, for libyaml, which counts no levels, to read it."""


class _Checked(yaml.constructor.SafeConstructor):
    """YAML's safe values, of which a key given twice and a word that is secretly a truth value are errors."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping of a node."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _fault("a key must be plain text", key)
            if key.tag in {"tag:yaml.org,2002:bool", "tag:yaml.org,2002:null"}:
                what = "nothing" if key.tag.endswith("null") else "a truth value"
                raise _fault(f"YAML reads the key {key.value} as {what}; put it in quotes: {key.value!r}", key)
            if key.value in seen:
                raise _fault(f"key {key.value!r} is given twice", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the value of a node."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, IndexError, AttributeError, TypeError, OverflowError):
            kind = node.tag.removeprefix("tag:yaml.org,2002:")
            text = str(node.value)
            said = text if len(text) <= 40 else f"{text[:40]}... ({len(text)} characters)"
            raise _fault(f"{said} is no {kind} that can be read; put it in quotes if it is text", node) from None


class _Loader(_Checked, yaml.SafeLoader):
    """The loader whose errors are told."""


class _Fast(_Checked, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # chosen where it is loaded
    """The same eight times as fast where libyaml is there, for text that is sound and not deep enough to crash it."""


def _fault(what: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, what, node.start_mark)


def packaged_experiment(name: str) -> Path:
    """Return the path of an experiment or grid that ships with GreenPose, e.g. `quick`."""
    known = _packaged()
    if name not in known:
        raise ConfigError([f"{name}: no packaged experiment of that name; {near(name, list(known))}"])
    return known[name]


def _packaged() -> dict[str, Path]:
    package = Path(__file__).parent.parent
    folders = (package.parent / "experiments", package / "experiments")
    return {file.stem: file for folder in folders for file in sorted(folder.glob("*.yaml"))}


def experiment_file(path: Path) -> Path:
    """Return a file as it is, or where there is none, the packaged experiment of that name."""
    return path if path.exists() else _packaged().get(str(path), path)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds.

    Raises:
        ConfigError: if the file is missing, no YAML, or no mapping.
    """
    data = parse_yaml(_text(path), where=str(path))
    if data is None:
        raise ConfigError([f"{path}: is empty; it takes keys and values, e.g. train: {{epochs: 5}}"])
    if not isinstance(data, dict):
        what = "a list" if isinstance(data, list) else shown(data)
        raise ConfigError([f"{path}: holds {what}, not keys and values, e.g. train: {{epochs: 5}}"])
    return data


def parse_yaml(text: str, *, where: str) -> Any:
    """Return what YAML says.

    Raises:
        ConfigError: if it is no YAML, or says what no setting can be; with the line.
    """
    try:
        data = _loaded(text)
    except yaml.YAMLError as error:
        raise ConfigError([f"{where}: not valid YAML: {_told(error)}"]) from None
    except RecursionError:
        raise ConfigError([f"{where}: is nested deeper than {DEEPEST} levels"]) from None
    fault = _unusable(data)
    if fault:
        raise ConfigError([f"{where}: {fault}"])
    return data


def _loaded(text: str) -> Any:
    """Return what YAML says; the slow loader reads what may be deep, and again what the fast one finds at fault."""
    if sum(map(text.count, ("[", "{", "- ", "? "))) <= MOST_OPENED:
        with contextlib.suppress(yaml.YAMLError):
            return yaml.load(text, Loader=_Fast)  # noqa: S506 - a safe loader that also refuses duplicates
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - likewise


def _told(error: yaml.YAMLError) -> str:
    """Return a fault of YAML with its line and column."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        what = " ".join(filter(None, (error.context, error.problem)))
        return f"line {mark.line + 1}, column {mark.column + 1}: {what}"
    return " ".join(str(error).split())


def _unusable(data: Any) -> str | None:
    """Return what no setting can be: too deep, too much, or text that cannot be written down."""
    left, count = [(data, 0)], 0
    while left:
        value, level = left.pop()
        count += 1
        if level > DEEPEST:
            return f"is nested deeper than {DEEPEST} levels, or holds itself by an alias"
        if count > MOST_VALUES:
            return f"holds more than {MOST_VALUES:,} values, those that aliases repeat included"
        if isinstance(value, str) and any(
            character == "\0" or "\ud800" <= character <= "\udfff" for character in value
        ):
            return f"{value!r} holds a character that no text, path or name can have"
        if isinstance(value, Mapping):
            left += [(each, level + 1) for pair in value.items() for each in pair]
        elif isinstance(value, list | tuple | set):
            left += [(each, level + 1) for each in value]
    return None


def _text(path: Path) -> str:
    try:
        if path.is_dir():
            raise ConfigError([f"{path}: is a folder; give a file{_files_in(path)}"])
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError([f"{path}: is larger than {MOST_BYTES:,} bytes, and no file of settings"])
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(["; ".join(filter(None, [f"{path}: no such file", _hint(path)]))]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8"]) from None
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError([f"{path}: cannot be read: {what}"]) from None


def _files_in(folder: Path) -> str:
    names = sorted(file.name for file in folder.glob("*.y*ml"))
    return f" in it: {', '.join(names[:8])}" if names else " of settings (YAML)"


def _hint(path: Path) -> str:
    """Return what may have been meant by a file that is not there: one beside it, else one that ships."""
    siblings = [each.name for each in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
    hint = meant(path, siblings)
    return hint or ("" if path.suffix else f"of those that ship, {near(path.name, list(_packaged()))}")


def meant(path: Path, siblings: Sequence[str]) -> str:
    """Return a hint at what may have been meant by a path at which nothing is; empty where there is nothing like it.

    That is what has nearly its name beside it, or among the experiments that ship; else a few of its siblings.
    """
    shipped = nearest(path.stem if path.suffix in YAML else path.name, list(_packaged()))
    hint = nearest(path.name, siblings) or (shipped and f"of those that ship, {shipped}")
    return hint or (near(path.name, siblings) if siblings else "")
