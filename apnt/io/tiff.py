"""TIFF: which page is the photograph, and its samples, whatever their packing and compression."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from apnt.errors import InputError
from apnt.io import pil
from apnt.io.decoded import Decoded, check_size
from apnt.io.png import decode_opencv

if TYPE_CHECKING:
    import tifffile

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_RAW_PHOTOMETRICS = {32803, 34892}  # colour filter array, linear raw
_PHOTOMETRICS = {_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB}
_LOGLUV = {34676, 34677}
_LOGLUV_PHOTOMETRICS = {32844, 32845}
_LZW = 5
_MOST_BYTES_A_BYTE = {1: 1, 5: 4096, 8: 1040, 32773: 64, 32946: 1040}
"""How much a compression can save: none, LZW, deflate, PackBits, deflate. Others say nothing of memory."""

_MOST_SAMPLES = 16  # more is no photograph with alpha and masks, but memory asked for by a broken header
_ASSOCIATED, _UNASSOCIATED = 1, 2  # kinds of alpha among the extra samples; others are masks and depth maps
_PILLOW_PHOTOMETRICS = {3, 5, 6, 8}  # palette, separated (CMYK), YCbCr, CIELAB
_MAX_SAMPLE_TAGS = ("MaxSampleValue", "SMaxSampleValue")


def decode(path: str | Path) -> Decoded | None:
    """Decode the largest full-size page of a TIFF; thumbnails and later pages of its size are passed over.

    Returns:
        None for the camera RAW files that are TIFFs by their header.

    Raises:
        InputError: floats, other depths than 8 to 16 bits, another colour model, an unknown compression.
        ValueError: part of the data is missing.
    """
    with opened(path) as tiff:
        pages = list(pages_of(tiff))
        if not pages:
            raise ValueError("it holds no image")
        if _is_raw(tiff, pages):
            return None
        page = _largest(pages)
        check_size(page.imagewidth, page.imagelength)
        _check_samples(page)
        _check_extent(page, tiff.filehandle.size)
        decoded = _samples(page, Path(path), tiff)
        found = (tiff.pages.first.tags.valueof("Orientation"), page.tags.valueof("Orientation"))
        orientation = next((int(o) for o in reversed(found) if o in range(1, 9)), 1)
        alike = sum(other.shape == page.shape and not other.is_reduced for other in pages)
        notes = (f"holds {alike} pictures: the first is read",) if alike > 1 else ()
        return replace(decoded, orientation=orientation, notes=(*decoded.notes, *notes))


@contextmanager
def opened(path: str | Path) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF; tifffile's log, which says on the error stream what our error says, is silent."""
    import tifffile  # here: other files do not need it

    log = tifffile.logger()
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with tifffile.TiffFile(path) as tiff:
            yield tiff
    finally:
        log.setLevel(level)


def pages_of(tiff: tifffile.TiffFile) -> Iterator[tifffile.TiffPage]:
    """All pages and their sub-images; the links between pages of a broken file may form a circle."""
    import tifffile

    seen: set[int] = set()
    for page in tiff.pages:
        if page.offset in seen:
            return
        seen.add(page.offset)
        if isinstance(page, tifffile.TiffPage):
            yield page
            for sub in page.pages or ():
                if isinstance(sub, tifffile.TiffPage):
                    yield sub


def _is_raw(tiff: tifffile.TiffFile, pages: list[tifffile.TiffPage]) -> bool:
    if "DNGVersion" in pages[0].tags or any(page.photometric in _RAW_PHOTOMETRICS for page in pages):
        return True
    handle = tiff.filehandle
    handle.seek(8)
    return handle.read(2) == b"CR"  # Canon's CR2 does not say what its pages are


def _largest(pages: list[tifffile.TiffPage]) -> tifffile.TiffPage:
    """The first of the largest pages that are no reduced copies."""
    full = [page for page in pages if not page.is_reduced and not page.is_mask and page.size]
    if not full:
        raise InputError(
            "holds a thumbnail alone (its pages are marked as reduced): give the full-size photograph"
        )
    return max(full, key=lambda page: page.imagewidth * page.imagelength)


def _check_samples(page: tifffile.TiffPage) -> None:
    """Refuse numbers and colours that are not read."""
    dtype, bits = page.dtype, page.bitspersample
    if page.compression in _LOGLUV or page.photometric in _LOGLUV_PHOTOMETRICS:
        raise InputError("holds LogLuv, an HDR encoding, and fusing takes the exposures it is made from")
    if dtype is not None and dtype.kind == "f":
        raise InputError(f"must hold integers, and it holds {dtype}: save it with 8 or 16 bits")
    if dtype is None or dtype.kind != "u" or not 8 <= bits <= 16:
        numbers = str(dtype) if dtype is not None and dtype.kind == "i" else "samples"
        raise InputError(f"must have 8 or 16 bits, and it holds {bits}-bit {numbers}")
    known = {*_PHOTOMETRICS, *_PILLOW_PHOTOMETRICS} if bits == 8 else _PHOTOMETRICS
    if page.photometric not in known:
        name = getattr(page.photometric, "name", page.photometric)  # a plain number where it is unknown
        raise InputError(f"must be RGB or grey, and it is {name}: convert it to RGB")
    if page.samplesperpixel > _MOST_SAMPLES:
        raise InputError(f"must be RGB or grey, and it holds {page.samplesperpixel} samples a pixel")
    if page.imagedepth != 1:
        raise InputError(f"must be one picture, and it holds a volume of {page.imagedepth} slices")


