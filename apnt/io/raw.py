"""Camera RAW and DNG: the sensor's light in sRGB primaries, linear, 1 at the sensor's white level."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from apnt.errors import InputError
from apnt.io.decoded import Decoded, check_size, extra
from apnt.io.names import as_text
from apnt.io.profile import PRIMARIES, linear_profile, to_xyz
from apnt.io.tiff import opened as opened_tiff
from apnt.io.tiff import pages_of

_ORIENTATIONS = {0: 1, 3: 3, 5: 8, 6: 6}  # LibRaw's flip to EXIF's numbers
_FULL = 65535
_JPEG, _MOSAIC, _LINEAR_RAW = 7, 32803, 34892
_FLOAT = 3  # TIFF's SampleFormat
_ROWS = 256


def opened(path: str | Path) -> Any:
    """The file as rawpy opens it: headers alone, until pixels are asked for. To be closed.

    Raises:
        InputError: rawpy is missing, or LibRaw does not know the file; the caller puts the name before it.
    """
    rawpy = extra("rawpy", "a camera RAW file")
    raw = rawpy.RawPy()
    try:
        with as_text(path) as name:
            raw.open_file(name)
    except rawpy.LibRawError as error:
        raw.close()
        raise InputError(
            f"is a camera RAW file that LibRaw cannot read ({_reason(error)}): develop it to a 16-bit TIFF"
        ) from error
    return raw


def decode(path: str | Path, wb: Sequence[float] | None = None) -> tuple[Decoded, tuple[float, float, float]]:
    """Develop to linear light: black subtracted, white balanced, demosaiced (AHD), nothing else.

    No brightness is adjusted, so that frames of one bracket stay on one scale. Every channel is clipped where
    the first of them clips after the white balance, so that a clipped sensor is white. LibRaw subtracts the
    black of linear DNG files and forgets it in their white, so those are scaled here.

    Args:
        path: the file.
        wb: red, green, blue multipliers; the camera's own unless given.

    Returns:
        The samples and the multipliers that were used, the smallest of them 1.

    Raises:
        InputError: a float DNG, a sensor without three colours, a camera without known colours.
    """
    _check_tiff(path)
    with closing(opened(path)) as raw, _named_errors():
        check_size(raw.sizes.width, raw.sizes.height)
        if raw.num_colors != 3:
            raise InputError(
                f"is camera RAW with {raw.num_colors} colours, and three are read: develop it to a TIFF"
            )
        orientation = _ORIENTATIONS.get(raw.sizes.flip, 1)  # developing resets it
        matrix = camera_to_srgb(raw)
        gains = _white_balance(raw, wb)
        samples = _linear_dng(raw, gains) if _is_stack(raw) else _mosaic(raw, gains)
    profile = linear_profile("the camera's colours", matrix)
    return Decoded(samples, _FULL, 16, profile=profile, linear=True, orientation=orientation), gains


@contextmanager
def _named_errors() -> Iterator[None]:
    """LibRaw's errors hold bytes."""
    rawpy = extra("rawpy", "a camera RAW file")
    try:
        yield
    except rawpy.LibRawError as error:
        raise ValueError(_reason(error)) from error


def camera_to_srgb(raw: Any) -> np.ndarray:
    """(3, 3): white-balanced camera RGB to linear sRGB, rows summing to one (as dcraw's cam_xyz_coeff).

    LibRaw holds the matrix of a DNG ready made, and for other files XYZ to camera.
    """
    to_camera = np.asarray(raw.rgb_xyz_matrix, np.float64)[:3]
    if np.abs(to_camera).max() > 0:
        from_srgb = to_camera @ to_xyz(PRIMARIES["sRGB"])
        matrix = np.linalg.inv(from_srgb / from_srgb.sum(axis=1, keepdims=True))
    else:
        matrix = np.asarray(raw.color_matrix, np.float64)[:, :3]
    sums = matrix.sum(axis=1, keepdims=True)
    if not np.isfinite(matrix).all() or sums.min() < 0.5:  # they are one but for rounding
        raise InputError("is camera RAW without known colours: develop it to a TIFF with 16 bits")
    return matrix / sums


