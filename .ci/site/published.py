"""The published reports as part of the documentation's site, which links to them where they lie in the repository."""

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]


def on_files(files: Files, config: Any) -> Files:
    """Add every published page beside the documentation."""
    for page in [ROOT / "reports/index.html", *sorted(ROOT.glob("reports/*/index.html"))]:
        files.append(File(str(page.relative_to(ROOT)), str(ROOT), config.site_dir, use_directory_urls=False))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Point links that lead out of `docs/` to where the site has the published pages."""
    return markdown.replace("](../reports/", "](reports/")
