"""A record as notebooks show it: its bill and its exits as a table, and its exits as a frame."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from greenpose.formatting import significant, truly, with_prefix
from greenpose.metrics import ENERGY, LATENCY, MACS, OF_EXIT, PARAMS, Metric
from greenpose.notebook import frame, html
from greenpose.quantity import Quantity, kind_mark
from greenpose.record.numbers import Numbers
from greenpose.tables import table_of


def to_html(bill: str, exits: Mapping[int, Numbers], accuracies: Sequence[Metric], *, notes: Iterable[str]) -> str:
    """Return the bill of a run in a sentence, and its exits as a table with unit, kind and interval of each number."""
    shown = (accuracies[0], PARAMS, MACS, LATENCY, ENERGY)
    numbers = [(metric, [_shown(entry, metric) for entry in exits.values()]) for metric in shown]
    table = table_of("record", "", ("Exit",), list(map(str, exits)), numbers)
    return html(table if exits else None, [bill, *notes])


def to_frame(run: str, exits: Mapping[int, Numbers], accuracies: Sequence[Metric]) -> Any:
    """Return the exits as a pandas frame: a column for each number, and for both ends of its 95 % interval.

    Raises:
        GreenPoseError: if pandas is not installed.
    """
    metrics = [*accuracies, *(metric for metric in OF_EXIT if metric.kind != "computed")]
    rows = [{"run": run, "exit": number} | dict(_numbers(entry, metrics)) for number, entry in exits.items()]
    tails = ("", "_low", "_high")
    units = {f"{_name(metric)}{tail}": metric.recorded for metric in metrics for tail in tails if metric.recorded}
    return frame(rows, units)


def bill_words(run: Numbers, *, name: str, seconds: float, kwh: float, grade: str) -> str:
    """Return what all of a run took, with how energy was obtained and how far it may be off."""
    trained, grams = run.quantity("train_energy_kwh"), run.quantity("train_co2eq_g")
    factors = f", {truly(*trained.factors)} that" if trained.factors else ""
    energy = f"{kind_mark(trained.kind)}{with_prefix(1e3 * kwh, 'Wh')} ({trained.kind}{factors})"
    emitted = ""
    if grams.value is not None:
        emitted = f"; training {kind_mark(grams.kind)}{with_prefix(grams.value, 'gCO2eq')}"
    return f"{name}: {significant(seconds)} s, {energy}{emitted}; energy grade {grade}"


def _name(metric: Metric) -> str:
    return metric.name.removeprefix("metrics.")


def _numbers(entry: Numbers, metrics: Sequence[Metric]) -> Iterator[tuple[str, float | None]]:
    for metric in metrics:
        each = entry.of_image(metric.name)
        yield _name(metric), each.value
        if each.type_a is not None:
            yield f"{_name(metric)}_low", each.type_a.low
            yield f"{_name(metric)}_high", each.type_a.high


def _shown(entry: Numbers, metric: Metric) -> Quantity:
    return entry.of_image(metric.name, scale=metric.scale, unit=metric.unit)
