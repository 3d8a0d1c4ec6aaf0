"""When an exit has won back what teaching it added to training, before it is drawn: two lines that cross, or do not."""

import statistics
from dataclasses import dataclass, replace

from greenpose.formatting import NBSP
from greenpose.record import Record
from greenpose.report.estimates import FINAL_ITSELF, Estimate
from greenpose.report.exits import share
from greenpose.report.figures import ENERGY, Figure, mark, training_figure
from greenpose.report.study import Point, Study
from greenpose.units import joules_to_kwh

BREAK_EVEN = Figure(name="break_even_images", label="Won back after", unit="images")
_TAUGHT = ("forward", "backward", "step")
"""Parts of training that teaching makes longer, as the record's own break-even takes them."""


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
    images: Estimate
    """Images after which the exit has won back what was added; none where an image costs no less."""
    figure: Figure
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
        return f"{mark(self.images.kind)}{self.images.text(digits=2)}{NBSP}images"

    @property
    def description(self) -> str:
        """Return in words where the lines cross."""
        return f"Line chart, both axes logarithmic. {self.verdict[:1].upper()}{self.verdict[1:]}."


def crossings(study: Study) -> list[Crossing]:
    """Return one drawing for each exit but the final ones, where both energies are known."""
    found = [_crossing(study, point) for point in study.points if not point.final]
    drawn = [each for each in found if each is not None]
    return [replace(each, id=f"winning-{index}") for index, each in enumerate(drawn, start=1)]


def images_needed(point: Point) -> Estimate:
    """Return after how many images an exit is won back; its interval over runs ends at zero."""
    each = point.figure(BREAK_EVEN)
    if each.value is None:  # records say of either case that it is one of the two
        reason = FINAL_ITSELF if point.final else each.missing.removesuffix(", or it is the final one")
        return replace(each, missing=reason)
    return each if each.low is None else replace(each, low=max(0.0, each.low))


def added_kwh(run: Record) -> float | None:
    """Return what teaching added to the training steps of a run; None where the record does not tell."""
    taught = sum(part.energy_kwh for part in run.train_parts if part.name in _TAUGHT)
    if run.training_step is None or not taught:
        return None
    return taught * max(0.0, 1 - 1 / run.training_step.overhead)


def _crossing(study: Study, point: Point) -> Crossing | None:
    final = Point(group=point.group, exit=max(point.group.exits))
    whole, part = final.figure(ENERGY), share(point, ENERGY)
    added = [each for run in point.group.runs if (each := added_kwh(run)) is not None]
    images = images_needed(point)
    if not whole.value or part.value is None or not added or (images.value is None and part.value < 1):
        return None
    energy = training_figure(study.records)
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
        symbol=mark(whole.kind),
    )
