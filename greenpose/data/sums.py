"""What every file of a folder is, in the form that `sha256sum -c` reads: whether it is still what was written."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from greenpose.data.findings import Finding, Notebook

FILE = "SHA256SUMS"


def sha256(data: bytes) -> str:
    """Return the SHA-256 of some bytes in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sums_text(sums: Mapping[str, str]) -> str:
    """Return the text of a file of sums, from each file's sum by its path below the folder."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))


def verify_sums(root: Path) -> list[Finding]:
    """Return a warning where files are no longer what `SHA256SUMS` says; nothing where the folder has none."""
    file = root / FILE
    if not file.is_file():
        return []
    notebook = Notebook(str(file))
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    told = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    changed = [name for name, digest in told.items() if not _is(root / name, digest)]
    notebook.count("warning", changed, "{n} files are not, or no longer, what they were when the folder was made")
    return notebook.findings


def _is(file: Path, digest: str) -> bool:
    return file.is_file() and sha256(file.read_bytes()) == digest
