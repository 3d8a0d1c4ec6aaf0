"""Break-even: what teaching adds to training, and when an exit has won it back in use."""

import statistics
from dataclasses import dataclass, replace
from typing import Any

from greenpose.formatting import NBSP, joules_to_kwh, plain
from greenpose.intervals import Bounds
from greenpose.ledger.phases import TAUGHT
from greenpose.metrics import ENERGY, PERCENT, TRAIN_ENERGY, Metric
from greenpose.quantity import Quantity, amount, kind_mark, mean_of, missing, over_runs, ratio, worst
from greenpose.record import Phase, Record
from greenpose.report.differences import less_one, share
from greenpose.report.drawing import ACCENT, FONT, INK, MUTED, Drawing, baseline, grid, panel, shifted, ticks, write
from greenpose.report.figures.ablations import MatchedRuns
from greenpose.report.picture import MOST_PANELS, Picture, drawn, left_out
from greenpose.report.quantities import of_record
from greenpose.report.ranking import leaders
from greenpose.report.study import Group, Point, Study, energy_kind, run_names
from greenpose.tables import FINAL_ITSELF, Column, Table, TableCell, figure_column, quantity_cell, table_of

BREAK_EVEN = Metric(name="break_even_images", label="Won back after", unit="images")


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """Energy beyond a plain training against images: at one exit, and at the final exit of the same network."""

    id: str
    """Prefix of all ids in the drawing, unique on the page."""
    label: str
    """The exit with its experiment."""
    exit: int
    """Exit number."""
    final: int
    """Number of the final exit."""
    added: float
    """What teaching added to training, in display units; 0 for nothing that could be measured."""
    image: float
    """Energy of one image at this exit, in display units."""
    final_image: float
    """The same at the final exit."""
    images: Quantity
    """Images after which the exit has won back what was added; none where an image costs no less."""
    figure: Metric
    """Energy in its display unit."""
    symbol: str
    """Symbol of energy that was not measured; empty for measured energy."""

    @property
    def never(self) -> bool:
        """Return whether the exit saves nothing, so that nothing is won back."""
        return self.images.value is None

    @property
    def title(self) -> str:
        """Return what the drawing shows."""
        return f"Energy of {self.label} and of the final exit against the number of images"

    @property
    def verdict(self) -> str:
        """Return when it is won back."""
        if self.images.value is None:
            return f"never won back: an image costs no less at exit {self.exit}"
        if self.images.value == 0:
            return "won from the first image: no measurable cost"
        return f"won back after {self.number}"

    @property
    def number(self) -> str:
        """Return `∼60 000 [45 000–78 000] images`; there must be one."""
        return f"{kind_mark(self.images.kind)}{self.images.text(digits=2)}{NBSP}images"

    @property
    def description(self) -> str:
        """Return in words where the lines cross."""
        return f"Line chart, both axes logarithmic. {self.verdict[:1].upper()}{self.verdict[1:]}."


def break_even_picture(study: Study) -> Picture | None:
    """Return when teaching an exit is won back by reading it; None where no run has several exits."""
    table = break_even_table(study)
    if table is None:
        return None
    charts, best = crossings(study), {point.label for point in leaders(study)}
    chosen = drawn(charts, MOST_PANELS, leads=lambda each: each.label in best)
    return Picture(
        id="winning",
        title="Energy beyond a plain training of the final exit, against images",
        panels=tuple(map(draw, chosen)),
        data=table,
        absent="" if charts else "the records do not tell what teaching added, or what an image costs",
        notes=left_out(len(chosen), len(charts)),
    )


def crossings(study: Study) -> list[Crossing]:
    """Return one drawing for each exit but the final ones, where both energies are known."""
    found = [_crossing(study, point) for point in study.points if not point.final]
    drawn = [each for each in found if each is not None]
    return [replace(each, id=f"winning-{index}") for index, each in enumerate(drawn, start=1)]


