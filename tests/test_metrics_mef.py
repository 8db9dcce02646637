"""MEF-SSIM: the authors' figures, and its definition patch by patch."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from apnt.errors import InputError
from apnt.metrics_mef import mef_ssim

# Of the authors' program on the images that the authors' programs of the methods made.
PUBLISHED = {
    ("mertens09", "tower"): 0.9818, ("ma17_spdmef", "tower"): 0.9855, ("li20", "tower"): 0.9851,
    ("li21", "tower"): 0.9790, ("ma17_spdmef", "arno"): 0.9838, ("li20", "arno"): 0.9849,
    ("li21", "arno"): 0.9744, ("mertens09", "house"): 0.9568, ("ma17_spdmef", "house"): 0.9293,
    ("li20", "house"): 0.9571, ("li21", "house"): 0.9648, ("mertens09", "door"): 0.9763,
    ("li20", "door"): 0.9747, ("li21", "door"): 0.9821, ("ma17_spdmef", "dyn_arch"): 0.9331,
    ("li20", "dyn_arch"): 0.9343, ("ma17_spdmef", "dyn_sculpture"): 0.9581,
    ("li20", "dyn_sculpture"): 0.9623, ("li21", "dyn_sculpture"): 0.9378,
}  # fmt: skip


@pytest.mark.parametrize(("method", "case"), PUBLISHED)
def test_it_gives_the_figures_of_the_authors_program(method, case):
    named = os.environ.get("APNT_CASES", Path(__file__).parents[2] / "shared" / "cases")
    folder = Path(named) / "methods" / method / case
    if not folder.is_dir():
        pytest.skip(f"the authors' answers are not in {folder}")
    frames = np.stack([cv2.imread(str(path)) for path in sorted(folder.glob("in_*.png"))])[..., ::-1] / 255
    fused = np.clip(np.load(folder / "out.npz")["out_i16"] / 8192, 0, 1)
    assert mef_ssim(fused, frames) == pytest.approx(PUBLISHED[method, case], abs=1e-4)


def one_scale(fused: np.ndarray, frames: np.ndarray) -> float:
    """Mean score of grey images, 0 to 255, by loops over the patches."""
    axis = np.arange(-5, 6)
    gauss = np.exp(-(axis[:, None] ** 2 + axis**2) / (2 * 1.5**2))
    gauss /= gauss.sum()
    scores = []
    for y in range(fused.shape[0] - 10):
        for x in range(fused.shape[1] - 10):
            patches = frames[:, y : y + 11, x : x + 11]
            centred = patches - patches.mean(axis=(1, 2), keepdims=True)
            norms = np.linalg.norm(centred, axis=(1, 2))
            agreement = np.linalg.norm(centred.sum(axis=0)) / norms.sum()
            power = min(np.tan(np.pi / 2 * agreement), 10)
            c = norms + 0.001
            weights = (c / 11) ** power
            wanted = np.einsum("k,kij->ij", weights / weights.sum() / c, centred)
            wanted *= c.max() / np.linalg.norm(wanted)
            seen = fused[y : y + 11, x : x + 11]
            wanted = wanted - (gauss * wanted).sum()
            seen = seen - (gauss * seen).sum()
            stable = (0.03 * 255) ** 2
            scores.append(
                (2 * (gauss * wanted * seen).sum() + stable)
                / ((gauss * wanted**2).sum() + (gauss * seen**2).sum() + stable)
            )
    return float(np.mean(scores))


def test_it_equals_its_definition():
    rng = np.random.default_rng(0)
    stack = np.floor(rng.random((4, 45, 42)) * np.array([120, 60, 120, 200])[:, None, None])
    fused, frames, expected = stack[0], stack[1:], 1.0
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001)):
        if scale:
            padded = np.pad(np.concatenate([fused[None], frames]), ((0, 0), (0, 1), (0, 1)), mode="symmetric")
            mean = (padded[:, :-1, :-1] + padded[:, 1:, :-1] + padded[:, :-1, 1:] + padded[:, 1:, 1:]) / 4
            fused, frames = mean[0, ::2, ::2], mean[1:, ::2, ::2]
        expected *= one_scale(fused, frames) ** (weight / 0.6305)
    colours = np.repeat(stack[..., None], 3, axis=-1) / 255
    assert mef_ssim(colours[0], colours[1:]) == pytest.approx(expected, abs=1e-9)


def test_a_frame_of_a_stack_of_copies_is_perfect():
    frame = np.random.default_rng(0).random((48, 50, 3))
    assert mef_ssim(frame, np.stack([frame, frame])) == pytest.approx(1, abs=1e-3)


def test_blur_costs():
    frame = np.random.default_rng(0).random((48, 50, 3))
    stack = np.stack([0.5 * frame, frame])
    assert mef_ssim(cv2.blur(frame, (5, 5)), stack) < mef_ssim(frame, stack) - 0.3


@pytest.mark.parametrize(
    ("fused", "message"),
    [
        (np.zeros((48, 49, 3)), r"fused must have the frames' shape \(48, 48, 3\), got \(48, 49, 3\)"),
        (np.full((48, 48, 3), 2.0), r"frames must be in \[0, 1\], got values from 0 to 2"),
    ],
)
def test_bad_input_is_refused(fused, message):
    with pytest.raises(InputError, match=message):
        mef_ssim(fused, np.zeros((3, 48, 48, 3)))


def test_an_image_too_small_for_three_scales_is_refused():
    with pytest.raises(InputError, match=r"fused must have at least 41 rows and columns, got \(40, 60\)"):
        mef_ssim(np.zeros((40, 60, 3)), np.zeros((3, 40, 60, 3)))
    assert mef_ssim(np.zeros((41, 41, 3)), np.zeros((3, 41, 41, 3))) == pytest.approx(1)
