"""Networks of one's own behind the surface of HRNet: exits, heatmaps by exit, an exit's network by itself.

What the function of `model.factory` gives may be any module. An exit's own network is, in this order: what the module's
`truncate(exit)` gives; the module asked for that exit alone, where its forward takes `exits`, less the layers that this
never calls; else the whole module.
"""

import copy
import functools
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from greenpose.config import OwnNetworkConfig
from greenpose.config.own_network import NetworkSource, source_of
from greenpose.errors import ConfigError, ModelError
from greenpose.model.architecture import named
from greenpose.schema import near

INNER = "inner."
"""What the wrapper would put before the names of the module's tensors."""
CUT = "truncated network"
"""What an exit's own network is that holds nothing behind the exit."""
Factory = Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnShape:
    """What builds a network of one's own, and which of its exits are read."""

    described: str
    """The settings of `model` as JSON, which can be compared and hashed."""
    exits: tuple[int, ...]
    """Exits that are read, ascending; the function hears of all that the settings name."""
    num_joints: int
    """Heatmaps per exit."""
    input_size: tuple[int, int]
    """Width and height of the images, in pixels."""
    stride: int
    """Pixels of the images for one of a heatmap."""

    @classmethod
    def of(cls, config: OwnNetworkConfig, **sizes: Any) -> "OwnShape":
        """Return the shape of the network that a configuration describes; `sizes` are the other fields."""
        return cls(described=config.model_dump_json(), exits=tuple(sorted(config.exits)), **sizes)

    @property
    def config(self) -> OwnNetworkConfig:
        """Return the settings of `model`."""
        return OwnNetworkConfig.model_validate_json(self.described)

    @property
    def heatmap_shape(self) -> tuple[int, int, int]:
        """Return keypoints, height and width of an image's heatmaps."""
        width, height = self.input_size
        return self.num_joints, height // self.stride, width // self.stride

    @property
    def keywords(self) -> dict[str, Any]:
        """Return what builds such a network; exported files say it in their header."""
        config = self.config
        names = ("factory", "settings", "sha256")
        return {name: getattr(config, name) for name in names} | {"exits": self.exits, "num_joints": self.num_joints}

    def at(self, exits: Collection[int]) -> "OwnShape":
        """Return the shape of the same network with some of its exits read.

        Raises:
            ModelError: the network has no such exits.
        """
        have = self.config.exits
        strange = [exit_ for exit_ in exits if exit_ not in have]
        if strange:
            raise ModelError([f"exit {strange[0]!r} does not exist; this network has {named(sorted(have))}"])
        return replace(self, exits=tuple(sorted(exits)))

    def only(self, exit_number: int) -> "OwnShape":
        """Return the shape of what one exit needs.

        Raises:
            ModelError: the network has no such exit.
        """
        return self.at((exit_number,))

    def build(self) -> "OwnNetwork":
        """Return the network as its function makes it; of a single exit that it can be cut at, only what that needs.

        Raises:
            ModelError: in words, whatever the function or its module raises.
        """
        module = _made(self)
        is_cut = len(self.exits) == 1 < len(self.config.exits) and hasattr(module, "truncate")
        return OwnNetwork(_cut(module, self.exits[0], self.config) if is_cut else module, self, is_cut=is_cut)


def _made(shape: OwnShape) -> nn.Module:
    config = shape.config
    factory = load_factory(config)
    with theirs(config):
        module = factory(**_arguments(factory, config, shape))
    if not isinstance(module, nn.Module):
        raise ModelError([f"{config.factory} gives {_kind(module)}, not a network (torch.nn.Module)"])
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise ModelError([f"{config.factory} gives a network without parameters: there is nothing to be trained"])
    return module


def load_factory(config: OwnNetworkConfig) -> Factory:
    """Return the function that makes a network, its module imported.

    Raises:
        ModelError: it cannot be imported, is not there, or its source is not what it was when the run was planned.
    """
    return _loaded(config.factory, config.folder or ".", config.sha256)


