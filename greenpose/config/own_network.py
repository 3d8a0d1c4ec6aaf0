"""A network of one's own: the function that gives it, its settings, and where its source lies with which digest.

Nothing is imported here: the source is read as text, so that whoever only reads records needs none of its packages.
"""

import ast
import hashlib
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from greenpose.config.wiring import Exit
from greenpose.errors import ConfigError
from greenpose.schema import Document, Place, near

FACTORY = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"
INSTALLED = {"site-packages", "dist-packages"}
"""Folders whose packages are known by their version, not by every file of theirs."""
OF_HRNET = ("width", "stem_width", "modules", "blocks", "init")
"""Settings that only HRNet has."""


def _with_colon(factory: str) -> str:
    if not re.match(FACTORY, factory) or factory.endswith("\n") or factory.partition(":")[0].endswith(".py"):
        path, colon, function = factory.removesuffix("()").partition(":")
        module = re.sub(r"\W+", ".", path.removesuffix(".py")).strip(".") or "net"
        meant = f"{module}:{function}" if colon and function.isidentifier() else f"{module}:build"
        raise ValueError(
            f"{factory!r} names no function; write package.module:function, e.g. "
            f"{meant if re.match(FACTORY, meant) else 'net:build'}"
        )
    return factory


class OwnNetworkConfig(Document):
    """A network of one's own, or of a package: the function that gives it, and what the function takes."""

    factory: Annotated[str, AfterValidator(_with_colon), Field(json_schema_extra={"pattern": FACTORY})]
    """`package.module:function`, found beside the experiment's file, else on Python's path. The function gives an
    `nn.Module` from images to heatmaps by exit; docs/own_network.md says more."""
    exits: tuple[Exit, ...] = (1,)
    """Exits of the network, shallow to deep."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """What the function is called with, by name."""
    weights: Place | None = None
    """File of weights to start from, under the network's own names."""
    partial: bool = False
    """True: such weights may fill less than 90 % of the network's tensors; the others stay as they are made."""
    folder: Place | None = None
    """Folder that the module was found in; a run keeps it. Null: it is looked for."""
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Digest of the network's source, which a run keeps: with another one it is neither gone on with nor measured.
    Null: taken from what is found."""

    @model_validator(mode="before")
    @classmethod
    def _nothing_of_hrnet(cls, given: Any) -> Any:
        strange = [key for key in OF_HRNET if isinstance(given, Mapping) and key in given]
        if strange:
            which = ", ".join(strange)
            raise ValueError(
                f"{which} {'are settings' if len(strange) > 1 else 'is a setting'} of HRNet, and factory"
                f" {given['factory']} gives another network; what its function takes belongs into model.settings"
            )
        return given

    @model_validator(mode="after")
    def _distinct_exits(self) -> "OwnNetworkConfig":
        if not self.exits or len(set(self.exits)) != len(self.exits):
            raise ValueError(f"exits {list(self.exits)} must be distinct and at least one, e.g. [1, 2]")
        return self

    @property
    def module(self) -> str:
        """Return the module's dotted name."""
        return self.factory.partition(":")[0]

    @property
    def function(self) -> str:
        """Return the function's name."""
        return self.factory.partition(":")[2]


class NetworkSource(NamedTuple):
    """Where a network's source lies."""

    folder: Path
    """The folder that its module is imported from."""
    files: dict[str, Path]
    """Each file by its module's dotted name; the network's own first."""

    @property
    def file(self) -> Path:
        """Return the file with the network's function."""
        return next(iter(self.files.values()))

    @property
    def sha256(self) -> str:
        """Return one digest of all files, by their names and contents."""
        digest = hashlib.sha256()
        for name, file in sorted(self.files.items()):
            content = file.read_bytes()
            digest.update(f"{name} {len(content)}\n".encode() + content)
        return digest.hexdigest()


def with_source(model: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a model's settings with where its source lies, and its digest; those of a run have them already.

    Raises:
        ConfigError: if the source cannot be found or read.
    """
    given = dict(model)
    factory = given.get("factory")
    if not isinstance(factory, str) or not re.match(FACTORY, factory) or given.get("sha256") is not None:
        return given
    place = given.get("folder")
    beside = folder if place is None else folder / Path(str(place)).expanduser()
    found = source_of(factory, beside)
    return given | {"folder": str(found.folder), "sha256": found.sha256}


def source_of(factory: str, folder: Path) -> NetworkSource:
    """Return the source of a network: its module's file, and what that imports from beside it.

    The module is looked for in `folder`, then on Python's path. What is imported from elsewhere than beside the
    experiment counts only within the module's own package, and of installed packages the one file.

    Raises:
        ConfigError: if there is no such module, or one of the files is no Python.
    """
    module = factory.partition(":")[0]
    folder = folder.absolute()
    places = [folder, *(Path(entry or ".").absolute() for entry in sys.path)]
    home = next((place for place in places if _file(module, place) is not None), None)
    if home is None:
        beside = [file.stem for file in sorted(folder.glob("*.py"))]
        hint = f"; {near(module, beside)}" if beside else ""
        raise ConfigError([f"model.factory: {module}: no such module in {folder}, nor on Python's path{hint}"])
    try:
        return NetworkSource(home, _followed(module, home, everything=home == folder))
    except SyntaxError as error:
        raise ConfigError([f"model.factory: {error.filename}: line {error.lineno}: {error.msg}"]) from None
    except (OSError, ValueError) as error:
        raise ConfigError([f"model.factory: {module} in {home} cannot be read: {error}"]) from None


def _file(module: str, folder: Path) -> Path | None:
    """Return the file of a module in a folder of Python's path; None where there is none."""
    path = folder.joinpath(*module.split("."))
    files = (path / "__init__.py", path.with_name(f"{path.name}.py"))
    return next((file for file in files if file.is_file()), None)


def _followed(module: str, home: Path, *, everything: bool) -> dict[str, Path]:
    """Return the files of a module and of what it imports, and that imports, from the same place."""
    files: dict[str, Path] = {}
    left = [module]
    while left:
        name = left.pop()
        file = _file(name, home)
        if file is None or name in files:
            continue
        files[name] = file
        if INSTALLED.isdisjoint(home.parts):
            package = name if file.name == "__init__.py" else name.rpartition(".")[0]
            tree = ast.parse(file.read_bytes(), filename=str(file))
            imported = [each for each in _imports(tree, package) if everything or _top(each) == _top(module)]
            left += [part for each in [name, *imported] for part in _parents(each)]
    return files


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Yield the dotted names that a file's imports may mean."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join(filter(None, [*above, node.module or ""]))
            yield from filter(None, [base, *(f"{base}.{alias.name}".strip(".") for alias in node.names)])


def _parents(name: str) -> list[str]:
    """Return a dotted name and all that lead to it."""
    parts = name.split(".")
    return [".".join(parts[: number + 1]) for number in range(len(parts))]


def _top(name: str) -> str:
    return name.partition(".")[0]
