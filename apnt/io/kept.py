"""What an output keeps of the metadata of the photograph whose moment it shows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from apnt.errors import InputError
from apnt.io.exif_block import ORIENTATION, directory
from apnt.io.metadata import EXIF_IFD, GPS_IFD, read_blocks

POLICIES = ("all", "anonymous", "none")
"""How much is kept: everything below; all but places, people, serial and identity numbers; nothing."""

SOFTWARE, SOFTWARE_TAG = "apnt", 0x0131
"""Who wrote an output, and the tag of EXIF and TIFF that says so."""

# First directory: what describes the picture. The rest of it describes the file's own pixels.
_DESCRIPTION, _MAKE, _MODEL, _DATE = 0x010E, 0x010F, 0x0110, 0x0132
_ARTIST, _COPYRIGHT = 0x013B, 0x8298
_FIRST = (_DESCRIPTION, _MAKE, _MODEL, _DATE, _ARTIST, _COPYRIGHT)
_VERSION, _COLOUR_SPACE, _WIDTH, _HEIGHT = 0x9000, 0xA001, 0xA002, 0xA003
_SRGB, _UNCALIBRATED = 1, 65535
# EXIF's directory: the maker's note, which holds offsets into its old file; interoperability; padding; how
# the old file was compressed; the size that it had, which is set anew.
_DROPPED = (0x927C, 0xA005, 0xEA1C, 0xEA1D, 0x9101, 0x9102, _COLOUR_SPACE, _WIDTH, _HEIGHT)
_PERSONAL = (0x9286, 0xA420, 0xA430, 0xA431, 0xA435)  # comment, unique number, owner, serial numbers
_PERSONAL_FIRST = (_DESCRIPTION, _ARTIST, _COPYRIGHT)
_LONGEST = 4096  # bytes of a value: all of EXIF must fit into 64 KiB of a JPEG


def keep_metadata(path: str | Path | None, size: tuple[int, int], policy: str = "all") -> Image.Exif:
    """EXIF for a picture made of a photograph.

    Camera, lens, exposure, time, place, author and rights stay. The orientation is 1, because pixels are
    written upright; size, colour space and software are the output's. Thumbnails and makers' notes go, and
    XMP too: it says how the photograph is to be cropped, turned and developed, which would be done again.

    Args:
        path: the photograph; None = there is none.
        size: height and width of the output.
        policy: one of :data:`POLICIES`.

    Returns:
        EXIF; of a file that has none, or a broken block, only what the output says of itself.

    Raises:
        InputError: another policy.
    """
    check_policy(policy)
    kept = Image.Exif()
    if path is not None and policy != "none":
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow warns of odd metadata
                old, _ = read_blocks(path)
        except Exception:  # a broken block is no block; whether the pixels are whole, the reader says
            old = Image.Exif()
        everything = policy == "all"
        first = [tag for tag in _FIRST if everything or tag not in _PERSONAL_FIRST]
        kept.update(_writable(None, {tag: old[tag] for tag in first if tag in old}))
        left_out = _DROPPED if everything else (*_DROPPED, *_PERSONAL)
        taken = {tag: value for tag, value in old.get_ifd(EXIF_IFD).items() if tag not in left_out}
        kept.get_ifd(EXIF_IFD).update(_writable(EXIF_IFD, taken))
        if everything:
            kept.get_ifd(GPS_IFD).update(_writable(GPS_IFD, old.get_ifd(GPS_IFD)))
    kept[ORIENTATION] = 1
    kept[SOFTWARE_TAG] = SOFTWARE
    fields = kept.get_ifd(EXIF_IFD)
    fields.setdefault(_VERSION, b"0232")
    fields.update({_WIDTH: size[1], _HEIGHT: size[0], _COLOUR_SPACE: _SRGB})
    return kept


def check_policy(policy: str) -> None:
    """Refuse what :func:`keep_metadata` refuses.

    Raises:
        InputError: what it must be, and what it was.
    """
    if policy not in POLICIES:
        raise InputError(f"metadata must be one of {', '.join(POLICIES)}, got {policy!r}")


def linear(exif: Image.Exif) -> Image.Exif:
    """The same for pixels that are not encoded by sRGB's curve."""
    copy = Image.Exif()
    copy.update(exif)
    for name in (EXIF_IFD, GPS_IFD):
        copy.get_ifd(name).update(exif.get_ifd(name))
    copy.get_ifd(EXIF_IFD)[_COLOUR_SPACE] = _UNCALIBRATED
    return copy


def _writable(name: int | None, entries: Mapping[int, Any]) -> dict[int, Any]:
    """Entries that can be written, one by one: what a camera wrote may be none of EXIF's types."""
    good = {}
    for tag, value in entries.items():
        try:
            if len(directory(name, {tag: value}, 8)) <= _LONGEST:
                good[tag] = value
        except Exception:
            continue
    return good