def _white_balance(raw: Any, wb: Sequence[float] | None) -> tuple[float, float, float]:
    if wb is None:
        stored = list(raw.camera_whitebalance)[:3]
        wb = stored if min(stored) > 0 else list(raw.daylight_whitebalance)[:3]
    gains = np.asarray(wb, np.float64)
    if gains.shape != (3,) or not np.isfinite(gains).all() or gains.min() <= 0:
        raise InputError(f"wb must be three positive multipliers for red, green and blue, got {wb!r}")
    red, green, blue = (float(g) for g in gains / gains.min())
    return red, green, blue


def _is_stack(raw: Any) -> bool:
    return bool(raw.raw_type.name == "Stack")


def _white_level(raw: Any) -> int:
    """Where the sensor clips: the camera's own word, where it is plausible, else LibRaw's table."""
    own = [int(v) for v in (raw.camera_white_level_per_channel or ()) if v]
    table = int(raw.white_level)
    return min(own) if own and table / 2 < min(own) <= table else table


def _mosaic(raw: Any, gains: tuple[float, float, float]) -> np.ndarray:
    rawpy = extra("rawpy", "a camera RAW file")
    table, white = int(raw.white_level), _white_level(raw)
    samples: np.ndarray = raw.postprocess(
        user_wb=[*gains, gains[1]],
        output_color=rawpy.ColorSpace.raw,
        output_bps=16,
        gamma=(1, 1),
        no_auto_bright=True,
        adjust_maximum_thr=0.0,  # LibRaw would take a darker white from every frame's own maximum
        highlight_mode=rawpy.HighlightMode.Clip,
        user_flip=0,
    )
    if white < table:  # scaled to the table's white until here
        black = min(raw.black_level_per_channel[:3])
        for row in range(0, len(samples), _ROWS):
            light = samples[row : row + _ROWS] * np.float32((table - black) / (white - black))
            samples[row : row + _ROWS] = np.rint(np.minimum(light, _FULL))
    return samples


def _linear_dng(raw: Any, gains: tuple[float, float, float]) -> np.ndarray:
    stored = raw.raw_image_visible
    black = np.asarray(raw.black_level_per_channel, np.float32)[:3]
    scale = np.asarray(gains, np.float32) * np.float32(_FULL) / (np.float32(_white_level(raw)) - black)
    samples = np.empty((*stored.shape[:2], 3), np.uint16)
    for row in range(0, len(stored), _ROWS):
        light = (stored[row : row + _ROWS, :, :3] - black) * scale
        samples[row : row + _ROWS] = np.rint(np.clip(light, 0, _FULL))
    return samples


def _check_tiff(path: str | Path) -> None:
    """Of RAW files that are TIFFs, refuse floats, which LibRaw scales by their peak, and cut files."""
    try:
        with opened_tiff(path) as tiff:
            size = tiff.filehandle.size
            data = [(page.tags.valueof("SampleFormat"), page) for page in pages_of(tiff)]
    except Exception:  # not every RAW file is a TIFF
        return
    if any(_FLOAT in (kind if isinstance(kind, tuple) else (kind,)) for kind, _ in data):
        raise InputError("is a float DNG, as merging exposures makes it, and fusing takes those exposures")
    for _, page in data:
        if any(o + n > size for o, n in zip(page.dataoffsets, page.databytecounts, strict=False)):
            raise ValueError("its pixels lie beyond its end")
        # LibRaw decodes what is missing to noise. Lossless JPEG has a code of a bit or more for every sample.
        sensor = page.compression == _JPEG and page.photometric in (_MOSAIC, _LINEAR_RAW)
        if sensor and 8 * sum(page.databytecounts) < page.imagewidth * page.imagelength:
            raise ValueError("most of its pixels are missing")


def _reason(error: Exception) -> str:
    text = error.args[0] if error.args else ""
    return text.decode(errors="replace") if isinstance(text, bytes) else str(text) or type(error).__name__
