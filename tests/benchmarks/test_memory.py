"""The network on the first rows of tiles alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from apnt.nn import APNTConfig, APNTFusion
from apnt.nn.tiled import Part, Tiled, crop_of

pytest.importorskip(
    "apnt.benchmarks", reason="the benchmarks are mapped into the package when it is installed"
)

from apnt.benchmarks.first_rows import only


@pytest.mark.parametrize("border", [0, 8])
def test_first_rows_are_the_networks_and_the_rest_is_the_references_light(
    monkeypatch: pytest.MonkeyPatch, border: int
) -> None:
    frames = np.random.default_rng(0).random((3, 90, 140, 3), np.float32)
    torch.manual_seed(0)
    network = APNTFusion(
        APNTConfig(channels=(8, 12, 16), mef_blocks=1, radii=(1, 1, 1), border=border)
    ).eval()
    times = torch.tensor([1.0, 4.0, 16.0])

    def parts() -> list[Part]:
        with torch.inference_mode():
            picture = Tiled(network, crop_of(frames, torch.device("cpu"), border), times, (90, 140))
            return list(picture.run(64, 64))

    whole = parts()
    monkeypatch.setattr(Tiled, "run", Tiled.run)  # is put back afterwards
    only(1)
    found = parts()
    assert [part.box for part in found] == [part.box for part in whole]
    first = [part.box.top == 0 for part in whole]
    assert 0 < sum(first) < len(first)
    for is_first, own, other in zip(first, found, whole, strict=True):
        if is_first:
            assert torch.equal(own.radiance, other.radiance)
        else:
            light = torch.from_numpy(frames[1][own.box.rows, own.box.columns]).permute(2, 0, 1) ** 2.2 / 4
            torch.testing.assert_close(own.radiance, light, rtol=1e-4, atol=1e-6)