def images_needed(point: Point) -> Quantity:
    """Return after how many images an exit is won back; its interval over runs ends at zero."""
    each = point.figure(BREAK_EVEN)
    if each.value is None:  # records say of either case that it is one of the two
        reason = FINAL_ITSELF if point.final else each.missing.removesuffix(", or it is the final one")
        return replace(each, missing=reason)
    ends = each.type_a
    return each if ends is None else replace(each, type_a=Bounds(max(0.0, ends.low), ends.high))


def added_kwh(run: Record) -> float | None:
    """Return what teaching added to the training steps of a run; None where the record does not tell."""
    taught = sum(part.energy_kwh for part in run.train_parts if part.name in TAUGHT)
    if run.training_step is None or not taught:
        return None
    added = 1 - 1 / run.training_step.overhead
    return taught * (added + abs(added)) / 2  # nothing where it is below zero


def _crossing(study: Study, point: Point) -> Crossing | None:
    final = Point(group=point.group, exit=max(point.group.exits))
    whole, part = final.figure(ENERGY), share(point, ENERGY)
    added = _added_kwh(point.group)
    images = images_needed(point)
    if not whole.value or part.value is None or not added or (images.value is None and part.value < 1):
        return None
    energy = study.training_figure
    image = joules_to_kwh(whole.value) * energy.scale
    saved = image * (1 - part.value)
    return Crossing(
        id="",
        label=point.label,
        exit=point.exit,
        final=final.exit,
        added=statistics.fmean(added) * energy.scale if images.value is None else images.value * saved,
        image=image * part.value,
        final_image=image,
        images=images,
        figure=energy,
        symbol=kind_mark(whole.kind),
    )


SIZE = (440, 310)
"""Width and height in CSS pixels."""
_REACH = 60.0
"""The axis goes so many times beyond the crossing, either way."""
_STEPS = 24


def draw(chart: Crossing) -> Drawing:
    """Return the two lines; ids in its SVG begin with `chart.id`."""

    def paint(figure: Any) -> None:
        axes = panel(figure, left=62, right=34, top=30, bottom=50)
        left, right = _range(chart)
        _frame(axes, chart, left, right)
        _lines(axes, chart, left, right)
        _mark_crossing(axes, chart, left)

    return Drawing(
        paint=paint,
        id=chart.id,
        size=SIZE,
        title=chart.title,
        description=chart.description,
        caption=chart.label,
    )


def _range(chart: Crossing) -> tuple[float, float]:
    """Return the first and last number of images that are drawn."""
    each = chart.images
    middle = each.value or chart.added / chart.final_image or 1000.0
    low, high = each.type_a or (0.0, 0.0)
    return max(1.0, min((low or middle / 4) / 4, middle / _REACH)), max(middle * _REACH, 4 * high)


def _frame(axes: Any, chart: Crossing, left: float, right: float) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = left * min(chart.final_image, chart.image), chart.added + right * max(chart.final_image, chart.image)
    axes.set(xscale="log", yscale="log", xlim=(left, right), ylim=(low, 1.5 * high))
    for axis, ends, most in ((axes.xaxis, (left, right), 5), (axes.yaxis, (low, high), 5)):
        axis.set_major_locator(FixedLocator(ticks(*ends, most)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value, 1)))
    grid(axes)
    baseline(axes)
    axes.set_xlabel("Images, log scale", color=MUTED, fontsize=FONT, labelpad=6)
    at = shifted(axes, (left, 1.5 * high), (-56, 14))
    write(axes, at, f"{chart.symbol}{chart.figure.unit} beyond a plain training, log scale")


def _lines(axes: Any, chart: Crossing, left: float, right: float) -> None:
    xs = [left * (right / left) ** (step / _STEPS) for step in range(_STEPS + 1)]
    saved = chart.final_image - chart.image
    if chart.images.type_a:
        low, high = ([end * saved + x * chart.image for x in xs] for end in chart.images.type_a)
        axes.fill_between(xs, low, high, color=ACCENT, alpha=0.2, linewidth=0, clip_on=True)
    axes.plot([left, right], [x * chart.final_image for x in (left, right)], color=INK, linewidth=1.6, ls=(0, (5, 3)))
    axes.plot(xs, [chart.added + x * chart.image for x in xs], color=ACCENT, linewidth=2.6)
    start, apart = (xs[1], (0, 12)) if chart.added else (xs[12], (14, -10))
    write(axes, shifted(axes, (start, chart.added + start * chart.image), apart), f"exit {chart.exit}", color=ACCENT)
    start, apart = (xs[6], (10, -12)) if chart.added else (xs[12], (-80, 14))
    write(axes, shifted(axes, (start, start * chart.final_image), apart), f"exit {chart.final}, final", color=INK)


