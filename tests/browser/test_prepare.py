"""What the tests in a browser need: where it may not be installed, words and a failure instead of tests skipped."""

import subprocess
from pathlib import Path

import pytest

PREPARE = Path(__file__).with_name("prepare.sh")


@pytest.mark.parametrize(("there", "missing"), [([], "chromium"), (["chromium"], "pdftotext")])
def test_what_is_missing_is_named_where_it_may_not_be_installed(tmp_path, there, missing):
    for name in (*there, "dirname"):
        (tmp_path / name).write_text("#!/bin/sh\necho .\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n", encoding="utf-8")
    (tmp_path / "id").chmod(0o755)
    nowhere = {"PATH": str(tmp_path)}
    done = subprocess.run(["/bin/bash", PREPARE], check=False, env=nowhere, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"need `{missing}`; install it (Debian: apt-get install" in done.stderr
