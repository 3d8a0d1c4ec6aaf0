"""The exits of an own loop: what is given of each is checked, its network counted, and all are metered in turns.

A network of torch is run in evaluation mode, and counted; of any other callable the user says the sizes.
"""

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from greenpose.errors import GreenPoseError, RecordError, said
from greenpose.intervals import Bounds
from greenpose.ledger.costs import cost_quantities, measured_fields, size_quantities
from greenpose.metering import CarbonAccounting, ExitMeasurement, Meter, Plan, measure_exits
from greenpose.metrics import COUNTED, MACS, MOST, PARAMS
from greenpose.quantity import Kind, Quantity, missing
from greenpose.record import Exit, basis_of, with_bases
from greenpose.record.metric import KNOWN, OwnMetric

GIVEN = "given by the program that was metered"
NOT_METERED = "no network was given for this exit"
ALIKE = 1e-4
"""Two calls on the same images agree within this part of the largest number: sums in another order differ by less."""
_REFUSALS = (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, AssertionError, GreenPoseError)
"""What a network raises that cannot be run on what it was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnExit:
    """One exit, as its program gave it."""

    exit: int
    """Exit number."""
    metrics: Mapping[str, Quantity]
    """What it reaches, by name."""
    sizes: Mapping[str, Quantity]
    """What is counted of it, by name."""
    operations: Mapping[str, int]
    """Calls of torch's operators; empty where nobody counted."""
    net: Any
    """Its network; None where none was given."""
    images: Any
    """What the network is called with."""
    items: int
    """Images in it."""


def own_exit(
    number: int, *, net: Any, images: Any, metrics: Mapping[str, Quantity], sizes: Mapping[str, Any]
) -> OwnExit:
    """Return an exit whose network was tried and counted.

    Raises:
        GreenPoseError: if the network cannot be run, gives nothing, changes its numbers, or cannot be counted.
    """
    where = f"exit {number}"
    items = 0 if net is None else _items(images, where)
    if net is not None:
        _require_alike(net, images, where)
    counted, operations = _counted(net, images, items, sizes, where)
    return OwnExit(
        exit=number, metrics=metrics, sizes=counted, operations=operations, net=net, images=images, items=items
    )


def scores(
    given: Mapping[str, Any], declared: Sequence[OwnMetric], *, where: str
) -> tuple[dict[str, Quantity], OwnMetric]:
    """Return what an exit reaches by each metric, and the metric that exits are judged by.

    Raises:
        RecordError: with every fault.
    """
    known = {metric.name: metric for metric in declared}
    faults: list[str] = []
    found: dict[str, Quantity] = {}
    for name, value in given.items():
        metric = known.get(name) or (OwnMetric(name=name, **KNOWN[name]) if name in KNOWN else None)
        if metric is None:
            faults.append(
                f"{where}: metric {name!r}: nobody knows whether more of it is better; say so at the start: "
                f"greenpose.experiment(..., metrics={{{name!r}: 'higher'}}), or 'lower'"
            )
            continue
        known[name] = metric
        each = _score(value, metric, f"{where}: {name}")
        faults += [each] if isinstance(each, str) else []
        found |= {} if isinstance(each, str) else {name: each}
    first = declared[0].name if declared else next(iter(given), "")
    if first not in given:
        faults.append(f"{where}: has no {first or 'metric'}; give metrics={{{first or 'top1'!r}: (0.91, 0.89, 0.93)}}")
    if faults:
        raise RecordError(faults)
    return found, known[first]


def _score(value: Any, metric: OwnMetric, where: str) -> Quantity | str:
    """Return a value with its interval, or what is wrong with it."""
    parts = list(value) if isinstance(value, tuple | list) else [value]
    if len(parts) not in (1, 3) or any(isinstance(part, str | bool | None) for part in parts):
        return f"{where}: is {value!r:.60}; give a number, or (number, low, high)"
    try:
        number, low, high = (*map(float, parts), *([0.0, 0.0] if len(parts) == 1 else []))
    except (TypeError, ValueError):
        return f"{where}: is {value!r:.60}; give a number, or (number, low, high)"
    ends = Bounds(low, high) if len(parts) == 3 else None
    fault = _fault(number, ends or Bounds(number, number), metric)
    if fault:
        return f"{where}: {fault}"
    method = f"{GIVEN}, {'with its interval' if ends else 'without an interval'}"
    return Quantity(value=number, unit=metric.unit, kind="computed", method=method, type_a=ends)


