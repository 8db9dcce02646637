"""The packaged weights: small, offline, and better than the medium exposure on a scene they have not seen."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import apnt
from apnt.data.procedural import procedural_bracket
from apnt.methods.medium import medium
from apnt.metrics import psnr_mu
from apnt.packaged import PACKAGED


def test_small_and_with_a_model_card() -> None:
    assert sum(path.stat().st_size for path in PACKAGED.glob("*.safetensors")) <= 12 * 2**20
    cards = {path.stem: path.read_text(encoding="utf-8") for path in PACKAGED.glob("*.md")}
    assert (
        sorted(cards) == sorted(path.stem for path in PACKAGED.glob("*.safetensors")) == ["default", "fast"]
    )
    assert all("How it was made" in card for card in cards.values())


def test_loads_without_a_network() -> None:
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise OSError('no network in this test')\n"
        "socket.socket.connect = refuse\n"
        "import apnt\n"
        "model = apnt.APNTFusion.from_pretrained('default')\n"
        "assert not model.training\n"
        "print(sum(p.numel() for p in model.parameters()))\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment, capture_output=True, text=True, check=False, cwd=Path(apnt.__file__).parents[1],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 500_000


@pytest.mark.parametrize("weights", ["default", "fast"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_fills_a_window_behind_a_moving_ball(precision: str, weights: str) -> None:
    bracket = procedural_bracket(seed=1, height=192, width=288)
    fused = apnt.fuse(list(bracket.ldr), bracket.times, precision=precision, weights=weights)
    gain = psnr_mu(fused, bracket.truth) - psnr_mu(medium(bracket), bracket.truth)
    assert gain > 6
    area = bracket.saturated & bracket.moving
    assert area.any()
    gain = psnr_mu(fused, bracket.truth, area) - psnr_mu(medium(bracket), bracket.truth, area)
    assert gain > 3
    assert np.isfinite(fused).all()
