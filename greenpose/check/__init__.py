"""Footprint regression checks: a candidate against a baseline, a budget, or another version of the code; no torch."""

from greenpose.check.verdict import Finding, Outcome, Span, Verdict

__all__ = ["Finding", "Outcome", "Span", "Verdict"]
