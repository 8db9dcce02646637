"""Response curves of real cameras: from three frames, from all, and by OpenCV's two classical calibrations.

    python benchmarks/response_real.py --data DIR [--pictures DIR] [--markdown FILE]

Of ``brackets/`` in the folder, as their cameras wrote them:

- the curve from three frames beside that from all frames, and both beside the classical calibrations, each on
  all frames: Debevec and Malik's at several smoothnesses, Robertson's, and the two beside each other. Where
  these differ among themselves as much as ours from them, their difference is no measure of ours;
- which of them best predicts light that it was not fitted to: of nearly grey places in frames that are not
  among the three, or in the right half of the picture where the curve is that of the left one.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from rich.table import Table

from apnt.benchmarks.response import LEVELS, draw, log_light, publish
from apnt.camera import GAMMA
from apnt.io.photo import read_photo
from apnt.prepare.blocks import Pairs, find_pairs
from apnt.prepare.estimate import Estimate, estimate_response

SHOWN = (0.05, 0.95)  # range of values over which curves are compared
REAL = {  # frames of which three give the curve; of villa there are three alone
    "phone_cat": ((6, 8, 10), (5, 7, 9), (4, 7, 10)),
    "desk_canon_s45": ((4, 7, 10), (4, 6, 9), (5, 7, 9)),
    "villa": (),
}
CLASSICAL = {
    "Debevec 30": 30.0,
    "Debevec 3": 3.0,
    "Debevec 10": 10.0,
    "Debevec 100": 100.0,
    "Robertson": None,
}
"""OpenCV's calibrations -> smoothness of Debevec's; Robertson's has none."""
BESIDE = "Debevec 100"
"""As strong as OpenCV's default, 10 on 70 samples, is on 600: it weighs against the sum over all."""
QUIET = 0.2  # share of the places of which Debevec's samples are taken
GRID = (24, 25)  # rows and columns of its samples


