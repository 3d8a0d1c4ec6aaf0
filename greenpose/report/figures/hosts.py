"""Several hosts: what each of them measures, and every exit's energy beside one exit that they all ran."""

import statistics
from collections.abc import Iterator, Sequence

from greenpose.formatting import listed, plain, plural
from greenpose.metrics import ENERGY, PERCENT, TRAIN_ENERGY, Metric
from greenpose.quantity import Kind, Quantity, kind_mark, missing, worst
from greenpose.record import Record
from greenpose.report.figures.tradeoff import Mark, Scatter, draw
from greenpose.report.hosts import (
    across_hosts,
    hosts_of,
    is_shared,
    metered,
    over_hosts,
    parts_of,
    ratios_by_host,
    reference,
)
from greenpose.report.labels import host_of, setting
from greenpose.report.picture import Picture
from greenpose.report.quantities import kind_of, of_exit
from greenpose.report.ranking import pareto_front
from greenpose.report.study import Group, Point, Study, by_exit, short_name
from greenpose.tables import Cell, Column, Table, TableCell, missing_cell, systematic_notes, table_of

MOST_COLUMNS = 6
"""Settings whose own ratios have a column each; of more the mean tells."""
Ratios = Sequence[tuple[Group, Quantity]]
"""Of an exit the ratio in each setting, with the runs that it is of."""


def hosts_table(study: Study) -> Table | None:
    """Return what each host of the page measures, a line for each setting; None where there is one host only."""
    if len(hosts_of(study)) < 2:
        return None
    by_setting: dict[str, list[Record]] = {}
    for run in study.records:
        by_setting.setdefault(setting(run), []).append(run)
    lines = [by_setting[setting(run)] for run in study.settings.values()]
    told = [runs[0] for runs in lines]
    return table_of(
        "hosts",
        "The hosts, by the letter of their setting, and what they measure. A host is named by the digest that its "
        "records hold. Joules of two of them are never averaged, nor ranked together.",
        ("Setting",),
        list(study.settings),
        [
            ("Host", [str(run.host.get("host") or "not recorded") for run in told]),
            ("Processor", [_processor(run) for run in told]),
            ("Instruction sets", [_listed(run.host.get("instruction_sets"), "not recorded") for run in told]),
            ("GPUs", [_listed(run.host.get("gpus"), "none") for run in told]),
            ("Energy", [_sources(run) for run in told]),
            ("Systematic error", [_truly(runs) for runs in lines]),
            ("Grid", [f"{run.carbon.country}, PUE {plain(run.carbon.pue)}" for run in told]),
            ("Node", [_node(run) for run in told]),
            (Column(head="Idle power", unit="W"), [_idle(runs) for runs in lines]),
            (Column(head="Runs", unit="count"), [str(len(runs)) for runs in lines]),
        ],
    )


def hosts_picture(study: Study) -> Picture | None:
    """Return accuracy against energy beside one exit on the same host; None where no two hosts metered one exit."""
    together = across_hosts(study)
    held = reference(together) if together is not study else None
    if held is None:
        return None
    ratios = [(point, ratios_by_host(point, held)) for point in together.points]
    chart = _chart(together, held, ratios)
    return Picture(
        id=chart.id,
        title=chart.title,
        panels=(draw(chart, large=True),) if chart.marks else (),
        data=_shares_table(together, held, ratios),
        absent=chart.absent,
        notes=tuple(_notes(together, held)),
        large=True,
    )


def hosts_tables(study: Study) -> Iterator[tuple[str, Table]]:
    """Yield both tables under their headings, for forms without drawings; nothing where there is one host only."""
    picture, hosts = hosts_picture(study), hosts_table(study)
    found = {"Beside one exit on the same host": picture and picture.data, "Hosts": hosts}
    yield from ((heading, table) for heading, table in found.items() if table)


def _chart(study: Study, held: Point, ratios: Sequence[tuple[Point, Ratios]]) -> Scatter:
    metric = study.accuracy
    found = [(point, _mean(point, held, some), point.figure(metric)) for point, some in ratios]
    drawn = [(point, x, y) for point, x, y in found if x.value is not None and y.value is not None]
    drawn.sort(key=lambda each: (each[1].known, -metric.gain(each[2].known)))
    best = pareto_front([(x.known, metric.gain(y.known)) for _, x, y in drawn])
    return Scatter(
        id="hosts-share",
        figure=_figure(held),
        metric=metric,
        marks=tuple(
            Mark(x=x, y=y, metric=metric, label=short_name(point), exit=point.exit, front=place in best)
            for place, (point, x, y) in enumerate(drawn)
        ),
        left_out=len(found) - len(drawn),
        absent="" if drawn else f"{metric.words} of no exit is known",
        ranked=True,
    )


def _figure(held: Point) -> Metric:
    words = f"energy beside {short_name(held)} on the same host"
    return Metric(name="hosts_share", label="Energy, mean over hosts", unit="%", words=words)


