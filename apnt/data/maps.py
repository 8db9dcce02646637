"""Folders of radiance maps: the HDR images from which synthetic brackets are made."""

from __future__ import annotations

from pathlib import Path

from apnt.errors import InputError
from apnt.io.inputs import no_folder
from apnt.io.radiance import READABLE_SUFFIXES


def has_radiance_maps(folder: str | Path) -> bool:
    """Whether ``.hdr`` or ``.exr`` files lie in a folder itself."""
    folder = Path(folder)
    return folder.is_dir() and any(path.suffix.lower() in READABLE_SUFFIXES for path in folder.iterdir())


def _lack(folder: Path) -> str:
    if folder.is_dir():
        return "has none"
    return f"{no_folder(folder)}: check the path"


def list_radiance_maps(folder: str | Path) -> list[Path]:
    """All ``.hdr`` and ``.exr`` files of a folder, sorted by name.

    Raises:
        InputError: the folder is missing or holds none.
    """
    folder = Path(folder)
    files = (
        sorted(p for p in folder.glob("*") if p.suffix.lower() in READABLE_SUFFIXES)
        if folder.is_dir()
        else []
    )
    if not files:
        raise InputError(
            f"data must be a folder with .hdr or .exr radiance maps, got {folder}, which {_lack(folder)}"
        )
    return files