def _mark_crossing(axes: Any, chart: Crossing, left: float) -> None:
    """Mark where the lines cross, with the interval on the axis below; or say that they do not."""
    images, bottom = chart.images, axes.get_ylim()[0]
    if not images.value:
        write(axes, (0.98, 0.08), chart.verdict, transform=axes.transAxes, ha="right", color=INK, fontsize=FONT - 1)
        return
    at = images.value * chart.final_image
    axes.plot([images.value] * 2, [bottom, at], color=MUTED, linewidth=1)
    axes.plot([images.value], [at], color=ACCENT, marker="o", markersize=9)
    if images.type_a:
        axes.plot(
            [max(images.type_a.low, left), images.type_a.high], [bottom] * 2, color=ACCENT, linewidth=5, clip_on=False
        )
    write(axes, shifted(axes, (images.value, bottom), (8, 30)), "won back after", color=INK)
    write(axes, shifted(axes, (images.value, bottom), (8, 14)), chart.number, color=INK)


_ADDED = {
    "ds_overhead": Metric(name="ds_overhead", label="Deep supervision adds", unit="% of a plain step"),
    "kd_overhead": Metric(name="kd_overhead", label="Distillation adds", unit="% of the step without"),
    "overhead": Metric(name="overhead", label="Both add", unit="% of a plain step"),
}
_SAVING = Metric(name="joint_saving", label="Stand-alone steps / joint step", unit="ratio")
_GRID_SAVING = Metric(name="", label="Stand-alone trainings / joint training", unit="ratio")
_PART_WORDS = {"data": "Data", "forward": "Forward", "backward": "Backward", "step": "Update", "other": "Between"}


def teaching_table(study: Study) -> Table | None:
    """Return what deep supervision and distillation add to a training step; None where no run has several exits."""
    groups = [group for group in study.groups if any(run.training_step for run in group.runs)]
    if not groups:
        return None
    partners = MatchedRuns(study)
    return table_of(
        "teaching",
        "What more exits add to a training step, measured in interleaved micro-windows on real steps, and what "
        "training them together saves. A plain step trains the final exit alone on the labels.",
        ("Experiment",),
        [group.label for group in groups],
        [
            *((metric, [_added(group, name) for group in groups]) for name, metric in _ADDED.items()),
            (_SAVING, [over_runs(_of_step(group, "joint_saving")) for group in groups]),
            (_GRID_SAVING, [grid_saving(partners, group) for group in groups]),
        ],
    )


def break_even_table(study: Study) -> Table | None:
    """Return after how many images each exit has paid for its teaching; None where no run has several exits."""
    points = [point for point in study.points if not point.final]
    if not points:
        return None
    energy = replace(study.training_figure, label="Teaching added")
    return table_of(
        "break-even",
        "Images after which reading an exit instead of the final one has saved the energy that teaching it added to "
        "training. 0: teaching added nothing that could be measured.",
        ("Exit",),
        [point.label for point in points],
        [
            (energy, [_added_energy(point.group, energy.scale) for point in points]),
            (BREAK_EVEN, [images_needed(point) for point in points]),
        ],
    )


def parts_table(study: Study) -> Table | None:
    """Return what the training steps of each experiment consist of; None where no run told the parts apart."""
    groups = [group for group in study.groups if any(run.train_parts for run in group.runs)]
    if not groups:
        return None
    energy = study.training_figure
    columns = []
    for name, words in _PART_WORDS.items():
        parts = [_part(group, name, energy) for group in groups]
        head = figure_column(replace(energy, label=words, unit=f"{energy.unit}; % below"), [each for each, _ in parts])
        columns.append((head, [_part_cell(*each) for each in parts]))
    return table_of(
        "parts",
        "What training steps consist of: energy of each part, mean over runs, and its share below. Validation and "
        "checkpoints are phases of their own.",
        ("Experiment",),
        [group.label for group in groups],
        columns,
    )