class Real(NamedTuple):
    """A bracket: (N, H, W, 3) frames, (N,) times, frames of which three give the curve, classical curves."""

    name: str
    ldr: np.ndarray
    times: np.ndarray
    triples: tuple[tuple[int, ...], ...]
    classical: dict[str, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with brackets/")
    parser.add_argument("--pictures", type=Path, help="folder for one picture of curves a bracket")
    parser.add_argument("--markdown", type=Path, help="where the tables are also written")
    options = parser.parse_args()
    if options.pictures:
        options.pictures.mkdir(parents=True, exist_ok=True)
    agreement = Table("bracket", "curve of", "beside", "median", "95 %", "expected", "agree")
    agreement.title = "Curves beside each other"
    agreement.caption = (
        f"relative difference of linear light over the values {SHOWN[0]} to {SHOWN[1]}, "
        "a factor a channel aside, all channels together; agree: share of the places"
    )
    prediction = Table("bracket", "curve of", "tested on", "ours", *CLASSICAL, "groups")
    prediction.title = "Predicting one frame from another"
    prediction.caption = (
        "median over groups (frames, channel, brightness) of at least five nearly grey places of the median "
        "error of the light; one factor for each two frames aside, so that no exposure error counts; the "
        "classical curves are those of all frames, the tested ones among them"
    )
    for name, triples in REAL.items():
        ldr, times = read_bracket(options.data / "brackets" / name)
        real = Real(name, ldr, times, triples, classical_curves(ldr, times))
        compare(agreement, real, options.pictures)
        predict(prediction, real)
    publish((agreement, prediction), "Response of real cameras", options.markdown)


def compare(table: Table, real: Real, pictures: Path | None) -> None:
    """Rows of one bracket: its curves beside each other."""
    whole = estimate_response(real.ldr, real.times)
    own, classical = log_light(whole.response), real.classical[BESIDE]
    _compared(table, [real.name, f"all {len(real.ldr)}"], own, real.classical, whole)
    curves = {BESIDE: classical, "all frames": own}
    for triple in real.triples:
        estimate = estimate_response(real.ldr[list(triple)], real.times[list(triple)])
        found = log_light(estimate.response)
        beside = {"all frames": own, BESIDE: classical}
        _compared(table, [real.name, " ".join(map(str, triple))], found, beside, estimate)
        curves.setdefault("three frames", found)
    others = {name: curve for name, curve in real.classical.items() if name != BESIDE}
    _compared(table, [real.name, BESIDE], classical, others)
    if pictures:
        draw(pictures / f"{real.name}.png", real.name, curves)


def _compared(
    table: Table,
    what: list[str],
    curve: np.ndarray,
    beside: dict[str, np.ndarray],
    estimate: Estimate | None = None,
) -> None:
    inside = (SHOWN[0] <= LEVELS) & (SHOWN[1] >= LEVELS)
    said = ("", "") if estimate is None else (f"{estimate.error:.1%}", f"{estimate.agreement:.0%}")
    for other, second in beside.items():
        difference = curve[:, inside] - second[:, inside]
        size = np.expm1(np.abs(difference - np.median(difference, axis=1, keepdims=True)))
        table.add_row(*what, other, f"{np.median(size):.1%}", f"{np.percentile(size, 95):.1%}", *said)


def predict(table: Table, real: Real) -> None:
    """Rows of one bracket: error of predicted light, of places that the curve was not fitted to."""
    pairs = find_pairs(real.ldr, real.times, None)
    cases = []
    for triple in real.triples:
        own = estimate_response(real.ldr[list(triple)], real.times[list(triple)])
        others = ~np.isin(pairs.darker, triple) & ~np.isin(pairs.brighter, triple)
        cases.append((" ".join(map(str, triple)), "the others", own, pairs.chosen(pairs.neutral & others)))
    middle = real.ldr.shape[2] // 2
    right = find_pairs(np.ascontiguousarray(real.ldr[:, :, middle:]), real.times, None)
    left = estimate_response(real.ldr[:, :, :middle], real.times)
    cases.append(("left half", "right half", left, right.chosen(right.neutral)))
    for fitted, tested, estimate, test in cases:
        curves = (log_light(estimate.response), *real.classical.values())
        errors = [prediction_error(curve, test, real.times) for curve in curves]
        table.add_row(real.name, fitted, tested, *(f"{e:.1%}" for e, _ in errors), str(errors[0][1]))


def prediction_error(curve: np.ndarray, pairs: Pairs, times: np.ndarray) -> tuple[float, int]:
    """Median relative error with which (3, 256) log light predicts, and over how many groups."""
    table = np.exp(curve / GAMMA)
    off = np.empty(len(pairs))
    for channel in range(3):
        own = pairs.channel == channel
        low, high = (np.interp(v[own] * 255, np.arange(256), table[channel]) for v in (pairs.low, pairs.high))
        off[own] = GAMMA * np.log(high / low)
    off -= np.log(times[pairs.brighter] / times[pairs.darker])
    frames = pairs.darker * len(times) + pairs.brighter
    _, group, counts = np.unique(pairs.group, return_inverse=True, return_counts=True)
    middle = np.array([np.median(off[group == k]) for k in np.flatnonzero(counts >= 5)])
    which = np.array([frames[group == k][0] for k in np.flatnonzero(counts >= 5)])
    for both in np.unique(which):
        middle[which == both] -= np.median(middle[which == both])
    return float(np.expm1(np.median(np.abs(middle)))), len(middle)


def read_bracket(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    about = json.loads((folder / "bracket.json").read_text())
    frames = [read_photo(folder / file) for file in about["files_short_to_long"]]
    return np.stack(frames), 2.0 ** np.array(about["ev_stops"])


def classical_curves(ldr: np.ndarray, times: np.ndarray) -> dict[str, np.ndarray]:
    """(3, 256) log light of OpenCV's calibrations on all frames, by the names of :data:`CLASSICAL`.

    Frames are reduced to 0.2 megapixels and blurred, so that noise and misalignment do not become a ragged
    curve. Debevec's samples are single pixels, which its authors choose where the light varies little
    (SIGGRAPH 1997, section 2.1), OpenCV anywhere: here they are of the fifth of places with the least
    variation in any frame.
    """
    factor = max(1.0, np.sqrt(ldr.shape[1] * ldr.shape[2] / 2e5))
    size = (round(ldr.shape[2] / factor), round(ldr.shape[1] / factor))
    reduced = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in ldr]
    small = np.stack([cv2.blur(frame, (5, 5)) for frame in reduced])
    squares = np.stack([cv2.blur(frame**2, (5, 5)) for frame in reduced])
    frames = np.round(small * 255).astype(np.uint8)
    varies = (squares - small**2).max(axis=(0, 3))
    quiet = np.flatnonzero(varies <= np.quantile(varies, QUIET))
    chosen = np.random.default_rng(0).choice(quiet, GRID[0] * GRID[1], replace=False)
    samples = frames.reshape(len(frames), -1, 3)[:, chosen].reshape(len(frames), *GRID, 3)
    found = {}
    for name, smoothness in CLASSICAL.items():
        if smoothness is None:
            calibration, shown = cv2.createCalibrateRobertson(max_iter=60), frames
        else:  # its grid of samples is all that it is shown
            calibration, shown = cv2.createCalibrateDebevec(samples=len(chosen), lambda_=smoothness), samples
        curve = calibration.process(list(shown), times.astype(np.float32))
        curve = np.asarray(curve, np.float64).reshape(256, 3)
        found[name] = np.stack([_log(channel) for channel in curve.T])
    return found


def _log(light: np.ndarray) -> np.ndarray:
    """Log of (256,) light; of values that no frame holds Robertson says nothing, and they lie between."""
    known = np.isfinite(light) & (light > 0)
    return np.interp(np.arange(256), np.flatnonzero(known), np.log(light[known]))


if __name__ == "__main__":
    main()
