"""The report in other forms than the page: from the same tables, drawings and records."""

from greenpose.report.forms.latex import to_latex
from greenpose.report.forms.markdown import to_markdown
from greenpose.report.forms.pdf import find_browser, to_pdf
from greenpose.report.forms.pictures import pictures
from greenpose.report.forms.tidy import COLUMNS, tidy_lines

__all__ = ["COLUMNS", "find_browser", "pictures", "tidy_lines", "to_latex", "to_markdown", "to_pdf"]
