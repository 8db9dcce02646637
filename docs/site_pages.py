"""Hooks of MkDocs: pages that lie outside of docs/, and links that lead there."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
START = "README.md"
_OUTSIDE = ("*.md", "benchmarks/*.md", "benchmarks/results/*.md", "findings/*.md", "apnt/weights/*.md")
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#:\s]+)(#[^)]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages outside; the README is the first one."""
    for pattern in _OUTSIDE:
        for path in sorted(ROOT.glob(pattern)):
            files.append(File.generated(config, _address(path), content=path.read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Lead links to where their targets are on the site; what is not on it stays as text."""
    address = page.file.src_uri
    source = ROOT / START if address == "index.md" else ROOT / address
    if not source.is_file():
        source = ROOT / "docs" / address

    def led(match: re.Match[str]) -> str:
        picture, text, target, anchor = match[1], match[2], match[3], match[4] or ""
        path = (source.parent / target).resolve()
        there = _address(path)
        if files.get_file_from_path(there) is not None:
            return f"{picture}[{text}]({posixpath.relpath(there, posixpath.dirname(address) or '.')}{anchor})"
        return text if path.exists() else match[0]  # a link to nothing is an error of the build

    return _LINK.sub(led, markdown)


def _address(path: Path) -> str:
    """Where a file of the repository is on the site."""
    if path == ROOT / START:
        return "index.md"
    inside = ROOT / "docs"
    return (
        path.relative_to(inside if path.is_relative_to(inside) else ROOT).as_posix()
        if path.is_relative_to(ROOT)
        else ""
    )
