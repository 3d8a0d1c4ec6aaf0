"""Footprint regression checks: a candidate against a baseline, a budget, or another version of the code; no torch."""

from greenpose.check.baseline import Baseline, Filed, Selection, dumps, read_baseline
from greenpose.check.budgets import CostBudget, check_budgets, read_budgets, tighten
from greenpose.check.exact_gate import accept, changes, compare, differs, refuse_unsure
from greenpose.check.footprint import Footprint, of_counts, of_record
from greenpose.check.verdict import CheckFinding, CheckVerdict, Outcome, RatioSpan, joined

__all__ = [
    "Baseline",
    "CheckFinding",
    "CheckVerdict",
    "CostBudget",
    "Filed",
    "Footprint",
    "Outcome",
    "RatioSpan",
    "Selection",
    "accept",
    "changes",
    "check_budgets",
    "compare",
    "differs",
    "dumps",
    "joined",
    "of_counts",
    "of_record",
    "read_baseline",
    "read_budgets",
    "refuse_unsure",
    "tighten",
]
