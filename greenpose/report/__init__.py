"""Records to tables to charts to one self-contained HTML page; nothing is written, torch is never imported."""

from greenpose.report.page import render

__all__ = ["render"]