def _check_extent(page: tifffile.TiffPage, size: int) -> None:
    """Refuse tiles of an absurd size, and strips that the file of ``size`` bytes does not hold."""
    if page.is_tiled:
        check_size(page.tilewidth, page.tilelength)
    ends = [offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)]
    wanted = int(np.prod(page.chunked))
    if len(ends) < wanted or min(page.databytecounts, default=0) < 1 or max(ends, default=0) > size:
        raise ValueError("its strips or tiles lie beyond its end")
    most = _MOST_BYTES_A_BYTE.get(page.compression)
    bits = page.imagewidth * page.imagelength * page.samplesperpixel * page.bitspersample
    if most is not None and bits > 8 * most * sum(page.databytecounts):
        raise ValueError("its strips or tiles hold too little for its pixels")


def _samples(page: tifffile.TiffPage, path: Path, tiff: tifffile.TiffFile) -> Decoded:
    if page.photometric in _PILLOW_PHOTOMETRICS:
        return _by_pillow(page, path, tiff)
    pixels = _by_tifffile(page)
    if pixels is not None:
        pixels = np.moveaxis(pixels, 0, -1) if page.axes.startswith("S") else pixels
        return pil.with_icc(_split(page, pixels), page.iccprofile)
    if page.bitspersample == 8:
        return _by_pillow(page, path, tiff)
    if page.compression != _LZW or page.planarconfig != 1 or page.samplesperpixel == 2 or page.index:
        name = getattr(page.compression, "name", page.compression)
        raise InputError(
            f"is a TIFF with {name} compression, which needs imagecodecs: pip install 'apnt[photo]'"
        )
    pixels = decode_opencv(path.read_bytes())
    pixels = pixels if pixels.ndim == 2 else pixels[..., [2, 1, 0, 3][: pixels.shape[-1]]]
    return pil.with_icc(_split(page, pixels), page.iccprofile)


def _by_tifffile(page: tifffile.TiffPage) -> np.ndarray | None:
    """The stored array; None where the compression or the predictor needs imagecodecs, which is missing."""
    try:
        return np.asarray(page.asarray())
    except ImportError:
        return None
    except MemoryError:
        if page.nbytes > 1 << 30:
            raise
        raise ValueError(
            "its compressed data claim more than its pixels"
        ) from None  # LERC has its own header
    except ValueError as error:
        if "requires the 'imagecodecs' package" in str(error):
            return None
        raise


def _by_pillow(page: tifffile.TiffPage, path: Path, tiff: tifffile.TiffFile) -> Decoded:
    numbers = [n for n, other in enumerate(tiff.pages) if getattr(other, "offset", None) == page.offset]
    if not numbers:
        raise InputError(
            "holds its photograph in a sub-image that cannot be decoded: save it as a plain TIFF"
        )
    return pil.decode(path, "TIFF", numbers[0])


def _split(page: tifffile.TiffPage, pixels: np.ndarray) -> Decoded:
    """Colour, alpha, depth."""
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    colours = 3 if page.photometric == _RGB else 1
    if pixels.ndim != 3 or pixels.shape[-1] < colours:
        raise ValueError(f"its pixels have the shape {pixels.shape}")
    bits = page.bitspersample
    white = 2**bits - 1
    colour = pixels[..., :3] if colours == 3 else pixels[..., 0]
    if page.photometric == _WHITE_IS_ZERO:
        colour = white - colour
    alpha, premultiplied = None, False
    for n, kind in enumerate(page.extrasamples):
        if kind in (_ASSOCIATED, _UNASSOCIATED) and colours + n < pixels.shape[-1]:
            alpha, premultiplied = pixels[..., colours + n], kind == _ASSOCIATED
            break
    notes: tuple[str, ...] = ()
    if bits == 16 and (stated := _stated_white(page, colour)):
        bits, white = stated.bit_length(), stated
        notes = (f"states {bits}-bit samples in 16 bits: scaled by {white}",)
    return Decoded(colour, white, bits, alpha, premultiplied, notes=notes)


def _stated_white(page: tifffile.TiffPage, colour: np.ndarray) -> int | None:
    """``2**n - 1`` where a tag says so and no sample is larger.

    Some writers put the picture's own maximum there, which says nothing of white.
    """
    for tag in _MAX_SAMPLE_TAGS:
        value = page.tags.valueof(tag)
        value = max(value) if isinstance(value, tuple) else value
        if isinstance(value, (int, float)) and 255 <= value < 65535:
            white = int(value)
            if white & (white + 1) == 0 and white == value and int(colour.max(initial=0)) <= white:
                return white
    return None
