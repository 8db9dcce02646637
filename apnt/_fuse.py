"""Exposures in, one HDR image out: the one path from frames to radiance."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, overload

import numpy as np
import torch

from apnt import defaults, scratch
from apnt.bracket import Bracket
from apnt.budget import parse_bytes
from apnt.device import choose_device, use_bf16
from apnt.doing import doing
from apnt.io.files import check_output
from apnt.io.frames import Image
from apnt.memory import SMALLER, explained
from apnt.merge.three import fuse_three
from apnt.methods import Maps, Method, Options, check_method, load_method
from apnt.methods.registry import comes_with_package
from apnt.prepare.pipeline import AUTO, prepare
from apnt.prepare.pipeline import Options as Preparation
from apnt.prepare.response import Response
from apnt.run import REPORT_SUFFIXES, Clock, Run
from apnt.shown import FusedImage


@overload
def fuse(
    images: Sequence[Image] | str | Path,
    times: Sequence[float] | np.ndarray | None = None,
    *,
    stops: Sequence[float] | np.ndarray | None = None,
    method: str = defaults.METHOD,
    weights: str | Path = defaults.WEIGHTS,
    model: torch.nn.Module | None = None,
    device: str | torch.device | None = None,
    precision: str = "auto",
    curve: str | Path | Response = AUTO,
    align: Literal["auto", "off"] = "auto",
    reference: int | None = None,
    trust_exposures: bool = False,
    strict: bool = False,
    adjust_tone: bool = True,
    progress: Callable[[str], None] | None = None,
    memory: int | str | None = None,
    report: str | Path | None = None,
    return_maps: Literal[False] = False,
) -> np.ndarray: ...


@overload
def fuse(
    images: Sequence[Image] | str | Path,
    times: Sequence[float] | np.ndarray | None = None,
    *,
    stops: Sequence[float] | np.ndarray | None = None,
    method: str = defaults.METHOD,
    weights: str | Path = defaults.WEIGHTS,
    model: torch.nn.Module | None = None,
    device: str | torch.device | None = None,
    precision: str = "auto",
    curve: str | Path | Response = AUTO,
    align: Literal["auto", "off"] = "auto",
    reference: int | None = None,
    trust_exposures: bool = False,
    strict: bool = False,
    adjust_tone: bool = True,
    progress: Callable[[str], None] | None = None,
    memory: int | str | None = None,
    report: str | Path | None = None,
    return_maps: Literal[True],
) -> tuple[np.ndarray, Maps | None]: ...


def fuse(
    images: Sequence[Image] | str | Path,
    times: Sequence[float] | np.ndarray | None = None,
    *,
    stops: Sequence[float] | np.ndarray | None = None,
    method: str = defaults.METHOD,
    weights: str | Path = defaults.WEIGHTS,
    model: torch.nn.Module | None = None,
    device: str | torch.device | None = None,
    precision: str = "auto",
    curve: str | Path | Response = AUTO,
    align: Literal["auto", "off"] = "auto",
    reference: int | None = None,
    trust_exposures: bool = False,
    strict: bool = False,
    adjust_tone: bool = True,
    progress: Callable[[str], None] | None = None,
    memory: int | str | None = None,
    report: str | Path | None = None,
    return_maps: bool = False,
) -> np.ndarray | tuple[np.ndarray, Maps | None]:
    """Fuse exposures of a scene, moving or not, into one HDR image.

    Args:
        images: 2 to 15 paths of photographs (docs/formats.md), a folder of them, arrays, (H, W, 3), (H, W, 4)
            or (H, W), uint8, uint16 or float in [0, 1], or Pillow images. In any order, of one size, at
            least 16 pixels a side.
        times: exposure times in seconds, in the order of the images; NaN for one that is not known. Without
            times and stops: EXIF, or, where files have none, the pixels.
        stops: the exposures in stops instead, such as ``(0, 2, 4)``.
        method: how to fuse, a name out of ``apnt.methods.METHODS``; ``"apnt"`` is the network, and the
            others are what it is compared with.
        weights: ``"default"``, ``"fast"``, a path of a checkpoint, or a Hub id; not used with ``model``.
        model: a network that takes ``(1, 3, 3, H, W)`` exposures, ascending, and ``(1, 3)`` relative times,
            and returns ``(1, 3, H, W)`` radiance. It is moved to the device if one is given.
        device: such as ``"cpu"`` or ``"cuda"``; None = CUDA where there is one, or the device of ``model``.
        precision: ``"fp32"``, ``"bf16"`` (autocast), or ``"auto"``: bf16 where the hardware computes in it.
        curve: the camera's response: ``"auto"`` measures it on the frames where no file says it; or
            ``"gamma22"``, ``"srgb"``, ``"bt709"``, ``"linear"``, or a file that ``apnt response`` wrote.
        align: ``"auto"`` brings all frames to the geometry of the reference, ``"off"`` leaves them.
        reference: the frame whose moment and geometry the result shows, from 0; None = chosen, of three the
            medium exposure.
        trust_exposures: take the exposures as they are, none refused or corrected by the pixels.
        strict: refuse where there would be a warning.
        adjust_tone: False is ``curve="gamma22"``, whatever ``curve`` says.
        progress: called with ``"read"``, ``"weights"`` and ``"fuse"`` as these steps begin, and with
            ``"report"`` where there is one; ``"weights"`` comes first where they are not the packaged ones.
        memory: bytes that fusing may take, or an amount such as ``"2GB"``; None = most of what is free. Large
            pictures are fused in tiles, of which the result does not show a trace (docs/large_images.md).
        report: also write a page to look at the result with, ``.html``: see
            :func:`apnt.report.write_report`. An existing file is replaced.
        return_maps: also return what the network saw and which error it expects.

    Returns:
        (H, W, 3) float32 RGB radiance in [0, 1], linear; 1 is where the shortest exposure saturates. Of a
        method of the kind "display", such as ``"mertens"``, a picture in [0, 1] as a display shows it; such
        methods get the frames as their files show them, aligned. With ``return_maps`` a pair of it and
        :class:`apnt.methods.Maps`, which describe the network's own result from three frames; None for a
        method that has none. Notebooks show the array as a picture: :class:`apnt.shown.FusedImage`.

    Warns:
        UserWarning: something is doubtful, such as exposures that were measured on the pixels.

    Raises:
        InputError: images, exposures, method, weights, device, precision, memory or report that cannot be
            used.
        MemoryError: the images are too large for the memory of the device.
        FloatingPointError: the network returned NaN or infinity.
    """
    kind = check_method(method).kind
    begin = Clock(progress or (lambda step: None))
    # What is wrong with them is found before the work.
    use_bf16(precision, choose_device(device, model))
    budget = None if memory is None else parse_bytes(memory)
    if report is not None:
        check_output(report, REPORT_SUFFIXES, name="report")
    options = Preparation(
        curve if adjust_tone else "gamma22",
        align,
        trust_exposures=trust_exposures,
        strict=strict,
        reference=reference,
        rendered=kind == "display",
    )
    loading = Options(weights, device, precision, model, budget)
    early = model is None and not comes_with_package(method, weights)
    if early:
        begin("weights")
        chosen = load_method(method, loading)
    begin("read")
    with scratch.within(budget):
        prepared = prepare(images, times, stops, options)
        for doubt in prepared.report.warnings:
            warnings.warn(doubt, stacklevel=2)
        if not early:
            if model is None:
                begin("weights")
            chosen = load_method(method, loading)
        begin("fuse")
        fused = fuse_bracket(prepared.bracket, chosen, maps=return_maps or report is not None)
        if report is not None:
            begin("report")
            from apnt.report import write_report  # pages are not needed without one

            name = Path(report).stem
            write_report(
                report, Run(name, prepared, fused, chosen, kind, begin.seconds, chosen=reference is None)
            )
    image = FusedImage.of(fused.image, display=kind == "display")
    return (image, fused.maps) if return_maps else image


@dataclass(frozen=True, eq=False)
class Fused:
    """What :func:`fuse_bracket` made.

    Attributes:
        image: (H, W, 3) float32 RGB in [0, 1]; of a method of the kind "radiance" linear, 1 is where the
            shortest exposure saturates.
        maps: what the network saw, where that was asked for and the method can tell.
        shares: what the image rests on, of a method that takes three frames: see
            :func:`apnt.merge.shares.shares_of`; empty of others.
    """

    image: np.ndarray
    maps: Maps | None = None
    shares: dict[str, float] = field(default_factory=dict)


def fuse_bracket(bracket: Bracket, method: Method, *, maps: bool = False) -> Fused:
    """Fuse a bracket whose values are light to the power of 1 / 2.2, or, for display methods, any pictures.

    Fusing photographs (after :func:`apnt.prepare.pipeline.prepare`), evaluation, validation during training
    and the benchmarks all come through here. A method that takes three frames gets three, chosen, of any
    number, and the others support its result (docs/frames.md).

    Args:
        bracket: from any of these.
        method: from :func:`apnt.methods.load_method`.
        maps: also keep what the network saw.
    """
    height, width = bracket.size
    with explained(f"fusing {len(bracket.ldr)} frames of {width} x {height} pixels", SMALLER):
        if method.frames == 3:
            found = fuse_three(bracket, method, maps)
            return Fused(found.image, found.maps, found.shares)
        doing(f"By {method.title}")
        if maps and method.explain is not None:
            return Fused(*method.explain(bracket))
        return Fused(method.fuse(bracket))


def fused_image(bracket: Bracket, method: Method) -> np.ndarray:
    """The image of :func:`fuse_bracket` alone."""
    return fuse_bracket(bracket, method).image
