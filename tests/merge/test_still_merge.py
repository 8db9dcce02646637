"""Three frames merged with a network's result where nothing moved, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from apnt._fuse import fuse_bracket
from apnt.bracket import Bracket
from apnt.data.synthetic import SensorNoise, expose
from apnt.merge.still_merge import merge_still
from apnt.methods import Method, Options, load_method
from apnt.nn import APNTFusion
from apnt.nn.config import APNTConfig

TIMES = np.array([1.0, 4.0, 16.0])


def shoot(lights: list[np.ndarray], valid: np.ndarray | None = None) -> Bracket:
    rng = np.random.default_rng(0)
    frames = [
        expose(light, float(time), SensorNoise(2e-4, 1e-3), 8, rng)
        for light, time in zip(lights, TIMES, strict=True)
    ]
    return Bracket("scene", np.stack(frames).astype(np.float32), TIMES, valid=valid)


@pytest.fixture
def light() -> np.ndarray:
    """(256, 320, 3): columns of light, 0.005 to 0.3."""
    return np.broadcast_to(np.geomspace(0.005, 0.3, 320)[None, :, None], (256, 320, 3)).astype(np.float32)


@pytest.fixture
def noisy(light: np.ndarray) -> np.ndarray:
    """A network's result with the noise of a tenth of the light."""
    rng = np.random.default_rng(1)
    return (light * (1 + 0.1 * rng.standard_normal(light.shape))).astype(np.float32)


def off(image: np.ndarray, light: np.ndarray) -> float:
    return float((image / light - 1).std())


def test_noise_is_averaged_where_nothing_moved(light: np.ndarray, noisy: np.ndarray) -> None:
    merged = merge_still(shoot([light] * 3), noisy)
    assert off(merged, light) < 0.6 * off(noisy, light)
    assert abs(float((merged / light).mean()) - 1) < 0.01


def test_what_moved_stays_as_the_network_has_it(light: np.ndarray, noisy: np.ndarray) -> None:
    moved = light.copy()
    moved[100:140, 200:240] = 0.02
    merged = merge_still(shoot([light, light, moved]), noisy)
    np.testing.assert_array_equal(merged[98:142, 198:242], noisy[98:142, 198:242])
    assert off(merged[:, :60], light[:, :60]) < 0.6 * off(noisy[:, :60], light[:, :60])


def test_where_no_frame_holds_data_the_network_is_kept(light: np.ndarray, noisy: np.ndarray) -> None:
    valid = np.ones((3, *light.shape[:2]), bool)
    valid[:, :40, :40] = False
    merged = merge_still(shoot([light] * 3, valid), noisy)
    np.testing.assert_array_equal(merged[:36, :36], noisy[:36, :36])
    assert np.isfinite(merged).all()


@pytest.mark.parametrize("merges", [False, True])
def test_only_methods_that_say_so_are_merged(light: np.ndarray, noisy: np.ndarray, merges: bool) -> None:
    method = Method("stub", lambda bracket: noisy.copy(), {}, frames=3, merges=merges)
    found = fuse_bracket(shoot([light] * 3), method).image
    assert (off(found, light) < 0.6 * off(noisy, light)) == merges


@pytest.mark.parametrize("merge", [False, True])
def test_networks_that_hold_a_merge_are_merged(merge: bool) -> None:
    network = APNTFusion(
        APNTConfig(channels=(8, 8, 8), mef_blocks=1, radii=(1, 1, 2), aligned=True, merge=merge)
    )
    assert load_method("apnt", Options(model=network)).merges == merge
