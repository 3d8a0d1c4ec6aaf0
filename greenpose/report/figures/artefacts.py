"""Exported models: accuracy against energy with exits, runtimes and precisions on one front."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from greenpose.formatting import NBSP, listed, percent
from greenpose.intervals import Bounds
from greenpose.metrics import (
    AP,
    CHANGES,
    ENERGY,
    FILE,
    MEMORY,
    PERCENT,
    Metric,
)
from greenpose.quantity import Quantity
from greenpose.record.artefacts import PRECISIONS
from greenpose.report.deployment import COSTS, Deployment, deployments
from greenpose.report.drawing import Drawing
from greenpose.report.figures.tradeoff import Mark, Scatter, draw
from greenpose.report.picture import MOST_PANELS, Picture, first_panels
from greenpose.report.quantities import prefixed
from greenpose.report.ranking import pareto_front
from greenpose.report.study import Study
from greenpose.tables import Column, Table, TableCell, figure_column, quantity_cell, table_of

SHARE = Metric(name="artefact_share", label="Energy", unit="%", scale=PERCENT, words="energy per image")
"""An image's energy as a part of that at the run's final exit in torch float32."""


def artefacts_picture(study: Study) -> Picture | None:
    """Return a drawing for each run whose exported models were measured, with all of them in a table; else None."""
    found = [some for some in _by_run(study) if _drawn(some)]
    if not found:
        return None
    charts, large = [_chart(number, some) for number, some in enumerate(found, start=1)], len(found) == 1
    return Picture(
        id="artefacts",
        title="AP against energy, by exit, runtime and precision",
        panels=tuple(_panel(study, *each, large=large) for each in list(zip(charts, found, strict=True))[:MOST_PANELS]),
        data=artefacts_table(study),
        notes=(_note(found), *first_panels(len(charts))),
        large=large,
    )


def artefacts_table(study: Study) -> Table | None:
    """Return every exit in torch and every file that was measured, with all that is known of it; None without any."""
    found = _by_run(study)
    if not found:
        return None
    every = [each for some in found for each in some]
    best = [each for some in found for each in _front(some)]
    costs = [(metric, [_number(each, metric) for each in every]) for metric in map(partial(_shown, every), COSTS)]
    change = Column(head="AP, change", unit="points")
    return table_of(
        "artefacts-data",
        "Exits in torch and exported models that took turns with them: energy is of torch float32 at the final exit, "
        "AP is each file’s own on the test split, its change beside torch float32 at the same exit.",
        ("Run", "Model"),
        [(study.run_label(some[0].run), [each.label for each in some]) for some in found],
        [
            ("Computed in", [_arithmetic(each) for each in every]),
            (figure_column(SHARE, [_share(each) for each in every]), [quantity_cell(_share(each)) for each in every]),
            (AP, [_number(each, AP) for each in every]),
            (change, [_change(each) for each in every]),
            *(
                (figure_column(metric, numbers), [quantity_cell(n, metric) for n in numbers])
                for metric, numbers in costs
            ),
            *((metric, [_number(each, metric) for each in every]) for metric in (FILE, MEMORY)),
            ("On the front", ["yes" if each in best else "no" for each in every]),
        ],
    )


def _by_run(study: Study) -> list[list[Deployment]]:
    """Return what was measured, run by run, exits in torch first."""
    runs: dict[str, list[Deployment]] = {}
    for each in deployments(study):
        runs.setdefault(f"{each.run.name} {each.run.started_at} {each.turns.machine}", []).append(each)
    return list(runs.values())


def _drawn(some: Sequence[Deployment]) -> list[Deployment]:
    """Return those of which both are known."""
    return [each for each in some if _share(each).value is not None and _number(each, AP).value is not None]


def _front(some: Sequence[Deployment]) -> list[Deployment]:
    """Return those that no other of their run beats in both AP and energy, cheapest first."""
    both = _drawn(some)
    return [both[place] for place in pareto_front([(_share(each).known, _number(each, AP).known) for each in both])]


def _chart(number: int, some: Sequence[Deployment]) -> Scatter:
    best, both = _front(some), _drawn(some)
    marks = [
        Mark(x=_share(each), y=_paired(each), label=each.label, exit=each.cost.exit, front=each in best)
        for each in both
    ]
    final = max(some[0].point.group.exits)
    figure = replace(SHARE, words=f"{_currency(some)} beside exit{NBSP}{final} in torch")
    return Scatter(
        id=f"artefacts-{number}",
        figure=figure,
        marks=tuple(sorted(marks, key=lambda mark: mark.place)),
        left_out=len(some) - len(both),
        absent="",
        ranked=True,
        noun="model",
    )


def _panel(study: Study, chart: Scatter, some: Sequence[Deployment], *, large: bool) -> Drawing:
    drawing = draw(chart, large=large)
    return drawing if large else replace(drawing, caption=study.run_label(some[0].run))


def _currency(some: Sequence[Deployment]) -> str:
    return "energy" if all(each.currency is ENERGY for each in some) else "CPU time"


def _share(each: Deployment) -> Quantity:
    return each.share * PERCENT


def _number(each: Deployment, metric: Metric) -> Quantity:
    return each.figure(metric)


def _shown(every: Sequence[Deployment], metric: Metric) -> Metric:
    """Return a metric in joules or grams with the prefix that suits all of them; times have milliseconds already."""
    values = [each.cost.quantity(metric.name).value for each in every]
    return prefixed(metric, values) if metric.unit[0] in "Jg" else metric


def _paired(each: Deployment) -> Quantity:
    """Return the AP of a file with the interval of what it changes: that of AP itself is the same images' for all."""
    found, change = _number(each, AP), each.ap_change
    if each.cost.is_trained_network or found.value is None or change.value is None or change.type_a is None:
        return replace(found, type_a=None)
    exact = found.value - change.value
    return replace(found, type_a=Bounds(exact + change.type_a.low, exact + change.type_a.high))


def _change(each: Deployment) -> TableCell:
    """Return by how much AP changes; of an exit in torch that it is what the others are held against."""
    if each.cost.is_trained_network:
        return TableCell(value="reference")
    return quantity_cell(each.ap_change, CHANGES[0])


def _arithmetic(each: Deployment) -> str:
    """Return what was computed in, and what had been asked for where that is something else."""
    wanted = PRECISIONS[each.cost.precision]
    return each.cost.arithmetic if each.cost.arithmetic == wanted else f"{each.cost.arithmetic}, not {wanted}"


def _note(found: Sequence[Sequence[Deployment]]) -> str:
    """Return on which machine, in how many blocks, and how well they agree."""
    turns = list({id(each.turns): each.turns for some in found for each in some}.values())
    sets = list(dict.fromkeys(f"{each.host.get('cpu')} ({listed(_sets(each.host))})" for each in turns))
    threads = list(dict.fromkeys(str(each.process.get("torch_threads")) for each in turns))
    apart = max((each.costs[0].measurement.get("agreement") or 0.0 for each in turns), default=0.0)
    agree = "" if all(each.converged for each in turns) else f" Blocks agree to within {percent(apart)} only."
    return (
        f"Files and exits took turns in the same blocks, on {listed(sets)}, with {listed(threads, 'or')} "
        f"thread{'' if threads == ['1'] else 's'}: what is left of energy here is left on such a machine.{agree} "
        "Upright lines: 95 % interval of what a file changes; that of AP itself is in the table."
    )


def _sets(host: dict[str, object]) -> list[str]:
    sets = host.get("instruction_sets")
    return [str(each) for each in sets] if isinstance(sets, list) and sets else ["instruction sets unknown"]
