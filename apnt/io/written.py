"""What apnt wrote itself: files that carry its name, so that no later run takes them for a user's."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image

from apnt.io import pil, tiff
from apnt.io.kept import SOFTWARE, SOFTWARE_TAG
from apnt.io.radiance import RADIANCE_SUFFIXES

PREVIEW = "_preview"
"""What follows the name of an HDR image in that of its preview."""

_NAMED = re.compile(rf"{SOFTWARE}\b")
_PAGE = re.compile(rb'<meta name="generator" content="' + SOFTWARE.encode() + rb"\b")
_HEAD = 4096  # bytes in which a page names what wrote it


def is_own(path: Path) -> bool:
    """Whether apnt wrote this picture or page: by its Software, or as the preview beside an HDR image."""
    stem = path.stem.removesuffix(PREVIEW)
    if stem != path.stem and any(path.with_name(stem + suffix).is_file() for suffix in RADIANCE_SUFFIXES):
        return True  # also of versions that left no name
    try:
        if path.suffix.lower() == ".html":
            with path.open("rb") as page:
                return _PAGE.search(page.read(_HEAD)) is not None
        if path.suffix.lower() in (".tif", ".tiff"):
            with tiff.opened(path) as file:  # Pillow does not open colour of 32-bit floats
                software = file.pages.first.tags.valueof(SOFTWARE_TAG)
        else:
            with Image.open(path) as image:
                software = pil.exif(image).get(SOFTWARE_TAG)
    except Exception:  # what they cannot open is none of the formats that apnt writes
        return False
    return _NAMED.match(str(software)) is not None
