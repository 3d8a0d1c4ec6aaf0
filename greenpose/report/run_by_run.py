"""What the runs of an exit say one by one: how it was measured, who disturbed it, how its accuracy came."""

from typing import Any

from greenpose.metrics import PERCENT
from greenpose.record import Record
from greenpose.report.quantities import disturbance
from greenpose.report.study import Point, Study


def measurement(point: Point, key: str) -> list[Any]:
    """Return what each run says under a name of how the exit was measured."""
    return point.group.together.each(lambda run: run.exit(point.exit).measurement.get(key))


def disturbances(point: Point) -> list[tuple[float, float]]:
    """Return for each run the shares of the CPU that other processes and other guests took, as `disturbance`."""
    return point.group.together.each(lambda run: disturbance(run.exit(point.exit)))


def not_converged(study: Study) -> list[str]:
    """Return the exits whose energy did not reach the asked precision within the allowed blocks, in any run."""
    return [point.label for point in study.points if False in measurement(point, "converged")]


def courses(point: Point) -> list[list[tuple[int, float]]]:
    """Return of each run the epochs at which the exit was validated, each with its AP in percent."""

    def course(run: Record) -> list[tuple[int, float]]:
        return [(each.epoch, PERCENT * told[point.exit]) for each in run.validations if point.exit in (told := each.ap)]

    return point.group.together.each(course)
