"""HEIC and other HEIF photographs of phones and cameras, 8 to 12 bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from apnt.io import pil
from apnt.io.boxes import from_code_points
from apnt.io.decoded import Decoded, check_size, extra
from apnt.io.profile import Profile


def opened(path: str | Path) -> Any:
    """The primary picture as pillow-heif opens it: size and metadata, and pixels once they are asked for.

    Raises:
        InputError: pillow-heif is missing; the caller puts the file's name before the sentence.
    """
    heif = extra("pillow_heif", "a HEIC photograph")
    return heif.open_heif(path, convert_hdr_to_8bit=False, hdr_to_16bit=False)


def decode(path: str | Path) -> Decoded:
    """Decode the primary picture. libheif turns it upright; an EXIF orientation has no say in this format.

    The gain map of an HDR photograph is not applied: the standard picture is read.
    """
    image = opened(path)
    check_size(*image.size)
    bits = int(image.info.get("bit_depth", 8))
    pixels, alpha = pil.split_alpha(np.asarray(image))
    decoded = Decoded(
        pixels,
        2**bits - 1,
        bits,
        alpha,
        premultiplied="a" in image.mode.split(";")[0],
        orientation=pil.orientation_in(image.info.get("exif")),
        upright=True,
    )
    if icc := image.info.get("icc_profile"):
        return pil.with_icc(decoded, icc)
    return replace(decoded, profile=_by_code_points(image.info.get("nclx_profile")))


def _by_code_points(nclx: dict[str, Any] | None) -> Profile | None:
    return from_code_points(nclx["color_primaries"], nclx["transfer_characteristics"]) if nclx else None
