"""The two ops in ONNX's own operators, in float32: what files for other runtimes are made of.

Functions here are translations for ``torch.onnx``: they make nodes of a graph, and run no numbers themselves.
Nodes are of opset 18, as PyTorch's own translations are, which it converts afterwards.
What depends on the height and width is reckoned by the graph. Sums are over patches, each by itself: a
summed-area table would lose the last digits, by which matches are told apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript import FLOAT, INT32, INT64, script
from onnxscript import opset18 as op

from apnt.reference.score import NORM_FLOOR
from apnt.reference.window_match import visit_order

CHUNK_BYTES = 32 << 20
"""Of what is gathered at a time for pixels that have a window of their own."""

_LOWEST = float(np.finfo(np.float32).min)


def window_match(
    source: FLOAT[...],
    target: FLOAT[...],
    center: INT32[...] | None,
    radius: int,
    patch_size: int = 3,
    normalize: str = "search",
    tf32: bool = False,
) -> tuple[FLOAT[...], INT32[...]]:
    """``apnt::window_match``: scores (N, H, W) and offsets (N, 2, H, W)."""
    ones = _constant(np.ones((1, 1, patch_size, patch_size), np.float32))
    order = np.array(visit_order(radius), np.int64)
    norm = _norm(source, ones)
    if normalize not in ("search", "cosine"):
        norm = op.Div(norm, norm)  # ones: it still tells where the image is
    # 0 is no norm: a candidate outside the image.
    norm = _framed(norm, radius)
    if center is None:
        starts = _constant(order + radius)
        score, choice = _around_itself(_framed(source, radius), target, norm, starts, ones)
        offset = op.Transpose(op.Gather(_constant(order), op.Squeeze(choice, [1])), perm=[0, 3, 1, 2])
        score = op.Squeeze(score, [1])
    else:
        score, offset = _around_center(source, target, norm, center, order, radius, patch_size)
    if normalize in ("cosine", "paper"):
        score = op.Div(score, op.Squeeze(_norm(target, ones), [1]))
    return score, op.Cast(offset, to=ir.DataType.INT32)


def patch_swap(source: FLOAT[...], offset: INT32[...], patch_size: int = 3) -> FLOAT:
    """``apnt::patch_swap``: (N, C, H, W)."""
    half = patch_size // 2
    shape = op.Shape(source)
    n, c, h, w = _sides(shape)
    rows = op.Reshape(op.Transpose(source, perm=[0, 2, 3, 1]), op.Concat(_constant([-1]), c, axis=0))
    y, x, batch = _grid(n, h, w)
    # In 64 bits no offset is too large to be added to a place.
    offset = op.Cast(offset, to=ir.DataType.INT64)
    dy, dx = (
        op.Pad(op.Squeeze(op.Slice(offset, [k], [k + 1], [1]), [1]), [0, half, half, 0, half, half])
        for k in (0, 1)
    )
    total: Any = None
    for oy in range(-half, half + 1):
        for ox in range(-half, half + 1):
            # Pixel x reads the offset of the patch centred at x - o.
            start = _constant(np.array([half - oy, half - ox]))
            end = op.Add(start, op.Concat(h, w, axis=0))
            to_y, to_x = (op.Add(at, op.Slice(d, start, end, [1, 2])) for at, d in ((y, dy), (x, dx)))
            inside = op.And(_within(to_y, h), _within(to_x, w))
            inside = op.And(inside, op.And(_within(op.Sub(y, [oy]), h), _within(op.Sub(x, [ox]), w)))
            place = op.Add(op.Mul(op.Add(op.Mul(batch, h), to_y), w), to_x)
            place = op.Where(inside, place, [0])
            weight = op.Unsqueeze(op.Cast(inside, to=ir.DataType.FLOAT), [3])
            part = op.Mul(op.Gather(rows, place), weight), weight
            total = part if total is None else tuple(op.Add(a, b) for a, b in zip(total, part, strict=True))
    mean = op.Div(total[0], op.Max(total[1], _constant(np.ones(1, np.float32))))
    return op.Transpose(mean, perm=[0, 3, 1, 2])


def _around_center(
    source: Any, target: Any, norm: Any, center: Any, order: np.ndarray, radius: int, patch_size: int
) -> tuple[Any, Any]:
    """Eq. 8: scores (N, H, W), and offsets (N, 2, H, W) int64, of windows that every pixel has of its own.

    Of each pixel the products of its patch's pixels with those of its area, and their sums.
    """
    half, window, extent = patch_size // 2, 2 * radius + 1, 2 * radius + patch_size
    channels = int(source.shape[1])
    pixels, area = patch_size**2, extent**2
    n, _, h, w = _sides(op.Shape(source))
    y, x, batch = _grid(n, h, w)
    center = op.Cast(center, to=ir.DataType.INT64)

    def middle(at: Any, axis: int, side: Any) -> Any:
        """(N, H, W) where windows are centred, clamped to the image."""
        step = op.Squeeze(op.Slice(center, [axis], [axis + 1], [1]), [1])
        return op.Min(op.Max(op.Add(at, step), _constant([0])), op.Sub(side, [1]))

    at_y, at_x = middle(y, 0, h), middle(x, 1, w)

    def corner(row: Any, column: Any, border: int) -> Any:
        """(P, 1) of the P pixels, the place of the window's corner in an image with a border."""
        wide, high = (op.Add(side, [2 * border]) for side in (w, h))
        place = op.Add(op.Mul(op.Add(op.Mul(batch, high), row), wide), column)
        return op.Reshape(op.Expand(place, op.Concat(n, h, w, axis=0)), [-1, 1])

    def square(border: int, steps: np.ndarray) -> Any:
        """(len(steps)) of (dy, dx) from the corner, in an image with a border."""
        wide = op.Add(w, [2 * border])
        return op.Add(op.Mul(_constant(steps[:, 0]), wide), _constant(steps[:, 1]))

    def rows(image: Any, border: int) -> Any:
        return op.Reshape(op.Transpose(_framed(image, border), perm=[0, 2, 3, 1]), [-1, channels])

    def raster(side: int) -> np.ndarray:
        return np.stack(np.divmod(np.arange(side**2), side), axis=1)

    at = (order + radius) + raster(patch_size)[:, None]  # (patch_size**2, window**2, 2), in the area
    terms = (np.arange(pixels)[:, None] * area) + at[..., 0] * extent + at[..., 1]
    per_pixel = 4 * ((2 * area + pixels) * channels + pixels * (area + window**2))
    score, choice = _chunks(
        rows(source, radius + half),
        rows(target, half),
        op.Reshape(norm, [-1]),
        op.Concat(corner(at_y, at_x, radius + half), corner(y, x, half), corner(at_y, at_x, radius), axis=1),
        square(radius + half, raster(extent)),
        square(half, raster(patch_size)),
        square(radius, order + radius),
        _constant(terms),
        _constant(np.array(max(1, CHUNK_BYTES // per_pixel))),
    )
    size = op.Concat(n, h, w, axis=0)
    step = op.Transpose(op.Gather(_constant(order), op.Reshape(choice, size)), perm=[0, 3, 1, 2])
    moved = op.Concat(*(op.Unsqueeze(op.Sub(a, b), [1]) for a, b in ((at_y, y), (at_x, x))), axis=1)
    return op.Reshape(score, size), op.Add(step, moved)


@script()
def _around_itself(
    source: FLOAT[...], target: FLOAT[...], norm: FLOAT[...], starts: INT64[...], ones: FLOAT[...]
) -> tuple[FLOAT[...], INT64[...]]:
    """Eq. 7: scores and the number of the displacement, (N, 1, H, W), one displacement after the other."""
    size = op.Shape(target, start=2, end=4)
    lowest = _LOWEST
    best = op.ReduceSum(target, [1]) * 0.0 + lowest
    choice = op.Cast(best * 0.0, to=7)
    for k in range(op.Squeeze(op.Shape(starts, start=0, end=1))):
        start = op.Gather(starts, k)
        end = start + size
        product = op.ReduceSum(target * op.Slice(source, start, end, [2, 3]), [1])
        scale = op.Slice(norm, start, end, [2, 3])
        score = op.Conv(product, ones, auto_pad="SAME_UPPER") / scale
        # Strict: a tie stays with the candidate visited first.
        better = op.And(scale > 0.0, score > best)
        best = op.Where(better, score, best)
        choice = op.Where(better, k, choice)
    return best, choice


@script()
def _chunks(
    source: FLOAT[...],
    target: FLOAT[...],
    norm: FLOAT[...],
    corners: INT64[...],
    area: INT64[...],
    patch: INT64[...],
    window: INT64[...],
    terms: INT64[...],
    chunk: INT64[...],
) -> tuple[FLOAT[...], INT64[...]]:
    """Eq. 8: scores and the number of the displacement, (P, 1), some pixels after the other.

    Source and target are (S, C), norms (S,), corners (P, 3): where squares begin in each of them.
    """
    count = op.Shape(corners, start=0, end=1)
    scores = op.SequenceEmpty(dtype=1)
    choices = op.SequenceEmpty(dtype=7)
    for k in range(op.Squeeze((count + chunk - 1) / chunk)):
        start = op.Reshape(k * chunk, [1])
        here = op.Slice(corners, start, op.Min(start + chunk, count), [0])
        at_source, at_target, at_norm = op.Split(here, axis=1, num_outputs=3)
        patches = op.Gather(target, at_target + patch)
        areas = op.Transpose(op.Gather(source, at_source + area), perm=[0, 2, 1])
        products = op.Reshape(op.MatMul(patches, areas), [0, -1])
        scale = op.Gather(norm, at_norm + window)
        # Not by a matrix of 0 and 1: its product would add the same numbers in another order elsewhere.
        score = op.ReduceSum(op.Gather(products, terms, axis=1), [1], keepdims=0) / scale
        score = op.Where(scale > 0.0, score, _LOWEST)
        choice = op.ArgMax(score, axis=1)  # of equals the first
        best = op.GatherElements(score, choice, axis=1)
        scores = op.SequenceInsert(scores, best)
        choices = op.SequenceInsert(choices, choice)
    return op.ConcatFromSequence(scores, axis=0), op.ConcatFromSequence(choices, axis=0)


def _constant(values: np.ndarray | list[int]) -> Any:
    return op.Constant(value=ir.tensor(np.asarray(values)))


def _sides(shape: Any) -> list[Any]:
    """The four numbers of a shape, (1) each."""
    return [op.Slice(shape, [k], [k + 1]) for k in range(4)]


def _grid(n: Any, h: Any, w: Any) -> tuple[Any, Any, Any]:
    """Row, column and number of the picture of each pixel: (1, H, 1), (1, 1, W), (N, 1, 1)."""

    def count(side: Any, shape: list[int]) -> Any:
        return op.Reshape(op.Range(0, op.Squeeze(side), 1), shape)

    return count(h, [1, -1, 1]), count(w, [1, 1, -1]), count(n, [-1, 1, 1])


def _within(place: Any, side: Any) -> Any:
    return op.And(op.GreaterOrEqual(place, [0]), op.Less(place, side))


def _framed(x: Any, border: int) -> Any:
    """(N, C, H, W) with a border of zeros."""
    return op.Pad(x, [0, 0, border, border, 0, 0, border, border])


def _norm(x: Any, ones: Any) -> Any:
    """(N, C, H, W) to (N, 1, H, W): floored norm of the patch around each pixel."""
    squares = op.Conv(op.ReduceSum(op.Mul(x, x), [1]), ones, auto_pad="SAME_UPPER")
    return op.Sqrt(op.Max(squares, _constant(np.array([NORM_FLOOR**2], np.float32))))
