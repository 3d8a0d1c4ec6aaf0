"""Pages without their drawings, for tests of the rest: they take two thirds of a page's time."""

import html

from tests.cli.running import COMMAND


def words_only(drawing):
    """Return what a drawing says, undrawn."""
    titles = "".join(f"<title>{html.escape(told)}</title>" for told in (drawing.title, *drawing.tooltips))
    return f"<svg><style></style>{titles}<desc>{html.escape(drawing.description)}</desc></svg>"


def without_drawings(words):
    """Be the command line that leaves its page's drawings out but for their words."""
    from greenpose.report.drawing import Drawing

    Drawing.svg = property(words_only)
    return COMMAND(words)