@functools.lru_cache(maxsize=16)
def _loaded(name: str, folder: str, sha256: str | None) -> Factory:
    config = OwnNetworkConfig(factory=name, folder=folder)
    try:
        source = source_of(name, Path(folder))
    except ConfigError as error:
        where = "; put it back, or let measure know its place now: --set model.folder=FOLDER"
        raise ModelError([f"{fault.removeprefix('model.factory: ')}{where}" for fault in error.faults]) from None
    if sha256 is not None and source.sha256 != sha256:
        raise ModelError(
            [
                f"{source.file}: the network's source is not what it was when this run was planned (SHA-256"
                f" {source.sha256[:12]} now, {sha256[:12]} then): its figures would be of neither; put it back, or run"
                " the experiment anew"
            ]
        )
    _forget(source)
    sys.path.insert(0, str(source.folder))
    try:
        with theirs(config), redirect_stdout(sys.stderr):
            module = importlib.import_module(config.module)
    finally:
        sys.path.remove(str(source.folder))
    if str(source.folder) not in sys.path:
        sys.path.append(str(source.folder))  # for what is imported when the network is built or run
    return _function(module, config, source)


def _forget(source: NetworkSource) -> None:
    """Let modules of the same names, but of other files or of an earlier state of these, be imported anew."""
    importlib.invalidate_caches()
    is_own = {"site-packages", "dist-packages"}.isdisjoint(source.folder.parts)
    for name in source.files if is_own else ():
        sys.modules.pop(name, None)


def _function(module: Any, config: OwnNetworkConfig, source: NetworkSource) -> Factory:
    factory = getattr(module, config.function, None)
    if callable(factory):
        return cast("Factory", factory)
    own = [name for name, each in vars(module).items() if callable(each) and not name.startswith("_")]
    what = "no function" if factory is None else f"{_kind(factory)}, no function,"
    raise ModelError([f"{source.file} has {what} {config.function}; {near(config.function, own)}"])


