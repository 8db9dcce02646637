"""What a network saw, at the size of the pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from apnt._fuse import fuse_bracket
from apnt.data.procedural import procedural_bracket
from apnt.methods import Maps
from apnt.methods.network import method_of
from apnt.nn import APNTConfig, APNTFusion


@pytest.mark.parametrize("stride", [1, 2])
def test_maps_have_the_size_of_the_pictures(stride: int) -> None:
    torch.manual_seed(0)
    config = APNTConfig(channels=(8, 8, 8), mef_blocks=1, radii=(1, 1, 2), stride=stride)
    bracket = procedural_bracket(height=69, width=91)
    fused = fuse_bracket(bracket, method_of(APNTFusion(config), torch.device("cpu")), maps=True)
    maps = fused.maps
    assert maps is not None
    assert maps.offset is not None
    assert maps.motion.shape == (2, 69, 91)
    assert maps.saturation.shape == (69, 91)
    assert maps.offset.shape == (69, 91, 2)
    assert np.abs(maps.offset).max() <= maps.reach
    assert (maps.offset % stride == 0).all()
    assert "beyond_search" in fused.shares


def test_reduced_maps_are_enlarged_in_pixels() -> None:
    low = np.arange(6, dtype=np.float32).reshape(2, 3)
    offset = np.stack([low, -low], axis=-1).astype(np.int32)
    whole = Maps(np.stack([low, low]), low, offset, 7, np.ones((3, 5), np.float32)).enlarged((3, 5))
    want = [[0, 0, 1, 1, 2], [0, 0, 1, 1, 2], [3, 3, 4, 4, 5]]
    np.testing.assert_array_equal(whole.saturation, want)
    np.testing.assert_array_equal(whole.motion[1], want)
    np.testing.assert_array_equal(whole.offset, np.stack([np.array(want), -np.array(want)], -1) * 2)
    assert whole.error is not None
    assert whole.error.shape == (3, 5)
    assert whole.reach == 7
