"""The page as a PDF, printed by a Chromium that is on this machine; nothing is loaded from anywhere."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from greenpose.errors import ReportError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
"""Commands that print, in the order in which they are looked for."""
SECONDS = 120
"""How long a browser may take."""


def find_browser() -> str:
    """Return the path of a browser that can print.

    Raises:
        ReportError: if there is none.
    """
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise ReportError(
            f"a PDF is printed by Chromium, and none of {', '.join(BROWSERS)} is on the PATH; install one, or write "
            "the page (-o FILE.html) and print it from any browser"
        )
    return found


def to_pdf(page: str, *, browser: str) -> bytes:
    """Return a page as printed on A4.

    Raises:
        ReportError: if the browser prints nothing.
    """
    with tempfile.TemporaryDirectory(prefix="greenpose-") as folder:
        source, target = Path(folder, "page.html"), Path(folder, "page.pdf")
        source.write_text(page, encoding="utf-8")
        complaint = _print(browser, source, target)
        if not target.is_file():
            raise ReportError(f"{browser} printed nothing: {complaint or 'it does not say why'}")
        return target.read_bytes()


def _print(browser: str, source: Path, target: Path) -> str:
    """Let the browser print, and return its last words."""
    options = ["--headless", "--disable-gpu", "--no-pdf-header-footer", f"--user-data-dir={target.parent / 'profile'}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--no-sandbox")  # the browser refuses root otherwise; the page is ours, and loads nothing
    command = [browser, *options, f"--print-to-pdf={target}", source.as_uri()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stderr.strip().rpartition("\n")[2]