def _arguments(factory: Factory, config: OwnNetworkConfig, shape: OwnShape) -> dict[str, Any]:
    """Return what a function is called with: its settings, and of ours what it names.

    Raises:
        ModelError: with every setting that it does not take, and every one that it needs.
    """
    settings = dict(config.settings)
    ours = {"num_joints": shape.num_joints, "exits": tuple(sorted(config.exits)), "input_size": shape.input_size}
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return settings
    takes = [name for name, each in parameters.items() if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    is_open = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    given = {name: value for name, value in ours.items() if name in takes} | settings
    faults = [
        f"{config.factory} takes no setting {name}; {near(name, takes) if takes else 'it takes none'}"
        for name in ([] if is_open else settings)
        if name not in takes
    ]
    faults += [
        f"{config.factory} needs {name}; give it in model.settings"
        for name in takes
        if parameters[name].default is inspect.Parameter.empty and name not in given
    ]
    if faults:
        raise ModelError(faults)
    return given


@contextmanager
def theirs(config: OwnNetworkConfig) -> Iterator[None]:
    """Tell in one line, with file and line, what code that is not ours raises.

    Raises:
        ModelError: instead.
    """
    try:
        yield
    except ModelError:
        raise
    except (Exception, SystemExit) as error:  # somebody else's code may raise anything
        raise ModelError([f"{config.factory} cannot be used: {_told(error)}"]) from error


def _told(error: BaseException) -> str:
    """Return an error in one line, with the last place in somebody's own file that it passed."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}: line {error.lineno}: {error.msg}"
    ours = str(Path(__file__).parents[1])
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not each.filename.startswith((ours, "<"))]
    own = [each for each in frames if "site-packages" not in each.filename and "importlib" not in each.filename]
    place = (own or frames)[-1:]
    at = "".join(f"{each.filename}: line {each.lineno}: " for each in place)
    said = " ".join(str(error).split())
    return f"{at}{type(error).__name__}{f': {said}' if said else ''}"


def _kind(thing: Any) -> str:
    name = type(thing).__name__
    return "nothing (None)" if thing is None else f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


class OwnNetwork(nn.Module):
    """Any module, as the rooms use HRNet; its tensors keep the names that they have without the wrapper."""

    def __init__(self, inner: nn.Module, shape: OwnShape, *, is_cut: bool = False) -> None:
        """Wrap a module; `is_cut` is one that has been cut at the only exit of the shape."""
        super().__init__()
        self.inner = inner
        self.architecture = shape
        self.is_cut = is_cut
        self.is_asked = not is_cut and _takes_exits(inner)
        """Whether the module's forward is told which exits to compute."""
        self.register_state_dict_post_hook(_bare_names)  # type: ignore[no-untyped-call]  # torch's
        self.register_load_state_dict_pre_hook(_wrapped_names)  # type: ignore[no-untyped-call]  # torch's

    @property
    def exits(self) -> tuple[int, ...]:
        """The exits that are read, ascending."""
        return self.architecture.exits

    @property
    def depth(self) -> int:
        """The last exit."""
        return self.architecture.exits[-1]

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> dict[int, Tensor]:
        """Return one heatmap per keypoint at every exit, by exit."""
        return self.read(images, self.exits)

    def read(self, images: Float[Tensor, "batch 3 height width"], exits: Sequence[int]) -> dict[int, Tensor]:
        """Return the heatmaps of some exits; no more is computed than the module's own forward does for these.

        Raises:
            ModelError: in words, whatever the module raises, or what it gives that are no heatmaps by exit.
        """
        config = self.architecture.config
        told = {"exits": tuple(exits)} if self.is_asked else {}
        with theirs(config):
            output = self.inner(images, **told)
        given = exits if self.is_asked or self.is_cut else sorted(config.exits)
        found = by_exit(output, given, config, is_cut=self.is_cut)
        return {exit_: found[exit_] for exit_ in exits}

    def truncate(self, exit_number: int) -> "OwnExitNetwork":
        """Return a copy of what one exit needs, in the same mode (training or eval).

        Raises:
            ModelError: this network has no such exit, or the module cannot be cut or copied.
        """
        shape, config = self.architecture.only(exit_number), self.architecture.config
        is_cut = hasattr(self.inner, "truncate") and not self.is_cut
        inner = _cut(self.inner, exit_number, config) if is_cut else self.inner
        with theirs(config):
            sub = OwnExitNetwork(copy.deepcopy(inner), shape, is_cut=is_cut or self.is_cut)
        sub.train(self.training)
        if sub.is_asked:
            for name in self._unneeded(exit_number):
                parent, _, child = name.rpartition(".")
                setattr(sub.inner.get_submodule(parent), child, nn.Identity())
        return sub

    def _unneeded(self, exit_number: int) -> tuple[str, ...]:
        """Return the layers with tensors that an exit's forward neither calls nor learns through, found once."""
        known: dict[int, tuple[str, ...]] = self.__dict__.setdefault("known_unneeded", {})
        if exit_number not in known:
            known[exit_number] = _idle_layers(self, exit_number)
        return known[exit_number]


class OwnExitNetwork(OwnNetwork):
    """What one exit needs; give it images, get that exit's heatmaps."""

    @property
    def exit(self) -> int:
        """The only exit."""
        return self.depth

    @property
    def what(self) -> str:
        """Return what of the module it is, in words, as methods of figures say it."""
        if self.is_cut:
            return CUT
        is_last = self.exit == max(self.architecture.config.exits)
        later = "" if is_last else "; later parts may have been computed"
        return f"network of one's own {'asked for this exit alone' if self.is_asked else 'as a whole'}{later}"

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Tensor:  # type: ignore[override]  # as HRNet's
        """Return one heatmap per keypoint."""
        return self.read(images, self.exits)[self.depth]


def _bare_names(net: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    """Take the wrapper's own part out of the names of what is saved."""
    del net
    for name in [name for name in state if name.startswith(prefix + INNER)]:
        state[prefix + name.removeprefix(prefix + INNER)] = state.pop(name)


def _wrapped_names(net: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Put it back into the names of what is loaded."""
    del net
    for name in [name for name in state if name.startswith(prefix)]:
        state[prefix + INNER + name.removeprefix(prefix)] = state.pop(name)


def _takes_exits(module: nn.Module) -> bool:
    return "exits" in inspect.signature(module.forward).parameters


def _cut(module: nn.Module, exit_number: int, config: OwnNetworkConfig) -> nn.Module:
    with theirs(config):
        cut = cast("Any", module).truncate(exit_number)
    if not isinstance(cut, nn.Module):
        raise ModelError([f"{config.factory}: truncate({exit_number}) gives {_kind(cut)}, not a network"])
    return cut


def _idle_layers(net: OwnNetwork, exit_number: int) -> tuple[str, ...]:
    with theirs(net.architecture.config):
        probe = OwnNetwork(copy.deepcopy(net.inner), net.architecture).eval()
    called: set[nn.Module] = set()
    layers = {name: layer for name, layer in probe.inner.named_modules() if name and not any(layer.children())}
    for layer in layers.values():
        layer.register_forward_hook(lambda layer, *_: called.add(layer))
    width, height = net.architecture.input_size
    images = torch.zeros(1, height, width, 3, device=next(net.parameters()).device).permute(0, 3, 1, 2)
    with torch.inference_mode(mode=False), torch.enable_grad():
        probe.zero_grad(set_to_none=True)
        probe.read(images, (exit_number,))[exit_number].sum().backward()  # type: ignore[no-untyped-call]  # torch's
    return tuple(
        name
        for name, layer in layers.items()
        if layer not in called
        and any(True for _ in (*layer.parameters(), *layer.buffers()))
        and all(parameter.grad is None for parameter in layer.parameters())
    )


def by_exit(output: Any, exits: Sequence[int], config: OwnNetworkConfig, *, is_cut: bool = False) -> dict[int, Tensor]:
    """Return heatmaps by exit from what a module gives: a mapping, a list or tuple shallow to deep, or one tensor.

    `is_cut` is a module that has been cut at the only exit.

    Raises:
        ModelError: it gives something else, or other exits.
    """
    wanted = sorted(exits)
    whose = f"the network of truncate({wanted[0]})" if is_cut else "its network"
    if isinstance(output, Tensor):
        output = [output]
    if isinstance(output, Mapping):
        found = {_number(key): value for key, value in output.items()}
    elif isinstance(output, list | tuple):
        if len(output) != len(wanted):
            few = f"{len(output)} thing{'' if len(output) == 1 else 's'}"
            raise ModelError([f"{config.factory}: {whose} gives {few} for {named(wanted)}; one for each is needed"])
        found = dict(zip(wanted, output, strict=True))
    else:
        raise ModelError(
            [
                f"{config.factory}: {whose} gives {_kind(output)}; it is to give heatmaps by exit: a dict such as"
                " {1: ..., 2: ...}, a list or tuple shallow to deep, or one tensor"
            ]
        )
    faults = [f"gives no heatmaps for exit {exit_}, which model.exits names" for exit_ in wanted if exit_ not in found]
    faults += [
        f"gives exit {key}, which was not asked for; model.exits names {wanted}" for key in found if key not in wanted
    ]
    faults += [
        f"gives {_kind(value)} at exit {key}, not a tensor"
        for key, value in found.items()
        if not isinstance(value, Tensor)
    ]
    if faults:
        raise ModelError([f"{config.factory}: {whose} {fault}" for fault in faults])
    return found


def _number(key: Any) -> Any:
    return int(key) if isinstance(key, str) and key.isdigit() else key


def package_version(config: OwnNetworkConfig) -> dict[str, str]:
    """Return the version of the package that a network comes from; nothing where it is a file of one's own."""
    package = config.module.partition(".")[0]
    try:
        return {package: version(package)}
    except PackageNotFoundError:
        return {}