def _mean(point: Point, held: Point, ratios: Ratios) -> Quantity:
    """Return an exit's energy in percent of the reference's, mean over the hosts that ran both."""
    return Quantity(value=PERCENT, kind="computed") if point == held else over_hosts(ratios) * PERCENT


def _shares_table(study: Study, held: Point, ratios: Sequence[tuple[Point, Ratios]]) -> Table:
    """Return accuracy over the runs of all hosts, the mean of the ratios, and the ratio in each setting."""
    ran = {group.setting for _, some in ratios for group, _ in some}
    letters = [(letter, setting(run)) for letter, run in study.settings.items() if setting(run) in ran]
    accuracy = study.accuracy
    return table_of(
        "hosts-share-data",
        f"Energy per image in percent of that of {short_name(held)} on the same host, and the mean of these ratios "
        f"over hosts. {accuracy.label} is of the runs of all hosts, a seed that several ran counting once.",
        ("Experiment", "Exit"),
        by_exit(study.groups),
        [
            (accuracy, [point.figure(accuracy) for point, _ in ratios]),
            (_figure(held), [_cell(point, held, _mean(point, held, some)) for point, some in ratios]),
            (Column(head="Hosts", unit="count"), [str(_num_hosts(some)) for _, some in ratios]),
            *(
                (
                    Column(head=f"On {letter}", unit="%"),
                    [_cell(point, held, _in_setting(some, asked)) for point, some in ratios],
                )
                for letter, asked in letters[:MOST_COLUMNS]
            ),
        ],
    )


def _cell(point: Point, held: Point, ratio: Quantity) -> Cell:
    return TableCell(value="reference") if point == held else ratio


def _num_hosts(ratios: Ratios) -> int:
    return len({host_of(group.runs[0]) for group, each in ratios if each.value is not None})


def _in_setting(ratios: Ratios, asked: str) -> Quantity:
    found = [each for group, each in ratios if group.setting == asked]
    return found[0] * PERCENT if found else missing("this host did not run it")


def _notes(study: Study, held: Point) -> list[str]:
    """Return how the means are made, and which settings are in none of them, and why."""
    parts = [part for group in study.groups for part in parts_of(group)]
    shared = {part.setting for part in parts if is_shared(part)}
    ran = {part.setting for part in metered(held)} - shared
    without = {part.setting for part in parts} - ran - shared
    letters = {setting(run): letter for letter, run in study.settings.items()}
    said = [
        "Intervals hold how hosts differ: Student’s t from three hosts on, never narrower than the hosts’ own allow; "
        "for two from the lowest to the highest end of theirs; one host’s own holds no other host."
    ]
    for settings, why in ((without, f"which did not meter {short_name(held)}"), (shared, "whose node was shared")):
        if settings:
            said.append(f"Left out: setting {listed(sorted(letters[each] for each in settings))}, {why}.")
    if len(ran) > MOST_COLUMNS:
        said.append(f"The table has a column for the first {MOST_COLUMNS} settings; the means hold all.")
    return said


def _processor(run: Record) -> str:
    """Return the processor, and how many logical CPUs there are of it."""
    number = f", {plural(run.host['vcpus'], 'logical CPU')}" if run.host.get("vcpus") else ""
    return f"{run.host.get('cpu') or 'not recorded'}{number}"


def _listed(names: object, none: str) -> str:
    return ", ".join(map(str, names)) if isinstance(names, list | tuple) and names else none


def _sources(run: Record) -> str:
    """Return how the energy of each component was obtained, on which device."""
    kinds: dict[Kind, list[str]] = {}
    for part in run.components:
        kinds.setdefault(part.kind, []).append(part.component)
    said = [f"{', '.join(parts)} {kind.replace('_', ' ')}" for kind, parts in kinds.items()]
    return f"{'; '.join(said) or 'not recorded'} ({run.process.get('device') or 'device not recorded'})"


def _truly(runs: Sequence[Record]) -> str:
    """Return the systematic error of an image's energy as factors."""
    energies = [of_exit(entry, ENERGY) for run in runs for entry in run.exits]
    return ", ".join(systematic_notes(energies)).removeprefix("syst. ") or "not known"


def _node(run: Record) -> str:
    workers = run.process.get("concurrent_workers") or 1
    if run.process.get("shared_node"):
        return "shared with other jobs"
    return "not shared" if workers <= 1 else f"{workers} runs at a time"


def _idle(runs: Sequence[Record]) -> TableCell:
    """Return the median of the idle power that was met between blocks of inference."""
    watts = [float(each) for run in runs for entry in run.exits if (each := entry.measurement.get("idle_watts"))]
    if not watts:
        return missing_cell("no idle power was recorded")
    return TableCell(
        value=f"{kind_mark(worst(kind_of(run, TRAIN_ENERGY) for run in runs))}{plain(statistics.median(watts))}"
    )
