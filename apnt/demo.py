"""``apnt demo``: photograph a procedural scene three times, fuse the photographs, compare with the truth."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.TiffImagePlugin import IFDRational
from rich.console import Console

import apnt
from apnt import defaults
from apnt.data.procedural import procedural_bracket
from apnt.evaluate.pictures import tone_map_alike
from apnt.io import write_picture, write_radiance
from apnt.io.files import check_new, make_folder, write_bytes
from apnt.methods.medium import medium
from apnt.metrics import psnr_mu
from apnt.text import printable

_SHUTTER = 400  # the shortest exposure takes 1/400 s
_RESULTS = {"hdr": "demo.exr", "preview": "preview.jpg", "side_by_side": "side_by_side.jpg"}
_JPEG: dict[str, Any] = {"format": "JPEG", "quality": 95, "subsampling": 0}


def make_demo(out: str | Path, weights: str = defaults.WEIGHTS, *, force: bool = True) -> dict[str, Path]:
    """Make the demo's files and print where they lie and how much was gained.

    The photographs are written as JPEG files with their exposure in EXIF, and fused from these files.

    Args:
        out: folder for the files; made if it is missing.
        weights: as for :func:`apnt.fuse`.
        force: files that exist are replaced; False refuses it.

    Returns:
        Paths: ``short``, ``medium``, ``long`` (inputs), ``hdr``, ``preview`` and ``side_by_side``.

    Raises:
        InputError: ``out`` is a file, one of the files exists, or the weights cannot be used.
        OSError: a file cannot be written.
    """
    out = make_folder(out)
    bracket = procedural_bracket()
    truth = bracket.truth
    assert truth is not None
    assert bracket.moving is not None
    photographs = [np.round(frame * 255).astype(np.uint8) for frame in bracket.ldr]
    names = bracket.frame_names
    paths = {name: out / f"{name}.jpg" for name in names}
    results = {key: out / name for key, name in _RESULTS.items()}
    for path in (*paths.values(), *results.values()):
        check_new(path, force=force)
    for name, photograph, time in zip(names, photographs, bracket.times, strict=True):
        _save_photograph(paths[name], photograph, round(time), _SHUTTER)

    radiance = apnt.fuse([paths[name] for name in names], weights=weights)
    paths["hdr"] = write_radiance(results["hdr"], radiance)
    paths["preview"] = write_picture(results["preview"], apnt.render(radiance, like=paths["medium"]))

    alone = medium(bracket)
    before, after = psnr_mu(alone, truth), psnr_mu(radiance, truth)
    labels = [f"{name} exposure" for name in names]
    picture = _side_by_side(labels, photographs, alone, radiance, truth, bracket.moving, (before, after))
    paths["side_by_side"] = write_picture(results["side_by_side"], np.asarray(picture))

    console = Console(soft_wrap=True, highlight=False)
    console.print(f"PSNR-mu against the truth: fused {after:.2f} dB, medium exposure alone {before:.2f} dB")
    console.print(printable("inputs:       " + ", ".join(str(paths[name]) for name in names)), markup=False)
    console.print(printable(f"HDR:          {paths['hdr']}"), markup=False)
    console.print(printable(f"preview:      {paths['preview']}"), markup=False)
    console.print(printable(f"side by side: {paths['side_by_side']}"), markup=False)
    return paths


def _save_photograph(path: Path, pixels: np.ndarray, numerator: int, denominator: int) -> None:
    """A JPEG as a camera writes it: with exposure time, ISO and aperture."""
    exif = Image.Exif()
    exif[0x010F] = "apnt"  # Make
    exif[0x0110] = "procedural scene"  # Model
    fields = exif.get_ifd(0x8769)
    fields[0x829A] = IFDRational(numerator, denominator)  # ExposureTime
    fields[0x829D] = IFDRational(8, 1)  # FNumber
    fields[0x8827] = 100  # ISOSpeedRatings
    _save(path, Image.fromarray(pixels), exif=exif, **_JPEG)


def _save(path: Path, picture: Image.Image, **options: Any) -> None:
    buffer = io.BytesIO()
    picture.save(buffer, **options)
    write_bytes(path, buffer.getvalue())


def _side_by_side(
    labels: Sequence[str],
    photographs: Sequence[np.ndarray],
    alone: np.ndarray,
    fused: np.ndarray,
    truth: np.ndarray,
    moving: np.ndarray,
    scores: tuple[float, float],
) -> Image.Image:
    """Inputs above, result and truth below, then a magnified piece around what moves; (H, W, 3) each."""
    width = 2 * truth.shape[1]
    shown_alone, shown_fused, shown_truth = tone_map_alike([alone, fused, truth])
    box = _around(moving)
    rows = [
        zip(labels, photographs, strict=True),
        ((f"fused, {scores[1]:.1f} dB PSNR-mu", shown_fused), ("truth", shown_truth)),
        (
            (f"medium alone, {scores[0]:.1f} dB PSNR-mu", shown_alone[box]),
            ("fused", shown_fused[box]),
            ("truth", shown_truth[box]),
        ),
    ]
    return Image.fromarray(np.concatenate([_row(list(row), width) for row in rows]))


def _around(mask: np.ndarray) -> tuple[slice, slice]:
    """A piece of a third of the image's size, centred on the mask and inside the image."""
    slices = []
    for axis in (0, 1):
        where = np.flatnonzero(mask.any(axis=1 - axis))
        side, length = mask.shape[axis] // 3, mask.shape[axis]
        middle = int(where[0] + where[-1]) // 2 if where.size else length // 2
        start = int(np.clip(middle - side // 2, 0, length - side))
        slices.append(slice(start, start + side))
    return slices[0], slices[1]


def _row(tiles: list[tuple[str, np.ndarray]], width: int) -> np.ndarray:
    """(h, width, 3) uint8: the tiles beside each other, each with its label in the corner."""
    edges = np.linspace(0, width, len(tiles) + 1).round().astype(int)
    height = round(width / len(tiles) * tiles[0][1].shape[0] / tiles[0][1].shape[1])
    font = ImageFont.load_default(20)
    row = np.empty((height, width, 3), np.uint8)
    for (label, pixels), left, right in zip(tiles, edges[:-1], edges[1:], strict=True):
        larger = right - left > pixels.shape[1]
        method = cv2.INTER_CUBIC if larger else cv2.INTER_AREA
        tile = Image.fromarray(cv2.resize(pixels, (int(right - left), height), interpolation=method))
        draw = ImageDraw.Draw(tile)
        draw.text((10, 8), label, fill="white", font=font, stroke_width=2, stroke_fill="black")
        row[:, left:right] = np.asarray(tile)
    return row