def forecast_table(study: Study) -> Table | None:
    """Return what each run expected to cost early on, beside what it cost; None where no run expected anything."""
    told = [(run, run.forecast) for run in study.records if run.forecast is not None]
    if not told:
        return None
    energy = study.training_figure
    shares = [PERCENT * run.train_energy_kwh / forecast.energy_kwh for run, forecast in told]
    return table_of(
        "forecast",
        "Training energy as expected after the first epochs, with its 95 % prediction interval, and what it came to. "
        "Early stopping ends a training below what was expected.",
        ("Run",),
        [name for name, run in zip(run_names(study), study.records, strict=True) if run.forecast is not None],
        [
            (
                replace(energy, label="Expected"),
                [forecast.quantity("energy_kwh") * energy.scale for _, forecast in told],
            ),
            (replace(energy, label="Came to"), [of_record(run, energy) for run, _ in told]),
            (
                Column(head="Came to", unit="% of expected"),
                [Quantity(value=share, kind="computed") for share in shares],
            ),
        ],
    )


def grid_saving(partners: MatchedRuns, joint: Group) -> Quantity:
    """Return the energy of the exits' stand-alone trainings over that of the joint one, seed by seed.

    Stand-alone trainings are other experiments on the page with a single exit, in the same setting, of the same trunk,
    data and recipe.
    """
    ratios = []
    for run in joint.runs:
        alone = [partners.alone(run, entry.exit) for entry in run.exits]
        if all(alone):
            total = sum(each.train_energy_kwh for each in alone if each)
            ours = Quantity(value=run.train_energy_kwh, kind="computed")
            ratios.append(ratio(Quantity(value=total, kind="computed"), ours))
    if ratios:
        return over_runs(ratios)
    return missing("the page holds no stand-alone training of each of its exits")


def _of_step(group: Group, name: str) -> list[Quantity]:
    return group.together.quantities(lambda run: run.training_step.quantity(name) if run.training_step else None)


def _added(group: Group, name: str) -> Quantity:
    """Return a ratio of two steps as what the dearer one adds, in percent."""
    return over_runs([less_one(each) for each in _of_step(group, name)])


def _added_kwh(group: Group) -> list[float]:
    return [each for each in group.together.each(added_kwh) if each is not None]


def _added_energy(group: Group, scale: float) -> Quantity:
    kwh = _added_kwh(group)
    if not kwh:
        return missing("the run did not measure what a training step consists of")
    kind = worst([energy_kind(group), "estimated"])  # a ratio of steps times the energy of training
    return mean_of([each * scale for each in kwh], kind=kind)


def _part(group: Group, name: str, energy: Metric) -> tuple[Quantity, Quantity]:
    """Return a part's energy and its share of all parts, mean over the group's runs."""

    def part(run: Record) -> Phase | None:
        return next((each for each in run.train_parts if each.name == name and _in_parts(run)), None)

    def share(run: Record) -> float | None:
        return None if (found := part(run)) is None else PERCENT * found.energy_kwh / _in_parts(run)

    def spent(run: Record) -> Quantity | None:
        return None if (found := part(run)) is None else found.quantity("energy_kwh", scale=energy.scale)

    values, shares = group.together.quantities(spent), group.together.each(share)
    if not values:
        absent = missing("the run did not tell its parts apart")
        return absent, absent
    return amount(over_runs(values)), amount(mean_of([each for each in shares if each is not None]))


def _in_parts(run: Record) -> float:
    return sum(part.energy_kwh for part in run.train_parts)


def _part_cell(value: Quantity, share: Quantity) -> TableCell:
    cell = quantity_cell(value, TRAIN_ENERGY)
    return cell if share.value is None else replace(cell, interval=f"{share.text(digits=2)}{NBSP}%")