def _fault(number: float, ends: Bounds, metric: OwnMetric) -> str:
    """Return what cannot be of a value with its interval; empty where all of it can."""
    low, high = ends
    if not all(map(math.isfinite, (number, low, high))):
        return f"is {number}, {low} to {high}; numbers must be finite"
    if low > high:
        return f"the interval {low:g} to {high:g} is the wrong way round; give (number, low, high)"
    if not low <= number <= high:
        return f"{number:g} lies outside its interval, {low:g} to {high:g}"
    if not (-MOST if metric.row.signed else 0.0) <= low <= high <= metric.row.most:
        return (
            f"is {number:g}, {low:g} to {high:g}; a fraction lies between 0 and 1: give 0.91 for 91 %, or say another "
            f"unit at the start: metrics={{{metric.name!r}: {{'unit': '%'}}}}"
        )
    return ""


def _is_module(net: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(net, torch.nn.Module)


def _call(net: Callable[..., Any], images: Any) -> Any:
    """Call a network: with names for a mapping, one by one for a tuple."""
    if isinstance(images, Mapping):
        return net(**images)
    return net(*images) if isinstance(images, tuple) else net(images)


@contextmanager
def evaluating(nets: Sequence[Any]) -> Iterator[None]:
    """Have networks of torch in evaluation mode and without gradients until the block ends."""
    modules = [module for net in nets if _is_module(net) for module in net.modules()]
    modes = [module.training for module in modules]
    with ExitStack() as stack:
        if "torch" in sys.modules:
            stack.enter_context(sys.modules["torch"].no_grad())
        try:
            for net in nets:
                if _is_module(net):
                    net.eval()
            yield
        finally:
            for module, mode in zip(modules, modes, strict=True):
                module.training = mode


def _leaves(output: Any) -> Iterator[Any]:
    """Yield the tensors and arrays of what a network gives."""
    if isinstance(output, Mapping):
        yield from chain.from_iterable(map(_leaves, output.values()))
    elif isinstance(output, list | tuple):
        yield from chain.from_iterable(map(_leaves, output))
    elif hasattr(output, "shape"):
        yield output


def _numbers(output: Any) -> list[NDArray[np.float64]]:
    return [
        np.asarray(leaf.detach().cpu().double() if hasattr(leaf, "detach") else leaf, dtype=float)
        for leaf in _leaves(output)
    ]


def _items(images: Any, where: str) -> int:
    """Return how many images a call has: the first side of the first tensor."""
    first = next(_leaves(images), None)
    if first is None or not len(first.shape) or not first.shape[0]:
        raise GreenPoseError(
            f"{where}: images is {type(images).__name__}; give a batch: a tensor or an array whose first side counts "
            "images, or a tuple or mapping of them as the network is called with"
        )
    return int(first.shape[0])


def _require_alike(net: Any, images: Any, where: str) -> None:
    """Refuse a network that cannot be run, gives no tensors, or other numbers for the same images."""
    if not callable(net):
        raise GreenPoseError(f"{where}: net is {type(net).__name__}; give a network, or a function of a batch")
    try:
        with evaluating([net]):
            first, second = (_numbers(_call(net, images)) for _ in range(2))
    except _REFUSALS as error:
        raise GreenPoseError(
            f"{where}: the network cannot be run on images: {type(error).__name__}: {said(error)}"
        ) from None
    if not first:
        raise GreenPoseError(f"{where}: the network gives no tensors, so that nothing says that it did its work")
    for one, other in zip(first, second, strict=False):
        apart = math.inf if one.shape != other.shape else float(np.max(np.abs(one - other), initial=0.0))
        if apart > ALIKE * float(np.max(np.abs(one), initial=0.0)):
            raise GreenPoseError(
                f"{where}: the network gives other numbers when it is called again with the same images (apart by "
                f"{apart:.3g}), also in evaluation mode; fix what it draws at random"
            )


def _counted(
    net: Any, images: Any, items: int, given: Mapping[str, Any], where: str
) -> tuple[dict[str, Quantity], Mapping[str, int]]:
    """Return the sizes that were given, or else counted on one image; and the operators that were counted."""
    for name, value in given.items():
        if value is not None and (type(value) is not int or value < 1):
            raise GreenPoseError(f"{where}: {name} is {value!r:.40}; give a whole number above 0")
    if None not in given.values():
        told = {metric.name: missing(f"not counted: sizes were {GIVEN}", unit=metric.recorded) for metric in COUNTED}
        for metric in (PARAMS, MACS):
            told[metric.name] = Quantity(
                value=given[metric.name], unit=metric.recorded, kind="counted", method=f"{metric.label}, {GIVEN}"
            )
        return told, {}
    if not _is_module(net):
        what = "no network" if net is None else f"net is {type(net).__name__}, not a module of torch"
        raise GreenPoseError(f"{where}: {what}, so that its sizes cannot be counted; give params= and macs= beside it")
    return _count_module(net, images, items, where)


def _count_module(net: Any, images: Any, items: int, where: str) -> tuple[dict[str, Quantity], Mapping[str, int]]:
    from greenpose.counting import count_network

    one = _first_image(images, items)
    inputs, named = ((), one) if isinstance(one, Mapping) else (one if isinstance(one, tuple) else (one,), {})
    try:
        with evaluating([net]):
            sizes, operations = count_network(net, *inputs, **named)
    except _REFUSALS as error:
        raise GreenPoseError(
            f"{where}: the network cannot be counted on one image: {said(error)}; give params= and macs= beside it"
        ) from None
    if not sizes["macs"] or not sizes["params"]:
        raise GreenPoseError(
            f"{where}: counts {sizes['params']} parameters, {sizes['macs']} MACs; give params= and macs="
        )
    return size_quantities(sizes), operations


def _first_image(images: Any, items: int) -> Any:
    """Return the same with the first image only of all that has one entry for each."""
    if isinstance(images, Mapping):
        return {name: _first_image(each, items) for name, each in images.items()}
    if isinstance(images, tuple):
        return tuple(_first_image(each, items) for each in images)
    return images[:1] if hasattr(images, "shape") and len(images.shape) and images.shape[0] == items else images


def measure(exits: Sequence[OwnExit], meter: Meter, plan: Plan, *, seed: int) -> dict[int, ExitMeasurement]:
    """Return what an image costs at each exit that has a network, all of them in interleaved blocks."""
    metered = [each for each in exits if each.net is not None]
    if not metered:
        return {}
    with evaluating([each.net for each in metered]):
        return measure_exits(
            {each.exit: partial(_call, each.net, each.images) for each in metered},
            meter,
            items_per_call=metered[0].items,
            plan=plan,
            seed=seed % 2**32,
        )


def exit_entries(
    exits: Sequence[OwnExit],
    measured: Mapping[int, ExitMeasurement],
    *,
    kind: Kind,
    carbon: CarbonAccounting,
    meter: Meter,
) -> list[Exit]:
    """Return the exits as the record has them, shallow to deep."""
    deepest = max((each.exit for each in exits), default=0)
    costs = {
        number: cost_quantities(found, kind=kind, carbon=carbon, embodied=meter.embodied, what="the network as given")
        for number, found in measured.items()
    }
    return [
        _entry(each, costs.get(each.exit), measured.get(each.exit), role="final" if each.exit == deepest else "side")
        for each in sorted(exits, key=lambda one: one.exit)
    ]


def _entry(
    given: OwnExit, costs: Mapping[str, Quantity] | None, measured: ExitMeasurement | None, *, role: str
) -> Exit:
    if measured is None or costs is None:
        absent = {"energy_j_per_image": missing(NOT_METERED, unit="J"), "latency_s": missing(NOT_METERED, unit="s")}
        fields: dict[str, Any] = with_bases({**given.sizes, **absent})
    else:
        fields = measured_fields(measured, {**given.sizes, **costs})
    bases = {f"metrics.{name}": basis_of(each) for name, each in given.metrics.items()}
    return Exit(
        exit=given.exit,
        role=role,
        macs_by_counter={},
        operations=dict(given.operations),
        metrics={name: each.known for name, each in given.metrics.items()},
        **fields | {"basis": fields["basis"] | bases},
    )
