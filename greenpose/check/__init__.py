"""Footprint regression checks: a candidate against a baseline, a budget, or another version of the code; no torch."""

from greenpose.check.accept import Acceptance, accept, changes, differs, refuse_unsure
from greenpose.check.baseline import Baseline, Filed, dumps, read_baseline
from greenpose.check.budgets import Budget, read_budgets
from greenpose.check.exact import compare
from greenpose.check.footprint import Footprint, of_counts, of_record
from greenpose.check.limits import judge, tighten
from greenpose.check.selection import Selection
from greenpose.check.verdict import Finding, Outcome, Span, Verdict, joined

__all__ = [
    "Acceptance",
    "Baseline",
    "Budget",
    "Filed",
    "Finding",
    "Footprint",
    "Outcome",
    "Selection",
    "Span",
    "Verdict",
    "accept",
    "changes",
    "compare",
    "differs",
    "dumps",
    "joined",
    "judge",
    "of_counts",
    "of_record",
    "read_baseline",
    "read_budgets",
    "refuse_unsure",
    "tighten",
]
