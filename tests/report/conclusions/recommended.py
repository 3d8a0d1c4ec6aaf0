"""What a page recommends of a study, as `greenpose.report.page` puts it together."""

from greenpose.report.comparison import changes
from greenpose.report.conclusions import choice
from greenpose.report.conclusions import first_screen as screen
from greenpose.report.conclusions.next_steps import next_steps as steps
from greenpose.report.deployment import recommend
from greenpose.report.many_runs import latest


def first_screen(compared):
    return screen.first_screen(compared, recommend(latest(compared)), changes(compared))


def verdict(compared):
    return screen.verdict(recommend(latest(compared)))


def choice_picture(compared):
    return choice.choice_picture(recommend(latest(compared)))


def next_steps(compared):
    return steps(recommend(latest(compared)))
