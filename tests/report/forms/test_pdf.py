"""Printing through a browser: a fake one writes what it is given, the real one is for `make test-browser`."""

import shutil
import stat

import pytest

from greenpose.errors import ReportError
from greenpose.report.forms import BROWSERS, find_browser, to_pdf


def fake(folder, script):
    path = folder / "chromium"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


PRINTS = """
for each; do
  case "$each" in
    --print-to-pdf=*) target="${each#--print-to-pdf=}" ;;
    file://*) source="${each#file://}" ;;
  esac
done
{ printf '%%PDF '; cat "$source"; } > "$target"
"""


def test_the_browser_is_given_the_page_and_what_it_prints_comes_back(tmp_path):
    browser = fake(tmp_path, PRINTS)
    assert to_pdf("<p>CO₂</p>", browser=str(browser)) == "%PDF <p>CO₂</p>".encode()


def test_a_browser_that_prints_nothing_is_quoted(tmp_path):
    browser = fake(tmp_path, "echo first >&2; echo no display >&2; exit 1")
    with pytest.raises(ReportError, match="printed nothing: no display"):
        to_pdf("<p></p>", browser=str(browser))


def test_a_machine_without_a_browser_is_told_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ReportError, match=r"-o FILE\.html"):
        find_browser()
    browser = fake(tmp_path, PRINTS)
    assert find_browser() == str(browser)


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="no browser on this machine")
def test_a_real_browser_prints_the_page():
    assert to_pdf("<h1>Report</h1>", browser=find_browser()).startswith(b"%PDF-")
