"""Records to tables to charts to one self-contained HTML page; nothing is written, torch is never imported."""

from greenpose.report.check_verdict import read_verdict
from greenpose.report.many_runs import MANY_RUNS, gathered
from greenpose.report.page import answer, render, render_study
from greenpose.report.study import FIRST, SECOND, ComparisonSide, Study, alike, side_by_side, study

__all__ = [
    "FIRST",
    "MANY_RUNS",
    "SECOND",
    "ComparisonSide",
    "Study",
    "alike",
    "answer",
    "gathered",
    "read_verdict",
    "render",
    "render_study",
    "side_by_side",
    "study",
]
