"""Ma17: the authors' answers, and the equations written out patch by patch."""

from __future__ import annotations

import numpy as np
import pytest

from apnt.methods import ma17
from apnt.methods.ghosts import matched


@pytest.mark.parametrize("case", ["arno", "tower", "house", "dyn_arch", "dyn_sculpture"])
def test_it_equals_the_authors_program(oracle, case):
    frames, answer = oracle("ma17_spdmef", case)
    assert np.abs(ma17.fuse(frames) - answer["image"]).max() < 2e-4  # stored in steps of 1.2e-4


def by_patches(frames: np.ndarray, counts: np.ndarray, reference: int, side: int) -> np.ndarray:
    """The fused image with every frame or its pseudo exposure counting in the whole image."""
    pseudo = [matched(frames[reference], f) for k, f in enumerate(frames) if k != reference]
    everything = np.concatenate([frames, pseudo])
    height, width = frames.shape[1:3]
    rows = sorted({*range(0, height - side + 1, 2), height - side})
    columns = sorted({*range(0, width - side + 1, 2), width - side})
    total, covers = np.zeros((height, width, 3)), np.zeros((height, width, 1))
    for y in rows:
        for x in columns:
            structure, base, weights = 0.0, 0.0, 0.0
            strengths = []
            for k, image in enumerate(everything):
                patch = image[y : y + side, x : x + side]
                mean = patch.mean()
                c = np.linalg.norm(patch - mean) + 0.001
                strengths.append(c * counts[k])
                if k < len(frames):
                    structure = structure + (c**4 + 0.001) * counts[k] * (patch - mean) / c
                else:  # the mean and the strength of the frame whose place it takes
                    own = np.delete(frames, reference, axis=0)[k - len(frames), y : y + side, x : x + side]
                    strength = np.linalg.norm(own - own.mean()) + 0.001
                    structure = structure + 0.001 * counts[k] * (patch - own.mean()) / strength
                exposure = np.exp(-((image.mean() - 0.5) ** 2) / 0.08 - (mean - 0.5) ** 2 / 0.5) * counts[k]
                base, weights = base + exposure * mean, weights + exposure
            fused = max(strengths) * structure / np.linalg.norm(structure) + base / weights
            total[y : y + side, x : x + side] += fused
            covers[y : y + side, x : x + side] += 1
    return np.clip(total / covers, 0, 1)


@pytest.mark.parametrize("size", [(21, 21), (26, 31), (21, 30)])
def test_box_filters_equal_patches(size):
    frame = np.random.default_rng(0).random((*size, 3))
    frames = np.stack([0.4 * frame, 0.7 * frame, frame])  # the same scene: every frame counts
    expected = by_patches(frames, np.array([1, 1, 1, 0, 0]), 1, 21)
    assert ma17.fuse(frames) == pytest.approx(expected, abs=1e-9)


def test_a_nearly_flat_reference_leaves_structure_to_the_pseudo_exposures():
    rng = np.random.default_rng(0)
    frames = rng.random((3, 30, 34, 3)) * np.array([0.5, 0.8, 1.0])[:, None, None, None]
    frames[1] = 0.9 + 0.01 * rng.random((30, 34, 3))
    frames[0, ::5] = 0  # so that 0.001 weighs against the fourth power of the reference's strength
    expected = by_patches(frames, np.array([0, 1, 0, 1, 1]), 1, 21)
    without = by_patches(frames, np.array([0, 1, 0, 0, 0]), 1, 21)
    assert ma17.fuse(frames, 1) == pytest.approx(expected, abs=1e-9)
    assert np.abs(without - expected).max() > 0.1


def test_a_frame_of_another_scene_gives_way_to_its_pseudo_exposure():
    rng = np.random.default_rng(0)
    frames = rng.random((3, 30, 34, 3)) * np.array([0.5, 0.8, 1.0])[:, None, None, None]
    expected = by_patches(frames, np.array([0, 1, 0, 1, 1]), 1, 21)
    assert ma17.fuse(frames, 1) == pytest.approx(expected, abs=1e-9)


def test_the_reference_has_the_fewest_black_and_white_spots():
    rng = np.random.default_rng(0)
    scene = rng.random((40, 40, 3)) * 0.5 + 0.25
    blocks = np.round(rng.random((8, 8, 1))).repeat(5, axis=0).repeat(5, axis=1).repeat(3, axis=2)
    frames = np.stack([0 * scene, blocks, scene, np.ones_like(scene)])
    assert (ma17.fuse(frames) == ma17.fuse(frames, 2)).all()
    assert (ma17.fuse(frames) != ma17.fuse(frames, 1)).any()
    assert (ma17.fuse(frames[:3]) == ma17.fuse(frames[:3], 1)).all()  # of three frames the middle one
